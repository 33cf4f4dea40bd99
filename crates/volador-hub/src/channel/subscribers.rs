//! [`Subscribers`]: the subscribers of one filter, side by side in memory and in order of their subscription.
//!
//! ```text
//!   by_key: B ──▶ rows: row 3 = (list 7, position 1, ring) ──▶ list 7 "rooms.7": [ (A, row 0) | (B, row 3) | (C, row 5) ]
//! ```
//!
//! Filling a hole from the end would break the order. So who leaves becomes a gap, which a walk steps over; when gaps
//! are more than half, the others move together, and their rows are told. That costs each removal a constant share.

use super::make_room;
use super::rows::Rows;

/// No row: the entry is a gap.
const GAP: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct Subscribers<K> {
    /// The last one is not a gap.
    entries: Vec<Entry<K>>,
    /// Gaps among the entries. 2 * gaps <= entries.len()
    gaps: u32,
}

#[derive(Debug)]
struct Entry<K> {
    key: K,
    /// Its row in the table, to be told when this entry moves; [`GAP`] when the subscriber has left.
    row: u32,
}

impl<K: Copy> Subscribers<K> {
    pub(super) const fn new() -> Self {
        Self { entries: Vec::new(), gaps: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The position that the next [`push`](Self::push) takes.
    pub(super) fn next_position(&self) -> u32 {
        u32::try_from(self.entries.len()).expect("a shard has fewer than 2^32 subscriptions")
    }

    pub(super) fn push(&mut self, key: K, row: u32) {
        make_room(&mut self.entries);
        self.entries.push(Entry { key, row });
    }

    pub(super) fn remove(&mut self, position: u32, rows: &mut Rows) {
        self.entries[position as usize].row = GAP;
        self.gaps += 1;
        while self.entries.pop_if(|entry| entry.row == GAP).is_some() {
            self.gaps -= 1;
        }
        if self.gaps as usize > self.entries.len() / 2 {
            self.close_gaps(rows);
        }
        // A channel that 10,000 subscribers have left must not keep their memory. Not to the last byte, so that one who
        // comes and goes does not make it shrink and grow each time.
        if self.entries.len() < self.entries.capacity() / 2 {
            self.entries.shrink_to(self.entries.len() + self.entries.len() / 4 + 3);
        }
    }

    fn close_gaps(&mut self, rows: &mut Rows) {
        self.entries.retain(|entry| entry.row != GAP);
        self.gaps = 0;
        for (entry, position) in self.entries.iter().zip(0..) {
            rows.moved(entry.row, position);
        }
    }

    pub(super) fn key_at(&self, position: u32) -> K {
        self.entries[position as usize].key
    }

    /// Each subscriber's key and row, in order of subscription.
    pub(super) fn iter(&self) -> impl Iterator<Item = (K, u32)> {
        self.entries.iter().filter(|entry| entry.row != GAP).map(|entry| (entry.key, entry.row))
    }

    /// Returns how many there are.
    pub(super) fn for_each(&self, mut receive: impl FnMut(K)) -> usize {
        self.iter().for_each(|(key, _)| receive(key));
        self.entries.len() - self.gaps as usize
    }

    #[cfg(test)]
    pub(super) fn memory_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry<K>>()
    }
}
