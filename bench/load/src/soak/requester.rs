//! A plain HTTP connection: one request at a time.

use super::tally::End;
use crate::connection::connect;
use crate::publisher::response;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddrV4;
use std::time::Instant;

/// A kept-alive HTTP connection, opened anew when the server closes it.
pub struct Requester {
    address: SocketAddrV4,
    token: Token,
    socket: TcpStream,
    unread: Vec<u8>,
    /// When the request under way was due.
    pub busy: Option<Instant>,
}

impl Requester {
    /// Connects.
    pub fn open(address: SocketAddrV4, token: Token, registry: &Registry) -> Result<Self, String> {
        let socket = socket(address, token, registry)?;
        Ok(Requester { address, token, socket, unread: Vec::new(), busy: None })
    }

    /// Sends a request without a body.
    pub fn send(&mut self, line: &str, due: Instant, registry: &Registry) -> Result<(), String> {
        // The server may have closed a connection on which nothing was asked for long. What it closes after this was asked.
        if !matches!(self.socket.peek(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock) {
            self.reopen(registry)?;
        }
        self.busy = Some(due);
        let request = format!("{line} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address);
        self.socket.write_all(request.as_bytes()).map_err(|error| format!("a request: {error}"))
    }

    /// Reads what is there. Returns how the request under way has ended, if it has.
    pub fn read(&mut self, buffer: &mut [u8], registry: &Registry) -> Result<Option<End>, String> {
        loop {
            match self.socket.read(buffer) {
                Ok(length) if length > 0 => self.unread.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The end; but an answer may have come before it.
                _ => {
                    let end = self.answer()?;
                    self.reopen(registry)?;
                    return Ok(end.or_else(|| self.busy.map(|_| End::Lost)));
                }
            }
        }
        let end = self.answer()?;
        if end.is_some_and(|end| end != End::Answered) {
            // It says that it closes the connection: nothing may be asked there any more.
            self.reopen(registry)?;
        }
        Ok(end)
    }

    fn answer(&mut self) -> Result<Option<End>, String> {
        let Some((status, length)) = response(&self.unread)? else { return Ok(None) };
        self.unread.drain(..length);
        Ok(Some(match status {
            200 => End::Answered,
            502 => End::Lost,
            _ => End::Failed,
        }))
    }

    fn reopen(&mut self, registry: &Registry) -> Result<(), String> {
        self.unread.clear();
        self.socket = socket(self.address, self.token, registry)?;
        Ok(())
    }
}

fn socket(address: SocketAddrV4, token: Token, registry: &Registry) -> Result<TcpStream, String> {
    let open = || {
        let socket = connect(address, 0)?;
        socket.set_nonblocking(true)?;
        let mut socket = TcpStream::from_std(socket);
        registry.register(&mut socket, token, Interest::READABLE)?;
        Ok(socket)
    };
    open().map_err(|error: std::io::Error| format!("a requester cannot connect: {error}"))
}
