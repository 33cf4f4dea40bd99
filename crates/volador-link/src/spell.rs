//! [`Spell`]: refusals that follow each other, of which the log tells once.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

/// What follows a refusal within this time belongs to it. A server that is full takes a client for each one that leaves.
const SPELL: Duration = Duration::from_secs(60);

/// Refusals that follow each other, and when the last one was. The log has a line for the first.
#[derive(Debug, Default)]
pub struct Spell(Mutex<Option<Instant>>);

impl Spell {
    /// There was none.
    pub const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// There is a refusal. Whether it is the first one.
    pub fn is_new(&self, now: Instant) -> bool {
        // Whoever has the lock is telling, or a fork has left its thread behind.
        let Ok(mut last) = self.0.try_lock() else { return false };
        let before = last.replace(now);
        before.is_none_or(|before| now.saturating_duration_since(before) > SPELL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spell_lasts_as_long_as_less_than_a_minute_is_between_two_refusals() {
        let (spell, start) = (Spell::new(), Instant::now());
        let told: Vec<_> = [0, 1, 50, 100, 159, 220, 221]
            .into_iter()
            .filter(|&seconds| spell.is_new(start + Duration::from_secs(seconds)))
            .collect();
        assert_eq!(told, [0, 220]);
    }
}
