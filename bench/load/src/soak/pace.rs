//! When the next one of something regular is due.

use std::time::{Duration, Instant};

/// A rhythm. What could not be done in time is due still.
pub struct Pace {
    interval: Duration,
    next: Instant,
}

impl Pace {
    /// So many a second, from now on.
    pub fn new(per_second: usize, now: Instant) -> Self {
        Pace { interval: Duration::from_secs(1) / per_second as u32, next: now }
    }

    /// When the next one is, or was, due.
    pub fn next(&self) -> Instant {
        self.next
    }

    /// The next one, if its time has come.
    pub fn take(&mut self, now: Instant) -> Option<Instant> {
        let due = self.next;
        (due <= now).then(|| {
            self.next += self.interval;
            due
        })
    }
}
