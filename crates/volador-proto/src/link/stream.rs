//! [`StreamId`]: names one request and the push connection that it may become.

use std::fmt;

/// One request, and after an upgrade the push connection that it became. Unique as long as the gateway runs, except that
/// a slot's generation wraps after 2^24 uses.
///
/// ```text
///  63      56 55                  32 31                             0
/// +----------+----------------------+--------------------------------+
/// | shard    | generation           | slot                           |
/// +----------+----------------------+--------------------------------+
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(u64);

impl StreamId {
    /// For frames that concern no stream (a broadcast, for instance).
    pub const NONE: Self = Self(u64::MAX);

    /// The number of different generations; the next one after the last is 0.
    pub const GENERATIONS: u32 = 1 << 24;

    /// `generation` is taken modulo [`Self::GENERATIONS`].
    pub fn new(shard: u8, generation: u32, slot: u32) -> Self {
        let generation = u64::from(generation % Self::GENERATIONS);
        Self(u64::from(shard) << 56 | generation << 32 | u64::from(slot))
    }

    /// The gateway's shard that owns the socket.
    pub fn shard(self) -> u8 {
        (self.0 >> 56) as u8
    }

    /// Which use of the slot this is, so that a late frame for an earlier stream is told from one for this.
    pub fn generation(self) -> u32 {
        (self.0 >> 32) as u32 % Self::GENERATIONS
    }

    /// Index into the shard's table of streams.
    pub fn slot(self) -> u32 {
        self.0 as u32
    }

    /// As it stands on the link.
    pub fn to_bits(self) -> u64 {
        self.0
    }

    /// From [`Self::to_bits`].
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stream {}:{}:{}", self.shard(), self.slot(), self.generation())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back() {
        for (shard, generation, slot) in [(0, 0, 0), (255, StreamId::GENERATIONS - 1, u32::MAX), (3, 70_000, 12)] {
            let id = StreamId::new(shard, generation, slot);
            assert_eq!((id.shard(), id.generation(), id.slot()), (shard, generation, slot));
            assert_eq!(StreamId::from_bits(id.to_bits()), id);
        }
    }

    #[test]
    fn generation_wraps() {
        assert_eq!(StreamId::new(1, StreamId::GENERATIONS, 2), StreamId::new(1, 0, 2));
    }
}
