//! The head of a frame (RFC 6455 §5.2).

use crate::link::Payload;

/// Bytes that the payload of a control frame may have at most (§5.5).
pub(super) const CONTROL_MAX: usize = 125;

/// What a frame is (§11.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opcode {
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    pub(super) fn of(payload: Payload) -> Self {
        match payload {
            Payload::Text => Self::Text,
            Payload::Binary => Self::Binary,
        }
    }
}
