//! Frames to clients. They are never masked (RFC 6455 §5.1) and never fragmented.

use bytes::{BufMut, Bytes, BytesMut};

use super::frame::{CONTROL_MAX, FIN, Opcode, RSV1};
use crate::link::Payload;

/// Bytes that a reason may have beside the code in the payload of a Close frame.
const REASON_MAX: usize = CONTROL_MAX - 2;

/// One message in one frame. The data of a text must be valid UTF-8.
pub fn message(payload: Payload, data: &[u8]) -> Bytes {
    frame(Opcode::of(payload), data)
}

/// The same, behind what is in `out`.
pub fn put_message(payload: Payload, data: &[u8], out: &mut BytesMut) {
    out.reserve(head_len(data.len()) + data.len());
    head(FIN | Opcode::of(payload) as u8, data.len(), out);
    out.put_slice(data);
}

/// A ping. `data` has at most 125 bytes; more are cut.
pub fn ping(data: &[u8]) -> Bytes {
    frame(Opcode::Ping, &data[..data.len().min(CONTROL_MAX)])
}

/// A pong: the answer to a ping with the same data. `data` has at most 125 bytes; more are cut.
pub fn pong(data: &[u8]) -> Bytes {
    frame(Opcode::Pong, &data[..data.len().min(CONTROL_MAX)])
}

/// A Close frame. A reason above 123 bytes is cut at the boundary of a character; without a code there is no reason.
pub fn close(code: Option<u16>, reason: &str) -> Bytes {
    let Some(code) = code else { return frame(Opcode::Close, b"") };
    let mut end = reason.len().min(REASON_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let reason = &reason[..end];
    let mut out = BytesMut::with_capacity(4 + reason.len());
    head(FIN | Opcode::Close as u8, 2 + reason.len(), &mut out);
    out.put_u16(code);
    out.put_slice(reason.as_bytes());
    out.freeze()
}

/// One compressed message in one frame (RFC 7692 §6.1).
pub(super) fn deflated(payload: Payload, deflated: &[u8]) -> Bytes {
    frame_of(FIN | RSV1 | Opcode::of(payload) as u8, deflated)
}

fn frame(opcode: Opcode, data: &[u8]) -> Bytes {
    frame_of(FIN | opcode as u8, data)
}

fn frame_of(first: u8, data: &[u8]) -> Bytes {
    // Exactly: memory that is full is frozen as it is. With room to spare that would allocate, also for a frame that nobody
    // shares.
    let mut out = BytesMut::with_capacity(head_len(data.len()) + data.len());
    head(first, data.len(), &mut out);
    out.put_slice(data);
    out.freeze()
}

fn head_len(len: usize) -> usize {
    match len {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    }
}

/// Writes the head of a frame without a mask (RFC 6455 §5.2).
fn head(first: u8, len: usize, out: &mut BytesMut) {
    out.put_u8(first);
    match len {
        0..=125 => out.put_u8(len as u8),
        126..=0xffff => {
            out.put_u8(126);
            out.put_u16(len as u16);
        }
        _ => {
            out.put_u8(127);
            out.put_u64(len as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_their_shortest_form() {
        for (len, head) in [
            (0, &[0x82, 0][..]),
            (125, &[0x82, 125]),
            (126, &[0x82, 126, 0, 126]),
            (0xffff, &[0x82, 126, 0xff, 0xff]),
            (0x1_0000, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let data = vec![7; len];
            let frame = message(Payload::Binary, &data);
            assert_eq!(head_len(len), head.len());
            let mut out = BytesMut::from("before");
            put_message(Payload::Binary, &data, &mut out);
            assert_eq!((&out[..6], &out[6..]), (&b"before"[..], &frame[..]));
            assert_eq!((&frame[..head.len()], &frame[head.len()..]), (head, &data[..]));
        }
    }

    #[test]
    fn frames_are_those_of_the_rfc() {
        // RFC 6455 §5.7: "A single-frame unmasked text message", and the other opcodes of §5.2.
        assert_eq!(message(Payload::Text, b"Hello")[..], [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
        assert_eq!(ping(b"Hello")[..], [0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
        assert_eq!(pong(b"")[..], [0x8a, 0]);
        assert_eq!(close(None, "dropped")[..], [0x88, 0]);
        assert_eq!(close(Some(1001), "bye")[..], [0x88, 5, 0x03, 0xe9, b'b', b'y', b'e']);
    }

    #[test]
    fn control_frames_never_exceed_125_bytes() {
        assert_eq!(ping(&[0; 200]).len(), 2 + 125);
        assert_eq!(pong(&[0; 126]).len(), 2 + 125);
        assert_eq!(close(Some(1000), &"x".repeat(124)).len(), 2 + 125);
    }

    #[test]
    fn close_reason_is_cut_between_characters() {
        // 122 bytes and a character of two: it would end one byte past the limit.
        let frame = close(Some(1000), &format!("{}é", "x".repeat(122)));
        assert_eq!(frame[1], 124);
        assert_eq!(frame[4..], *"x".repeat(122).as_bytes());
    }
}
