//! The policy: when is a parked seat woken?
//!
//! Seats are Ruby threads, and only one of them runs Ruby at a time. Waking a second one while the first is emptying the
//! queue gains nothing: it waits for the lock, then the two hand the lock to and fro, and each hand-over costs more than
//! a small request. On the other hand a seat may sit in application code that waits for a database, and then the lock is
//! free and the queue must not wait with it. Nobody can see from outside which of the two it is, but a seat that has
//! not come back for a millisecond is either waiting or so slow that one more wake-up costs nothing beside it. So:
//!
//! - a delivery wakes one seat, unless one is on its way already, or took a job less than [`PATIENCE`] ago and will
//!   most likely be back at once for the next;
//! - when jobs wait, seats are parked, and for [`PATIENCE`] nobody has taken a job or been woken, the watcher wakes
//!   another; if that was not enough, two at its next look, then four: many seats that wait for a database are soon up.
//!
//! The watcher's look is a change of threads as well. While jobs are taken at a [`BRISK`] pace it looks less often.

use std::time::{Duration, Instant};

/// How long the queue stands still before another seat is woken. What blocking application code can delay the
/// next job while there are free seats; a nap of the watcher more at a brisk pace.
pub(crate) const PATIENCE: Duration = Duration::from_millis(1);

/// Jobs that are taken in a millisecond at a brisk pace. Only tiny ones can be, and with so many there is a delivery soon,
/// which looks at the queue too.
const BRISK: u128 = 16;

/// The shortest time over which a pace is measured.
const PACE_MIN: Duration = Duration::from_millis(1);

/// What the queue looks like at the moment of the decision.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    /// Jobs that wait.
    pub(crate) queued: usize,
    /// Seats that are parked and can be woken.
    pub(crate) parked: usize,
    /// Seats that were woken and have not come for their job yet.
    pub(crate) coming: usize,
    /// Seats that are inside of a job.
    pub(crate) busy: usize,
}

/// What the watcher is to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Overdue {
    /// Nothing can become overdue before there is another delivery.
    Never,
    /// Look again then.
    At(Instant),
    /// Wake so many seats now.
    Wake(usize),
}

/// Decides from the times of the last steps forward.
#[derive(Debug)]
pub(crate) struct WakePolicy {
    /// When a job was last taken.
    taken_at: Option<Instant>,
    /// When a seat was last woken.
    woken_at: Option<Instant>,
    /// Seats that the watcher wakes next time; >= 1.
    burst: usize,
    /// Jobs that were taken since the pace was measured.
    taken: u32,
    /// When that was.
    measured_at: Option<Instant>,
}

impl WakePolicy {
    pub(crate) fn new() -> Self {
        Self { taken_at: None, woken_at: None, burst: 1, taken: 0, measured_at: None }
    }

    /// A job was taken; `queued` are left.
    pub(crate) fn taken(&mut self, now: Instant, queued: usize) {
        self.taken_at = Some(now);
        self.taken = self.taken.saturating_add(1);
        if queued == 0 {
            self.burst = 1;
        }
    }

    /// Whether jobs were taken at a brisk pace since the pace was measured last. Within a millisecond of that it is not
    /// measured: one job in a few microseconds would be a pace as well.
    pub(crate) fn is_brisk(&mut self, now: Instant) -> bool {
        let passed = self.measured_at.map(|at| now.saturating_duration_since(at));
        if passed.is_some_and(|passed| passed < PACE_MIN) {
            return false;
        }
        let taken = std::mem::take(&mut self.taken);
        self.measured_at = Some(now);
        passed.is_some_and(|passed| u128::from(taken) * 1_000_000 >= BRISK * passed.as_nanos())
    }

    /// The number of seats to wake after jobs were delivered.
    pub(crate) fn delivered(&mut self, view: View, now: Instant) -> usize {
        if view.queued == 0 || view.parked == 0 || view.coming > 0 {
            return 0;
        }
        if view.busy > 0 && self.taken_at.is_some_and(|at| now.saturating_duration_since(at) < PATIENCE) {
            return 0;
        }
        self.woken_at = Some(now);
        1
    }

