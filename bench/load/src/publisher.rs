//! The plain HTTP connection on which the server is asked to publish.

use crate::connection::{connect, head_length};
use mio::net::TcpStream;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddrV4;

/// A kept-alive HTTP connection with at most one request under way.
pub struct Publisher {
    socket: TcpStream,
    request: String,
    unread: Vec<u8>,
    /// No request is under way.
    pub answered: bool,
}

impl Publisher {
    /// Connects. Each request will ask for `burst` publications.
    pub fn open(address: SocketAddrV4, burst: usize) -> Result<Self, String> {
        let socket = connect(address, 0)
            .and_then(|socket| socket.set_nonblocking(true).map(|()| TcpStream::from_std(socket)))
            .map_err(|error| format!("the publisher cannot connect: {error}"))?;
        let request = format!("POST /publish?count={burst} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n");
        Ok(Publisher { socket, request, unread: Vec::new(), answered: true })
    }

    /// For registering it.
    pub fn socket(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    /// Asks for the publications.
    pub fn publish(&mut self) -> Result<(), String> {
        self.answered = false;
        let sent = self.socket.write(self.request.as_bytes()).map_err(|error| format!("publisher: {error}"))?;
        if sent == self.request.len() { Ok(()) } else { Err("the server does not take the publisher's request".into()) }
    }

    /// Reads what has come of the response.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<(), String> {
        loop {
            match self.socket.read(buffer) {
                Ok(0) => return Err("the server has closed the publisher's connection".into()),
                Ok(length) => self.unread.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("publisher: {error}")),
            }
        }
        let Some(head) = head_length(&self.unread)? else { return Ok(()) };
        let text = String::from_utf8_lossy(&self.unread[..head]).to_ascii_lowercase();
        if text.split(' ').nth(1) != Some("200") {
            return Err(format!("a publication was answered with:\n{text}"));
        }
        let body = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))
            .and_then(|length| length.trim().parse::<usize>().ok())
            .ok_or_else(|| format!("the response to a publication has no length:\n{text}"))?;
        if self.unread.len() >= head + body {
            self.unread.clear();
            self.answered = true;
        }
        Ok(())
    }
}
