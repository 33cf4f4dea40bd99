//! [`SendQueue`]: what a socket has not taken yet.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};

/// Bytes that wait for a socket, in order. The pieces are shared with other connections; only the references are ours.
#[derive(Debug, Default)]
pub(super) struct SendQueue {
    pieces: VecDeque<Bytes>,
    /// Sum of the pieces' lengths.
    len: usize,
    /// Whether the socket has taken a part of the first piece.
    begun: bool,
}

impl SendQueue {
    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Frames or events that wait, the first one maybe in part.
    pub(super) fn messages(&self) -> u32 {
        self.pieces.len() as u32
    }

    /// `begun` says that the socket has taken the bytes before `piece` of the same frame or event.
    pub(super) fn push(&mut self, piece: Bytes, begun: bool) {
        self.begun |= begun && self.pieces.is_empty();
        self.len += piece.len();
        self.pieces.push_back(piece);
    }

    /// What to write next.
    pub(super) fn first(&self) -> Option<&Bytes> {
        self.pieces.front()
    }

    /// The socket has taken the first `taken` bytes of the first piece.
    pub(super) fn advance(&mut self, taken: usize) {
        if let Some(first) = self.pieces.front_mut() {
            first.advance(taken);
            self.len -= taken;
            self.begun = !first.is_empty();
            if first.is_empty() {
                self.pieces.pop_front();
            }
        }
    }

    /// Drops everything that the socket has taken no byte of, so that what is pushed next is the next whole frame.
    pub(super) fn drop_unsent(&mut self) {
        self.pieces.truncate(usize::from(self.begun));
        self.len = self.pieces.iter().map(Bytes::len).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_that_has_begun_is_kept_when_the_rest_is_dropped() {
        let mut queue = SendQueue::default();
        queue.push("abc".into(), false);
        queue.push("def".into(), false);
        queue.advance(1);
        assert_eq!((queue.len(), queue.first().unwrap().as_ref()), (5, &b"bc"[..]));
        queue.drop_unsent();
        assert_eq!((queue.len(), queue.first().unwrap().as_ref()), (2, &b"bc"[..]));
        queue.advance(2);
        assert!(queue.first().is_none() && queue.len() == 0);

        let mut queue = SendQueue::default();
        queue.push("rest".into(), true);
        queue.push("next".into(), false);
        queue.drop_unsent();
        assert_eq!(queue.len(), 4);

        let mut queue = SendQueue::default();
        queue.push("whole".into(), false);
        queue.drop_unsent();
        assert_eq!(queue.len(), 0);
    }
}
