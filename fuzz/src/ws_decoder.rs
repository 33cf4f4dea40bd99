//! The WebSocket decoder: any bytes come to the same events and the same end, however they are cut.

use volador_proto::{
    link::Payload,
    ws::{Decoder, Event, Limits, ProtocolError, deflate::Inflater},
};

/// Decodes all bytes but the first, which says how long the pieces are.
pub fn check(data: &[u8]) {
    let Some((&piece_len, bytes)) = data.split_first() else { return };
    for deflate in [false, true] {
        let whole = decode(bytes, bytes.len().max(1), deflate);
        assert_eq!(decode(bytes, usize::from(piece_len).max(1), deflate), whole);
        assert_eq!(decode(bytes, 1, deflate), whole);
    }
}

const MESSAGE_MAX_BYTES: usize = 500;

fn decode(bytes: &[u8], piece_len: usize, deflate: bool) -> (Vec<String>, Result<(), ProtocolError>) {
    let limits = Limits { message_max_bytes: MESSAGE_MAX_BYTES };
    let (mut decoder, mut events) = (Decoder::new(), Vec::new());
    let mut inflater = deflate.then(Inflater::new);
    for piece in bytes.chunks(piece_len) {
        let result = decoder.decode(&mut piece.to_vec(), &limits, inflater.as_mut(), |event| {
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
        if let Err(error) = result {
            assert!(decoder.is_idle(), "memory is kept after a fault");
            return (events, Err(error));
        }
    }
    (events, Ok(()))
}
