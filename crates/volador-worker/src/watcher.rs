//! [`Watcher`]: the thread that sees to the queue and the outboxes when everybody else is inside of application code.
//!
//! It sleeps for as long as nothing is left behind anywhere. Waking it costs as much as waking a seat, so after the last
//! thing to do it stays at hand for a few short naps: under load nobody has to wake it.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use crate::sync::{Condvar, Mutex};

/// Length of a nap; the delay with which something left behind is seen, at most. At a brisk pace it is [`BRISK_NAP`].
const NAP: Duration = Duration::from_millis(1);

/// Length of a nap while jobs are taken at a brisk pace. A nap costs a change of threads in the midst of things, which is
/// dear: with one a millisecond an echo takes 1 to 4 % more CPU time.
const BRISK_NAP: Duration = Duration::from_millis(5);

/// Naps without anything to do until it sleeps.
const NAPS: u32 = 20;

/// What a look has found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    /// When the next thing is due; None when there is nothing left behind.
    pub(crate) next: Option<Instant>,
    /// Whether the work goes on at a pace at which things are rarely left behind.
    pub(crate) is_brisk: bool,
}

impl Look {
    fn nap_until(self, now: Instant) -> Instant {
        if self.is_brisk { now + BRISK_NAP } else { self.next.unwrap_or(now + NAP).min(now + NAP) }
    }
}

/// Runs on a thread of its own.
#[derive(Debug, Default)]
pub(crate) struct Watcher {
    stopped: Mutex<bool>,
    called: Condvar,
    /// Whether [`Self::call`] has to wake the thread.
    asleep: AtomicBool,
}

impl Watcher {
    /// There is something to look after. To be called after the state that [`Self::run`]'s `look` reads was changed.
    pub(crate) fn call(&self) {
        // The change and the look are under the same lock (the queue's or the outbox's), so either the look that
        // follows the store of `asleep` saw the change, or this load sees the store.
        if self.asleep.load(Ordering::SeqCst) {
            let _stopped = self.stopped.lock();
            self.asleep.store(false, Ordering::SeqCst);
            self.called.notify_one();
        }
    }

    /// Whether it looks after nothing until it is called.
    #[cfg(test)]
    pub(crate) fn is_asleep(&self) -> bool {
        self.asleep.load(Ordering::SeqCst)
    }

    pub(crate) fn stop(&self) {
        *self.stopped.lock() = true;
        self.called.notify_one();
    }

    /// Until [`Self::stop`]: looks after things. `look` does what is due.
    pub(crate) fn run(&self, mut look: impl FnMut(Instant) -> Look) {
        let mut idle = 0;
        loop {
            let now = Instant::now();
            let found = look(now);
            idle = if found.next.is_some() { 0 } else { idle + 1 };
            if idle <= NAPS {
                let stopped = self.stopped.lock();
                if !*stopped {
                    drop(self.called.wait_until(stopped, found.nap_until(now)));
                }
            } else {
                self.asleep.store(true, Ordering::SeqCst);
                if look(now).next.is_none() {
                    let mut stopped = self.stopped.lock();
                    while !*stopped && self.asleep.load(Ordering::SeqCst) {
                        stopped = self.called.wait(stopped);
                    }
                }
                self.asleep.store(false, Ordering::SeqCst);
                idle = 0;
            }
            if *self.stopped.lock() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn nap_ends_when_something_is_due_unless_the_pace_is_brisk() {
        let (now, soon) = (Instant::now(), NAP / 2);
        for (due, is_brisk, nap) in [
            (None, false, NAP),
            (Some(soon), false, soon),
            (Some(2 * NAP), false, NAP),
            (None, true, BRISK_NAP),
            (Some(soon), true, BRISK_NAP),
        ] {
            let look = Look { next: due.map(|due| now + due), is_brisk };
            assert_eq!(look.nap_until(now), now + nap, "{due:?} {is_brisk}");
        }
    }

    #[test]
    fn sleeping_watcher_is_called_and_stopped() {
        let (watcher, waiting, done) = (Watcher::default(), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                watcher.run(|_| {
                    done.fetch_add(waiting.swap(0, Ordering::SeqCst), Ordering::SeqCst);
                    Look { next: None, is_brisk: false }
                });
            });
            let deadline = Instant::now() + Duration::from_secs(20);
            for n in 1..=3 {
                while !watcher.is_asleep() {
                    assert!(Instant::now() < deadline);
                    std::thread::yield_now();
                }
                waiting.store(1, Ordering::SeqCst);
                watcher.call();
                while done.load(Ordering::SeqCst) < n {
                    assert!(Instant::now() < deadline);
                    std::thread::yield_now();
                }
            }
            watcher.stop();
        });
    }
}
