//! What the frames about channels have in common.

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    LinkError,
    codec::{Reader, put_str},
};

/// How a subscription's name is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// The channel of exactly this name.
    Exact,
    /// A glob by the rules of Redis.
    Glob,
    /// Tokens separated by ".", with `*` for one and a last `>` for any tail.
    Subject,
}

impl Match {
    pub(super) fn encode(self, name: &[u8], out: &mut BytesMut) {
        out.put_u8(match self {
            Self::Exact => 0,
            Self::Glob => 1,
            Self::Subject => 2,
        });
        put_str(out, name);
    }

    pub(super) fn decode(reader: &mut Reader) -> Result<(Self, Bytes), LinkError> {
        let kind = match reader.u8()? {
            0 => Self::Exact,
            1 => Self::Glob,
            2 => Self::Subject,
            _ => return Err(reader.bad("match")),
        };
        Ok((kind, reader.str()?))
    }
}

/// Names one of a worker's own subscriptions, of which it is told the messages. The worker chooses the numbers; they are
/// its own for as long as the link lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerId(pub u64);

/// What a handler wants to be told of its push connection. Its end is told in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// The client's messages.
    pub messages: bool,
    /// That everything queued has been sent.
    pub drained: bool,
    /// That the server is about to stop: the connection is then closed by the worker, or after a moment.
    pub shutdown: bool,
}

impl Interest {
    /// Everything.
    pub const ALL: Self = Self { messages: true, drained: true, shutdown: true };

    /// The client's messages, and the end.
    pub const MESSAGES: Self = Self { messages: true, drained: false, shutdown: false };

    /// Nothing but the end.
    pub const NONE: Self = Self { messages: false, drained: false, shutdown: false };

    pub(super) fn to_byte(self) -> u8 {
        u8::from(self.messages) | u8::from(self.drained) << 1 | u8::from(self.shutdown) << 2
    }

    pub(super) fn from_byte(byte: u8) -> Self {
        Self { messages: byte & 1 != 0, drained: byte & 2 != 0, shutdown: byte & 4 != 0 }
    }
}
