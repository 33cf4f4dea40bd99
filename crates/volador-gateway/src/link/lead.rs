//! [`Lead`]: how many requests a worker is sent beyond those that it runs.
//!
//! Across processes a request on demand would cost a change of processes each. So a worker is sent some more, that it finds
//! the next one at once: as many as it completes in a moment, so that quick ones go together and slow ones wait in the
//! gateway, where all workers can have them.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// The least. So many are on the way while a worker is told of one and another.
const MIN: usize = 27;

/// The most: what a worker has in hand is what a crash of it makes wait.
const MAX: usize = 123;

/// The lead is what is completed in so many milliseconds, …
const MOMENT: f64 = 1.5;

/// … by the rate of the last so many at least.
const PERIOD: u64 = 10;

/// Of one worker, for all shards. They may count at the same time: an estimate need not be exact.
#[derive(Debug)]
pub(crate) struct Lead {
    requests: AtomicUsize,
    /// Requests that were completed in this period, and the millisecond when it began.
    completed: AtomicUsize,
    since: AtomicU64,
}

impl Lead {
    /// From `now` on, in milliseconds of any clock.
    pub(crate) fn new(now: u64) -> Self {
        Self { requests: AtomicUsize::new(MIN), completed: AtomicUsize::new(0), since: AtomicU64::new(now) }
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Relaxed)
    }

    /// A request was completed.
    pub(crate) fn completed(&self, now: u64) {
        let completed = self.completed.fetch_add(1, Relaxed) + 1;
        let elapsed = now.saturating_sub(self.since.load(Relaxed));
        if elapsed >= PERIOD {
            let lead = completed as f64 * MOMENT / elapsed as f64;
            self.requests.store((lead as usize).clamp(MIN, MAX), Relaxed);
            self.completed.store(0, Relaxed);
            self.since.store(now, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After so many milliseconds with so many requests completed in each.
    fn lead_after(lead: &Lead, millis: std::ops::Range<u64>, completed: usize) -> usize {
        for now in millis {
            (0..completed).for_each(|_| lead.completed(now));
        }
        lead.requests()
    }

    #[test]
    fn it_follows_what_a_worker_completes_within_its_bounds() {
        let lead = Lead::new(0);
        assert_eq!(lead.requests(), MIN);
        assert_eq!(lead_after(&lead, 0..100, 1), MIN);
        assert!((80..=100).contains(&lead_after(&lead, 100..200, 60)));
        assert_eq!(lead_after(&lead, 200..300, 500), MAX);
        assert_eq!(lead_after(&lead, 300..400, 1), MIN);
    }

    #[test]
    fn the_first_request_after_a_pause_does_not_count_as_many() {
        let lead = Lead::new(0);
        lead_after(&lead, 0..100, 60);
        lead.completed(60_000);
        assert_eq!(lead.requests(), MIN);
    }
}
