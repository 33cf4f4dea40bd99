//! SSE events: whatever the application hands in, it stays one event with the application's text, or is refused.

use volador_proto::sse::{Event, data};

/// Encodes the bytes as text, and cut at U+FFFF as data, event and id.
pub fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    assert_eq!(carried(&data(bytes), &[]), with_lf(&text));

    let mut parts = text.split('\u{ffff}');
    let data = parts.next().unwrap_or_default();
    let event = Event { data, event: parts.next(), id: parts.next(), retry_ms: Some(bytes.len() as u64) };
    let breaks_out = |value: Option<&str>, chars: &[char]| value.is_some_and(|value| value.contains(chars));
    match event.encode() {
        Ok(encoded) => {
            let retry = event.retry_ms.map(|ms| ms.to_string());
            let fields = [("event: ", event.event), ("id: ", event.id), ("retry: ", retry.as_deref())];
            let fields: Vec<_> =
                fields.iter().filter_map(|(name, value)| Some(format!("{name}{}", (*value)?))).collect();
            assert_eq!(carried(&encoded, &fields), with_lf(data));
        }
        Err(_) => assert!(breaks_out(event.event, &['\r', '\n']) || breaks_out(event.id, &['\r', '\n', '\0'])),
    }
}

fn with_lf(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

/// The text of one event, which must have exactly these fields before it.
fn carried(encoded: &[u8], fields: &[String]) -> String {
    let encoded = std::str::from_utf8(encoded).expect("an event is UTF-8");
    assert!(!encoded.contains('\r'));
    let block = encoded.strip_suffix("\n\n").expect("an empty line ends an event");
    assert!(!block.contains("\n\n"), "an empty line inside of an event");
    let mut lines = block.split('\n');
    for field in fields {
        assert_eq!(lines.next(), Some(&field[..]));
    }
    let data: Vec<_> = lines.map(|line| line.strip_prefix("data: ").expect("the rest is data")).collect();
    data.join("\n")
}
