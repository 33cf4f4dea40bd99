//! [`HeadWatch`]: finds the heads in the bytes of a connection.
//!
//! ```text
//!           +--------------------- the body's end ----------------------+
//!           v                                                           |
//!  feed -> Head (its bytes kept while it is partial) -> judged -> Length | Chunked (bytes dropped)
//!                                                       |          |
//!                                       take_head <- judged heads  +-> Lost (all dropped) after a fault
//! ```
//!
//! A head is judged as soon as it is complete, mostly right in the bytes that were read, and only the judgement is kept
//! until the parser has come to it.

use std::collections::VecDeque;

use super::{
    HeadFault,
    chunked::Chunked,
    head::{self, Framing, Judged},
};

/// What a head may have.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// The largest head in bytes: request line, fields, the empty line, and empty lines before it all.
    pub head_max_bytes: usize,
    /// The longest request target in bytes.
    pub target_max_bytes: usize,
}

/// Watches the bytes of one HTTP connection. It holds memory of its own only for a head that is partial, and for
/// requests that are pipelined.
#[derive(Debug, Default)]
pub struct HeadWatch {
    at: At,
    /// The bytes of the head that is partial.
    partial: Vec<u8>,
    /// How far `partial` has been searched.
    search: Search,
    /// The judgement of the head that the parser hands out next.
    front: Option<Judged>,
    /// Those of pipelined heads; empty when there is no `front`.
    behind: VecDeque<Judged>,
}

/// What the next byte belongs to.
#[derive(Debug, Default)]
enum At {
    #[default]
    Head,
    /// A body of which so many bytes are left; never 0.
    Length(u64),
    Chunked(Chunked),
    /// What follows a fault has no meaning.
    Lost(HeadFault),
}

impl HeadWatch {
    /// At the start of a connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes that were read from the socket.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match &mut self.at {
                At::Head => bytes = self.head(bytes),
                At::Length(left) => {
                    let skip = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                    bytes = &bytes[skip..];
                    *left -= skip as u64;
                    if *left == 0 {
                        self.at = At::Head;
                    }
                }
                At::Chunked(chunked) => match chunked.follow(bytes) {
                    Ok(None) => return,
                    Ok(Some(rest)) => {
                        bytes = rest;
                        self.at = At::Head;
                    }
                    Err(_) => self.at = At::Lost(HeadFault::Chunk),
                },
                At::Lost(_) => return,
            }
        }
    }

    /// Whether no byte of a next head has arrived: the connection is idle once the last request is answered. Empty lines
    /// before a head are not part of it.
    pub fn is_empty(&self) -> bool {
        matches!(self.at, At::Head) && self.front.is_none() && self.search.found_nothing(&self.partial)
    }

    /// While the parser waits for a head: the fault that shows already, before the head at the front is complete.
    pub fn overflow(&self, limits: &HeadLimits) -> Option<HeadFault> {
        if let Some(judged) = &self.front {
            return judged.overflow(limits);
        }
        if let At::Lost(fault) = self.at {
            return Some(fault);
        }
        let begun = self.search.request_line.map_or(&[][..], |start| &self.partial[start..]);
        if head::is_http_2(begun) {
            return Some(HeadFault::Http2);
        }
        head::overflow(self.partial.len(), head::target_len(begun), limits)
    }

    /// What is wrong with the body of the request whose head the parser has handed out last. Here the parser is laxer: it
    /// takes LF alone for a line end in the trailer section, and would go on reading what is meant as the next head.
    pub fn body_fault(&self) -> Option<HeadFault> {
        match self.at {
            At::Lost(fault @ HeadFault::Chunk) if self.front.is_none() => Some(fault),
            _ => None,
        }
    }

    /// The parser has just handed out the head at the front: tells what is wrong with it, and forgets it.
    ///
    /// # Errors
    /// [`HeadFault`] when the request is to be refused. The connection must not be used after the answer.
    pub fn take_head(&mut self, limits: &HeadLimits) -> Result<(), HeadFault> {
        let Some(judged) = self.front.take() else {
            return Err(match self.at {
                At::Lost(fault) => fault,
                _ => HeadFault::Unseen,
            });
        };
        self.front = self.behind.pop_front();
        if self.front.is_none() {
            self.behind = VecDeque::new();
        }
        judged.verdict(limits)
    }

    /// Takes the next bytes of a head, and returns those that follow it.
    fn head<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let before = self.partial.len();
        if before == 0 {
            return match self.search.end(bytes) {
                Some(end) => {
                    self.judge(&bytes[..end]);
                    &bytes[end..]
                }
                None => {
                    self.partial.extend_from_slice(bytes);
                    &[]
                }
            };
        }
        self.partial.extend_from_slice(bytes);
        let Some(end) = self.search.end(&self.partial) else { return &[] };
        let partial = std::mem::take(&mut self.partial);
        self.judge(&partial[..end]);
        &bytes[end - before..]
    }

    fn judge(&mut self, head: &[u8]) {
        let request_line = std::mem::take(&mut self.search).request_line.unwrap_or(0);
        let (judged, framing) = Judged::new(head, request_line);
        self.at = match framing {
            Ok(Framing::Length(0)) => At::Head,
            Ok(Framing::Length(length)) => At::Length(length),
            Ok(Framing::Chunked) => At::Chunked(Chunked::Start),
            Err(fault) => At::Lost(fault),
        };
        match self.front {
            None => self.front = Some(judged),
            Some(_) => self.behind.push_back(judged),
        }
    }
}

/// The search for the end of a head in bytes that grow: no byte is looked at twice.
#[derive(Debug, Default)]
struct Search {
    /// Bytes without a line end that was not seen.
    searched: usize,
    /// Where the line at hand begins; at most `searched`.
    line: usize,
    /// Where the request line begins, once there is a line that is not empty and complete, or the line at hand has begun.
    request_line: Option<usize>,
}

impl Search {
    /// The head's length; None when its end is not among the bytes.
    ///
    /// The parser takes LF alone for a line end, so the end is found where the parser finds it, and judged later.
    fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        while let Some(lf) = memchr::memchr(b'\n', &bytes[self.searched..]) {
            let lf = self.searched + lf;
            let line = &bytes[self.line..lf];
            self.searched = lf + 1;
            if !matches!(line, b"" | b"\r") {
                self.request_line.get_or_insert(self.line);
            } else if self.request_line.is_some() {
                return Some(lf + 1);
            }
            self.line = lf + 1;
        }
        self.searched = bytes.len();
        if !matches!(bytes[self.line..], [] | [b'\r']) {
            self.request_line.get_or_insert(self.line);
        }
        None
    }

    /// Whether there is nothing among the bytes but empty lines.
    fn found_nothing(&self, bytes: &[u8]) -> bool {
        self.request_line.is_none() && self.line == bytes.len()
    }
}

#[cfg(test)]
mod tests;
