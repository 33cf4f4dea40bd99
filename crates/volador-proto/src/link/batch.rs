//! [`Batch`]: frames and their file descriptors on the way to the other half; [`Frames`]: the way out of it.

use std::os::fd::OwnedFd;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{
    LinkError, StreamId,
    descriptors::{Carried, Descriptors, GROUP_MAX, JOINS},
};

/// Bytes of a frame before its payload.
pub(super) const HEAD_LEN: usize = 13;

/// Where its kind stands in a frame.
const KIND_AT: usize = 4;

/// Bytes of a message, of a complete body, or of a piece of one at most. What an application may give at once is to be
/// checked before, and no limit for clients may be larger.
pub const DATA_MAX: usize = 1 << 30;

/// Bytes of a payload at most: data, and the fields beside it. Their own limits are far below (the head of a request
/// has 16 MiB at most).
pub(super) const FRAME_MAX: usize = DATA_MAX + (64 << 20);

/// Frames on their way to the other half of the link, in order.
#[derive(Debug, Default)]
pub struct Batch {
    pub(super) bytes: BytesMut,
    /// The descriptors that the frames of `bytes` carry, one each at most, in order.
    pub(super) fds: Vec<Carried>,
    /// Bytes of the frames that are publications for listeners.
    pub(super) published: usize,
    /// Where the last frame begins; 0 when there is none.
    last: usize,
    /// Bytes to make room for at the first frame: what one of the last batches from here had.
    expected: usize,
}

/// Bytes that are made room for, and kept, at most. What is read from a batch shares its memory, so room that is not used
/// may be held for as long as one of its requests lasts.
const EXPECTED_MAX: usize = 16 << 10;

impl Batch {
    /// No frame yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether there is nothing to hand over.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Encoded bytes of all frames.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Of these, the bytes of publications for listeners ([`ToWorker::Published`](super::ToWorker::Published)), which nobody
    /// has given credit for.
    pub fn published_len(&self) -> usize {
        self.published
    }

    /// Takes all frames out. The batch keeps an idea of how many there will be next time, and its memory, which it uses again
    /// once nothing that was read from it is left.
    pub fn take(&mut self) -> Batch {
        // To grow on the way means to copy what there is. Batches of a busy time differ by some times.
        self.expected = self.len().max(self.expected - self.expected / 8).min(EXPECTED_MAX);
        let bytes =
            if self.bytes.capacity() > EXPECTED_MAX { std::mem::take(&mut self.bytes) } else { self.bytes.split() };
        let (fds, published) = (std::mem::take(&mut self.fds), std::mem::take(&mut self.published));
        Self { bytes, fds, published, last: std::mem::take(&mut self.last), expected: 0 }
    }

    /// Appends the frames of `other` after those that are here.
    pub fn append(&mut self, other: Batch) {
        if self.is_empty() {
            *self = other;
        } else {
            let before = self.len();
            self.bytes.unsplit(other.bytes);
            other.fds.into_iter().for_each(|carried| self.descriptor(before + carried.at, carried.fd));
            self.published += other.published;
            self.last = before + other.last;
        }
    }

    /// Decodes the batch, frame by frame.
    pub fn into_frames(self) -> Frames {
        let mut fds = Descriptors::default();
        fds.push(self.fds.into_iter().map(|carried| carried.fd), false);
        Frames { bytes: self.bytes.freeze(), fds, joins: false }
    }

    /// Appends one frame whose payload is what `payload` writes.
    pub(super) fn frame(&mut self, kind: u8, stream: StreamId, payload: impl FnOnce(&mut BytesMut)) {
        self.frame_of(FRAME_MAX, kind, stream, payload);
    }

    #[inline]
    fn frame_of(&mut self, max: usize, kind: u8, stream: StreamId, payload: impl FnOnce(&mut BytesMut)) {
        let start = self.bytes.len();
        if start == 0 {
            self.bytes.reserve(self.expected);
        }
        self.bytes.put_u32_le(0);
        self.bytes.put_u8(kind);
        self.bytes.put_u64_le(stream.to_bits());
        payload(&mut self.bytes);
        let len = self.bytes.len() - start - HEAD_LEN;
        if len > max {
            // Only a fault of ours gets here. The payload of a frame without a length would be read as frames.
            self.bytes.truncate(start);
            panic!("a link frame of {len} bytes; at most {max} fit");
        }
        self.bytes[start..start + 4].copy_from_slice(&(len as u32).to_le_bytes());
        self.last = start;
    }

