//! [`Outgoing`]: batches that the socket has not taken yet.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use bytes::{Buf, Bytes};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use volador_proto::link::Batch;

use crate::{FDS_MAX, fault};

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
    /// Descriptors of the frames in `pieces`. All of them go before the bytes that follow the first.
    fds: VecDeque<OwnedFd>,
    /// Sum of the pieces' lengths.
    len: usize,
    /// Sum of what is published in them.
    published: usize,
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
        self.len += bytes.len();
        self.published += published;
        if !bytes.is_empty() {
            self.pieces.push_back(Piece { bytes, published });
        }
        self.fds.extend(fds);
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

    fn send_once(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        // Never a signal for a peer that is gone: an error says so.
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        if self.fds.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = self.pieces.len().min(SLICES_MAX);
            for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
                *slice = IoSlice::new(&piece.bytes);
            }
            return Ok(sendmsg(socket, &slices[..count], &mut SendAncillaryBuffer::default(), flags)?);
        }
        let count = self.fds.len().min(FDS_MAX);
        let fds: Vec<BorrowedFd<'_>> = self.fds.iter().take(count).map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&fds));
        // A frame's descriptor must not come after the frame: where there are more than go with one call, each call takes
        // one byte along until all are under way. No frame is as short as that.
        let first = &self.pieces[0].bytes;
        let bytes = if self.fds.len() > count { &first[..1] } else { first };
        let sent = sendmsg(socket, &[IoSlice::new(bytes)], &mut ancillary, flags)?;
        // They go with the first byte that is sent.
        self.fds.drain(..count);
        Ok(sent)
    }

    fn advance(&mut self, mut sent: usize) {
        self.len -= sent;
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
    use std::os::unix::net::UnixStream;

    use rustix::io::Errno;
    use volador_proto::link::{Frames, StreamId, ToWorker};

    use super::*;
    use crate::{Incoming, Received};

    /// A welcome, which has a descriptor, and two frames behind it.
    fn outgoing() -> Outgoing {
        let mut outgoing = Outgoing::new();
        let mut batch = Batch::new();
        batch.welcome(1, std::fs::File::open("/dev/null").unwrap().into());
        outgoing.push(batch);
        for credit in 1..=2 {
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
                    // Once before the descriptor has gone, once behind it.
                    if calls % 2 == 1 { Err(errno.into()) } else { outgoing.send_once(here.as_fd()) }
                })
            };
            assert_eq!([send().unwrap(), send().unwrap(), send().unwrap()], [Sent::Later, Sent::Later, Sent::All]);
            let (mut incoming, mut seen) = (Incoming::new(), Vec::new());
            while seen.len() < 3 {
                assert_eq!(incoming.receive(&there, true).unwrap(), Received::Some);
                let each = |frames: &mut Frames| {
                    while let Some(frame) = ToWorker::next(frames) {
                        seen.push(format!("{:?}", frame?.1));
                    }
                    Ok(())
                };
                incoming.take(each).unwrap();
            }
            assert!(seen[0].starts_with("Welcome"), "{seen:?}");
            assert_eq!(seen[1..], ["Credit(1)", "Credit(2)"]);
        }
    }

    #[test]
    fn a_full_socket_is_no_error_and_a_fault_is_one() {
        let mut outgoing = outgoing();
        assert_eq!(outgoing.send_by(|_| Err(Errno::AGAIN.into())).unwrap(), Sent::Full);
        let error = outgoing.send_by(|_| Err(Errno::BADF.into())).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::BADF.raw_os_error()));
    }
}
