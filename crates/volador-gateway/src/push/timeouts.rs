//! [`Timeouts`]: the push connections that have a time between pings or heartbeats of their own, in the order of their
//! turns. All others share the rounds of [`timers`](super::timers), for which nothing is kept.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use tokio::time::Instant;
use volador_proto::link::StreamId;

/// Connections by their next turn.
#[derive(Debug, Default)]
pub(super) struct Timeouts {
    /// Each connection's time between two turns, and its next turn.
    of: HashMap<StreamId, (Duration, Instant)>,
    /// The next turns, in order.
    turns: BTreeSet<(Instant, StreamId)>,
}

impl Timeouts {
    /// The connection has its turn after `timeout` from now, and each time again. Returns whether it is the first now. One
    /// that has this timeout keeps its turn: to say so again and again must not put that off for ever.
    pub(super) fn set(&mut self, id: StreamId, timeout: Duration, now: Instant) -> bool {
        self.get(id) != Some(timeout) && self.give_turn(id, timeout, now)
    }

    fn give_turn(&mut self, id: StreamId, timeout: Duration, now: Instant) -> bool {
        let turn = now + timeout;
        if let Some((_, former)) = self.of.insert(id, (timeout, turn)) {
            self.turns.remove(&(former, id));
        }
        self.turns.insert((turn, id));
        self.turns.first() == Some(&(turn, id))
    }

    /// The connection's time between two turns.
    pub(super) fn get(&self, id: StreamId) -> Option<Duration> {
        self.of.get(&id).map(|(timeout, _)| *timeout)
    }

    /// The connection has no timeout any more.
    pub(super) fn forget(&mut self, id: StreamId) {
        if let Some((_, turn)) = self.of.remove(&id) {
            self.turns.remove(&(turn, id));
        }
    }

    /// When the next turn is. None when no connection has a timeout.
    pub(super) fn first(&self) -> Option<Instant> {
        self.turns.first().map(|(turn, _)| *turn)
    }

    /// A connection whose turn it is, if there is one. Its next turn is counted from now, so that one which was late is not
    /// followed at once by another.
    pub(super) fn next_due(&mut self, now: Instant) -> Option<StreamId> {
        let (_, id) = *self.turns.first().filter(|(turn, _)| *turn <= now)?;
        let (timeout, _) = *self.of.get(&id)?;
        self.give_turn(id, timeout, now);
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u32) -> StreamId {
        StreamId::new(0, 0, n)
    }

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn connections_have_their_turns_in_order_and_again() {
        let (mut timeouts, start) = (Timeouts::default(), Instant::now());
        assert!(timeouts.set(id(1), seconds(3), start));
        assert!(!timeouts.set(id(2), seconds(5), start));
        assert_eq!((timeouts.first(), timeouts.next_due(start + seconds(2))), (Some(start + seconds(3)), None));
        let turns: Vec<_> = (1..=10).filter_map(|n| Some((n, timeouts.next_due(start + seconds(n))?))).collect();
        assert_eq!(turns, [(3, id(1)), (5, id(2)), (6, id(1)), (9, id(1)), (10, id(2))]);
    }

    #[test]
    fn late_turn_is_one_turn() {
        let (mut timeouts, start) = (Timeouts::default(), Instant::now());
        timeouts.set(id(1), seconds(1), start);
        let late = start + seconds(60);
        assert_eq!((timeouts.next_due(late), timeouts.next_due(late)), (Some(id(1)), None));
        assert_eq!(timeouts.first(), Some(late + seconds(1)));
    }

    #[test]
    fn timeout_that_is_the_same_puts_no_turn_off() {
        let (mut timeouts, start) = (Timeouts::default(), Instant::now());
        for n in 0..5 {
            timeouts.set(id(1), seconds(5), start + seconds(n));
        }
        assert_eq!(timeouts.next_due(start + seconds(5)), Some(id(1)));
        assert!(timeouts.set(id(1), seconds(2), start + seconds(6)));
        assert_eq!(timeouts.first(), Some(start + seconds(8)));
    }

    #[test]
    fn timeout_that_is_set_again_replaces_the_former_and_nothing_is_left_at_the_end() {
        let (mut timeouts, start) = (Timeouts::default(), Instant::now());
        for n in 1..100 {
            timeouts.set(id(1), seconds(n), start);
        }
        assert_eq!((timeouts.turns.len(), timeouts.first()), (1, Some(start + seconds(99))));
        timeouts.forget(id(1));
        timeouts.forget(id(2));
        assert!(timeouts.of.is_empty() && timeouts.turns.is_empty());
    }
}
