//! [`PushSocket`]: a push connection's socket, without a task and without a buffer. What it carries is counted.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
};

use mio::Registry;

use crate::{
    socket::Socket,
    stats::{Counters, add},
};

/// The socket of a push connection.
#[derive(Debug)]
pub(crate) struct PushSocket {
    socket: Socket,
    /// The shard's.
    counters: Arc<Counters>,
}

impl PushSocket {
    pub(super) fn new(socket: Socket, counters: Arc<Counters>) -> Self {
        Self { socket, counters }
    }

    /// What has arrived, at most `buf.len()` bytes; 0 is the end.
    pub(super) fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.socket.read(buf)?;
        add(&self.counters.received_bytes, read);
        Ok(read)
    }

    /// Writes as much as the socket takes at once.
    pub(super) fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let written = self.socket.write(data)?;
        add(&self.counters.sent_bytes, written);
        Ok(written)
    }

    /// Tells the peer that nothing follows.
    pub(super) fn shutdown_write(&mut self) {
        self.socket.shutdown_write();
    }

    pub(super) fn deregister(&mut self, registry: &Registry) {
        self.socket.deregister(registry);
    }
}

impl AsFd for PushSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for PushSocket {
    /// Closing it is not enough: a process that was forked from this one may hold the socket as well.
    fn drop(&mut self) {
        self.socket.shutdown_both();
    }
}
