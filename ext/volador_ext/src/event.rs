//! Server-sent events with fields of their own, as `Volador::Event` gives them.

use bytes::Bytes;
use magnus::{Error, RString, Ruby};
use volador_proto::{link::pack_event, sse};

use crate::payload::check_len;

/// The data of a message of `Kind::Event`.
///
/// # Errors
/// `ArgumentError` for a field that is not UTF-8, `Volador::Error` for an event that is too long.
pub(crate) fn pack(
    ruby: &Ruby,
    data: RString,
    event: Option<RString>,
    id: Option<RString>,
    retry_ms: Option<u64>,
) -> Result<Bytes, Error> {
    let len = |field: Option<RString>| field.map_or(0, |field| field.len());
    check_len(ruby, data.len() + len(event) + len(id))?;
    Ok(pack_event(&sse::Event {
        data: text(ruby, "data", &data)?,
        event: event.as_ref().map(|event| text(ruby, "event", event)).transpose()?,
        id: id.as_ref().map(|id| text(ruby, "id", id)).transpose()?,
        retry_ms,
    }))
}

/// A field, whose memory is Ruby's: it is packed before Ruby code can run again and change it.
fn text<'a>(ruby: &Ruby, name: &str, field: &'a RString) -> Result<&'a str, Error> {
    // SAFETY: no Ruby code runs while the slice is used; see above.
    std::str::from_utf8(unsafe { field.as_slice() }).map_err(|_| {
        let message = format!("the {name} of a server-sent event must be valid UTF-8");
        Error::new(ruby.exception_arg_error(), message)
    })
}
