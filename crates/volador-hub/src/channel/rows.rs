//! [`Rows`]: each subscription under a number that never changes, chained with the others of the same subscriber.

use super::make_room;

/// One subscription. In a vacant row of the table, `list` is [`VACANT`] and `next` the next vacant row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    /// The list of subscribers that it is in.
    pub(super) list: u32,
    /// Index into that list.
    pub(super) position: u32,
    /// The next row of the same subscriber's ring; the row itself when there is no other.
    pub(super) next: u32,
}

/// No list: the row is vacant.
const VACANT: u32 = u32::MAX;
/// No row: the end of the list of vacant rows.
const END: u32 = u32::MAX;

/// A table of 12 bytes a row; vacant rows are chained and used again.
///
/// The subscriptions of one subscriber form a ring, so that any of them leads to all, and that a look at one tells
/// whether it is the only one.
#[derive(Debug)]
pub(super) struct Rows {
    rows: Vec<Row>,
    /// The row that the next insert takes; [`END`] when the table has to grow.
    first_vacant: u32,
    /// Rows in use. 0 <= occupied <= rows.len()
    occupied: usize,
}

impl Rows {
    pub(super) const fn new() -> Self {
        Self { rows: Vec::new(), first_vacant: END, occupied: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.occupied
    }

    pub(super) fn get(&self, row: u32) -> Row {
        self.rows[row as usize]
    }

    /// Returns the new row, which is a ring of its own.
    pub(super) fn insert(&mut self, list: u32, position: u32) -> u32 {
        self.occupied += 1;
        if self.first_vacant == END {
            let row = u32::try_from(self.rows.len()).expect("a shard has fewer than 2^32 subscriptions");
            make_room(&mut self.rows);
            self.rows.push(Row { list, position, next: row });
            return row;
        }
        let row = self.first_vacant;
        self.first_vacant = self.rows[row as usize].next;
        self.rows[row as usize] = Row { list, position, next: row };
        row
    }

    /// Takes `row`, a ring of its own so far, into the ring of `member`.
    pub(super) fn join(&mut self, member: u32, row: u32) {
        self.rows[row as usize].next = self.rows[member as usize].next;
        self.rows[member as usize].next = row;
    }

    /// Takes `row` out of its ring. Returns a row that stays there, if any.
    pub(super) fn part(&mut self, row: u32) -> Option<u32> {
        let before = self.ring(row).last().filter(|&before| before != row)?;
        self.rows[before as usize].next = self.rows[row as usize].next;
        self.rows[row as usize].next = row;
        Some(before)
    }

    /// The rows of a ring, `row` first.
    pub(super) fn ring(&self, row: u32) -> impl Iterator<Item = u32> {
        std::iter::successors(Some(row), move |&member| {
            let next = self.rows[member as usize].next;
            (next != row).then_some(next)
        })
    }

    /// Whether the subscriber has other subscriptions than that of `row`.
    pub(super) fn has_others(&self, row: u32) -> bool {
        self.rows[row as usize].next != row
    }

    /// Vacates a row, and leaves the rest of its ring, if any, to the caller.
    pub(super) fn remove(&mut self, row: u32) -> Row {
        let vacant = Row { list: VACANT, position: 0, next: self.first_vacant };
        self.first_vacant = row;
        self.occupied -= 1;
        std::mem::replace(&mut self.rows[row as usize], vacant)
    }

    /// The subscription of `row`, which is in use, now stands at `position` of the same list.
    pub(super) fn moved(&mut self, row: u32, position: u32) {
        self.rows[row as usize].position = position;
    }

    #[cfg(test)]
    pub(super) fn memory_bytes(&self) -> usize {
        self.rows.capacity() * size_of::<Row>()
    }
}
