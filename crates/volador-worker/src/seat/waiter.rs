//! [`Waiter`]: how a seat's thread waits for jobs and for slow clients.

use std::sync::Arc;

use crate::{core::Core, queue::SeatState, signal};

/// The part of a seat that waits and wakes, to be used while the seat itself is out of reach.
#[derive(Clone, Debug)]
pub struct Waiter {
    pub(super) core: Arc<Core>,
    pub(super) state: Arc<SeatState>,
}

impl Waiter {
    /// Forgets why it was woken before. To be called before each wait, at a point where no interrupt can be lost.
    pub fn prepare(&self) {
        self.state.signal.clear(!0);
    }

    /// Ends the wait, or keeps the next one from beginning. From any thread.
    pub fn interrupt(&self) {
        self.state.signal.raise(signal::INTERRUPT);
    }

    /// Waits until [`Seat::take`](super::Seat::take) is worth another try.
    pub fn park(&self) {
        if let Some(outboxes) = self.core.outboxes() {
            outboxes.flush();
        }
        self.core.queue.park(&self.state);
    }

    /// Waits until the client of the streamed response has taken everything or has left.
    pub fn wait_credit(&self) {
        let stream = {
            let flow = self.state.flow.lock();
            if flow.outstanding == 0 {
                return;
            }
            flow.stream
        };
        if let Some(outboxes) = self.core.outboxes() {
            outboxes.flush();
        }
        loop {
            // The reasons go before the look, so that one which comes after it ends the wait. An interrupt stays.
            self.state.signal.clear(signal::CREDIT | signal::JOB);
            if self.state.is_cancelled(stream) || self.state.flow.lock().outstanding == 0 {
                return;
            }
            if self.state.signal.wait() & signal::INTERRUPT != 0 {
                return;
            }
        }
    }

    /// The thread will not take a job now, although it may have been woken for one.
    pub fn leave(&self) {
        if self.core.queue.leave(&self.state) {
            self.core.watcher.call();
        }
    }
}
