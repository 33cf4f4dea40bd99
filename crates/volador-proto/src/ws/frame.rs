//! The head of a client's frame (RFC 6455 §5.2).
//!
//! ```text
//!  byte 0                     byte 1
//! +-----+--------+--------+  +------+----------+----------------------------+----------+
//! | FIN | RSV1-3 | opcode |  | MASK | 7 bits   | 0, 2 or 8 bytes of length  | mask key |
//! | 1   | 3      | 4 bits |  | 1    | length   | (7 bits say 126 or 127)    | 4 bytes  |
//! +-----+--------+--------+  +------+----------+----------------------------+----------+
//! ```

use super::ProtocolError;
use crate::link::Payload;

/// Bytes that the payload of a control frame may have at most (§5.5).
pub(super) const CONTROL_MAX: usize = 125;

/// Bytes of the longest head of a client.
pub(super) const HEAD_MAX: usize = 14;

/// The bit of a message's last frame.
pub(super) const FIN: u8 = 0x80;

/// The bit of a compressed message's first frame (RFC 7692 §6).
pub(super) const RSV1: u8 = 0x40;

/// What a frame is (§11.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    fn parse(byte: u8) -> Result<Self, ProtocolError> {
        Ok(match byte & 0x0f {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            // §5.2: "If an unknown opcode is received, the receiving endpoint MUST _Fail the WebSocket Connection_."
            reserved => return Err(ProtocolError::ReservedOpcode(reserved)),
        })
    }

    pub(super) fn of(payload: Payload) -> Self {
        match payload {
            Payload::Text => Self::Text,
            Payload::Binary => Self::Binary,
        }
    }

    pub(super) fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// A frame of a client whose head has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Whether it is the last frame of its message.
    pub fin: bool,
    /// Whether it begins a compressed message.
    pub compressed: bool,
    pub opcode: Opcode,
    /// Bytes of the payload that have not arrived.
    pub left: u64,
    /// The mask key, turned so that it starts with the byte for the next byte of the payload.
    pub key: [u8; 4],
}

