//! How a seat gives the connection of its request away.

use std::os::fd::{IntoRawFd, RawFd};

use magnus::{Error, RHash, Ruby, Value, rb_sys::AsRawValue};

use super::Seat;
use crate::error::{self, guarded};

impl Seat {
    /// The env of the current request.
    pub(super) fn env(ruby: &Ruby, this: &Self) -> Result<Option<RHash>, Error> {
        Ok(this.env.get().map(|env| ruby.get_inner(env)))
    }

    /// Takes the connection of the request in whose env `hijack` is, and returns the descriptor of the application's end.
    ///
    /// # Errors
    /// `Volador::Error` when the request is over or has an answer; `Errno::EMFILE`.
    pub(super) fn hijack(ruby: &Ruby, this: &Self, hijack: Value) -> Result<RawFd, Error> {
        guarded(ruby, || {
            let current = this.hijack.get().map(|current| ruby.get_inner(current).as_raw());
            if current != Some(hijack.as_raw()) {
                return Err(error::volador(ruby, "rack.hijack: the request is over"));
            }
            this.take_connection(ruby, b"")
        })
    }

    /// Takes the connection behind an answer of 101 (RFC 9110 §15.2.2) with these headers, of which Upgrade has to be one.
    ///
    /// # Errors
    /// `Volador::ResponseError` for headers that are not valid; as [`Self::hijack`].
    pub(super) fn switch(ruby: &Ruby, this: &Self, headers: Value) -> Result<RawFd, Error> {
        guarded(ruby, || {
            let head = this.read_head(ruby, headers)?;
            let mut first = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n".to_vec();
            // RFC 9110 §8.6: no Content-Length in a response with a status of 1xx.
            for (name, value) in head.fields().filter(|(name, _)| !matches!(*name, b"connection" | b"content-length")) {
                for part in [name, b": ", value, b"\r\n"] {
                    first.extend_from_slice(part);
                }
            }
            first.extend_from_slice(b"\r\n");
            this.take_connection(ruby, &first)
        })
    }

    pub(super) fn is_hijacked(ruby: &Ruby, this: &Self) -> Result<bool, Error> {
        Ok(this.desk(ruby)?.is_hijacked)
    }

    fn take_connection(&self, ruby: &Ruby, first: &[u8]) -> Result<RawFd, Error> {
        let mut desk = self.unanswered(ruby)?;
        let taken =
            desk.seat.hijack(first).map_err(|error| error::io(ruby, &error, "can't take the connection".to_owned()))?;
        let socket =
            taken.ok_or_else(|| error::volador(ruby, "there is no request whose connection could be taken"))?;
        desk.is_hijacked = true;
        // Whoever called makes an IO of it at once.
        Ok(socket.into_raw_fd())
    }
}
