//! [`Outgoing`]: batches that the socket has not taken yet.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use bytes::{Buf, Bytes};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use volador_proto::link::{Batch, Carried, GROUP_MAX};

use crate::fault;

/// Batches that are sent at once.
const SLICES_MAX: usize = 16;

/// How far [`Outgoing::send`] has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Nothing waits any more.
    All,
    /// The socket is full: the rest can go when it is writable.
    Full,
    /// The system is short of something. It does not say when that is over, and the socket may be writable all the while:
    /// the rest is to be tried again after [`RETRY`](crate::RETRY).
    Later,
}

/// What has been handed over for a socket, in order, until the socket has it.
#[derive(Debug, Default)]
pub struct Outgoing {
    pieces: VecDeque<Piece>,
    /// Descriptors of the frames in `pieces`, in order.
    fds: VecDeque<Waiting>,
    /// Sum of the pieces' lengths.
    len: usize,
    /// Bytes that the socket has taken since its beginning.
    taken: u64,
    /// Sum of what is published in the pieces.
    published: usize,
}

/// A descriptor that has not been sent.
#[derive(Debug)]
struct Waiting {
    /// Bytes that go over the link before its frame, since the link's beginning.
    at: u64,
    fd: OwnedFd,
    /// Whether it goes with the one before it.
    joins: bool,
}

/// What is left of one batch.
#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    /// Bytes of the publications that the whole batch had.
    published: usize,
}

impl Outgoing {
    /// Nothing waits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes of publications for listeners that wait. Those of a batch count until all of it is gone.
    pub fn published_len(&self) -> usize {
        self.published
    }

    /// Takes the frames of a batch, after those that wait.
    pub fn push(&mut self, batch: Batch) {
        let published = batch.published_len();
        let (bytes, fds) = batch.into_parts();
        let before = self.taken + self.len as u64;
        self.fds.extend(fds.into_iter().map(|Carried { at, fd, before: joined }| Waiting {
            at: before + at as u64,
            fd,
            joins: joined > 0,
        }));
        self.len += bytes.len();
        self.published += published;
        if !bytes.is_empty() {
            self.pieces.push_back(Piece { bytes, published });
        }
    }

    /// Sends as much as the socket takes without waiting. What it does not take stays, in order.
    ///
    /// # Errors
    /// The system's: the peer is gone, as a rule. The link is then of no more use, and its other direction does not always
    /// say so: it is to be shut down.
    pub fn send(&mut self, socket: impl AsFd) -> io::Result<Sent> {
        self.send_by(|outgoing| outgoing.send_once(socket.as_fd()))
    }

