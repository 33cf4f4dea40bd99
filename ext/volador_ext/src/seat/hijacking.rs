//! How a seat gives the connection of its request away.

use std::{
    os::fd::{IntoRawFd, RawFd},
    time::SystemTime,
};

use http::StatusCode;
use magnus::{Error, RHash, Ruby, Value, rb_sys::AsRawValue, value::Fixnum};

use super::{Seat, answers::SWITCHING_PROTOCOLS};
use crate::{
    error::{self, guarded},
    response,
};

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

    /// Takes the connection behind a head: of 101 (RFC 9110 §15.2.2), of whose headers Upgrade has to be one, or of an
    /// answer that ends with its connection, unless the application frames it. `is_chunked`: it does so by Transfer-Encoding.
    ///
    /// # Errors
    /// `Volador::ResponseError` for what is not valid; as [`Self::hijack`].
    pub(super) fn hijack_after(
        ruby: &Ruby,
        this: &Self,
        status: Value,
        headers: Value,
        is_chunked: bool,
    ) -> Result<RawFd, Error> {
        guarded(ruby, || {
            let status = match Fixnum::from_value(status).map(|status| status.to_i64()) {
                Some(SWITCHING_PROTOCOLS) => StatusCode::SWITCHING_PROTOCOLS,
                _ => StatusCode::from_u16(response::status(ruby, status)?).unwrap_or_default(),
            };
            let head = this.read_head(ruby, headers)?;
            let is_switch = status == StatusCode::SWITCHING_PROTOCOLS;
            let reason = status.canonical_reason().unwrap_or_default();
            let mut first = format!("HTTP/1.1 {} {reason}\r\n", status.as_str()).into_bytes();
            let mut line = |name: &[u8], value: &[u8]| {
                [name, b": ", value, b"\r\n"].iter().for_each(|part| first.extend_from_slice(part));
            };
            line(b"connection", if is_switch { b"upgrade" } else { b"close" });
            let mut has_date = is_switch;
            for (name, value) in head.fields() {
                has_date |= name == b"date";
                // RFC 9110 §8.6: no Content-Length in a response with a status of 1xx; RFC 9112 §6.2: nor beside a
                // Transfer-Encoding.
                if name != b"connection" && (name != b"content-length" || !(is_switch || is_chunked)) {
                    line(name, value);
                }
            }
            if is_chunked {
                line(b"transfer-encoding", b"chunked");
            }
            if !has_date {
                line(b"date", httpdate::fmt_http_date(SystemTime::now()).as_bytes());
            }
            first.extend_from_slice(b"\r\n");
            this.take_connection(ruby, &first)
        })
    }

    pub(super) fn is_hijacked(ruby: &Ruby, this: &Self) -> Result<bool, Error> {
        guarded(ruby, || Ok(this.desk(ruby)?.is_hijacked))
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
