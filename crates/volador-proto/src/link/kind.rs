//! [`Kind`]: what a message for clients is; [`pack_event`]: a server-sent event with fields of its own, as its data.

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    LinkError, Payload,
    codec::{Reader, put_str},
};
use crate::sse;

/// What a message for clients is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A message with a type of its own only.
    Message(Payload),
    /// A server-sent event with fields beside its text: the data is what [`pack_event`] makes. A WebSocket gets the text.
    Event,
}

impl From<Payload> for Kind {
    fn from(payload: Payload) -> Self {
        Self::Message(payload)
    }
}

impl Kind {
    pub(super) fn to_byte(self) -> u8 {
        match self {
            Self::Message(Payload::Text) => 0,
            Self::Message(Payload::Binary) => 1,
            Self::Event => 2,
        }
    }

    pub(super) fn read(reader: &mut Reader) -> Result<Self, LinkError> {
        match reader.u8()? {
            0 => Ok(Self::Message(Payload::Text)),
            1 => Ok(Self::Message(Payload::Binary)),
            2 => Ok(Self::Event),
            _ => Err(reader.bad("kind")),
        }
    }
}

const EVENT: u8 = 1;
const ID: u8 = 2;
const RETRY: u8 = 4;

/// The data of a message of [`Kind::Event`].
pub fn pack_event(event: &sse::Event<'_>) -> Bytes {
    let mut out = BytesMut::with_capacity(event.data.len() + 32);
    let flag = |has: bool, flag: u8| if has { flag } else { 0 };
    out.put_u8(
        flag(event.event.is_some(), EVENT) | flag(event.id.is_some(), ID) | flag(event.retry_ms.is_some(), RETRY),
    );
    for text in [event.event, event.id].into_iter().flatten() {
        put_str(&mut out, text.as_bytes());
    }
    if let Some(retry_ms) = event.retry_ms {
        out.put_u64_le(retry_ms);
    }
    out.put_slice(event.data.as_bytes());
    out.freeze()
}

/// Reads what [`pack_event`] has made.
///
/// # Errors
/// [`LinkError`] for data that it has not made.
pub fn unpack_event(data: &[u8]) -> Result<sse::Event<'_>, LinkError> {
    let kind = Kind::Event.to_byte();
    let bad = |field| LinkError::BadField { kind, field };
    let mut reader = Reader::new(kind, Bytes::copy_from_slice(data));
    let flags = reader.u8()?;
    let mut text = |flag: u8, field| -> Result<Option<&str>, LinkError> {
        if flags & flag == 0 {
            return Ok(None);
        }
        let span = reader.span()?;
        std::str::from_utf8(&data[span]).map(Some).map_err(|_| bad(field))
    };
    let (event, id) = (text(EVENT, "event")?, text(ID, "id")?);
    let retry_ms = if flags & RETRY == 0 { None } else { Some(reader.u64()?) };
    let text = &data[data.len() - reader.rest().len()..];
    Ok(sse::Event { data: std::str::from_utf8(text).map_err(|_| bad("data"))?, event, id, retry_ms })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn events_come_back(data: String, event: Option<String>, id: Option<String>, retry_ms: Option<u64>) {
            let event = sse::Event { data: &data, event: event.as_deref(), id: id.as_deref(), retry_ms };
            let packed = pack_event(&event);
            prop_assert_eq!(unpack_event(&packed), Ok(event));
        }

        #[test]
        fn any_bytes_unpack_or_err_without_panic(data: Vec<u8>) {
            let _ = unpack_event(&data);
        }
    }
}
