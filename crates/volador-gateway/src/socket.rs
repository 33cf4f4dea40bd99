//! [`Socket`]: an accepted connection, TCP or Unix, of which the shard's selector reports what it is ready for.
//! [`TaskSocket`]: one that has left the selector, for a task that carries its bytes.

use std::{
    io::{self, Read, Write},
    os::fd::{AsFd, BorrowedFd},
    pin::Pin,
    task::{Context, Poll},
};

use mio::{Interest, Registry, Token, event::Source};
use rustix::net::Shutdown;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::descriptors;

/// A connection that speaks HTTP, or a push connection. It never waits.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(mio::net::TcpStream),
    Unix(mio::net::UnixStream),
}

impl Socket {
    /// The same connection by the lowest descriptor that is free now. Not of one that is registered.
    pub(crate) fn again(&self) -> io::Result<Self> {
        let descriptor = descriptors::again(self)?;
        Ok(match self {
            Self::Tcp(_) => Self::Tcp(mio::net::TcpStream::from_std(descriptor.into())),
            Self::Unix(_) => Self::Unix(mio::net::UnixStream::from_std(descriptor.into())),
        })
    }

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

    /// What has arrived, at most `buf.len()` bytes; 0 is the end.
    pub(crate) fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buf),
            Self::Unix(stream) => stream.read(buf),
        }
    }

    /// Writes as much as the socket takes at once.
    pub(crate) fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(data),
            Self::Unix(stream) => stream.write(data),
        }
    }

    /// The same, for data in pieces.
    pub(crate) fn write_vectored(&mut self, pieces: &[io::IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write_vectored(pieces),
            Self::Unix(stream) => stream.write_vectored(pieces),
        }
    }

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

    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tcp(stream) => stream,
            Self::Unix(stream) => stream,
        }
    }

    /// Both directions at once: edge-triggered, so that what is not wanted now costs nothing and no later call is needed.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(self.source(), token, Interest::READABLE | Interest::WRITABLE)
    }

    /// By another token from now on. What the socket is ready for is reported anew.
    pub(crate) fn reregister(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.reregister(self.source(), token, Interest::READABLE | Interest::WRITABLE)
    }

    /// To be called before the socket closes: a process that was forked from this one may hold it as well, and the system
    /// would report on it for as long.
    pub(crate) fn deregister(&mut self, registry: &Registry) {
        // There is nothing to be done about an error, and nothing left to report on.
        let _ = registry.deregister(self.source());
    }

    /// One that is not registered any more goes on with a task. To be called in the shard's runtime.
    pub(crate) fn into_task_socket(self) -> io::Result<TaskSocket> {
        Ok(match self {
            Self::Tcp(stream) => TaskSocket::Tcp(tokio::net::TcpStream::from_std(stream.into())?),
            Self::Unix(stream) => TaskSocket::Unix(tokio::net::UnixStream::from_std(stream.into())?),
        })
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

/// A connection with a task of its own.
#[derive(Debug)]
pub(crate) enum TaskSocket {
    Tcp(tokio::net::TcpStream),
    Unix(tokio::net::UnixStream),
}

impl TaskSocket {
    /// Ends both directions, also where a process that was forked from this one holds the socket as well.
    pub(crate) fn shutdown_both(&self) {
        let _ = rustix::net::shutdown(self, Shutdown::Both);
    }
}

impl AsFd for TaskSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

impl AsyncRead for TaskSocket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for TaskSocket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
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
