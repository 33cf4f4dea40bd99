//! [`JobQueue`]: the jobs, and the seats that are parked for them.
//!
//! ```text
//!            take: a job             park                  wake
//!   idle ───────────────▶ busy   idle ────▶ parked ─────────────────▶ coming
//!     ▲───────────────────┘        ▲──────────┘ interrupted             │
//!     ▲─────────────────────────────────────────── take, leave ─────────┘
//! ```
//!
//! A parked seat is woken without a job and takes it when it runs Ruby again: no job is ever stuck behind the lock that
//! a woken thread waits for, another seat that is quicker takes it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use volador_proto::link::StreamId;

use crate::{
    jobs::{Job, Jobs, Queued},
    response::Flow,
    signal::Signal,
    sync::{Condvar, Mutex},
    wake::{Overdue, View, WakePolicy},
};

/// What a seat found in the queue.
#[derive(Debug)]
pub(crate) enum Popped {
    Job(Job),
    /// Nothing now.
    Empty,
    /// Nothing, and nothing more will come.
    Stopped,
}

/// How long requests have waited for a seat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// Requests that a seat has taken.
    pub requests: u64,
    /// Their waits together.
    pub total: Duration,
    /// The longest one.
    pub longest: Duration,
}

impl Waits {
    fn add(&mut self, wait: Duration) {
        self.requests += 1;
        self.total += wait;
        self.longest = self.longest.max(wait);
    }
}

const IDLE: u8 = 0;
const BUSY: u8 = 1;
const PARKED: u8 = 2;
const COMING: u8 = 3;

/// A seat as other threads see it.
#[derive(Debug)]
pub(crate) struct SeatState {
    /// IDLE, BUSY, PARKED or COMING. Changed under the queue's lock only.
    role: AtomicU8,
    pub(crate) signal: Signal,
    /// The request that the seat serves, as bits; that of `StreamId::NONE` when there is none.
    current: AtomicU64,
    /// The last request of this seat whose client went away. Generations tell it from a later one.
    cancelled: AtomicU64,
    /// What the client has not taken yet of the streamed response.
    pub(crate) flow: Mutex<Flow>,
    /// Wakes those who wait for it, after a change under its lock. Apart from `signal`, which is the seat's own thread's: an
    /// application may write from any other.
    pub(crate) credit: Condvar,
}

impl SeatState {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            role: AtomicU8::new(IDLE),
            signal: Signal::default(),
            current: AtomicU64::new(StreamId::NONE.to_bits()),
            cancelled: AtomicU64::new(StreamId::NONE.to_bits()),
            flow: Mutex::new(Flow::new(StreamId::NONE)),
            credit: Condvar::new(),
        })
    }

    pub(crate) fn is_cancelled(&self, stream: StreamId) -> bool {
        self.cancelled.load(Ordering::Acquire) == stream.to_bits()
    }

    /// The client of `stream` went away.
    pub(crate) fn cancel(&self, stream: StreamId) {
        if self.current.load(Ordering::Acquire) == stream.to_bits() {
            self.cancelled.store(stream.to_bits(), Ordering::Release);
            // A wait has either seen this before it gave the lock up, or is there to be woken.
            drop(self.flow.lock());
            self.credit.notify_all();
        }
    }

    /// From now on the flow is that of this stream, or of none. Who waits for another one's stops.
    pub(crate) fn set_flow(&self, stream: StreamId) {
        *self.flow.lock() = Flow::new(stream);
        self.credit.notify_all();
    }

    /// The client has taken so many bytes of a streamed response, which may be another seat's.
    pub(crate) fn credit(&self, stream: StreamId, bytes: u64) {
        let mut flow = self.flow.lock();
        if flow.stream == stream && flow.credit(bytes) {
            drop(flow);
            self.credit.notify_all();
        }
    }
}

/// The jobs in their order, with the seats that wait for them.
#[derive(Debug)]
pub(crate) struct JobQueue {
    state: Mutex<State>,
    /// Length of the queue, to be asked without its lock.
    len: AtomicUsize,
}

#[derive(Debug)]
struct State {
    jobs: Jobs,
    waits: Waits,
    /// The last one parked is the first to be woken: its caches are warm, and few threads stay in use under low load.
    parked: Vec<Arc<SeatState>>,
    /// Seats in the role COMING.
    coming: usize,
    /// Seats in the role BUSY.
    busy: usize,
    policy: WakePolicy,
    /// False until answers have somewhere to go.
    open: bool,
    stopped: bool,
}

impl State {
    fn view(&self) -> View {
        View { queued: self.jobs.len(), parked: self.parked.len(), coming: self.coming, busy: self.busy }
    }

    fn set_role(&mut self, seat: &SeatState, role: u8) {
        match seat.role.swap(role, Ordering::Relaxed) {
            BUSY => self.busy -= 1,
            COMING => self.coming -= 1,
            _ => {}
        }
        match role {
            BUSY => self.busy += 1,
            COMING => self.coming += 1,
            _ => {}
        }
    }

    /// Takes a parked seat out, to be raised once the lock is released.
    fn unpark(&mut self) -> Option<Arc<SeatState>> {
        let seat = self.parked.pop()?;
        self.set_role(&seat, COMING);
        Some(seat)
    }

    /// Whether the watcher has to look after the queue.
    fn needs_watcher(&self) -> bool {
        self.open && !self.jobs.is_empty() && !self.parked.is_empty()
    }
}

impl JobQueue {
    pub(crate) fn new() -> Self {
        let state = State {
            jobs: Jobs::default(),
            waits: Waits::default(),
            parked: Vec::new(),
            coming: 0,
            busy: 0,
            policy: WakePolicy::new(),
            open: false,
            stopped: false,
        };
        Self { state: Mutex::new(state), len: AtomicUsize::new(0) }
    }

