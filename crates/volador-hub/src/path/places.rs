//! [`Places`]: where each subscription stands at the moment, under a number that never changes.

/// Where a subscription stands. In a vacant row of the table, `node` is [`VACANT`] and `position` the next vacant row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// The path's node in the index.
    pub(super) node: u32,
    /// Index into that node's list of subscribers.
    pub(super) position: u32,
}

/// No node: the row is vacant.
const VACANT: u32 = u32::MAX;
/// No row: the end of the list of vacant rows.
const END: u32 = u32::MAX;

/// A table of [`Place`]s of 8 bytes a row; vacant rows are chained and used again.
#[derive(Debug)]
pub(super) struct Places {
    rows: Vec<Place>,
    /// The row that the next insert takes; [`END`] when the table has to grow.
    first_vacant: u32,
    /// Rows in use. 0 <= occupied <= rows.len()
    occupied: usize,
}

impl Places {
    pub(super) const fn new() -> Self {
        Self { rows: Vec::new(), first_vacant: END, occupied: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.occupied
    }

    /// Returns the row.
    pub(super) fn insert(&mut self, place: Place) -> u32 {
        self.occupied += 1;
        if self.first_vacant == END {
            let row = u32::try_from(self.rows.len()).expect("a shard has fewer than 2^32 connections");
            self.rows.push(place);
            return row;
        }
        let row = self.first_vacant;
        self.first_vacant = self.rows[row as usize].position;
        self.rows[row as usize] = place;
        row
    }

    /// `None` when the row is vacant.
    pub(super) fn remove(&mut self, row: u32) -> Option<Place> {
        let entry = self.rows.get_mut(row as usize)?;
        if entry.node == VACANT {
            return None;
        }
        let place = std::mem::replace(entry, Place { node: VACANT, position: self.first_vacant });
        self.first_vacant = row;
        self.occupied -= 1;
        Some(place)
    }

    /// The subscription of `row`, which is in use, now stands at `position` of the same node.
    pub(super) fn moved(&mut self, row: u32, position: u32) {
        self.rows[row as usize].position = position;
    }

    #[cfg(test)]
    pub(super) fn memory_bytes(&self) -> usize {
        self.rows.capacity() * size_of::<Place>()
    }
}
