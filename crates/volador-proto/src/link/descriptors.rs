//! [`Carried`] and [`Descriptors`]: file descriptors beside the frames, before and after their way over a socket.
//!
//! Descriptors that are sent with one call form a group: a call for each one is dear. Where the receiving process may have
//! no more of them, it gets the first ones of a group, and the system says that it is not all of them, but not how many were
//! sent. So each frame says whether its descriptor belongs to the group of the one before it: what a group lacks then costs
//! its own frames alone.

use std::{collections::VecDeque, os::fd::OwnedFd};

/// Descriptors of a group at most. Few, since those of a group arrive at once, and are lost at once where there is no room
/// for them. The system takes 253 (unix(7)).
pub const GROUP_MAX: usize = 16;

/// In the kind of a frame: its descriptor belongs to the group of the one before it.
pub(super) const JOINS: u8 = 0x80;

/// A descriptor on its way out.
#[derive(Debug)]
pub struct Carried {
    /// Where its frame begins: bytes of its batch before it.
    pub at: usize,
    /// It is closed here once it has been sent.
    pub fd: OwnedFd,
    /// Descriptors of its group before it. 0 for the first one of a group, which goes with the first byte of its frame, and
    /// with as many of its group as the batch has.
    pub before: usize,
}

/// Descriptors that have arrived, in order, until their frames take them.
#[derive(Debug, Default)]
pub(super) struct Descriptors {
    entries: VecDeque<Entry>,
    /// Whether a frame has met the [`Entry::Cut`] that is the first entry.
    is_cut_met: bool,
}

#[derive(Debug)]
enum Entry {
    Arrived(OwnedFd),
    /// One or more of the group were lost here, as its last ones.
    Cut,
}

impl Descriptors {
    /// Those of one group, after those that are here. `is_cut`: others of the group, sent after these, were lost.
    pub(super) fn push(&mut self, fds: impl IntoIterator<Item = OwnedFd>, is_cut: bool) {
        self.entries.extend(fds.into_iter().map(Entry::Arrived).chain(is_cut.then_some(Entry::Cut)));
    }

    /// Puts those of `other` behind those that are here. No frame has asked for them yet.
    pub(super) fn append(&mut self, mut other: Self) {
        self.entries.append(&mut other.entries);
    }

    /// The one of the next frame that carries one: `Some(None)` when it was lost, None when none was ever sent. `joins`:
    /// whether it belongs to the group of the one before it.
    pub(super) fn take(&mut self, joins: bool) -> Option<Option<OwnedFd>> {
        if !joins && std::mem::take(&mut self.is_cut_met) {
            self.entries.pop_front();
        }
        match self.entries.pop_front()? {
            Entry::Arrived(fd) => Some(Some(fd)),
            Entry::Cut => {
                // The frames that follow may be of this group as well: how many it had, only they say.
                self.entries.push_front(Entry::Cut);
                self.is_cut_met = true;
                Some(None)
            }
        }
    }
}
