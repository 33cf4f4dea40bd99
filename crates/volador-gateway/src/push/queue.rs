//! [`SendQueue`]: what a socket has not taken yet.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};

/// Names that of which only the newest is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    /// Messages of a channel, by its hash.
    Channel(u64),
    /// Answers to pings.
    Pong,
}

/// About what a message that waits takes in memory beside its own bytes: its piece, with the room to spare that the deque
/// has, and the allocation that the bytes are in. A million frames of three bytes are not three megabytes.
pub(crate) const MESSAGE_BYTES: usize = 128;

/// One frame or event, or what is left of it.
#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    tag: Option<Tag>,
}

/// Bytes that wait for a socket, in order. The pieces are shared with other connections; only the references are ours.
#[derive(Debug, Default)]
pub(super) struct SendQueue {
    pieces: VecDeque<Piece>,
    /// Sum of what the pieces weigh; see [`weight`].
    weight: usize,
    /// Whether the socket has taken a part of the first piece.
    begun: bool,
}

impl SendQueue {
    /// Whether there could ever be room for these bytes, when what waits may weigh so much.
    pub(super) fn could_have_room(bytes: &Bytes, max: usize) -> bool {
        weight(bytes) <= max
    }

    /// Whether there is room for these bytes as well.
    pub(super) fn has_room(&self, bytes: &Bytes, max: usize) -> bool {
        self.weight + weight(bytes) <= max
    }

    /// Frames or events that wait, the first one maybe in part.
    pub(super) fn messages(&self) -> u32 {
        self.pieces.len() as u32
    }

    /// `begun` says that the socket has taken the bytes before `piece` of the same frame or event.
    pub(super) fn push(&mut self, bytes: Bytes, tag: Option<Tag>, begun: bool) {
        self.begun |= begun && self.pieces.is_empty();
        self.weight += weight(&bytes);
        self.pieces.push_back(Piece { bytes, tag });
    }

    /// Takes out the piece with this tag, if there is one that has not begun. Returns its place, for the one that comes
    /// instead: see [`Self::insert`].
    pub(super) fn take_out(&mut self, tag: Tag) -> Option<usize> {
        let mut unsent = (0..).zip(&self.pieces).skip(self.begun.into());
        let at = unsent.find_map(|(at, piece)| (piece.tag == Some(tag)).then_some(at))?;
        let piece = self.pieces.remove(at)?;
        self.weight -= weight(&piece.bytes);
        Some(at)
    }

    /// Puts a piece where one has just been taken out.
    pub(super) fn insert(&mut self, at: usize, bytes: Bytes, tag: Tag) {
        self.weight += weight(&bytes);
        self.pieces.insert(at, Piece { bytes, tag: Some(tag) });
    }

    /// Drops the oldest message that has not begun.
    pub(super) fn drop_oldest(&mut self) -> bool {
        let unsent = self.pieces.iter().enumerate().skip(self.begun.into());
        let oldest = unsent.into_iter().find(|(_, piece)| piece.tag != Some(Tag::Pong));
        match oldest.map(|(index, _)| index).and_then(|index| self.pieces.remove(index)) {
            Some(piece) => {
                self.weight -= weight(&piece.bytes);
                true
            }
            None => false,
        }
    }

    /// What to write next.
    pub(super) fn first(&self) -> Option<&Bytes> {
        self.pieces.front().map(|piece| &piece.bytes)
    }

    /// The socket has taken the first `taken` bytes of the first piece.
    pub(super) fn advance(&mut self, taken: usize) {
        if let Some(first) = self.pieces.front_mut() {
            first.bytes.advance(taken);
            self.weight -= taken;
            self.begun = !first.bytes.is_empty();
            if first.bytes.is_empty() {
                self.weight -= MESSAGE_BYTES;
                self.pieces.pop_front();
            }
        }
    }

