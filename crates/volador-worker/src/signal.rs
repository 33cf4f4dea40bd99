//! [`Signal`]: how a seat that waits is woken, by whoever has a reason.

use crate::sync::{Condvar, Mutex};

/// There may be a job.
pub(crate) const JOB: u8 = 1;
/// The thread has something else to do (it is being killed, or a signal handler is to run).
pub(crate) const INTERRUPT: u8 = 2;

/// A set of reasons to wake the one thread that waits. A reason stays until [`Self::clear`], so none is lost between the check of a condition and
/// the wait for it: clear, check, wait.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    /// The reasons that came since the last clear: bits of the constants above.
    reasons: Mutex<u8>,
    raised: Condvar,
}

impl Signal {
    pub(crate) fn clear(&self, reasons: u8) {
        *self.reasons.lock() &= !reasons;
    }

    pub(crate) fn raise(&self, reason: u8) {
        *self.reasons.lock() |= reason;
        self.raised.notify_one();
    }

    /// Waits until there is a reason, and returns all there are.
    pub(crate) fn wait(&self) -> u8 {
        let mut reasons = self.reasons.lock();
        while *reasons == 0 {
            reasons = self.raised.wait(reasons);
        }
        *reasons
    }
}
