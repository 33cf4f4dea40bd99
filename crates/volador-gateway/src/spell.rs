//! [`Spell`]: refusals that follow each other, of which the log tells once.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// What follows a refusal within this time belongs to it. A server that is full takes a client for each one that leaves.
const SPELL: Duration = Duration::from_secs(60);

/// Refusals that follow each other, and when the last one was. The log has a line for the first.
#[derive(Debug, Default)]
pub(crate) struct Spell(Mutex<Option<Instant>>);

impl Spell {
    /// There is a refusal. Whether it is the first one.
    pub(crate) fn is_new(&self, now: Instant) -> bool {
        let before = self.0.lock().replace(now);
        before.is_none_or(|before| now.saturating_duration_since(before) > SPELL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spell_lasts_as_long_as_less_than_a_minute_is_between_two_refusals() {
        let (spell, start) = (Spell::default(), Instant::now());
        let told: Vec<_> = [0, 1, 50, 100, 159, 220, 221]
            .into_iter()
            .filter(|&seconds| spell.is_new(start + Duration::from_secs(seconds)))
            .collect();
        assert_eq!(told, [0, 220]);
    }
}
