//! [`Batch`]: frames and their file descriptors on the way to the other half; [`Frames`]: the way out of it.

use std::{collections::VecDeque, os::fd::OwnedFd};

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{LinkError, StreamId};

/// Bytes of a frame before its payload.
pub(super) const HEAD_LEN: usize = 13;

/// Frames on their way to the other half of the link, in order.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: BytesMut,
    /// The descriptors that the frames of `bytes` carry, in the frames' order.
    fds: Vec<OwnedFd>,
}

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

    /// Takes all frames out. The batch keeps no memory of them.
    pub fn take(&mut self) -> Batch {
        std::mem::take(self)
    }

    /// Appends the frames of `other` after those that are here.
    pub fn append(&mut self, mut other: Batch) {
        if self.is_empty() {
            *self = other;
        } else {
            self.bytes.unsplit(other.bytes);
            self.fds.append(&mut other.fds);
        }
    }

    /// Decodes the batch, frame by frame.
    pub fn into_frames(self) -> Frames {
        Frames { bytes: self.bytes.freeze(), fds: self.fds.into() }
    }

    /// Appends one frame whose payload is what `payload` writes.
    pub(super) fn frame(&mut self, kind: u8, stream: StreamId, payload: impl FnOnce(&mut BytesMut)) {
        let start = self.bytes.len();
        self.bytes.put_u32_le(0);
        self.bytes.put_u8(kind);
        self.bytes.put_u64_le(stream.to_bits());
        payload(&mut self.bytes);
        // 4 GiB in one frame are out of reach: bodies above 64 KiB travel as chunks or descriptors, messages are limited.
        let len = (self.bytes.len() - start - HEAD_LEN) as u32;
        self.bytes[start..start + 4].copy_from_slice(&len.to_le_bytes());
    }

    pub(super) fn descriptor(&mut self, fd: OwnedFd) {
        self.fds.push(fd);
    }
}

/// The frames of a received batch, not yet decoded.
#[derive(Debug)]
pub struct Frames {
    bytes: Bytes,
    fds: VecDeque<OwnedFd>,
}

impl Frames {
    /// The next frame's kind, stream and payload; None at the end of the batch, or when its last frame is incomplete.
    pub(super) fn next_raw(&mut self) -> Option<(u8, StreamId, Bytes)> {
        let len = u32::from_le_bytes(*self.bytes.first_chunk()?) as usize;
        if self.bytes.len() < HEAD_LEN + len {
            return None;
        }
        let kind = self.bytes[4];
        let stream = u64::from_le_bytes(*self.bytes[5..].first_chunk()?);
        self.bytes.advance(HEAD_LEN);
        Some((kind, StreamId::from_bits(stream), self.bytes.split_to(len)))
    }

    pub(super) fn descriptor(&mut self, kind: u8) -> Result<OwnedFd, LinkError> {
        self.fds.pop_front().ok_or(LinkError::MissingDescriptor(kind))
    }
}
