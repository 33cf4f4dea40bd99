//! [`Incoming`]: frames out of what the socket brings.

use std::{
    io::{self, IoSliceMut},
    mem::MaybeUninit,
    os::fd::AsFd,
};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, RecvMsg, ReturnFlags, recvmsg};
use volador_proto::link::{Assembler, Frames, GROUP_MAX, LinkError};

use crate::fault;

/// Bytes that one call takes at most.
const READ_BYTES: usize = 128 << 10;

/// What one call has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// Some bytes; there may be whole frames among them.
    Some,
    /// The peer has ended, or has closed.
    End,
    /// The system is short of memory. It does not say when that is over: to be tried again after [`RETRY`](crate::RETRY).
    Later,
}

/// What has arrived, until it is taken as whole frames.
#[derive(Debug)]
pub struct Incoming {
    assembler: Assembler,
    buf: Box<[u8]>,
}

impl Default for Incoming {
    fn default() -> Self {
        Self { assembler: Assembler::new(), buf: vec![0; READ_BYTES].into() }
    }
}

impl Incoming {
    /// Nothing has arrived.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what has arrived, with one call. `wait`: for something to arrive, when nothing has.
    ///
    /// # Errors
    /// `WouldBlock` when nothing has arrived and is not to be waited for; else the system's. The link is then of no more use.
    pub fn receive(&mut self, socket: impl AsFd, wait: bool) -> io::Result<Received> {
        // No child process is to hold a client's file open.
        let flags = if wait { RecvFlags::CMSG_CLOEXEC } else { RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT };
        self.receive_by(|buf, ancillary| Ok(recvmsg(socket, &mut [IoSliceMut::new(buf)], ancillary, flags)?))
    }

