//! [`Socket`]: an accepted connection, TCP or Unix, in its two lives: with a task of its own while it speaks HTTP, and
//! as a [`PushSocket`] afterwards.

use std::{
    io::{self, Read, Write},
    os::fd::{AsFd, BorrowedFd},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use mio::{Interest, Registry, Token, event::Source};
use rustix::net::Shutdown;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::stats::{Counters, add};

/// A connection that speaks HTTP.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(tokio::net::TcpStream),
    Unix(tokio::net::UnixStream),
}

impl Socket {
    /// Our own address as (host, port), for requests that do not say whom they are for.
    pub(crate) fn local_name(&self) -> (String, String) {
        match self {
            Self::Tcp(stream) => match stream.local_addr() {
                Ok(address) if address.is_ipv6() => (format!("[{}]", address.ip()), address.port().to_string()),
                Ok(address) => (address.ip().to_string(), address.port().to_string()),
                Err(_) => ("localhost".to_owned(), "80".to_owned()),
            },
            Self::Unix(_) => ("localhost".to_owned(), "80".to_owned()),
        }
    }

    /// Leaves the task's event loop for the push engine's. What it carries from now on is counted.
    pub(crate) fn into_push(self, counters: Arc<Counters>) -> io::Result<PushSocket> {
        let stream = match self {
            Self::Tcp(stream) => Stream::Tcp(mio::net::TcpStream::from_std(stream.into_std()?)),
            Self::Unix(stream) => Stream::Unix(mio::net::UnixStream::from_std(stream.into_std()?)),
        };
        Ok(PushSocket { stream, counters })
    }
}

impl Socket {
    /// Tells the peer that nothing follows, also where a process that was forked from this one holds the socket as well.
    pub(crate) fn shutdown_write(&self) {
        // A peer that is gone already has no need to be told.
        let _ = rustix::net::shutdown(self, Shutdown::Write);
    }

    /// Ends both directions, as [`Self::shutdown_write`] does one.
    pub(crate) fn shutdown_both(&self) {
        let _ = rustix::net::shutdown(self, Shutdown::Both);
    }

    /// Ends the connection by a reset, also where a forked process holds the socket as well. A Unix socket knows no resets:
    /// it ends.
    pub(crate) fn reset(&self) {
        match self {
            // So Linux lets go of a connection without closing its socket.
            Self::Tcp(stream) => drop(rustix::net::connect_unspec(stream)),
            Self::Unix(_) => self.shutdown_both(),
        }
    }

    /// Writes as much as the socket takes at once.
    pub(crate) fn try_write(&self, data: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(data),
            Self::Unix(stream) => stream.try_write(data),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(())) // sockets have no buffer of ours
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl AsFd for PushSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.stream {
            Stream::Tcp(stream) => stream.as_fd(),
            Stream::Unix(stream) => stream.as_fd(),
        }
    }
}

/// A push connection's socket: non-blocking, without a task and without a buffer.
#[derive(Debug)]
pub(crate) struct PushSocket {
    stream: Stream,
    /// The shard's.
    counters: Arc<Counters>,
}

#[derive(Debug)]
enum Stream {
    Tcp(mio::net::TcpStream),
    Unix(mio::net::UnixStream),
}

impl Drop for PushSocket {
    /// Closing it is not enough: a process that was forked from this one may hold the socket as well.
    fn drop(&mut self) {
        let _ = rustix::net::shutdown(&*self, Shutdown::Both);
    }
}

impl PushSocket {
    /// What has arrived, at most `buf.len()` bytes; 0 is the end.
    pub(crate) fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.stream {
            Stream::Tcp(stream) => stream.read(buf),
            Stream::Unix(stream) => stream.read(buf),
        }?;
        add(&self.counters.received_bytes, read);
        Ok(read)
    }

    /// Writes as much as the socket takes at once.
    pub(crate) fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let written = match &mut self.stream {
            Stream::Tcp(stream) => stream.write(data),
            Stream::Unix(stream) => stream.write(data),
        }?;
        add(&self.counters.sent_bytes, written);
        Ok(written)
    }

    /// Tells the peer that nothing follows.
    pub(crate) fn shutdown_write(&mut self) {
        // A peer that is gone already has no need to be told.
        let _ = match &self.stream {
            Stream::Tcp(stream) => stream.shutdown(std::net::Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(std::net::Shutdown::Write),
        };
    }

    fn source(&mut self) -> &mut dyn Source {
        match &mut self.stream {
            Stream::Tcp(stream) => stream,
            Stream::Unix(stream) => stream,
        }
    }

    /// Both directions at once: edge-triggered, so that what is not wanted now costs nothing and no later call is needed.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(self.source(), token, Interest::READABLE | Interest::WRITABLE)
    }

    pub(crate) fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        registry.deregister(self.source())
    }
}
