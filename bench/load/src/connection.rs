//! One push connection: opened, its handshake checked, then read until nothing more is there.

use crate::options::Transport;
use crate::wire::{Arrival, client_frame, parse};
use mio::net::TcpStream;
use socket2::{Domain, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

/// Connections that share a source address. Far fewer than it has ports.
const PER_SOURCE: usize = 5000;
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
const HEAD_MAX: usize = 8192;
// The example of RFC 6455, 1.3: a load generator needs no fresh key, and the answer to it is known.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// What answers the key.
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A push connection.
pub struct Connection {
    socket: TcpStream,
    transport: Transport,
    /// The handshake has been answered.
    open: bool,
    /// The beginning of something that has not arrived wholly.
    unread: Vec<u8>,
}

/// Connects to the server, from the loopback address that is the `index`-th connection's.
pub fn connect(address: SocketAddrV4, index: usize) -> std::io::Result<std::net::TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    let source = Ipv4Addr::new(127, 0, 0, 2 + (index / PER_SOURCE) as u8);
    // Closed by a reset: else the ports of the last runs would be taken for a minute, and soon none would be left.
    socket.set_linger(Some(Duration::ZERO))?;
    socket.bind(&SocketAddrV4::new(source, 0).into())?;
    socket.connect_timeout(&address.into(), CONNECT_DEADLINE)?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket.into())
}

impl Connection {
    /// Connects and sends the handshake.
    pub fn open(address: SocketAddrV4, path: &str, transport: Transport, index: usize) -> Result<Self, String> {
        let head = match transport {
            Transport::WebSocket => format!(
                "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
            ),
            Transport::Sse => format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n\r\n"),
        };
        let socket = connect(address, index)
            .and_then(|mut socket| {
                socket.write_all(head.as_bytes())?;
                socket.set_nonblocking(true)?;
                Ok(TcpStream::from_std(socket))
            })
            .map_err(|error| format!("connection {index} cannot be opened: {error}"))?;
        Ok(Connection { socket, transport, open: false, unread: Vec::new() })
    }

    /// For registering it.
    pub fn socket(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    /// Whether the handshake has been answered.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Reads all that is there and hands the messages to `each`. `buffer` is anybody's, for the time of the call;
    /// `ends` says that the server has closed its side.
    pub fn read(
        &mut self,
        buffer: &mut [u8],
        ends: bool,
        mut each: impl FnMut(&TcpStream, &[u8]) -> Result<(), String>,
    ) -> Result<(), String> {
        loop {
            match self.socket.read(buffer) {
                Ok(0) => return Err("the server has closed it".into()),
                Ok(length) => {
                    self.feed(&buffer[..length], &mut each)?;
                    // Less than fits was all: another read would only say so. What comes later is told anew.
                    if length < buffer.len() && !ends {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    fn feed(
        &mut self,
        bytes: &[u8],
        each: &mut impl FnMut(&TcpStream, &[u8]) -> Result<(), String>,
    ) -> Result<(), String> {
        if self.open && self.unread.is_empty() {
            let taken = self.take(bytes, each)?;
            self.unread.extend_from_slice(&bytes[taken..]);
            return Ok(());
        }
        let mut unread = std::mem::take(&mut self.unread);
        unread.extend_from_slice(bytes);
        if !self.open {
            let Some(length) = head_length(&unread)? else {
                self.unread = unread;
                return Ok(());
            };
            self.check(&String::from_utf8_lossy(&unread[..length]))?;
            self.open = true;
            unread.drain(..length);
        }
        let taken = self.take(&unread, each)?;
        // Memory only for those that have something unread: there are thousands of connections.
        self.unread = unread[taken..].to_vec();
        Ok(())
    }

    fn take(
        &self,
        bytes: &[u8],
        each: &mut impl FnMut(&TcpStream, &[u8]) -> Result<(), String>,
    ) -> Result<usize, String> {
        parse(self.transport, bytes, |arrival| match arrival {
            Arrival::Message(data) => each(&self.socket, data),
            Arrival::Ping(payload) => send(&self.socket, &client_frame(0x8a, payload)),
        })
    }

    fn check(&self, head: &str) -> Result<(), String> {
        let (status, proof) = match self.transport {
            Transport::WebSocket => ("101", ACCEPT),
            Transport::Sse => ("200", "text/event-stream"),
        };
        if head.split(' ').nth(1) == Some(status) && head.contains(proof) {
            return Ok(());
        }
        Err(format!("the handshake was answered with:\n{head}"))
    }
}

/// Sends a frame. It is short, and the server reads: if the socket does not take it, something is wrong.
pub fn send(mut socket: &TcpStream, frame: &[u8]) -> Result<(), String> {
    match socket.write(frame) {
        Ok(length) if length == frame.len() => Ok(()),
        Ok(_) => Err("the server takes only a part of a frame".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// The length of a response's head with the empty line, once it is there.
pub fn head_length(bytes: &[u8]) -> Result<Option<usize>, String> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    match end {
        Some(at) => Ok(Some(at + 4)),
        None if bytes.len() > HEAD_MAX => Err("the response's head does not end".into()),
        None => Ok(None),
    }
}
