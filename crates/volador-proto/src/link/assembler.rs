//! [`Assembler`]: whole frames out of a stream of bytes and descriptors, for a link between processes.

use std::{collections::VecDeque, os::fd::OwnedFd};

use bytes::{Buf, Bytes, BytesMut};

use super::{
    Batch, LinkError,
    batch::{FRAME_MAX, Frames, HEAD_LEN},
};

impl Batch {
    /// The bytes and descriptors, for a socket that takes them. Each descriptor stands beside the place in the bytes where
    /// its frame begins.
    pub fn into_parts(self) -> (Bytes, Vec<(usize, OwnedFd)>) {
        (self.bytes.freeze(), self.fds)
    }
}

/// What has arrived over a socket and is not whole yet. Descriptors arrive with the bytes that they were sent with or
/// before, and the frames take them in their order.
#[derive(Debug, Default)]
pub struct Assembler {
    bytes: BytesMut,
    /// None in the place of one that was lost.
    fds: VecDeque<Option<OwnedFd>>,
}

impl Assembler {
    /// Nothing has arrived.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes, with the descriptors that came along; None for one that was lost on the way.
    pub fn push(&mut self, bytes: &[u8], fds: impl IntoIterator<Item = Option<OwnedFd>>) {
        self.bytes.extend_from_slice(bytes);
        self.fds.extend(fds);
    }

    /// Takes the frames that are whole; None when there is none.
    ///
    /// # Errors
    /// [`LinkError::TooLong`] for a frame that nobody sends: what follows can't be told apart.
    pub fn take(&mut self) -> Result<Option<Frames>, LinkError> {
        let mut whole = 0;
        while let Some(head) = self.bytes[whole..].first_chunk::<HEAD_LEN>() {
            let len = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
            if len > FRAME_MAX {
                return Err(LinkError::TooLong(len));
            }
            if self.bytes.len() - whole - HEAD_LEN < len {
                break;
            }
            whole += HEAD_LEN + len;
        }
        if whole == 0 {
            return Ok(None);
        }
        // The usual case: what has arrived is whole. Then the next read begins in memory of its own, and what is read
        // from these frames can share theirs.
        let bytes = if whole == self.bytes.len() { self.bytes.split() } else { self.bytes.split_to(whole) };
        Ok(Some(Frames { bytes: bytes.freeze(), fds: std::mem::take(&mut self.fds) }))
    }

    /// Gives back the frames taken last that have not been read, and descriptors that nobody has asked for.
    pub fn give_back(&mut self, mut frames: Frames) {
        frames.fds.append(&mut self.fds);
        self.fds = frames.fds;
        if !frames.bytes.is_empty() {
            let after = std::mem::replace(&mut self.bytes, BytesMut::from(&frames.bytes[..]));
            self.bytes.extend_from_slice(&after);
        }
    }

