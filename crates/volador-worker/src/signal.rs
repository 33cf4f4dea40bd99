//! [`Signal`]: how a seat that waits is woken, by whoever has a reason.

use crate::sync::{Condvar, Mutex};

/// Wakes the one thread that waits: there may be a job, or the thread has something else to do (it is being killed, or a
/// signal handler is to run). It stays raised until [`Self::clear`], so no reason is lost between the check of a condition
/// and the wait for it: clear, check, wait.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    is_raised: Mutex<bool>,
    raised: Condvar,
}

impl Signal {
    pub(crate) fn clear(&self) {
        *self.is_raised.lock() = false;
    }

    pub(crate) fn raise(&self) {
        *self.is_raised.lock() = true;
        self.raised.notify_one();
    }

    /// Waits until it is raised.
    pub(crate) fn wait(&self) {
        let mut is_raised = self.is_raised.lock();
        while !*is_raised {
            is_raised = self.raised.wait(is_raised);
        }
    }
}