    /// Jobs that wait.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// How long requests have waited so far.
    pub(crate) fn waits(&self) -> Waits {
        self.state.lock().waits
    }

    /// Jobs may be taken from now on.
    pub(crate) fn open(&self) -> bool {
        self.state.lock().open = true;
        self.deliver([])
    }

    /// Adds jobs and wakes a seat for them where that pays. Returns whether the watcher has to look after the rest.
    pub(crate) fn deliver(&self, jobs: impl IntoIterator<Item = Job>) -> bool {
        let now = Instant::now();
        let mut state = self.state.lock();
        jobs.into_iter().for_each(|job| state.jobs.push(job, Some(now)));
        self.len.store(state.jobs.len(), Ordering::Relaxed);
        let view = state.view();
        let woken = if state.open && state.policy.delivered(view, now) > 0 { state.unpark() } else { None };
        let needs_watcher = state.needs_watcher();
        drop(state);
        if let Some(seat) = woken {
            seat.signal.raise();
        }
        needs_watcher
    }

    /// Adds a job for a seat that is about to take one itself, so that there is nobody to wake at once.
    pub(crate) fn requeue(&self, job: Job) -> bool {
        let mut state = self.state.lock();
        state.jobs.push(job, None);
        self.len.store(state.jobs.len(), Ordering::Relaxed);
        state.needs_watcher()
    }

    /// The next job, for a seat that has finished its last one. Returns with it whether the watcher has to look after
    /// the jobs that are left.
    pub(crate) fn take(&self, seat: &SeatState, now: Instant) -> (Popped, bool) {
        let mut state = self.state.lock();
        let job = if state.open { state.jobs.pop() } else { None };
        let Some(Queued { job, since }) = job else {
            state.set_role(seat, IDLE);
            seat.current.store(StreamId::NONE.to_bits(), Ordering::Release);
            return (if state.stopped { Popped::Stopped } else { Popped::Empty }, false);
        };
        let queued = state.jobs.len();
        self.len.store(queued, Ordering::Relaxed);
        state.set_role(seat, BUSY);
        state.policy.taken(now, queued);
        let request = job.request();
        // A replay is a move of a connection, for which nobody waits.
        if let (Some(_), Some(since), false) = (request, since, job.is_replay()) {
            state.waits.add(now.saturating_duration_since(since));
        }
        // Under the lock: a Cancel finds the request in the queue or on the seat, there is nothing between.
        seat.current.store(request.unwrap_or(StreamId::NONE).to_bits(), Ordering::Release);
        (Popped::Job(job), state.needs_watcher())
    }

    /// Waits until there may be a job, the queue has been stopped, or the seat is interrupted.
    pub(crate) fn park(&self, seat: &Arc<SeatState>) {
        {
            let mut state = self.state.lock();
            if state.stopped || (state.open && !state.jobs.is_empty()) {
                return;
            }
            state.set_role(seat, PARKED);
            state.parked.push(seat.clone());
        }
        seat.signal.wait();
        let mut state = self.state.lock();
        if seat.role.load(Ordering::Relaxed) == PARKED {
            state.set_role(seat, IDLE);
            state.parked.retain(|parked| !Arc::ptr_eq(parked, seat));
        }
    }

    /// The seat takes no job for the time being, although it may have been woken for one: wakes another in its place.
    pub(crate) fn leave(&self, seat: &SeatState) -> bool {
        self.state.lock().set_role(seat, IDLE);
        self.deliver([])
    }

    /// Takes a request out that no seat has taken. Returns whether it was there.
    pub(crate) fn cancel(&self, cancelled: StreamId) -> bool {
        let mut state = self.state.lock();
        let was_there = state.jobs.remove(cancelled);
        self.len.store(state.jobs.len(), Ordering::Relaxed);
        was_there
    }

    /// Takes out up to so many requests that no seat has taken: see [`Jobs::recall`].
    pub(crate) fn recall(&self, max: usize) -> Vec<StreamId> {
        let mut state = self.state.lock();
        let recalled = state.jobs.recall(max);
        self.len.store(state.jobs.len(), Ordering::Relaxed);
        recalled
    }

    /// Seats get [`Popped::Stopped`] once no job is left.
    pub(crate) fn stop(&self) {
        let mut state = self.state.lock();
        state.stopped = true;
        let woken: Vec<_> = std::iter::from_fn(|| state.unpark()).collect();
        drop(state);
        for seat in woken {
            seat.signal.raise();
        }
    }

    /// Whether jobs were taken at a brisk pace since the last call: see [`WakePolicy::is_brisk`].
    pub(crate) fn is_brisk(&self, now: Instant) -> bool {
        self.state.lock().policy.is_brisk(now)
    }

    /// Seats that can be woken.
    #[cfg(test)]
    pub(crate) fn parked(&self) -> usize {
        self.state.lock().parked.len()
    }

    /// The watcher's look: wakes seats when the queue stands still, and tells when to look again.
    pub(crate) fn wake_overdue(&self, now: Instant) -> Option<Instant> {
        let mut state = self.state.lock();
        if !state.open {
            return None;
        }
        let view = state.view();
        match state.policy.overdue(view, now) {
            Overdue::Never => None,
            Overdue::At(at) => Some(at),
            Overdue::Wake(n) => {
                let woken: Vec<_> = std::iter::from_fn(|| state.unpark()).take(n).collect();
                drop(state);
                for seat in woken {
                    seat.signal.raise();
                }
                Some(now + crate::wake::PATIENCE)
            }
        }
    }
}

#[cfg(test)]
mod tests;