    /// Bytes of a frame that is not whole.
    pub fn remaining(&self) -> usize {
        self.bytes.remaining()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::link::{Carrier, Payload, ResponseBody, StreamId, ToGateway, ToWorker};

    #[test]
    fn frames_come_back_whole_at_every_split() {
        let mut batch = Batch::new();
        batch.cancel(StreamId::NONE);
        batch.message(StreamId::new(1, 2, 3), Payload::Text, b"hello");
        batch.stop();
        let (bytes, _) = batch.into_parts();
        for split in 0..=bytes.len() {
            let mut assembler = Assembler::new();
            let mut count = 0;
            for part in [&bytes[..split], &bytes[split..]] {
                assembler.push(part, []);
                if let Some(mut frames) = assembler.take().unwrap() {
                    while let Some(frame) = ToWorker::next(&mut frames) {
                        frame.unwrap();
                        count += 1;
                    }
                    assembler.give_back(frames);
                }
            }
            assert_eq!((count, assembler.remaining()), (3, 0), "split at {split}");
        }
    }

    #[test]
    fn frames_that_were_not_read_come_again_before_those_that_follow() {
        let mut batch = Batch::new();
        batch.cancel(StreamId::NONE);
        batch.credit(StreamId::NONE, 1);
        batch.stop();
        let (bytes, _) = batch.into_parts();
        let mut assembler = Assembler::new();
        assembler.push(&bytes[..bytes.len() - 1], []);
        let mut frames = assembler.take().unwrap().unwrap();
        assert!(matches!(ToWorker::next(&mut frames), Some(Ok((_, ToWorker::Cancel)))));
        assembler.give_back(frames);
        assembler.push(&bytes[bytes.len() - 1..], []);
        let mut frames = assembler.take().unwrap().unwrap();
        assert!(matches!(ToWorker::next(&mut frames), Some(Ok((_, ToWorker::Credit(1))))));
        assert!(matches!(ToWorker::next(&mut frames), Some(Ok((_, ToWorker::Stop)))));
        assert!(ToWorker::next(&mut frames).is_none());
    }

    #[test]
    fn a_descriptor_waits_for_its_frame() {
        let null = || std::fs::File::open("/dev/null").unwrap().into();
        let mut batch = Batch::new();
        batch.cancel(StreamId::NONE);
        batch.welcome(1, null());
        let (bytes, fds) = batch.into_parts();
        let mut assembler = Assembler::new();
        assert_eq!(fds[0].0, HEAD_LEN, "where the welcome begins");
        assembler.push(&bytes[..HEAD_LEN + 3], fds.into_iter().map(|(_, fd)| Some(fd)));
        let mut frames = assembler.take().unwrap().unwrap();
        assert!(matches!(ToWorker::next(&mut frames), Some(Ok((_, ToWorker::Cancel)))));
        assert!(ToWorker::next(&mut frames).is_none());
        assembler.give_back(frames);
        assembler.push(&bytes[HEAD_LEN + 3..], []);
        let mut frames = assembler.take().unwrap().unwrap();
        assert!(matches!(ToWorker::next(&mut frames), Some(Ok((_, ToWorker::Welcome { .. })))));
    }

    #[test]
    fn a_frame_whose_descriptor_was_lost_says_so_and_those_behind_it_have_theirs() {
        let null = || std::fs::File::open("/dev/null").unwrap().into();
        let (mut batch, mut end) = (Batch::new(), Batch::new());
        batch.cancel(StreamId::NONE);
        batch.spill(StreamId::NONE, null());
        end.tunnel(StreamId::NONE, null(), b"");
        end.response(StreamId::NONE, 200, [], ResponseBody::File { fd: null(), offset: 0, len: 1 });
        end.spill(StreamId::NONE, null());
        batch.append(end);
        let (bytes, fds) = batch.into_parts();
        let kinds: Vec<u8> = fds.iter().map(|(at, _)| bytes[at + 4]).collect();
        assert_eq!(kinds, [3, 25, 1, 3], "each beside its frame");
        let mut assembler = Assembler::new();
        assembler.push(&bytes[HEAD_LEN..], fds.into_iter().enumerate().map(|(n, (_, fd))| (n == 3).then_some(fd)));
        let mut frames = assembler.take().unwrap().unwrap();
        let mut next = || ToGateway::next(&mut frames).unwrap().unwrap().1;
        for carrier in [Carrier::Spill, Carrier::Tunnel, Carrier::Response] {
            assert!(matches!(next(), ToGateway::Lost(lost) if lost == carrier), "{carrier:?}");
        }
        assert!(matches!(next(), ToGateway::Spill(_)));
    }

    #[test]
    fn a_frame_that_is_too_long_is_refused_by_its_head() {
        let mut assembler = Assembler::new();
        assembler.push(&[0xff; HEAD_LEN], []);
        assert_eq!(assembler.take().unwrap_err(), LinkError::TooLong(u32::MAX as usize));
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_without_panic(parts: Vec<Vec<u8>>) {
            let mut assembler = Assembler::new();
            for part in parts {
                assembler.push(&part, []);
                if assembler.take().is_err() {
                    break;
                }
            }
        }
    }
}