    /// The same by any call that sends, and says how many bytes it has sent.
    fn send_by(&mut self, mut send_once: impl FnMut(&mut Self) -> io::Result<usize>) -> io::Result<Sent> {
        while !self.pieces.is_empty() {
            let sent = match send_once(self) {
                Ok(sent) => sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Sent::Full),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if fault::passes(&error) => return Ok(Sent::Later),
                Err(error) => return Err(error),
            };
            self.advance(sent);
        }
        Ok(Sent::All)
    }

    /// A call takes the descriptors of one group at most: the other side then knows whose descriptors were lost, where it has
    /// no room for all of them. They go with the first byte of the group's first frame, so no bytes of the next group do.
    fn send_once(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        let group = match self.fds.front() {
            Some(first) if first.at == self.taken => {
                1 + self.fds.iter().skip(1).take_while(|waiting| waiting.joins).count()
            }
            _ => 0,
        };
        let next = self.fds.get(group);
        let mut room = next.map_or(usize::MAX, |next| (next.at - self.taken) as usize);
        let (mut slices, mut count) = ([IoSlice::new(&[]); SLICES_MAX], 0);
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            if room == 0 {
                break;
            }
            let part = &piece.bytes[..piece.bytes.len().min(room)];
            *slice = IoSlice::new(part);
            room -= part.len();
            count += 1;
        }
        let fds: Vec<_> = self.fds.iter().take(group).map(|waiting| waiting.fd.as_fd()).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(GROUP_MAX))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() {
            ancillary.push(SendAncillaryMessage::ScmRights(&fds));
        }
        // Never a signal for a peer that is gone: an error says so.
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let sent = sendmsg(socket, &slices[..count], &mut ancillary, flags)?;
        self.fds.drain(..group);
        Ok(sent)
    }

    fn advance(&mut self, mut sent: usize) {
        self.len -= sent;
        self.taken += sent as u64;
        while let Some(first) = self.pieces.front_mut() {
            if first.bytes.len() > sent {
                first.bytes.advance(sent);
                return;
            }
            sent -= first.bytes.len();
            self.published -= first.published;
            self.pieces.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::net::UnixStream, sync::mpsc, time::Duration};

    use rustix::io::Errno;
    use volador_proto::link::{Frames, ListenerId, Payload, StreamId, ToWorker};

    use super::*;
    use crate::{Incoming, Received};

    /// Twice a welcome, which has a descriptor, and a frame behind it.
    fn outgoing() -> Outgoing {
        let mut outgoing = Outgoing::new();
        for credit in 1..=2 {
            let mut batch = Batch::new();
            batch.welcome(1, std::fs::File::open("/dev/null").unwrap().into());
            outgoing.push(batch);
            let mut batch = Batch::new();
            batch.credit(StreamId::NONE, credit);
            outgoing.push(batch);
        }
        outgoing
    }

    #[test]
    fn what_the_system_was_too_short_to_send_is_kept_whole_and_in_order() {
        for errno in [Errno::TOOMANYREFS, Errno::NOBUFS, Errno::NOMEM] {
            let (here, there) = UnixStream::pair().unwrap();
            let (mut outgoing, mut calls) = (outgoing(), 0);
            let mut send = || {
                outgoing.send_by(|outgoing| {
                    calls += 1;
                    // Once before each descriptor.
                    if calls % 2 == 1 { Err(errno.into()) } else { outgoing.send_once(here.as_fd()) }
                })
            };
            assert_eq!([send().unwrap(), send().unwrap(), send().unwrap()], [Sent::Later, Sent::Later, Sent::All]);
            let (mut incoming, mut seen) = (Incoming::new(), Vec::new());
            while seen.len() < 4 {
                assert_eq!(incoming.receive(&there, true).unwrap(), Received::Some);
                let each = |frames: &mut Frames| {
                    while let Some(frame) = ToWorker::next(frames) {
                        seen.push(format!("{:?}", frame?.1));
                    }
                    Ok(())
                };
                incoming.take(each).unwrap();
            }
            assert!(seen[0].starts_with("Welcome") && seen[2].starts_with("Welcome"), "{seen:?}");
            assert_eq!([&seen[1], &seen[3]], ["Credit(1)", "Credit(2)"]);
        }
    }

    #[test]
    fn what_is_published_counts_until_the_last_byte_of_its_batch_is_sent() {
        let (mut outgoing, mut published) = (Outgoing::new(), Vec::new());
        for message in [&b"hello"[..], b"", b"a longer one"] {
            let mut batch = Batch::new();
            batch.credit(StreamId::NONE, 1);
            batch.published(ListenerId(1), b"news", Payload::Text, message);
            batch.credit(StreamId::NONE, 1);
            published.push((batch.published_len(), batch.len()));
            outgoing.push(batch);
        }
        let mut left: usize = published.iter().map(|(published, _)| published).sum();
        for (published, len) in published {
            assert!(published > 0);
            // All but one of its bytes, and then that.
            for sent in [len - 1, 1] {
                assert_eq!(outgoing.published_len(), left);
                let before = outgoing.len();
                let mut bytes = Some(sent);
                let once = |_: &mut Outgoing| bytes.take().ok_or_else(|| Errno::AGAIN.into());
                outgoing.send_by(once).unwrap();
                assert_eq!(outgoing.len(), before - sent);
            }
            left -= published;
        }
        assert_eq!((outgoing.published_len(), outgoing.len(), outgoing.is_empty()), (0, 0, true));
    }

    #[test]
    fn a_full_socket_is_not_waited_for() {
        let (here, there) = UnixStream::pair().unwrap();
        let mut outgoing = Outgoing::new();
        for _ in 0..1000 {
            let mut batch = Batch::new();
            batch.message(StreamId::NONE, Payload::Binary, &[0; 10_000]);
            outgoing.push(batch);
        }
        let (sender, sent) = mpsc::channel();
        std::thread::spawn(move || sender.send((outgoing.send(&here).unwrap(), outgoing.is_empty())));
        assert_eq!(sent.recv_timeout(Duration::from_secs(20)), Ok((Sent::Full, false)));
        drop(there);
    }

    #[test]
    fn a_full_socket_is_no_error_and_a_fault_is_one() {
        let mut outgoing = outgoing();
        assert_eq!(outgoing.send_by(|_| Err(Errno::AGAIN.into())).unwrap(), Sent::Full);
        let error = outgoing.send_by(|_| Err(Errno::BADF.into())).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::BADF.raw_os_error()));
    }
}
