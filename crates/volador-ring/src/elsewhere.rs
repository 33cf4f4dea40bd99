//! Systems without io_uring.

use std::io;

use crate::{Receive, Send};

/// There is none here.
#[derive(Debug)]
pub enum Ring {}

impl Ring {
    /// Entries that one system call takes.
    pub const BATCH: usize = 1;

    /// # Errors
    /// Always.
    pub fn new() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Not reached.
    pub fn send_all(&mut self, _sends: &[Send<'_>], _each: impl FnMut(usize, io::Result<usize>)) {
        match *self {}
    }

    /// Not reached.
    pub fn receive_all(&mut self, _receives: &mut [Receive<'_>], _each: impl FnMut(usize, io::Result<usize>)) {
        match *self {}
    }
}
