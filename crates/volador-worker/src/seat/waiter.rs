//! How a seat's thread waits for jobs, by its [`Waiter`]; and how whoever writes a streamed response waits for a slow client,
//! by a [`CreditWait`]. That may be another thread of the application's: neither may take what the other is woken by.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use volador_proto::link::StreamId;

use crate::{core::Core, queue::SeatState, response::Flow};

/// The part of a seat that waits for jobs, to be used while the seat itself is out of reach.
#[derive(Clone, Debug)]
pub struct Waiter {
    pub(super) core: Arc<Core>,
    pub(super) state: Arc<SeatState>,
}

impl Waiter {
    /// Forgets why it was woken before. To be called before each wait, at a point where no interrupt can be lost.
    pub fn prepare(&self) {
        self.state.signal.clear();
    }

    /// Ends the wait, or keeps the next one from beginning. From any thread.
    pub fn interrupt(&self) {
        self.state.signal.raise();
    }

    /// Waits until [`Seat::take`](super::Seat::take) is worth another try.
    pub fn park(&self) {
        if let Some(outboxes) = self.core.outboxes() {
            outboxes.flush();
        }
        self.core.queue.park(&self.state);
    }

    /// The thread will not take a job now, although it may have been woken for one.
    pub fn leave(&self) {
        if self.core.queue.leave(&self.state) {
            self.core.watcher.call();
        }
    }
}

/// One wait of one thread for the client of a streamed response.
#[derive(Debug)]
pub struct CreditWait {
    core: Arc<Core>,
    state: Arc<SeatState>,
    response: StreamId,
    /// The thread has something else to do.
    interrupted: AtomicBool,
}

impl CreditWait {
    pub(super) fn new(core: Arc<Core>, state: Arc<SeatState>, response: StreamId) -> Self {
        Self { core, state, response, interrupted: AtomicBool::new(false) }
    }

    /// Ends the wait, or keeps it from beginning. From any thread.
    pub fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Release);
        // The wait has either seen that before it gave the lock up, or is there to be woken.
        drop(self.state.flow.lock());
        self.state.credit.notify_all();
    }

    /// Waits until the client has taken everything or has left, or the response is over.
    pub fn wait(&self) {
        self.flush();
        let mut flow = self.state.flow.lock();
        while self.goes_on(&flow) {
            flow = self.state.credit.wait(flow);
        }
    }

    /// As [`Self::wait`], until then at most. False: it has not ended by then.
    pub fn wait_until(&self, until: Instant) -> bool {
        self.flush();
        let mut flow = self.state.flow.lock();
        while self.goes_on(&flow) && Instant::now() < until {
            flow = self.state.credit.wait_until(flow, until);
        }
        !self.goes_on(&flow)
    }

    /// The client takes nothing that it was not given.
    fn flush(&self) {
        if let Some(outboxes) = self.core.outboxes() {
            outboxes.flush();
        }
    }

    fn goes_on(&self, flow: &Flow) -> bool {
        flow.stream == self.response
            && flow.outstanding > 0
            && !self.state.is_cancelled(self.response)
            && !self.interrupted.load(Ordering::Acquire)
    }
}
