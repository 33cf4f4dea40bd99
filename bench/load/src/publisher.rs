//! The plain HTTP connection on which the server is asked to publish.

use crate::connection::{connect, head_length};
use crate::options::{Options, Publication};
use mio::net::TcpStream;
use std::io::{ErrorKind, Read, Write};

/// A kept-alive HTTP connection.
pub struct Publisher {
    socket: TcpStream,
    /// All that is sent for one burst.
    requests: Vec<u8>,
    /// How many requests that is.
    count: usize,
    unread: Vec<u8>,
    /// Requests under way.
    pub unanswered: usize,
}

impl Publisher {
    /// Connects.
    pub fn open(options: &Options, message: &[u8]) -> Result<Self, String> {
        let (address, burst) = (options.address, options.burst);
        let socket = connect(address, 0)
            .and_then(|socket| socket.set_nonblocking(true).map(|()| TcpStream::from_std(socket)))
            .map_err(|error| format!("the publisher cannot connect: {error}"))?;
        let (requests, count) = match options.publication {
            // Without a length there is no body. Pushpin closes the connection after a length of 0.
            Publication::Query => {
                (format!("POST /publish?count={burst} HTTP/1.1\r\nHost: {address}\r\n\r\n").into(), 1)
            }
            Publication::Body => {
                let length = message.len();
                let head = format!("POST /publish HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\n\r\n");
                ([head.as_bytes(), message].concat().repeat(burst), burst)
            }
        };
        Ok(Publisher { socket, requests, count, unread: Vec::new(), unanswered: 0 })
    }

    /// For registering it.
    pub fn socket(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    /// Asks for the publications.
    pub fn publish(&mut self) -> Result<(), String> {
        self.unanswered = self.count;
        let sent = self.socket.write(&self.requests).map_err(|error| format!("publisher: {error}"))?;
        if sent == self.requests.len() {
            Ok(())
        } else {
            Err("the server does not take the publisher's requests".into())
        }
    }

    /// Reads what has come of the responses.
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
        while let Some(length) = response_length(&self.unread)? {
            self.unread.drain(..length);
            self.unanswered = self.unanswered.checked_sub(1).ok_or("a publication was answered twice")?;
        }
        Ok(())
    }
}

/// The length of the response that `bytes` begin with, once all of it is there.
fn response_length(bytes: &[u8]) -> Result<Option<usize>, String> {
    match response(bytes)? {
        Some((200..300, length)) => Ok(Some(length)),
        Some((status, _)) => Err(format!("a publication was answered with {status}")),
        None => Ok(None),
    }
}

/// The status and the length of the response that `bytes` begin with, once all of it is there.
pub fn response(bytes: &[u8]) -> Result<Option<(u16, usize)>, String> {
    let Some(head) = head_length(bytes)? else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| format!("a response has no status:\n{text}"))?;
    let body = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .and_then(|length| length.trim().parse::<usize>().ok())
        .ok_or_else(|| format!("a response has no length:\n{text}"))?;
    Ok((bytes.len() >= head + body).then_some((status, head + body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_over_with_its_body() {
        let response = b"HTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\nabc";
        assert_eq!(response_length(&response[..response.len() - 1]), Ok(None));
        assert_eq!(response_length(&[response, &b"HTTP/1.1"[..]].concat()), Ok(Some(response.len())));
    }

    #[test]
    fn an_error_is_no_answer_to_a_publication() {
        assert!(response_length(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n").is_err());
    }
}
