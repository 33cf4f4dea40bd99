//! [`Member`]: a worker as all shards see it.

use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;
use volador_proto::link::{Hello, WorkerFigures};

use super::lead::Lead;

/// How a worker stands in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum State {
    /// It has not said that it is ready.
    Joining,
    /// It publishes and subscribes, and gets no requests: a console, the mold.
    Guest,
    /// Its generation does not get the requests yet.
    Waiting,
    /// It gets requests.
    Serving,
    /// It gets no new requests; its push connections are handed over.
    Retiring,
    /// Its links are gone.
    Lost,
}

const STATES: [State; 6] = [State::Joining, State::Guest, State::Waiting, State::Serving, State::Retiring, State::Lost];

/// A worker. Its figures are counts of all shards together; each is changed where its fact changes.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) hello: Hello,
    /// The process, as the system says.
    pub(crate) pid: u32,
    state: AtomicU8,
    /// Requests that were sent to it and have no whole answer, those among them that it has not begun.
    in_flight: AtomicUsize,
    /// How many of these are of push connections that move to it.
    replays: AtomicUsize,
    /// Push connections whose handlers it has something to tell, or is telling.
    occupied: AtomicUsize,
    /// How many requests it is sent beyond its threads.
    pub(crate) lead: Lead,
    /// How often `in_flight` has changed; and how often it had when the worker was last asked for what it has not begun.
    /// As long as they are the same there is no more to get.
    changes: AtomicUsize,
    recalled_at: AtomicUsize,
    /// Push connections whose handler it has, or has to let go of yet.
    handlers: AtomicUsize,
    /// Milliseconds of the roster's clock at its last sign of life.
    pub(crate) beat_at: AtomicU64,
    /// The same, when it last completed something.
    pub(crate) progress_at: AtomicU64,
    /// The same, when it was last sent a request that has to wait for a thread.
    crowded_at: AtomicU64,
    /// What it has counted by its last sign of life.
    figures: Mutex<WorkerFigures>,
}

impl Member {
    pub(crate) fn new(hello: Hello, pid: u32, state: State, now: u64) -> Self {
        Self {
            hello,
            pid,
            state: AtomicU8::new(state as u8),
            in_flight: AtomicUsize::new(0),
            lead: Lead::new(now),
            replays: AtomicUsize::new(0),
            occupied: AtomicUsize::new(0),
            changes: AtomicUsize::new(0),
            recalled_at: AtomicUsize::new(usize::MAX),
            handlers: AtomicUsize::new(0),
            beat_at: AtomicU64::new(now),
            progress_at: AtomicU64::new(now),
            crowded_at: AtomicU64::new(now),
            figures: Mutex::default(),
        }
    }

    pub(crate) fn state(&self) -> State {
        STATES[usize::from(self.state.load(Relaxed))]
    }

    /// The way is from left to right only, whoever says so first.
    pub(crate) fn advance(&self, state: State) {
        self.state.fetch_max(state as u8, Relaxed);
    }

    /// Whether it takes no requests ever.
    pub(crate) fn is_guest(&self) -> bool {
        self.threads() == 0
    }

    /// For the log.
    pub(crate) fn name(&self) -> String {
        if self.is_guest() {
            format!("process {} (a mold, a script, or the gateway's own)", self.pid)
        } else {
            format!("worker {} (process {})", self.hello.number, self.pid)
        }
    }

    /// Requests that it runs at once.
    pub(crate) fn threads(&self) -> usize {
        self.hello.threads.into()
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    /// A request is on its way to it.
    pub(crate) fn sent(&self, now: impl FnOnce() -> u64) {
        self.changes.fetch_add(1, Relaxed);
        if self.in_flight.fetch_add(1, Relaxed) == self.threads() {
            self.crowded_at.store(now(), Relaxed);
        }
    }

    pub(crate) fn replays(&self) -> usize {
        self.replays.load(Relaxed)
    }

    /// The request that is on its way is a replay.
    pub(crate) fn replay_began(&self) {
        self.replays.fetch_add(1, Relaxed);
    }

    /// The connection is the worker's, or will not be. Of one that has ended the worker may still answer the request,
    /// which is in flight until then.
    pub(crate) fn replay_ended(&self) {
        let _ = self.replays.fetch_update(Relaxed, Relaxed, |n| n.checked_sub(1));
    }

    /// See [`Occupied`](super::Occupied), which calls it.
    pub(super) fn occupied(&self) {
        self.occupied.fetch_add(1, Relaxed);
    }

    /// Likewise.
    pub(super) fn relieved(&self) {
        self.occupied.fetch_sub(1, Relaxed);
    }

    /// What it has to do for its threads: requests, and connections whose handlers are to be told something. (A
    /// connection's callbacks come one after the other.)
    pub(crate) fn load(&self) -> usize {
        self.in_flight() + self.occupied.load(Relaxed)
    }

    /// Threads that have nothing to do.
    pub(crate) fn free(&self) -> usize {
        self.threads().saturating_sub(self.load())
    }

    /// Requests that may wait for a thread: as many as there is to do beyond its threads, unless it has been asked for them.
    pub(crate) fn behind(&self) -> usize {
        if self.recalled_at.load(Relaxed) == self.changes.load(Relaxed) {
            return 0;
        }
        self.load().saturating_sub(self.threads()).min(self.in_flight())
    }

    /// It is asked for some of these.
    pub(crate) fn recalled(&self) {
        self.recalled_at.store(self.changes.load(Relaxed), Relaxed);
    }

    /// Since when all threads have been taken, and requests have waited for one, without anything being completed. The
    /// threads alone do not count: streamed answers may be long, and nobody minds.
    pub(crate) fn stuck_since(&self) -> Option<u64> {
        let is_crowded = self.threads() > 0 && self.in_flight() > self.threads();
        is_crowded.then(|| self.progress_at.load(Relaxed).max(self.crowded_at.load(Relaxed)))
    }

    /// A sign of life, with what the worker has counted so far. How much more that is.
    pub(crate) fn beat(&self, now: u64, figures: WorkerFigures) -> WorkerFigures {
        self.beat_at.store(now, Relaxed);
        let former = std::mem::replace(&mut *self.figures.lock(), figures);
        WorkerFigures {
            dropped: figures.dropped.saturating_sub(former.dropped),
            queue_wait_micros: figures.queue_wait_micros.saturating_sub(former.queue_wait_micros),
            ..figures
        }
    }

    /// A request has its whole answer, `now`, or (None) was given back, which is no progress.
    pub(crate) fn completed(&self, now: Option<u64>) {
        // Of a worker that sends more answers than it got requests nothing is believed; it must not wrap.
        let _ = self.in_flight.fetch_update(Relaxed, Relaxed, |n| n.checked_sub(1));
        self.changes.fetch_add(1, Relaxed);
        if let Some(now) = now {
            self.lead.completed(now);
            self.progress_at.store(now, Relaxed);
        }
    }

    pub(crate) fn handlers(&self) -> usize {
        self.handlers.load(Relaxed)
    }

    pub(crate) fn handler_came(&self) {
        self.handlers.fetch_add(1, Relaxed);
    }

    pub(crate) fn handler_went(&self) {
        let _ = self.handlers.fetch_update(Relaxed, Relaxed, |n| n.checked_sub(1));
    }

    /// Retired, and with nothing left in hand.
    pub(crate) fn is_idle(&self) -> bool {
        self.state() == State::Retiring && self.in_flight() == 0 && self.handlers() == 0
    }
}