    /// Drops everything that the socket has taken no byte of, so that what is pushed next is the next whole frame.
    pub(super) fn drop_unsent(&mut self) {
        self.pieces.truncate(usize::from(self.begun));
        self.weight = self.pieces.iter().map(|piece| weight(&piece.bytes)).sum();
    }
}

/// What a message takes in memory while it waits.
fn weight(bytes: &Bytes) -> usize {
    MESSAGE_BYTES + bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that wait, when their weight is right.
    fn len(queue: &SendQueue) -> usize {
        let len = queue.pieces.iter().map(|piece| piece.bytes.len()).sum();
        assert_eq!(queue.weight, len + queue.pieces.len() * MESSAGE_BYTES);
        len
    }

    #[test]
    fn short_messages_weigh_what_they_take() {
        let (mut queue, frame) = (SendQueue::default(), Bytes::from("abc"));
        let mut messages = 0;
        while queue.has_room(&frame, 1 << 20) {
            queue.push(frame.clone(), None, false);
            messages += 1;
        }
        assert_eq!(messages, (1 << 20) / (MESSAGE_BYTES + 3));
        assert!(messages * (size_of::<Piece>() + 64) < 1 << 20, "the piece, and two small allocations for its bytes");
        while queue.first().is_some() {
            queue.advance(2);
            queue.advance(1);
        }
        assert_eq!(len(&queue), 0);
        assert!(queue.has_room(&frame, MESSAGE_BYTES + 3) && !queue.has_room(&frame, MESSAGE_BYTES + 2));
    }

    #[test]
    fn a_frame_that_has_begun_is_kept_when_the_rest_is_dropped() {
        let mut queue = SendQueue::default();
        queue.push("abc".into(), None, false);
        queue.push("def".into(), None, false);
        queue.advance(1);
        assert_eq!((len(&queue), queue.first().unwrap().as_ref()), (5, &b"bc"[..]));
        queue.drop_unsent();
        assert_eq!((len(&queue), queue.first().unwrap().as_ref()), (2, &b"bc"[..]));
        queue.advance(2);
        assert!(queue.first().is_none() && len(&queue) == 0);

        let mut queue = SendQueue::default();
        queue.push("rest".into(), None, true);
        queue.push("next".into(), None, false);
        queue.drop_unsent();
        assert_eq!(len(&queue), 4);

        let mut queue = SendQueue::default();
        queue.push("whole".into(), None, false);
        queue.drop_unsent();
        assert_eq!(len(&queue), 0);
    }

    /// It needs no room: a client that asks for a sign of life gets it, however slow it is.
    #[test]
    fn a_pong_that_waits_is_not_dropped_for_newer_messages() {
        let mut queue = SendQueue::default();
        queue.push("pong".into(), Some(Tag::Pong), false);
        queue.push("older".into(), None, false);
        queue.push("newer".into(), Some(Tag::Channel(1)), false);
        assert!(queue.drop_oldest());
        assert_eq!(len(&queue), 9);
        assert!(queue.drop_oldest() && !queue.drop_oldest());
        assert_eq!((len(&queue), queue.first().unwrap().as_ref()), (4, &b"pong"[..]));
    }

    #[test]
    fn only_what_has_not_begun_is_replaced_or_dropped() {
        let mut queue = SendQueue::default();
        let (a, b) = (Some(Tag::Channel(1)), Some(Tag::Channel(2)));
        queue.push("a1".into(), a, false);
        queue.push("b1".into(), b, false);
        queue.advance(1);
        assert_eq!((queue.take_out(Tag::Channel(1)), queue.take_out(Tag::Channel(2))), (None, Some(1)));
        assert_eq!(len(&queue), 1);
        queue.insert(1, "b2 long".into(), Tag::Channel(2));
        assert_eq!(len(&queue), 8);
        assert!(queue.drop_oldest() && !queue.drop_oldest());
        assert_eq!((len(&queue), queue.first().unwrap().as_ref()), (1, &b"1"[..]));
    }
}
