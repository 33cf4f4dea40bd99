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

use crate::FDS_MAX;

/// Batches that are sent at once.
const SLICES_MAX: usize = 16;

/// What has been handed over for a socket, in order, until the socket has it.
#[derive(Debug, Default)]
pub struct Outgoing {
    pieces: VecDeque<Bytes>,
    /// Descriptors of the frames in `pieces`. All of them go before the bytes that follow the first.
    fds: VecDeque<OwnedFd>,
    /// Sum of the pieces' lengths.
    len: usize,
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

    /// Takes the frames of a batch, after those that wait.
    pub fn push(&mut self, batch: Batch) {
        let (bytes, fds) = batch.into_parts();
        self.len += bytes.len();
        if !bytes.is_empty() {
            self.pieces.push_back(bytes);
        }
        self.fds.extend(fds);
    }

    /// Sends as much as the socket takes without waiting. Returns whether that was all.
    ///
    /// # Errors
    /// The system's: the peer is gone, as a rule. Not that the socket is full.
    pub fn send(&mut self, socket: impl AsFd) -> io::Result<bool> {
        while !self.pieces.is_empty() {
            let sent = match self.send_once(socket.as_fd()) {
                Ok(sent) => sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.advance(sent);
        }
        Ok(true)
    }

    fn send_once(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        // Never a signal for a peer that is gone: an error says so.
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        if self.fds.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = self.pieces.len().min(SLICES_MAX);
            for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
                *slice = IoSlice::new(piece);
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
        let first = &self.pieces[0];
        let bytes = if self.fds.len() > count { &first[..1] } else { first };
        let sent = sendmsg(socket, &[IoSlice::new(bytes)], &mut ancillary, flags)?;
        // They go with the first byte that is sent.
        self.fds.drain(..count);
        Ok(sent)
    }

    fn advance(&mut self, mut sent: usize) {
        self.len -= sent;
        while let Some(first) = self.pieces.front_mut() {
            if first.len() > sent {
                first.advance(sent);
                return;
            }
            sent -= first.len();
            self.pieces.pop_front();
        }
    }
}
