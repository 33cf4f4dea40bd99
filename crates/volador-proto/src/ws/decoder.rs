//! [`Decoder`]: bytes of a client to messages, pings, pongs and the close.
//!
//! ```text
//!            +---------------- its payload is complete -----------------+
//!            v                                                          |
//!  input -> boundary -> head (0 to 13 bytes kept) -> payload (kept in pieces)
//! ```
//!
//! A frame that lies in the input as a whole is handed out from there. What comes in pieces is kept in a
//! [`Partial`], which exists only as long as something is partial. A compressed message is kept compressed until it is
//! complete: the [`Inflater`] is shared with other connections, and has no place for a half of one.

use super::{
    ProtocolError, close,
    deflate::{Inflater, compressed_max},
    frame::{Frame, HEAD_MAX, Opcode},
    mask,
    utf8::Utf8,
};
use crate::link::Payload;

/// What a client may send.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest message in bytes, all of its fragments together, and inflated if it is compressed.
    pub message_max_bytes: usize,
}

/// What a client sent. Borrows from the input, from the decoder when it came in pieces, or from the inflater.
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

/// What comes after a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// The next one.
    Frame,
    /// Nothing for now: the sink wants a rest.
    Rest,
    /// Nothing any more.
    End,
}

impl Next {
    fn after(goes_on: bool) -> Self {
        if goes_on { Self::Frame } else { Self::Rest }
    }
}

/// Decodes the frames of one client. Takes 16 bytes while nothing is partial.
#[derive(Debug, Default)]
pub struct Decoder {
    /// What has arrived in part; None at the boundary between two whole messages.
    partial: Option<Box<Partial>>,
    /// Set by a Close frame or an error: all further bytes are ignored.
    ended: bool,
}

#[derive(Debug, Default)]
struct Partial {
    /// The head at hand, when its rest has not arrived: `head[..head_len]`.
    head: [u8; HEAD_MAX],
    /// 0 when no head is partial, and always below [`HEAD_MAX`].
    head_len: usize,
    /// The frame at hand, when the rest of its payload has not arrived.
    frame: Option<Frame>,
    /// What has arrived of that frame's payload when it is a control frame; 125 bytes at most.
    control: Vec<u8>,
    /// The message at hand: its last frame is not complete. Control frames may come in between.
    message: Option<Message>,
}

impl Partial {
    fn is_empty(&self) -> bool {
        self.head_len == 0 && self.frame.is_none() && self.message.is_none()
    }
}

/// A message whose end has not arrived.
#[derive(Debug)]
struct Message {
    payload: Payload,
    /// Whether `data` is to be inflated.
    compressed: bool,
    /// Grows with what arrives: what a head announces is not believed.
    data: Vec<u8>,
    /// The state of `data` as text; not used for binary, nor for what is compressed.
    utf8: Utf8,
}

impl Message {
    fn push(&mut self, piece: &[u8]) -> Result<(), ProtocolError> {
        // §8.1 lets us fail at the end of the message only, but the sooner the better: the client can't mend it.
        if self.payload == Payload::Text && !self.compressed && !self.utf8.push(piece) {
            return Err(ProtocolError::BadUtf8);
        }
        self.data.extend_from_slice(piece);
        Ok(())
    }
}

