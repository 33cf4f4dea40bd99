//! [`Roster`]: all workers, and which generation gets the requests. Shared by all shards.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd, RawFd},
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rustix::event::{EventfdFlags, eventfd};
use volador_proto::link::Hello;

use super::member::{Member, State};

/// A worker, as whoever looks after the processes is told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WorkerReport {
    /// Its place in its generation.
    pub number: u32,
    /// Its load of the application's code.
    pub generation: u32,
    /// Its process.
    pub pid: u32,
    /// Requests that it runs at once.
    pub threads: u16,
    /// Requests that it has in hand.
    pub in_flight: usize,
    /// Push connections whose handler it has.
    pub handlers: usize,
    /// "waiting", "serving", "retiring", "idle" (retired, with nothing in hand) or "guest".
    pub state: &'static str,
    /// Time since its last sign of life.
    pub quiet: Duration,
    /// How long requests have waited for its threads without one of them completing anything; zero when none waits.
    pub stuck: Duration,
}

/// Who the workers are.
#[derive(Debug)]
pub(crate) struct Roster {
    members: Mutex<Vec<Arc<Member>>>,
    /// The generation that gets the requests; 0 before the first one does.
    current: AtomicU32,
    /// Requests that all serving workers run at once.
    threads: AtomicUsize,
    started: Instant,
    /// Readable when somebody has something to look at.
    bell: OwnedFd,
}

impl Roster {
    /// # Errors
    /// When the system has no descriptor left.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            members: Mutex::default(),
            current: AtomicU32::new(0),
            threads: AtomicUsize::new(0),
            started: Instant::now(),
            bell: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        })
    }

    /// Milliseconds since the roster was made: the time of all figures in it.
    pub(crate) fn now(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// Requests that all serving workers run at once.
    pub(crate) fn threads(&self) -> usize {
        self.threads.load(Relaxed)
    }

    pub(crate) fn bell(&self) -> RawFd {
        self.bell.as_raw_fd()
    }

    /// Somebody should look at the workers.
    pub(crate) fn ring(&self) {
        // Full: it has been rung for long, and nobody has looked.
        let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
    }

    /// A link of a worker is up. (A guest in the worker's process is another one.)
    pub(crate) fn link_came(&self, hello: Hello, pid: u32) -> Arc<Member> {
        let mut members = self.members.lock();
        let is_of = |member: &&Arc<Member>| {
            let who = |hello: &Hello| (hello.number, hello.generation, hello.threads);
            member.pid == pid && member.state() == State::Joining && who(&member.hello) == who(&hello)
        };
        let known = members.iter().find(is_of);
        known.cloned().unwrap_or_else(|| {
            let member = Arc::new(Member::new(hello, pid, State::Joining, self.now()));
            members.push(member.clone());
            member
        })
    }

    /// A worker says that it is ready, and has joined by that.
    pub(crate) fn ready(&self, member: &Member) {
        let members = self.members.lock();
        let is_current = member.hello.generation == self.current.load(Relaxed);
        member.beat_at.store(self.now(), Relaxed);
        member.advance(match member.hello.threads {
            0 => State::Guest,
            _ if is_current => State::Serving,
            _ => State::Waiting,
        });
        self.count_threads(&members);
        self.ring();
    }

    /// A link of a worker is gone, and with it the worker.
    pub(crate) fn lost(&self, member: &Arc<Member>) {
        member.advance(State::Lost);
        let mut members = self.members.lock();
        members.retain(|one| !Arc::ptr_eq(one, member));
        self.count_threads(&members);
        self.ring();
    }

    /// This generation gets the requests from now on; those before it retire.
    pub(crate) fn promote(&self, generation: u32) {
        let members = self.members.lock();
        self.current.store(generation, Relaxed);
        for member in members.iter() {
            match member.state() {
                State::Waiting if member.hello.generation == generation => member.advance(State::Serving),
                State::Waiting | State::Serving if member.hello.generation < generation => {
                    member.advance(State::Retiring);
                }
                _ => {}
            }
        }
        self.count_threads(&members);
        self.ring();
    }

    /// One worker retires.
    pub(crate) fn retire(&self, pid: u32) {
        let members = self.members.lock();
        for member in members.iter().filter(|member| member.pid == pid && member.state() <= State::Serving) {
            if member.state() != State::Guest {
                member.advance(State::Retiring);
            }
        }
        self.count_threads(&members);
        self.ring();
    }

    fn count_threads(&self, members: &[Arc<Member>]) {
        let serving = members.iter().filter(|member| member.state() == State::Serving);
        self.threads.store(serving.map(|member| member.threads()).sum(), Relaxed);
    }

    /// Everyone who has joined.
    pub(crate) fn reports(&self) -> Vec<WorkerReport> {
        let now = self.now();
        let since = |then: u64| Duration::from_millis(now.saturating_sub(then));
        let report = |member: &Arc<Member>, state| WorkerReport {
            number: member.hello.number,
            generation: member.hello.generation,
            pid: member.pid,
            threads: member.hello.threads,
            in_flight: member.in_flight(),
            handlers: member.handlers(),
            state,
            quiet: since(member.beat_at.load(Relaxed)),
            stuck: member.stuck_since().map_or(Duration::ZERO, since),
        };
        let state = |member: &Member| match member.state() {
            State::Joining => None,
            State::Guest => Some("guest"),
            State::Waiting => Some("waiting"),
            State::Serving => Some("serving"),
            State::Retiring if member.is_idle() => Some("idle"),
            State::Retiring | State::Lost => Some("retiring"),
        };
        self.members.lock().iter().filter_map(|member| Some(report(member, state(member)?))).collect()
    }
}