impl Frame {
    /// Reads a head from the start of `bytes`: the frame and the head's length. None when the head is not complete;
    /// what is there has been judged all the same. `deflate` says that compressed messages were negotiated.
    pub(super) fn parse(bytes: &[u8], deflate: bool) -> Result<Option<(Self, usize)>, ProtocolError> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        let (fin, compressed) = (first & FIN != 0, first & RSV1 != 0);
        // §5.2: RSV1-3 "MUST be 0 unless an extension is negotiated that defines meanings for non-zero values."
        if first & 0x30 != 0 || (compressed && !deflate) {
            return Err(ProtocolError::ReservedBit);
        }
        let opcode = Opcode::parse(first)?;
        // RFC 7692 §6.1: the bit is set on "the first fragment" of a message, and on no control frame.
        if compressed && !matches!(opcode, Opcode::Text | Opcode::Binary) {
            return Err(ProtocolError::ReservedBit);
        }
        // §5.5: "All control frames MUST have a payload length of 125 bytes or less and MUST NOT be fragmented."
        if opcode.is_control() && !fin {
            return Err(ProtocolError::FragmentedControl);
        }
        let Some(&second) = bytes.get(1) else { return Ok(None) };
        // §5.1: "The server MUST close the connection upon receiving a frame that is not masked."
        if second & 0x80 == 0 {
            return Err(ProtocolError::Unmasked);
        }
        let short = second & 0x7f;
        if opcode.is_control() && usize::from(short) > CONTROL_MAX {
            return Err(ProtocolError::LongControl);
        }
        // §5.2: "in all cases, the minimal number of bytes MUST be used to encode the length", and of the 8 bytes "the
        // most significant bit MUST be 0".
        let (left, rest) = match short {
            126 => {
                let Some((len, rest)) = bytes[2..].split_first_chunk() else { return Ok(None) };
                (u64::from(u16::from_be_bytes(*len)), rest)
            }
            127 => {
                let Some((len, rest)) = bytes[2..].split_first_chunk() else { return Ok(None) };
                (u64::from_be_bytes(*len), rest)
            }
            _ => (u64::from(short), &bytes[2..]),
        };
        let minimal = match short {
            126 => left > CONTROL_MAX as u64,
            127 => left > 0xffff && left >> 63 == 0,
            _ => true,
        };
        if !minimal {
            return Err(ProtocolError::BadLength);
        }
        let Some((&key, rest)) = rest.split_first_chunk() else { return Ok(None) };
        Ok(Some((Self { fin, compressed, opcode, left, key }, bytes.len() - rest.len())))
    }

    /// Notes that the next `n` bytes of the payload have arrived.
    pub(super) fn advance(&mut self, n: usize) {
        self.left -= n as u64;
        self.key.rotate_left(n % 4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_in_every_form_of_their_length() {
        for (bytes, fin, opcode, left) in [
            (&b"\x81\x85\x01\x02\x03\x04"[..], true, Opcode::Text, 5),
            (b"\x02\xfe\x00\x7e\x01\x02\x03\x04", false, Opcode::Binary, 126),
            (b"\x80\xff\0\0\0\0\0\x01\0\0\x01\x02\x03\x04", true, Opcode::Continuation, 0x1_0000),
            (b"\x80\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x01\x02\x03\x04", true, Opcode::Continuation, u64::MAX >> 1),
            (b"\x8a\xfd\x01\x02\x03\x04", true, Opcode::Pong, 125),
        ] {
            for deflate in [false, true] {
                let frame = Frame { fin, compressed: false, opcode, left, key: [1, 2, 3, 4] };
                assert_eq!(Frame::parse(bytes, deflate), Ok(Some((frame, bytes.len()))));
                let with_payload = [bytes, b"payload"].concat();
                assert_eq!(Frame::parse(&with_payload, deflate), Ok(Some((frame, bytes.len()))));
                for len in 0..bytes.len() {
                    assert_eq!(Frame::parse(&bytes[..len], deflate), Ok(None));
                }
            }
        }
    }

    #[test]
    fn faults_show_at_the_first_byte_that_has_them() {
        use ProtocolError::*;
        for (bytes, error) in [
            (&b"\xc1"[..], ReservedBit),
            (b"\xa1", ReservedBit),
            (b"\x91", ReservedBit),
            (b"\x83", ReservedOpcode(3)),
            (b"\x87", ReservedOpcode(7)),
            (b"\x8b", ReservedOpcode(11)),
            (b"\x8f", ReservedOpcode(15)),
            (b"\x08", FragmentedControl),
            (b"\x09", FragmentedControl),
            (b"\x81\x05", Unmasked),
            (b"\x89\xfe", LongControl),
            (b"\x88\xff", LongControl),
            (b"\x81\xfe\x00\x7d", BadLength),
            (b"\x81\xff\0\0\0\0\0\0\xff\xff", BadLength),
            (b"\x81\xff\x80\0\0\0\0\0\0\0", BadLength),
        ] {
            assert_eq!(Frame::parse(bytes, false), Err(error), "{bytes:x?}");
            assert_eq!(Frame::parse(&bytes[..bytes.len() - 1], false), Ok(None), "{bytes:x?}");
        }
    }

    #[test]
    fn rsv1_is_for_the_first_frames_of_messages_where_deflate_was_negotiated() {
        for first in 0..=0xff {
            let (rsv1, others, opcode) = (first & 0x40 != 0, first & 0x30, first & 0x0f);
            let may_begin = rsv1 && others == 0 && matches!(opcode, 1 | 2);
            match Frame::parse(&[first, 0x80, 0, 0, 0, 0], true) {
                Ok(Some((frame, _))) => assert_eq!(frame.compressed, may_begin, "{first:x}"),
                Ok(None) => panic!("{first:x}"),
                Err(error) => assert!(!may_begin && (!rsv1 || error != ProtocolError::FragmentedControl), "{first:x}"),
            }
            let without = Frame::parse(&[first, 0x80, 0, 0, 0, 0], false);
            assert_eq!(without == Err(ProtocolError::ReservedBit), first & 0x70 != 0, "{first:x}");
        }
    }

    #[test]
    fn key_turns_with_the_payload() {
        let mut frame = Frame { fin: true, compressed: false, opcode: Opcode::Text, left: 9, key: [1, 2, 3, 4] };
        frame.advance(5);
        assert_eq!((frame.left, frame.key), (4, [2, 3, 4, 1]));
        frame.advance(4);
        assert_eq!((frame.left, frame.key), (0, [2, 3, 4, 1]));
    }
}
