//! Sends to many sockets, or receives from them, with one system call, by io_uring(7).
//!
//! A publication to a thousand sockets is a thousand `send` calls, and entering and leaving the kernel is a good part of
//! what they cost. Here a [`Ring`] takes a batch of sends or receives, enters the kernel once, and tells what became of
//! each.
//!
//! This crate exists because the interface to the ring is `unsafe`: the kernel is given addresses. It is the smallest
//! piece that can be safe to use. Nothing is left under way when [`Ring::send_all`] or [`Ring::receive_all`] returns, so the
//! borrows of their arguments are all that is needed.
//!
//! Where the kernel has no io_uring or does not allow it (containers often do not), [`Ring::new`] fails, and the caller
//! has a call for each. Where it is forbidden later, the ring itself makes a call for each.

mod ring;

pub use ring::Ring;

use std::os::fd::BorrowedFd;

/// Bytes for a socket. They are sent as far as the socket takes them without waiting.
#[derive(Clone, Copy, Debug)]
pub struct Send<'a> {
    /// A stream socket.
    pub socket: BorrowedFd<'a>,
    /// At most 4 GiB; of more the rest counts as not taken.
    pub bytes: &'a [u8],
}

/// Where to put what has arrived at a socket. Nothing is waited for.
#[derive(Debug)]
pub struct Receive<'a> {
    /// A stream socket.
    pub socket: BorrowedFd<'a>,
    /// Not empty, or the end of the stream can't be told.
    pub buf: &'a mut [u8],
}
