//! The WebSocket decoder: any bytes come to the same events and the same end, however they are cut.

use volador_proto::{
    link::Payload,
    ws::{Decoder, Event, Limits, ProtocolError},
};

/// Decodes all bytes but the first, which says how long the pieces are.
pub fn check(data: &[u8]) {
    let Some((&piece_len, bytes)) = data.split_first() else { return };
    let whole = decode(bytes, bytes.len().max(1));
    assert_eq!(decode(bytes, usize::from(piece_len).max(1)), whole);
    assert_eq!(decode(bytes, 1), whole);
}

const MESSAGE_MAX_BYTES: usize = 500;

fn decode(bytes: &[u8], piece_len: usize) -> (Vec<String>, Result<(), ProtocolError>) {
    let limits = Limits { message_max_bytes: MESSAGE_MAX_BYTES };
    let (mut decoder, mut events) = (Decoder::new(), Vec::new());
    for piece in bytes.chunks(piece_len) {
        let result = decoder.decode(&mut piece.to_vec(), &limits, |event| {
            assert!(!events.last().is_some_and(|last: &String| last.starts_with("Close")), "an event after the close");
            match event {
                Event::Message(payload, data) => {
                    assert!(data.len() <= MESSAGE_MAX_BYTES);
                    assert!(payload == Payload::Binary || std::str::from_utf8(data).is_ok());
                }
                Event::Ping(data) | Event::Pong(data) => assert!(data.len() <= 125),
                Event::Close { code, reason } => assert!(code.is_some() || reason.is_empty()),
            }
            events.push(format!("{event:?}"));
            true
        });
        if result.is_err() {
            assert!(decoder.is_idle(), "memory is kept after a fault");
            return (events, result);
        }
    }
    (events, Ok(()))
}
