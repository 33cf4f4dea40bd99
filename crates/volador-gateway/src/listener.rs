//! [`Listener`]: one bound address.

use std::{
    io, net,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net as unix,
    },
    path::Path,
};

use rustix::net::{AddressFamily, Shutdown};
use tokio::io::{Interest, unix::AsyncFd};

use crate::{BindAddress, GatewayError, socket::Socket, socket_file::SocketFile};

/// Connections that the system keeps for us until they are accepted.
pub(crate) const BACKLOG: i32 = 1024;

/// A bound address. Dropping it stops listening; a socket file is then removed.
#[derive(Debug)]
pub(crate) enum Listener {
    /// Whether it is ours, and was not inherited.
    Tcp(net::TcpListener, bool),
    /// The socket file is ours, unless the socket was inherited. It goes before the listener does: see there.
    Unix(Option<SocketFile>, unix::UnixListener),
}

impl Listener {
    /// Binds `address` and listens.
    pub(crate) fn bind(address: &BindAddress) -> Result<Self, GatewayError> {
        let listener = match address {
            BindAddress::Tcp { host, port } => bind_tcp(host, *port).map(|listener| Self::Tcp(listener, true)),
            BindAddress::Unix { path, mode } => {
                SocketFile::bind(path, *mode).map(|(file, listener)| Self::Unix(Some(file), listener))
            }
        };
        listener.map_err(|source| GatewayError::Bind { address: address.to_string(), source })
    }

    /// A socket that listens already.
    pub(crate) fn inherit(socket: &OwnedFd) -> Result<Self, GatewayError> {
        let inherit = || {
            let family = rustix::net::sockopt::socket_domain(socket)?;
            let socket = socket.try_clone()?;
            rustix::io::ioctl_fionbio(&socket, true)?;
            Ok(match family {
                AddressFamily::UNIX => Self::Unix(None, socket.into()),
                AddressFamily::INET | AddressFamily::INET6 => Self::Tcp(socket.into(), false),
                _ => return Err(io::Error::other("it is neither a TCP nor a Unix socket")),
            })
        };
        inherit()
            .map_err(|source: io::Error| GatewayError::Bind { address: "a socket that was handed over".into(), source })
    }

    /// The address with the port that was taken.
    pub(crate) fn address(&self) -> String {
        match self {
            Self::Tcp(listener, _) => match listener.local_addr() {
                Ok(address) => BindAddress::from(address).to_string(),
                Err(error) => format!("tcp://({error})"),
            },
            Self::Unix(Some(file), _) => BindAddress::Unix { path: file.path().to_owned(), mode: None }.to_string(),
            Self::Unix(None, listener) => {
                let path = listener.local_addr().ok().and_then(|address| address.as_pathname().map(Path::to_owned));
                BindAddress::Unix { path: path.unwrap_or_default(), mode: None }.to_string()
            }
        }
    }

    /// The same listener for one shard's event loop. To be called in its runtime.
    pub(crate) fn acceptor(&self) -> io::Result<Acceptor> {
        Ok(match self {
            Self::Tcp(listener, _) => Acceptor::Tcp(waiting(mio::net::TcpListener::from_std(listener.try_clone()?))?),
            Self::Unix(_, listener) => {
                Acceptor::Unix(waiting(mio::net::UnixListener::from_std(listener.try_clone()?))?)
            }
        })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Tcp(listener, true) = self {
            // A process that was forked from this one may hold the socket as well, but nobody there accepts.
            let _ = rustix::net::shutdown(listener, Shutdown::Both);
        }
    }
}

fn bind_tcp(host: &str, port: u16) -> io::Result<net::TcpListener> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in net::ToSocketAddrs::to_socket_addrs(&(host, port))? {
        // std sets SO_REUSEADDR on Unix, so that a restart does not wait for old connections, and CLOEXEC.
        match net::TcpListener::bind(address) {
            Ok(listener) => {
                // std listens with its own backlog; a second listen only changes that.
                rustix::net::listen(&listener, BACKLOG)?;
                listener.set_nonblocking(true)?;
                return Ok(listener);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A listener that the event loop waits for.
fn waiting<L: AsRawFd>(listener: L) -> io::Result<AsyncFd<L>> {
    // As in the selector: the listener owns its descriptor and never replaces it.
    #[allow(deprecated)]
    AsyncFd::with_interest(listener, Interest::READABLE)
}

/// A shard's view of a listener.
#[derive(Debug)]
pub(crate) enum Acceptor {
    Tcp(AsyncFd<mio::net::TcpListener>),
    Unix(AsyncFd<mio::net::UnixListener>),
}

impl Acceptor {
    /// The next connection, and its peer's address as text (empty on a Unix socket).
    pub(crate) async fn accept(&self) -> io::Result<(Socket, String)> {
        Ok(match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.async_io(Interest::READABLE, |listener| listener.accept()).await?;
                // Answers and pushes are written whole, so there is nothing for Nagle's algorithm to gather.
                stream.set_nodelay(true)?;
                (Socket::Tcp(stream), peer.ip().to_string())
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.async_io(Interest::READABLE, |listener| listener.accept()).await?;
                (Socket::Unix(stream), String::new())
            }
        })
    }
}