    /// Makes the last frame one of the kind `to`, whose payload is the same, if it is of the kind `from` and of this stream.
    /// Returns whether it is. (Neither kind may carry a descriptor, which is noted beside the kind.)
    pub(super) fn change_last(&mut self, from: u8, stream: StreamId, to: u8) -> bool {
        let Some(head) = self.bytes[self.last..].first_chunk_mut::<HEAD_LEN>() else { return false };
        let [.., kind, a, b, c, d, e, f, g, h] = head;
        let is_it = *kind == from && [*a, *b, *c, *d, *e, *f, *g, *h] == stream.to_bits().to_le_bytes();
        if is_it {
            *kind = to;
        }
        is_it
    }

    /// The frame that begins at `at`, behind all that carry one, carries a descriptor.
    pub(super) fn descriptor(&mut self, at: usize, fd: OwnedFd) {
        let before = self.fds.last().map_or(0, |last| (last.before + 1) % GROUP_MAX);
        let kind = &mut self.bytes[at + KIND_AT];
        *kind = if before == 0 { *kind & !JOINS } else { *kind | JOINS };
        self.fds.push(Carried { at, fd, before });
    }
}

/// The frames of a received batch, not yet decoded.
#[derive(Debug, Default)]
pub struct Frames {
    pub(super) bytes: Bytes,
    pub(super) fds: Descriptors,
    /// Whether the frame that is being read has [`JOINS`].
    pub(super) joins: bool,
}

impl Frames {
    /// The next frame's kind, stream and payload; None at the end of the batch.
    pub(super) fn next_raw(&mut self) -> Option<Result<(u8, StreamId, Bytes), LinkError>> {
        if self.bytes.is_empty() {
            return None;
        }
        let Some(head) = self.bytes.first_chunk::<HEAD_LEN>() else { return Some(Err(self.incomplete())) };
        let [l0, l1, l2, l3, kind, stream @ ..] = *head;
        let len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        if self.bytes.len() - HEAD_LEN < len {
            return Some(Err(self.incomplete()));
        }
        self.bytes.advance(HEAD_LEN);
        self.joins = kind & JOINS != 0;
        Some(Ok((kind & !JOINS, StreamId::from_bits(u64::from_le_bytes(stream)), self.bytes.split_to(len))))
    }

    /// The rest can't be told apart, so there is no next frame.
    fn incomplete(&mut self) -> LinkError {
        self.bytes.clear();
        LinkError::Incomplete
    }

    /// The one of the frame that is being read; None when it was lost on the way.
    pub(super) fn descriptor(&mut self, kind: u8) -> Result<Option<OwnedFd>, LinkError> {
        self.fds.take(self.joins).ok_or(LinkError::MissingDescriptor(kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_that_is_too_long_leaves_nothing_of_itself() {
        let mut batch = Batch::new();
        batch.cancel(StreamId::NONE);
        let before = batch.bytes.clone();
        let long = std::panic::AssertUnwindSafe(|| batch.frame_of(2, 1, StreamId::NONE, |out| out.put_bytes(0, 3)));
        assert!(std::panic::catch_unwind(long).is_err());
        assert_eq!(batch.bytes, before);
    }

    #[test]
    fn memory_is_used_again_once_nothing_is_left_of_what_was_read_from_it() {
        let mut batch = Batch::new();
        (0..100).for_each(|credit| batch.credit(StreamId::NONE, credit));
        let len = batch.len();
        let mut frames = batch.take().into_frames();
        let (.., first) = frames.next_raw().unwrap().unwrap();
        drop(frames);
        assert!(!batch.bytes.try_reclaim(len), "the first one's payload is there");
        (0..100).for_each(|_| batch.credit(StreamId::NONE, 7));
        assert_eq!(first, 0_u32.to_le_bytes()[..]);
        drop((first, batch.take()));
        assert!(batch.bytes.try_reclaim(len));
    }

    #[test]
    fn memory_of_a_large_batch_is_not_kept() {
        let mut batch = Batch::new();
        batch.frame(1, StreamId::NONE, |out| out.put_bytes(0, EXPECTED_MAX));
        batch.take();
        assert!(!batch.bytes.try_reclaim(1));
    }

    #[test]
    fn a_batch_that_ends_inside_of_a_frame_is_refused_at_every_cut() {
        let mut batch = Batch::new();
        batch.cancel(StreamId::NONE);
        batch.credit(StreamId::NONE, 7);
        let whole = batch.bytes.freeze();
        for cut in 1..whole.len() {
            let mut frames = Frames { bytes: whole.slice(..cut), ..Frames::default() };
            let read = std::iter::from_fn(|| frames.next_raw()).collect::<Vec<_>>();
            let complete = usize::from(cut >= HEAD_LEN);
            assert_eq!(read.iter().filter(|frame| frame.is_ok()).count(), complete, "cut at {cut}");
            assert_eq!(read.iter().any(Result::is_err), cut != HEAD_LEN, "cut at {cut}");
        }
    }
}
