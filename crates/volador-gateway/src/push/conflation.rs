//! [`Conflation`]: the channels of which a client that does not keep up gets the newest message only.

use std::hash::{BuildHasher, RandomState};

use volador_hub::channel::Filter;

use super::queue::Tag;

/// Which channels these are, and how their messages are told apart in the queues of one shard.
#[derive(Debug)]
pub(super) struct Conflation {
    filters: Vec<Filter>,
    /// Seeded at random: names may come from clients, who must not be able to aim at the tag of another channel.
    hasher: RandomState,
}

impl Conflation {
    /// By globs. Those that are none match nothing: they are refused when the gateway is made.
    pub(super) fn new(globs: &[String]) -> Self {
        let filters = globs.iter().filter_map(|glob| Filter::glob(glob.as_bytes()).ok()).collect();
        Self { filters, hasher: RandomState::new() }
    }

    /// Names a channel of which only the newest message is wanted.
    pub(super) fn tag(&self, channel: &[u8]) -> Option<Tag> {
        let is_conflated = self.filters.iter().any(|filter| filter.matches(channel));
        is_conflated.then(|| Tag::Channel(self.hasher.hash_one(channel)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_that_match_have_a_tag_of_their_own_which_nobody_outside_can_know() {
        let globs = ["price.*".to_owned()];
        let (conflation, other) = (Conflation::new(&globs), Conflation::new(&globs));
        assert_eq!(conflation.tag(b"news"), None);
        let tag = conflation.tag(b"price.a");
        assert!(tag.is_some() && tag == conflation.tag(b"price.a"));
        assert!(tag != conflation.tag(b"price.b") && tag != other.tag(b"price.a"));
    }
}
