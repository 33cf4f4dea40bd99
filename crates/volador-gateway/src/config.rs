//! [`Config`]: what the gateway does and how much it takes.

use std::{fmt, net::SocketAddr, os::fd::OwnedFd, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use crate::GatewayError;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BindAddress {
    /// `tcp://HOST:PORT`; port 0 takes a free one. The name is looked up when the listener is bound.
    Tcp {
        /// A name, an IPv4 address, or an IPv6 address without its brackets.
        host: String,
        /// 0 to 65535.
        port: u16,
    },
    /// `unix:///PATH` of a socket file, or `unix:///PATH?mode=0660`.
    Unix {
        /// Of the file.
        path: PathBuf,
        /// The file's permissions, 0 to 0o777; None: what the process's umask leaves.
        mode: Option<u32>,
    },
}

impl FromStr for BindAddress {
    type Err = GatewayError;

    fn from_str(address: &str) -> Result<Self, Self::Err> {
        let bad = |reason| GatewayError::BadAddress { address: address.to_owned(), reason };
        if let Some(path) = address.strip_prefix("unix://") {
            let (path, mode) = match path.rsplit_once("?mode=") {
                // What stands before the last `/` is a folder, which may be called anything.
                Some((path, octal)) if !octal.contains('/') => match u32::from_str_radix(octal, 8) {
                    Ok(mode @ 0..=0o777) => (path, Some(mode)),
                    _ => return Err(bad("the mode is not an octal number up to 777, as in ?mode=0660")),
                },
                _ => (path, None),
            };
            if path.is_empty() {
                return Err(bad("name the socket file, as in unix:///run/app.sock"));
            }
            return Ok(Self::Unix { path: path.into(), mode });
        }
        let rest = address.strip_prefix("tcp://").ok_or_else(|| bad("write tcp://HOST:PORT or unix:///PATH"))?;
        let (host, port) = rest.rsplit_once(':').ok_or_else(|| bad("the port is missing, as in tcp://0.0.0.0:9292"))?;
        let port = port.parse().map_err(|_| bad("the port is not a number from 0 to 65535"))?;
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        if host.is_empty() {
            return Err(bad("the host is missing, as in tcp://0.0.0.0:9292"));
        }
        Ok(Self::Tcp { host: host.to_owned(), port })
    }
}

impl fmt::Display for BindAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
            Self::Unix { path, mode: None } => write!(f, "unix://{}", path.display()),
            Self::Unix { path, mode: Some(mode) } => write!(f, "unix://{}?mode={mode:04o}", path.display()),
        }
    }
}

impl From<SocketAddr> for BindAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp { host: address.ip().to_string(), port: address.port() }
    }
}

/// What happens when more waits for a push connection than its send queue may hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SlowClient {
    /// The connection is closed with 1013. The client knows that it has missed something, and can come back.
    #[default]
    Disconnect,
    /// The oldest messages are dropped. The client does not know.
    DropOldest,
}

