//! [`Drain`]: how many shards still have something to do, each of which has given a [`DrainPromise`].

use std::{cell::Cell, fmt, sync::Arc, time::Instant};

use parking_lot::{Condvar, Mutex};

/// What is waited for when a gateway drains.
#[derive(Debug)]
pub(crate) struct Drain {
    /// Shards that have not drained yet, or not ended.
    undrained: Mutex<usize>,
    changed: Condvar,
}

impl Drain {
    pub(crate) fn new(shards: usize) -> Self {
        Self { undrained: Mutex::new(shards), changed: Condvar::new() }
    }

    /// Waits until all shards have drained and says whether they have. `until` bounds the wait.
    pub(crate) fn wait(&self, until: Instant) -> bool {
        let mut undrained = self.undrained.lock();
        while *undrained > 0 {
            if self.changed.wait_until(&mut undrained, until).timed_out() {
                return *undrained == 0;
            }
        }
        true
    }
}

/// A shard's promise to say when it has nothing left to do: by [`Self::fulfil`], or at its end.
pub(crate) struct DrainPromise(Cell<Option<Arc<Drain>>>);

impl DrainPromise {
    pub(crate) fn new(drain: Arc<Drain>) -> Self {
        Self(Cell::new(Some(drain)))
    }

    /// Says so. Only the first time counts.
    pub(crate) fn fulfil(&self) {
        if let Some(drain) = self.0.take() {
            *drain.undrained.lock() -= 1;
            drain.changed.notify_all();
        }
    }
}

impl fmt::Debug for DrainPromise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DrainPromise").finish_non_exhaustive()
    }
}

impl Drop for DrainPromise {
    fn drop(&mut self) {
        self.fulfil();
    }
}
