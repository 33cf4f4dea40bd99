//! [`Assembler`]: whole frames out of a stream of bytes and descriptors, for a link between processes.

use std::os::fd::OwnedFd;

use bytes::{Buf, Bytes, BytesMut};

use super::{
    Batch, LinkError,
    batch::{FRAME_MAX, Frames, HEAD_LEN},
    descriptors::{Carried, Descriptors},
};

impl Batch {
    /// The bytes and descriptors, for a socket that takes them.
    pub fn into_parts(self) -> (Bytes, Vec<Carried>) {
        (self.bytes.freeze(), self.fds)
    }
}

/// What has arrived over a socket and is not whole yet. Descriptors arrive with the bytes that they were sent with or
/// before, and the frames take them in their order.
#[derive(Debug, Default)]
pub struct Assembler {
    bytes: BytesMut,
    fds: Descriptors,
}

impl Assembler {
    /// Nothing has arrived.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes, with the group of descriptors that came along. `is_cut`: the last ones of the group were lost on the way.
    pub fn push(&mut self, bytes: &[u8], fds: impl IntoIterator<Item = OwnedFd>, is_cut: bool) {
        self.bytes.extend_from_slice(bytes);
        self.fds.push(fds, is_cut);
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
        Ok(Some(Frames { bytes: bytes.freeze(), fds: std::mem::take(&mut self.fds), joins: false }))
    }

    /// Gives back the frames taken last that have not been read, and descriptors that nobody has asked for.
    pub fn give_back(&mut self, mut frames: Frames) {
        frames.fds.append(std::mem::take(&mut self.fds));
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
    use crate::link::{Carrier, GROUP_MAX, Payload, ResponseBody, StreamId, ToGateway, ToWorker};

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
                assembler.push(part, [], false);
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
        assembler.push(&bytes[..bytes.len() - 1], [], false);
        let mut frames = assembler.take().unwrap().unwrap();
        assert!(matches!(ToWorker::next(&mut frames), Some(Ok((_, ToWorker::Cancel)))));
        assembler.give_back(frames);
        assembler.push(&bytes[bytes.len() - 1..], [], false);
        let mut frames = assembler.take().unwrap().unwrap();
        assert!(matches!(ToWorker::next(&mut frames), Some(Ok((_, ToWorker::Credit(1))))));
        assert!(matches!(ToWorker::next(&mut frames), Some(Ok((_, ToWorker::Stop)))));
        assert!(ToWorker::next(&mut frames).is_none());
    }

    #[test]
    fn a_descriptor_waits_for_its_frame() {
        let mut batch = Batch::new();
        batch.cancel(StreamId::NONE);
        batch.welcome(1, null());
        let (bytes, fds) = batch.into_parts();
        let mut assembler = Assembler::new();
        assert_eq!(fds[0].at, HEAD_LEN, "where the welcome begins");
        assembler.push(&bytes[..HEAD_LEN + 3], fds.into_iter().map(|carried| carried.fd), false);
        let mut frames = assembler.take().unwrap().unwrap();
        assert!(matches!(ToWorker::next(&mut frames), Some(Ok((_, ToWorker::Cancel)))));
        assert!(ToWorker::next(&mut frames).is_none());
        assembler.give_back(frames);
        assembler.push(&bytes[HEAD_LEN + 3..], [], false);
        let mut frames = assembler.take().unwrap().unwrap();
        assert!(matches!(ToWorker::next(&mut frames), Some(Ok((_, ToWorker::Welcome { .. })))));
    }

    fn null() -> OwnedFd {
        std::fs::File::open("/dev/null").unwrap().into()
    }

