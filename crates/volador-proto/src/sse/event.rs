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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An event as a page gets it.
    #[derive(Debug, Default, PartialEq, Eq)]
    struct Received {
        data: String,
        event: String,
        last_id: String,
        retry_ms: Option<u64>,
    }

    /// What an EventSource makes of a stream, by the letter of §9.2.6.
    fn receive(stream: &[u8]) -> Vec<Received> {
        let stream = std::str::from_utf8(stream).expect("a stream is UTF-8").replace("\r\n", "\n").replace('\r', "\n");
        let (mut events, mut event, mut last_id, mut retry_ms) = (Vec::new(), Received::default(), String::new(), None);
        // What stands after the last line end is an incomplete line.
        for line in stream.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            if line.is_empty() {
                let mut event = std::mem::take(&mut event);
                if event.data.is_empty() {
                    continue;
                }
                event.data.pop();
                events.push(Received { last_id: last_id.clone(), retry_ms, ..event });
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => event.event = value.into(),
                "data" => event.data = event.data + value + "\n",
                "id" if !value.contains('\0') => last_id = value.into(),
                "retry" if value.bytes().all(|b| b.is_ascii_digit()) => retry_ms = value.parse().ok(),
                _ => {}
            }
        }
        events
    }

    /// The text as the format can carry it.
    fn with_lf(text: &str) -> String {
        text.replace("\r\n", "\n").replace('\r', "\n")
    }

    #[test]
    fn bytes_are_one_line_for_each_line() {
        for (text, bytes) in [
            ("", "data: \n\n"),
            ("a", "data: a\n\n"),
            (" a", "data:  a\n\n"),
            ("a\nb", "data: a\ndata: b\n\n"),
            ("a\r\nb\rc\n\nd", "data: a\ndata: b\ndata: c\ndata: \ndata: d\n\n"),
            ("a\n", "data: a\ndata: \n\n"),
            ("a\r\n", "data: a\ndata: \n\n"),
            ("\r", "data: \ndata: \n\n"),
            ("data: x", "data: data: x\n\n"),
        ] {
            assert_eq!(data(text.as_bytes()), bytes, "{text:?}");
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_are_replaced() {
        assert_eq!(data(b"a\xffb\xc3"), "data: a\u{fffd}b\u{fffd}\n\n");
    }

    #[test]
    fn fields_stand_before_the_data() {
        let event = Event { data: "x", event: Some("tick"), id: Some("7"), retry_ms: Some(1500) };
        assert_eq!(event.encode().unwrap(), "event: tick\nid: 7\nretry: 1500\ndata: x\n\n");
    }

    #[test]
    fn event_or_id_that_would_start_a_field_of_its_own_is_refused() {
        for value in ["a\nid: b", "a\r", "\n"] {
            let event = Event { event: Some(value), ..Event::default() };
            assert_eq!(event.encode(), Err(EventError::LineEnd { field: "event" }));
            let event = Event { id: Some(value), ..Event::default() };
            assert_eq!(event.encode(), Err(EventError::LineEnd { field: "id" }));
        }
        assert_eq!(Event { id: Some("a\0"), ..Event::default() }.encode(), Err(EventError::NulInId));
    }

    #[test]
    fn heartbeat_is_no_event_and_disturbs_none() {
        let stream = [heartbeat(), data(b"a"), heartbeat(), data(b"b"), heartbeat()].concat();
        let received: Vec<_> = receive(&stream).into_iter().map(|event| event.data).collect();
        assert_eq!(received, ["a", "b"]);
    }

    proptest! {
        #[test]
        fn texts_come_back(texts in prop::collection::vec("([a: \r\n]|\r\n|\\PC){0,20}", 0..5)) {
            let stream: Vec<u8> = texts.iter().flat_map(|text| data(text.as_bytes())).collect();
            let received: Vec<_> = receive(&stream).into_iter().map(|event| event.data).collect();
            prop_assert_eq!(received, texts.iter().map(|text| with_lf(text)).collect::<Vec<_>>());
        }

        #[test]
        fn events_come_back_or_are_refused(
            text in "([a: \r\n]|\\PC){0,20}",
            event in prop::option::of("([a: ]|\\PC){0,9}[\r\n]?"),
            id in prop::option::of("([a: ]|\\PC){0,9}[\0\n]?"),
            retry_ms: Option<u64>,
        ) {
            let sent = Event { data: &text, event: event.as_deref(), id: id.as_deref(), retry_ms };
            match sent.encode() {
                Ok(bytes) => {
                    let event = Received {
                        data: with_lf(&text),
                        event: event.unwrap_or_default(),
                        last_id: id.unwrap_or_default(),
                        retry_ms,
                    };
                    prop_assert_eq!(receive(&bytes), vec![event]);
                }
                Err(_) => prop_assert!(event.iter().chain(&id).any(|value| value.contains(['\r', '\n', '\0']))),
            }
        }
    }
}
