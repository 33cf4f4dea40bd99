//! [`Event`]: one event as its block of lines.

use bytes::{BufMut, Bytes, BytesMut};

/// One server-sent event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Event<'a> {
    /// The text. Its line ends (CR LF, CR or LF) arrive as LF: the format carries no other.
    pub data: &'a str,
    /// The type that listeners subscribe to; None is "message".
    pub event: Option<&'a str>,
    /// What the client sends as `Last-Event-ID` when it comes back; None leaves the last one as it is.
    pub id: Option<&'a str>,
    /// Milliseconds that the client waits before it comes back; None leaves them as they are.
    pub retry_ms: Option<u64>,
}

/// An event that would change its meaning on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// A line end would start a field of its own.
    #[error("the {field} of a server-sent event must not contain a line end (CR or LF): remove it")]
    LineEnd {
        /// "event" or "id".
        field: &'static str,
    },
    /// Clients ignore an id with NUL.
    #[error("the id of a server-sent event must not contain NUL: clients would ignore it")]
    NulInId,
}

impl Event<'_> {
    /// The event's bytes.
    ///
    /// # Errors
    /// [`EventError`] when `event` or `id` can't be carried; nothing of it may be sent.
    pub fn encode(&self) -> Result<Bytes, EventError> {
        for (field, value) in [("event", self.event), ("id", self.id)] {
            if value.is_some_and(|value| memchr::memchr2(b'\r', b'\n', value.as_bytes()).is_some()) {
                return Err(EventError::LineEnd { field });
            }
        }
        if self.id.is_some_and(|id| id.contains('\0')) {
            return Err(EventError::NulInId);
        }
        let mut out = BytesMut::with_capacity(self.data.len() + 64);
        if let Some(event) = self.event {
            line(b"event: ", event, &mut out);
        }
        if let Some(id) = self.id {
            line(b"id: ", id, &mut out);
        }
        if let Some(retry_ms) = self.retry_ms {
            line(b"retry: ", &retry_ms.to_string(), &mut out);
        }
        data_lines(self.data, &mut out);
        Ok(out.freeze())
    }
}

/// One event of the default type with this text. Bytes that are not UTF-8 become U+FFFD.
pub fn data(data: &[u8]) -> Bytes {
    let text = String::from_utf8_lossy(data);
    let mut out = BytesMut::with_capacity(text.len() + 16);
    data_lines(&text, &mut out);
    out.freeze()
}

/// A comment: it keeps proxies from closing a quiet connection, and clients ignore it.
pub fn heartbeat() -> Bytes {
    Bytes::from_static(b":\n\n")
}

fn line(field: &[u8], value: &str, out: &mut BytesMut) {
    out.put_slice(field);
    out.put_slice(value.as_bytes());
    out.put_u8(b'\n');
}

/// The text as `data` lines and the empty line that ends the event. A line end at the text's end makes one more, empty
/// line: the client joins the lines with LF and takes nothing else away (§9.2.6).
fn data_lines(text: &str, out: &mut BytesMut) {
    let mut rest = text;
    while let Some(end) = memchr::memchr2(b'\r', b'\n', rest.as_bytes()) {
        line(b"data: ", &rest[..end], out);
        rest = &rest[end..];
        rest = rest.strip_prefix("\r\n").unwrap_or_else(|| &rest[1..]);
    }
    line(b"data: ", rest, out);
    out.put_u8(b'\n');
}
