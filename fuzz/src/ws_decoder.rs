//! The WebSocket decoder: any bytes come to the same events and the same end, however they are cut, and whenever the sink
//! wants a rest.

use volador_proto::{
    link::Payload,
    ws::{Decoder, Event, Limits, ProtocolError, deflate::Inflater},
};

/// Decodes all bytes but the first, which says how long the pieces are.
pub fn check(data: &[u8]) {
    let Some((&piece_len, bytes)) = data.split_first() else { return };
    for deflate in [false, true] {
        let (all, piece_len) = (bytes.len().max(1), usize::from(piece_len).max(1));
        let whole = decode(bytes, all, deflate, usize::MAX);
        for (piece_len, events) in [(piece_len, usize::MAX), (1, usize::MAX), (all, 1), (piece_len, 2)] {
            assert_eq!(decode(bytes, piece_len, deflate, events), whole);
        }
    }
}

const MESSAGE_MAX_BYTES: usize = 500;

/// In pieces of this length, with a rest behind so many events.
fn decode(
    bytes: &[u8],
    piece_len: usize,
    deflate: bool,
    rest_behind: usize,
) -> (Vec<String>, Result<(), ProtocolError>) {
    let limits = Limits { message_max_bytes: MESSAGE_MAX_BYTES };
    let (mut decoder, mut events) = (Decoder::new(), Vec::new());
    let mut inflater = deflate.then(Inflater::new);
    let mut pieces = bytes.chunks(piece_len).map(<[u8]>::to_vec);
    let mut left = Vec::new();
    loop {
        let mut piece = match left.is_empty() {
            true => match pieces.next() {
                Some(piece) => piece,
                None => return (events, Ok(())),
            },
            false => std::mem::take(&mut left),
        };
        let mut since_rest = 0;
        let result = decoder.decode(&mut piece, &limits, inflater.as_mut(), |event| {
            assert!(since_rest < rest_behind, "an event in the rest");
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
            since_rest += 1;
            since_rest < rest_behind
        });
        match result {
            Ok(taken) => left = piece.split_off(taken),
            Err(error) => {
                assert!(decoder.is_idle(), "memory is kept after a fault");
                return (events, Err(error));
            }
        }
    }
}