    /// The same by any call that receives.
    fn receive_by(
        &mut self,
        receive: impl FnOnce(&mut [u8], &mut RecvAncillaryBuffer<'_>) -> io::Result<RecvMsg>,
    ) -> io::Result<Received> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(GROUP_MAX))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = match receive(&mut self.buf, &mut ancillary) {
            Ok(received) => received,
            // Nothing has been taken.
            Err(error) if fault::passes(&error) => return Ok(Received::Later),
            Err(error) => return Err(error),
        };
        let read = received.bytes;
        if read == 0 {
            return Ok(Received::End);
        }
        let fds = ancillary.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(rights) => Some(rights),
            _ => None,
        });
        // One call here brings what one call of the sender's had (unix(7): "Ancillary data forms a barrier for the received
        // data"), one group of descriptors at most. The last ones are lost where this process may have no more, and their
        // frames must not be given the files of others.
        self.assembler.push(&self.buf[..read], fds.flatten(), received.flags.contains(ReturnFlags::CTRUNC));
        Ok(Received::Some)
    }

    /// Hands the frames that are whole to `each`. Those that it leaves come again with the next ones.
    ///
    /// # Errors
    /// What `each` says, or that the bytes are no frames. The link is then of no more use.
    pub fn take(&mut self, each: impl FnOnce(&mut Frames) -> Result<(), LinkError>) -> Result<(), LinkError> {
        let Some(mut frames) = self.assembler.take()? else { return Ok(()) };
        let result = each(&mut frames);
        self.assembler.give_back(frames);
        result
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        io::{Read, Seek, Write},
        os::{fd::OwnedFd, unix::net::UnixStream},
    };

    use rustix::io::{Errno, FdFlags, fcntl_getfd};
    use volador_proto::link::{Batch, ResponseBody, StreamId, ToGateway, WorkerFigures};

    use super::*;
    use crate::{Outgoing, Sent, is_peers_end};

    fn file(n: usize) -> OwnedFd {
        let path = std::env::temp_dir().join(format!("volador-link-{}-{n}", std::process::id()));
        let mut file = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        write!(file, "{n}").unwrap();
        file.rewind().unwrap();
        file.into()
    }

    #[test]
    fn frames_and_hundreds_of_descriptors_arrive_in_order() {
        const COUNT: usize = 600;
        let (here, there) = UnixStream::pair().unwrap();
        let mut outgoing = Outgoing::new();
        for n in 0..COUNT {
            let mut batch = Batch::new();
            let body = ResponseBody::File { fd: file(n), offset: 0, len: 3 };
            batch.response(StreamId::new(0, 0, n as u32), 200, [(&b"x-padding"[..], &[b'x'; 2000][..])], body);
            batch.end(StreamId::NONE);
            outgoing.push(batch);
        }
        let sender = std::thread::spawn(move || {
            while outgoing.send(&here).unwrap() != Sent::All {
                std::thread::yield_now();
            }
            assert_eq!((outgoing.len(), outgoing.is_empty()), (0, true));
        });
        let (mut incoming, mut seen) = (Incoming::new(), 0);
        while incoming.receive(&there, true).unwrap() == Received::Some {
            let each = |frames: &mut Frames| {
                while let Some(frame) = ToGateway::next(frames) {
                    if let (_, ToGateway::Response(response)) = frame? {
                        let ResponseBody::File { fd, .. } = response.body else { panic!("not a file") };
                        let mut text = String::new();
                        File::from(fd).read_to_string(&mut text).unwrap();
                        assert_eq!(text, seen.to_string());
                        seen += 1;
                    }
                }
                Ok(())
            };
            incoming.take(each).unwrap();
        }
        sender.join().unwrap();
        assert_eq!(seen, COUNT);
    }

    #[test]
    fn no_child_process_inherits_a_descriptor_that_arrives() {
        for wait in [false, true] {
            let (here, there) = UnixStream::pair().unwrap();
            let (mut incoming, mut outgoing, mut batch) = (Incoming::new(), Outgoing::new(), Batch::new());
            let body = ResponseBody::File { fd: file(2000), offset: 0, len: 4 };
            batch.response(StreamId::NONE, 200, [], body);
            outgoing.push(batch);
            assert_eq!(outgoing.send(&here).unwrap(), Sent::All);
            assert_eq!(incoming.receive(&there, wait).unwrap(), Received::Some);
            let mut flags = None;
            let each = |frames: &mut Frames| {
                let Some(frame) = ToGateway::next(frames) else { return Ok(()) };
                let (_, ToGateway::Response(response)) = frame? else { panic!("another frame") };
                let ResponseBody::File { fd, .. } = response.body else { panic!("not a file") };
                flags = Some(fcntl_getfd(fd).unwrap());
                Ok(())
            };
            incoming.take(each).unwrap();
            assert_eq!(flags, Some(FdFlags::CLOEXEC), "{wait}");
        }
    }

    #[test]
    fn what_the_system_was_too_short_to_receive_is_received_later_and_a_fault_is_an_error() {
        let (here, there) = UnixStream::pair().unwrap();
        let (mut incoming, mut outgoing, mut batch) = (Incoming::new(), Outgoing::new(), Batch::new());
        let body = ResponseBody::File { fd: file(1000), offset: 0, len: 4 };
        batch.response(StreamId::new(0, 0, 0), 200, [], body);
        outgoing.push(batch);
        assert_eq!(outgoing.send(&here).unwrap(), Sent::All);
        for errno in [Errno::NOMEM, Errno::NOBUFS] {
            assert_eq!(incoming.receive_by(|_, _| Err(errno.into())).unwrap(), Received::Later);
            incoming.take(|_| panic!("there is nothing")).unwrap();
        }
        assert_eq!(incoming.receive(&there, false).unwrap(), Received::Some);
        let mut seen = 0;
        let each = |frames: &mut Frames| {
            while let Some(frame) = ToGateway::next(frames) {
                assert!(matches!(frame?.1, ToGateway::Response(_)));
                seen += 1;
            }
            Ok(())
        };
        incoming.take(each).unwrap();
        assert_eq!(seen, 1);
        let error = incoming.receive_by(|_, _| Err(Errno::BADF.into())).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::BADF.raw_os_error()));
    }

    #[test]
    fn a_peer_that_is_gone_is_an_error_and_an_end() {
        let (here, there) = UnixStream::pair().unwrap();
        let mut incoming = Incoming::new();
        assert_eq!(incoming.receive(&here, false).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(there);
        assert_eq!(incoming.receive(&here, false).unwrap(), Received::End);
        let (mut batch, mut outgoing) = (Batch::new(), Outgoing::new());
        batch.beat(WorkerFigures::default());
        outgoing.push(batch);
        assert!(is_peers_end(&outgoing.send(&here).unwrap_err()));
    }
}