    #[test]
    fn each_descriptor_stands_beside_its_frame_and_in_groups() {
        let (mut batch, mut end) = (Batch::new(), Batch::new());
        batch.cancel(StreamId::NONE);
        batch.spill(StreamId::NONE, null());
        end.tunnel(StreamId::NONE, null(), b"");
        end.response(StreamId::NONE, 200, [], ResponseBody::File { fd: null(), offset: 0, len: 1 });
        (3..=GROUP_MAX).for_each(|_| end.spill(StreamId::NONE, null()));
        batch.append(end);
        let (bytes, fds) = batch.into_parts();
        let kinds: Vec<u8> = fds.iter().map(|carried| bytes[carried.at + 4]).collect();
        assert_eq!(kinds[..4], [3, 25 | 0x80, 1 | 0x80, 3 | 0x80]);
        assert_eq!(kinds[GROUP_MAX - 1..], [3 | 0x80, 3], "no group is larger");
        let places: Vec<_> = fds.iter().map(|carried| carried.before).collect();
        assert_eq!(places, (0..GROUP_MAX).chain([0]).collect::<Vec<_>>());
    }

    /// What arrives of groups of spills, of which only the first ones have arrived; all in one piece, or frame by frame.
    fn arrived(groups: &[(usize, usize)], at_once: bool) -> Vec<bool> {
        let (mut assembler, mut seen) = (Assembler::new(), Vec::new());
        let mut read = |assembler: &mut Assembler| {
            let Some(mut frames) = assembler.take().unwrap() else { return };
            while let Some(frame) = ToGateway::next(&mut frames) {
                seen.push(match frame.unwrap().1 {
                    ToGateway::Spill(_) => true,
                    ToGateway::Lost(Carrier::Spill) => false,
                    other => panic!("{other:?}"),
                });
                if !at_once {
                    break;
                }
            }
            assembler.give_back(frames);
        };
        for &(sent, kept) in groups {
            let mut batch = Batch::new();
            (0..sent).for_each(|_| batch.spill(StreamId::NONE, null()));
            let (bytes, fds) = batch.into_parts();
            assembler.push(&bytes, fds.into_iter().map(|carried| carried.fd).take(kept), kept < sent);
            if !at_once {
                read(&mut assembler);
            }
        }
        while assembler.remaining() > 0 {
            read(&mut assembler);
        }
        seen
    }

    proptest! {
        #[test]
        fn descriptors_that_were_lost_cost_their_own_frames_alone(
            groups in prop::collection::vec((1..=5_usize).prop_flat_map(|sent| (Just(sent), 0..=sent)), 1..6)
        ) {
            let expected: Vec<bool> =
                groups.iter().flat_map(|&(sent, kept)| (0..sent).map(move |n| n < kept)).collect();
            prop_assert_eq!(&arrived(&groups, true), &expected);
            prop_assert_eq!(&arrived(&groups, false), &expected);
        }
    }

    #[test]
    fn each_kind_of_frame_whose_descriptor_was_lost_says_so() {
        let mut batch = Batch::new();
        batch.spill(StreamId::NONE, null());
        batch.tunnel(StreamId::NONE, null(), b"");
        batch.response(StreamId::NONE, 200, [], ResponseBody::File { fd: null(), offset: 0, len: 1 });
        let mut assembler = Assembler::new();
        assembler.push(&batch.into_parts().0, [], true);
        let mut frames = assembler.take().unwrap().unwrap();
        for carrier in [Carrier::Spill, Carrier::Tunnel, Carrier::Response] {
            let (_, frame) = ToGateway::next(&mut frames).unwrap().unwrap();
            assert!(matches!(frame, ToGateway::Lost(lost) if lost == carrier), "{carrier:?}");
        }
    }

    #[test]
    fn a_frame_that_is_too_long_is_refused_by_its_head() {
        let mut assembler = Assembler::new();
        assembler.push(&[0xff; HEAD_LEN], [], false);
        assert_eq!(assembler.take().unwrap_err(), LinkError::TooLong(u32::MAX as usize));
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_without_panic(parts: Vec<Vec<u8>>) {
            let mut assembler = Assembler::new();
            for part in parts {
                assembler.push(&part, [], false);
                if assembler.take().is_err() {
                    break;
                }
            }
        }
    }
}