    /// The watcher's look.
    pub(crate) fn overdue(&mut self, view: View, now: Instant) -> Overdue {
        if view.queued == 0 || view.parked == 0 {
            return Overdue::Never;
        }
        if let Some(at) = self.taken_at.max(self.woken_at)
            && now < at + PATIENCE
        {
            return Overdue::At(at + PATIENCE);
        }
        self.woken_at = Some(now);
        let wake = self.burst.min(view.parked).min(view.queued);
        self.burst = self.burst.saturating_mul(2);
        Overdue::Wake(wake)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: View = View { queued: 1, parked: 5, coming: 0, busy: 0 };

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn delivery_to_an_idle_worker_wakes_one_seat() {
        assert_eq!(WakePolicy::new().delivered(View { queued: 64, ..IDLE }, Instant::now()), 1);
    }

    #[test]
    fn delivery_wakes_nobody_without_jobs_or_without_parked_seats() {
        let (mut policy, now) = (WakePolicy::new(), Instant::now());
        for view in [View { queued: 0, ..IDLE }, View { parked: 0, ..IDLE }] {
            assert_eq!(policy.delivered(view, now), 0, "{view:?}");
        }
        assert_eq!(policy.overdue(IDLE, now), Overdue::Wake(1), "nor does the watcher wait for one that was woken");
    }

    #[test]
    fn delivery_wakes_nobody_while_a_seat_is_on_its_way() {
        assert_eq!(WakePolicy::new().delivered(View { coming: 1, ..IDLE }, Instant::now()), 0);
    }

    #[test]
    fn delivery_wakes_nobody_while_a_seat_is_emptying_the_queue() {
        let (mut policy, now) = (WakePolicy::new(), Instant::now());
        policy.taken(now, 0);
        assert_eq!(policy.delivered(View { busy: 1, ..IDLE }, now + ms(1) / 2), 0);
    }

    #[test]
    fn delivery_wakes_at_once_when_all_busy_seats_have_been_away_for_a_millisecond() {
        let (mut policy, now) = (WakePolicy::new(), Instant::now());
        policy.taken(now, 0);
        assert_eq!(policy.delivered(View { busy: 1, ..IDLE }, now + ms(1)), 1);
    }

    #[test]
    fn delivery_wakes_when_the_last_job_is_done_however_recent() {
        let (mut policy, now) = (WakePolicy::new(), Instant::now());
        policy.taken(now, 0);
        assert_eq!(policy.delivered(IDLE, now), 1);
    }

    #[test]
    fn queue_that_stands_still_wakes_one_then_two_then_four() {
        let (mut policy, mut now) = (WakePolicy::new(), Instant::now());
        let view = View { queued: 9, parked: 9, coming: 0, busy: 1 };
        policy.taken(now, 9);
        assert_eq!(policy.overdue(view, now), Overdue::At(now + PATIENCE));
        for wake in [1, 2, 4, 8, 9] {
            now += PATIENCE;
            assert_eq!(policy.overdue(view, now), Overdue::Wake(wake));
            assert_eq!(policy.overdue(view, now), Overdue::At(now + PATIENCE));
        }
        policy.taken(now, 0);
        now += PATIENCE;
        assert_eq!(policy.overdue(view, now), Overdue::Wake(1));
    }

    #[test]
    fn pace_is_brisk_at_sixteen_jobs_a_millisecond() {
        for (jobs, millis, brisk) in [(15, 1, false), (16, 1, true), (79, 5, false), (80, 5, true), (0, 1, false)] {
            let (mut policy, now) = (WakePolicy::new(), Instant::now());
            policy.taken(now, 0);
            assert!(!policy.is_brisk(now), "nothing to compare with yet");
            (0..jobs).for_each(|_| policy.taken(now, 0));
            assert_eq!(policy.is_brisk(now + ms(millis)), brisk, "{jobs} in {millis}");
            assert!(!policy.is_brisk(now + ms(millis + 1)), "counted twice");
        }
    }

    #[test]
    fn pace_is_not_measured_over_less_than_a_millisecond() {
        let (mut policy, now) = (WakePolicy::new(), Instant::now());
        assert!(!policy.is_brisk(now));
        policy.taken(now, 9);
        assert!(!policy.is_brisk(now + ms(1) / 20), "one job is no pace");
        (0..15).for_each(|_| policy.taken(now, 9));
        assert!(policy.is_brisk(now + ms(1)), "what was taken before counts still");
    }

    #[test]
    fn nothing_becomes_overdue_without_jobs_or_without_parked_seats() {
        let (mut policy, now) = (WakePolicy::new(), Instant::now());
        assert_eq!(policy.overdue(View { queued: 0, ..IDLE }, now), Overdue::Never);
        assert_eq!(policy.overdue(View { parked: 0, ..IDLE }, now), Overdue::Never);
    }
}
