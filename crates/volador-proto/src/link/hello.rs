//! [`Hello`]: who a worker is.

use bytes::{BufMut, BytesMut};

use super::{LinkError, codec::Reader};

/// What a worker says of itself at the beginning of each of its links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The shard that this link is for.
    pub shard: u8,
    /// The worker's place in its generation, from 1; 0 for a guest.
    pub number: u32,
    /// The load of the application's code that it runs, from 1; 0 for a guest.
    pub generation: u32,
    /// Requests that it runs at once: its application threads. 0 for a guest, which gets none.
    pub threads: u16,
}

impl Hello {
    pub(super) fn encode(&self, out: &mut BytesMut) {
        out.put_u8(self.shard);
        out.put_u32_le(self.number);
        out.put_u32_le(self.generation);
        out.put_u16_le(self.threads);
    }

    pub(super) fn decode(reader: &mut Reader) -> Result<Self, LinkError> {
        Ok(Self { shard: reader.u8()?, number: reader.u32()?, generation: reader.u32()?, threads: reader.u16()? })
    }
}