/// Limits and timeouts of the gateway. What is not said to be otherwise holds for each connection.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen.
    pub bind: Vec<BindAddress>,
    /// Sockets that this process was started with and that listen already, TCP or Unix.
    pub inherited: Vec<Arc<OwnedFd>>,
    /// Gateway threads, 1 or more.
    pub shards: u8,
    /// Connections of all kinds, over all shards; 0: as many as there are descriptors for. More wait to be accepted.
    pub connections_max: usize,
    /// Requests that the worker runs at once: its application threads.
    pub threads: usize,
    /// Requests that may wait for a thread, over all connections. One more is answered 503 with Retry-After.
    pub queue_max: usize,
    /// Bytes of request line and header fields together. More is answered 431.
    pub head_max_bytes: usize,
    /// Header fields of a request. More is answered 431.
    pub header_fields_max: usize,
    /// Bytes of a request target. More is answered 414.
    pub target_max_bytes: usize,
    /// Bytes of a request body. More is answered 413.
    pub body_max_bytes: u64,
    /// Bytes of a request body that are kept in memory; a longer one goes to a file.
    pub body_memory_bytes: usize,
    /// Bytes of request bodies that are kept in memory, over all connections, each until the head of its answer; what is
    /// more goes to files.
    pub body_memory_total_bytes: usize,
    /// Where the files of long request bodies are made. They have no name there and vanish with the request.
    pub tmpdir: PathBuf,
    /// Time for the head of a request, from its first byte (for the first request: from the connection's start) to its
    /// last. Afterwards: 408. It is also the start that a slow body is given.
    pub head_timeout: Duration,
    /// Bytes per second that a body must have on average, once `head_timeout` has passed. Below: 408. 0: any slowness.
    pub body_min_rate: u32,
    /// How long a connection may be idle between two requests. Afterwards it is closed.
    pub keep_alive_timeout: Duration,
    /// How long a client may take no byte of an answer that is ready for it. Afterwards the connection is cut.
    pub write_timeout: Duration,
    /// Bytes of a WebSocket message. A longer one closes the connection with 1009.
    pub message_max_bytes: usize,
    /// How hard messages to WebSockets are compressed whose clients can take it (RFC 7692): 1, fast, to 9, small. 0: they
    /// are not, and no client is offered it.
    pub deflate_level: u8,
    /// Bytes from which on a message is compressed. Below, there is little to gain.
    pub deflate_min_bytes: usize,
    /// Bytes that may wait to be sent on a push connection, with what each message takes in memory beside its own. What
    /// happens to more says `slow_client`.
    pub send_queue_max_bytes: usize,
    /// What happens to a push connection whose client does not keep up.
    pub slow_client: SlowClient,
    /// Channels, as globs, of which a client that does not keep up gets the newest message only.
    pub conflate: Vec<String>,
    /// Bytes of publications that may wait for one block of a worker. As much may be on the way to a worker of a cluster, or
    /// 16 MiB where that is more.
    pub block_queue_max_bytes: usize,
    /// Time between WebSocket pings, where the worker sets no other for a connection. A peer that is still
    /// silent after two is taken for dead.
    pub ping_interval: Duration,
    /// Time between SSE heartbeats, likewise, so that dead peers are noticed and proxies keep the connection.
    pub heartbeat_interval: Duration,
    /// How long a drain may take, by those who order it. Handlers have their last words within that, less the time of the
    /// closing handshake.
    pub drain_timeout: Duration,
    /// Origins (`https://example.com`, or `*` for all) whose pages may open WebSockets; None: the origin's host must be
    /// the host that the request is for. A request without Origin does not come from a page and is let through.
    pub allowed_origins: Option<Vec<String>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back_as_they_were_written() {
        for text in
            ["tcp://0.0.0.0:9292", "tcp://[::1]:0", "tcp://localhost:80", "unix:///run/app.sock", "unix:///a?mode=0660"]
        {
            assert_eq!(text.parse::<BindAddress>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn the_mode_of_a_unix_socket_stands_at_the_end_of_its_address() {
        for (text, path, mode) in [
            ("unix:///run/app.sock?mode=0660", "/run/app.sock", Some(0o660)),
            ("unix:///a?b/app.sock", "/a?b/app.sock", None),
            ("unix:///a?b/app.sock?mode=0600", "/a?b/app.sock", Some(0o600)),
            ("unix:///a?mode=0660/app.sock", "/a?mode=0660/app.sock", None),
            ("unix:///a?mode=x/app.sock?mode=0600", "/a?mode=x/app.sock", Some(0o600)),
        ] {
            assert_eq!(text.parse::<BindAddress>().unwrap(), BindAddress::Unix { path: path.into(), mode }, "{text}");
        }
    }

    #[test]
    fn a_bad_address_is_refused_with_what_to_write() {
        for (text, reason) in [
            ("9292", "write tcp://HOST:PORT"),
            ("http://x:1", "write tcp://HOST:PORT"),
            ("tcp://localhost", "the port is missing"),
            ("tcp://localhost:http", "the port is not a number"),
            ("tcp://localhost:65536", "the port is not a number"),
            ("tcp://:80", "the host is missing"),
            ("unix://", "name the socket file"),
            ("unix://?mode=0660", "name the socket file"),
            ("unix:///a?mode=", "the mode is not an octal number"),
            ("unix:///a?mode=0668", "the mode is not an octal number"),
            ("unix:///a?mode=1000", "the mode is not an octal number"),
        ] {
            let error = text.parse::<BindAddress>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