impl Decoder {
    /// At the start of a connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Decodes `input`, whose payloads it unmasks in place, and calls `sink` for each event in order. When `sink` returns
    /// false it stops there. Returns how many bytes it has taken: all of them, unless it was stopped; those behind are as
    /// they were, and to be given again. An inflater is given if and only if compressed messages were negotiated.
    ///
    /// # Errors
    /// [`ProtocolError`] when the client broke the protocol; events before it have gone to `sink`. The decoder ignores
    /// what follows.
    pub fn decode(
        &mut self,
        input: &mut [u8],
        limits: &Limits,
        inflater: Option<&mut Inflater>,
        mut sink: impl FnMut(Event<'_>) -> bool,
    ) -> Result<usize, ProtocolError> {
        let len = input.len();
        if self.ended {
            return Ok(len);
        }
        let result = self.frames(input, limits, inflater, &mut sink);
        if matches!(result, Err(_) | Ok((Next::End, _))) {
            *self = Self { partial: None, ended: true };
        } else if self.partial.as_ref().is_some_and(|partial| partial.is_empty()) {
            self.partial = None;
        }
        result.map(|(next, rest)| if next == Next::Rest { len - rest } else { len })
    }

    /// Whether no frame and no message is partial.
    pub fn is_idle(&self) -> bool {
        self.partial.is_none()
    }

    /// Decodes until the input is used up, the events have ended, or the sink wants a rest. Returns with it how many bytes
    /// are left.
    fn frames(
        &mut self,
        mut input: &mut [u8],
        limits: &Limits,
        mut inflater: Option<&mut Inflater>,
        sink: &mut impl FnMut(Event<'_>) -> bool,
    ) -> Result<(Next, usize), ProtocolError> {
        while !input.is_empty() {
            let mut frame = match self.partial.as_mut().and_then(|partial| partial.frame.take()) {
                Some(frame) => frame,
                None => {
                    let (frame, rest) = self.head(input, inflater.is_some())?;
                    let Some(frame) = frame else { break };
                    self.check(&frame, limits)?;
                    input = rest;
                    frame
                }
            };
            let here = usize::try_from(frame.left).map_or(input.len(), |left| left.min(input.len()));
            if here == 0 && frame.left > 0 {
                // Only the head is here. Nothing is kept of the payload, so that it may still arrive as a whole.
                self.partial.get_or_insert_default().frame = Some(frame);
                break;
            }
            let (piece, rest) = input.split_at_mut(here);
            input = rest;
            mask::apply(piece, frame.key);
            frame.advance(here);
            let next = match frame.opcode.is_control() {
                true => self.control(&frame, piece, sink)?,
                false => self.data(&frame, piece, limits, inflater.as_deref_mut(), sink)?,
            };
            if next != Next::Frame {
                return Ok((next, input.len()));
            }
            if frame.left > 0 {
                self.partial.get_or_insert_default().frame = Some(frame);
            }
        }
        Ok((Next::Frame, 0))
    }

    /// Reads the head of the next frame from `input`, which is not empty, and returns what follows it. When the head is
    /// not complete its bytes are kept.
    fn head<'i>(&mut self, input: &'i mut [u8], deflate: bool) -> Result<(Option<Frame>, &'i mut [u8]), ProtocolError> {
        if let Some(partial) = &mut self.partial
            && partial.head_len > 0
        {
            for (i, &byte) in input.iter().enumerate() {
                partial.head[partial.head_len] = byte;
                partial.head_len += 1;
                if let Some((frame, _)) = Frame::parse(&partial.head[..partial.head_len], deflate)? {
                    partial.head_len = 0;
                    return Ok((Some(frame), &mut input[i + 1..]));
                }
            }
            return Ok((None, &mut []));
        }
        if let Some((frame, len)) = Frame::parse(input, deflate)? {
            return Ok((Some(frame), &mut input[len..]));
        }
        let partial = self.partial.get_or_insert_default();
        partial.head[..input.len()].copy_from_slice(input);
        partial.head_len = input.len();
        Ok((None, &mut []))
    }

    /// Judges a frame by what came before it, and by its announced length.
    fn check(&self, frame: &Frame, limits: &Limits) -> Result<(), ProtocolError> {
        if frame.opcode.is_control() {
            // §5.4: "Control frames MAY be injected in the middle of a fragmented message."
            return Ok(());
        }
        let message = self.partial.as_ref().and_then(|partial| partial.message.as_ref());
        // §5.4: "The fragments of one message MUST NOT be interleaved between the fragments of another message".
        match (message.is_some(), frame.opcode == Opcode::Continuation) {
            (false, true) => return Err(ProtocolError::NothingToContinue),
            (true, false) => return Err(ProtocolError::Interleaved),
            _ => {}
        }
        let max = limits.message_max_bytes;
        let compressed = message.map_or(frame.compressed, |message| message.compressed);
        let most = if compressed { compressed_max(max) } else { max };
        let room = most.saturating_sub(message.map_or(0, |message| message.data.len()));
        if frame.left > room as u64 {
            return Err(ProtocolError::TooBig { max });
        }
        Ok(())
    }

    /// Takes the next piece of a data frame.
    fn data(
        &mut self,
        frame: &Frame,
        piece: &[u8],
        limits: &Limits,
        inflater: Option<&mut Inflater>,
        sink: &mut impl FnMut(Event<'_>) -> bool,
    ) -> Result<Next, ProtocolError> {
        let last = frame.fin && frame.left == 0;
        let payload = if frame.opcode == Opcode::Text { Payload::Text } else { Payload::Binary };
        if last && self.partial.as_ref().is_none_or(|partial| partial.message.is_none()) {
            let whole = match inflater {
                Some(inflater) if frame.compressed => inflater.inflate(piece, limits.message_max_bytes)?,
                _ => piece,
            };
            return whole_message(payload, whole, sink);
        }
        let slot = &mut self.partial.get_or_insert_default().message;
        // `check` has seen to it that a continuation finds its message here.
        let message = slot.get_or_insert_with(|| Message {
            payload,
            compressed: frame.compressed,
            data: Vec::new(),
            utf8: Utf8::default(),
        });
        message.push(piece)?;
        match (last.then(|| slot.take()).flatten(), inflater) {
            (None, _) => Ok(Next::Frame),
            (Some(message), Some(inflater)) if message.compressed => {
                whole_message(message.payload, inflater.inflate(&message.data, limits.message_max_bytes)?, sink)
            }
            (Some(message), _) if !message.utf8.is_complete() => Err(ProtocolError::BadUtf8),
            (Some(message), _) => Ok(Next::after(sink(Event::Message(message.payload, &message.data)))),
        }
    }

    /// Takes the next piece of a control frame.
    fn control(
        &mut self,
        frame: &Frame,
        piece: &[u8],
        sink: &mut impl FnMut(Event<'_>) -> bool,
    ) -> Result<Next, ProtocolError> {
        if frame.left > 0 {
            self.partial.get_or_insert_default().control.extend_from_slice(piece);
            return Ok(Next::Frame);
        }
        let mut kept = self.partial.as_mut().map_or_else(Vec::new, |partial| std::mem::take(&mut partial.control));
        let payload = if kept.is_empty() {
            piece
        } else {
            kept.extend_from_slice(piece);
            &kept
        };
        let event = match frame.opcode {
            Opcode::Ping => Event::Ping(payload),
            Opcode::Pong => Event::Pong(payload),
            _ => {
                sink(close::parse(payload)?);
                return Ok(Next::End);
            }
        };
        Ok(Next::after(sink(event)))
    }
}

/// Hands out a message that has not been looked at piece by piece.
fn whole_message(
    payload: Payload,
    data: &[u8],
    sink: &mut impl FnMut(Event<'_>) -> bool,
) -> Result<Next, ProtocolError> {
    if payload == Payload::Text && simdutf8::basic::from_utf8(data).is_err() {
        return Err(ProtocolError::BadUtf8);
    }
    Ok(Next::after(sink(Event::Message(payload, data))))
}

#[cfg(test)]
mod tests;
