use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { message_max_bytes: 1 << 20 };
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A client's frame; `first` is FIN, RSV and opcode.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        len @ 0..=125 => out.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend((len as u16).to_be_bytes());
        }
        len => {
            out.push(0x80 | 127);
            out.extend((len as u64).to_be_bytes());
        }
    }
    out.extend(KEY);
    out.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

/// An event that owns its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Got {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
}

fn own(event: Event<'_>) -> Got {
    match event {
        Event::Message(Payload::Text, data) => Got::Text(String::from_utf8(data.to_vec()).expect("text is UTF-8")),
        Event::Message(Payload::Binary, data) => Got::Binary(data.to_vec()),
        Event::Ping(data) => Got::Ping(data.to_vec()),
        Event::Pong(data) => Got::Pong(data.to_vec()),
        Event::Close { code, reason } => Got::Close(code, reason.into()),
    }
}

fn text(s: &str) -> Got {
    Got::Text(s.into())
}

/// What a client's bytes come to when they arrive in these pieces: the events, and the end.
fn decode(pieces: &[&[u8]], limits: &Limits) -> (Vec<Got>, Result<(), ProtocolError>) {
    decode_with(pieces, limits, None)
}

fn decode_with(
    pieces: &[&[u8]],
    limits: &Limits,
    mut inflater: Option<&mut Inflater>,
) -> (Vec<Got>, Result<(), ProtocolError>) {
    let (mut decoder, mut got) = (Decoder::new(), Vec::new());
    for piece in pieces {
        let result = decoder.decode(&mut piece.to_vec(), limits, inflater.as_deref_mut(), |event| {
            got.push(own(event));
            true
        });
        if let Err(error) = result {
            return (got, Err(error));
        }
    }
    (got, Ok(()))
}

/// The same in one piece, when the sink wants a rest behind each event.
fn decode_in_steps(bytes: &[u8], limits: &Limits) -> (Vec<Got>, Result<(), ProtocolError>) {
    let (mut decoder, mut got, mut rest) = (Decoder::new(), Vec::new(), bytes.to_vec());
    while !rest.is_empty() {
        let before = got.len();
        let result = decoder.decode(&mut rest, limits, None, |event| {
            got.push(own(event));
            false
        });
        assert!(got.len() <= before + 1, "an event in the rest");
        match result {
            Ok(taken) => rest.drain(..taken),
            Err(error) => return (got, Err(error)),
        };
    }
    (got, Ok(()))
}

/// The bytes in one piece, in two with every cut, and byte by byte: all must come to the same.
fn at_every_split(bytes: &[u8], limits: &Limits) -> (Vec<Got>, Result<(), ProtocolError>) {
    let whole = decode(&[bytes], limits);
    for cut in 1..bytes.len() {
        assert_eq!(decode(&[&bytes[..cut], &bytes[cut..]], limits), whole, "cut at {cut}");
    }
    let single: Vec<_> = bytes.chunks(1).collect();
    assert_eq!(decode(&single, limits), whole, "byte by byte");
    assert_eq!(decode_in_steps(bytes, limits), whole, "with a rest behind each event");
    whole
}

#[test]
fn conversations_become_their_events_at_every_split() {
    let long = "é".repeat(100);
    let longer = vec![0xfe; 70_000];
    for (frames, events) in [
        // Single frames, empty ones too.
        (vec![frame(0x81, b"Hello")], vec![text("Hello")]),
        (vec![frame(0x81, b""), frame(0x82, b"")], vec![text(""), Got::Binary(vec![])]),
        (vec![frame(0x82, b"\0\xff"), frame(0x81, long.as_bytes())], vec![Got::Binary(vec![0, 0xff]), text(&long)]),
        // Pings and pongs, also one that nobody asked for.
        (
            vec![frame(0x89, b"a"), frame(0x8a, b""), frame(0x89, &[7; 125])],
            vec![Got::Ping(b"a".into()), Got::Pong(vec![]), Got::Ping(vec![7; 125])],
        ),
        // Fragments: a character cut in two, empty ones at the start and the end.
        (vec![frame(0x01, b"H\xc3"), frame(0x00, b""), frame(0x80, b"\xa9llo")], vec![text("Héllo")]),
        (vec![frame(0x02, b""), frame(0x00, b"x"), frame(0x80, b"")], vec![Got::Binary(b"x".into())]),
        // Control frames in between; the next message starts anew.
        (
            vec![
                frame(0x01, b"one "),
                frame(0x89, b"p"),
                frame(0x00, b"two "),
                frame(0x8a, b""),
                frame(0x80, b"three"),
                frame(0x82, b"4"),
            ],
            vec![Got::Ping(b"p".into()), Got::Pong(vec![]), text("one two three"), Got::Binary(b"4".into())],
        ),
        // Closes; what follows one is ignored, even inside of a message.
        (vec![frame(0x88, b""), frame(0x81, b"late")], vec![Got::Close(None, "".into())]),
        (
            vec![frame(0x01, b"never"), frame(0x88, b"\x03\xe8bye"), b"\xff\xff".into()],
            vec![Got::Close(Some(1000), "bye".into())],
        ),
    ] {
        assert_eq!(at_every_split(&frames.concat(), &LIMITS), (events, Ok(())));
    }
    // Too long for every split: pieces of a prime length.
    let bytes = frame(0x82, &longer);
    let pieces: Vec<_> = bytes.chunks(4093).collect();
    assert_eq!(decode(&pieces, &LIMITS), (vec![Got::Binary(longer)], Ok(())));
}

#[test]
fn faults_end_the_connection_with_their_code_at_every_split() {
    use ProtocolError::*;
    let limits = Limits { message_max_bytes: 200 };
    for (frames, error, code) in [
        (vec![frame(0xc1, b"x")], ReservedBit, 1002),
        (vec![frame(0x83, b"x")], ReservedOpcode(3), 1002),
        (vec![frame(0x8b, b"")], ReservedOpcode(11), 1002),
        (vec![b"\x81\x01x".to_vec()], Unmasked, 1002),
        (vec![frame(0x09, b"x")], FragmentedControl, 1002),
        (vec![frame(0x89, &[0; 126])], LongControl, 1002),
        (vec![frame(0x80, b"x")], NothingToContinue, 1002),
        (vec![frame(0x00, b"x")], NothingToContinue, 1002),
        (vec![frame(0x01, b"x"), frame(0x81, b"y")], Interleaved, 1002),
        (vec![frame(0x02, b"x"), frame(0x01, b"y")], Interleaved, 1002),
        (vec![frame(0x88, b"\x03")], BadCloseCode, 1002),
        (vec![frame(0x88, b"\x03\xed")], BadCloseCode, 1002),
        (vec![frame(0x88, b"\x03\xe8\xff")], BadUtf8, 1007),
        (vec![frame(0x81, b"ok\xff")], BadUtf8, 1007),
        // A character that the end of the message cuts short.
        (vec![frame(0x81, b"\xc3")], BadUtf8, 1007),
        (vec![frame(0x01, b"x"), frame(0x80, b"\xc3")], BadUtf8, 1007),
        (vec![frame(0x01, b"\xed"), frame(0x00, b"\xa0")], BadUtf8, 1007),
        (vec![frame(0x82, &[0; 201])], TooBig { max: 200 }, 1009),
        (vec![frame(0x02, &[0; 150]), frame(0x80, &[0; 51])], TooBig { max: 200 }, 1009),
    ] {
        let bytes = [frame(0x8a, b"before"), frames.concat(), frame(0x8a, b"after")].concat();
        assert_eq!(at_every_split(&bytes, &limits), (vec![Got::Pong(b"before".into())], Err(error)));
        assert_eq!(error.close_code(), code);
        assert!(error.to_string().len() <= 123, "must fit into a Close frame");
    }
}

#[test]
fn message_is_over_after_its_last_fragment() {
    let bytes = [frame(0x01, b"x"), frame(0x80, b"y"), frame(0x80, b"z")].concat();
    assert_eq!(at_every_split(&bytes, &LIMITS), (vec![text("xy")], Err(ProtocolError::NothingToContinue)));
}

#[test]
fn message_of_the_limit_is_taken() {
    let limits = Limits { message_max_bytes: 200 };
    let bytes = [frame(0x82, &[1; 200]), frame(0x02, &[2; 150]), frame(0x80, &[2; 50])].concat();
    let events = vec![Got::Binary(vec![1; 200]), Got::Binary(vec![2; 200])];
    assert_eq!(at_every_split(&bytes, &limits), (events, Ok(())));
}

#[test]
fn announced_length_over_the_limit_fails_before_any_payload() {
    let mut decoder = Decoder::new();
    let mut head = frame(0x82, &vec![0; LIMITS.message_max_bytes + 1])[..14].to_vec();
    let result = decoder.decode(&mut head, &LIMITS, None, |_| panic!("no event"));
    assert_eq!(result, Err(ProtocolError::TooBig { max: LIMITS.message_max_bytes }));
}

#[test]
fn memory_grows_with_what_arrives_not_with_what_is_announced() {
    let mut decoder = Decoder::new();
    let bytes = frame(0x82, &vec![0; LIMITS.message_max_bytes]);
    decoder.decode(&mut bytes[..14 + 1000].to_vec(), &LIMITS, None, |_| panic!("no event")).unwrap();
    let message = decoder.partial.as_ref().unwrap().message.as_ref().unwrap();
    assert_eq!(message.data.len(), 1000);
    assert!(message.data.capacity() < 3000);
}

#[test]
fn bad_utf8_fails_while_the_message_is_partial() {
    // In the middle of a frame, and at the first byte that can't be (Autobahn 6.4.1 to 6.4.4).
    let bytes = frame(0x01, b"\xce\xba\xe1\xbd\xb9\xf4\x90\x80\x80 and more");
    let mut decoder = Decoder::new();
    for (i, &byte) in bytes.iter().enumerate() {
        let result = decoder.decode(&mut [byte], &LIMITS, None, |_| panic!("no event"));
        if i == 6 + 6 {
            assert_eq!(result, Err(ProtocolError::BadUtf8));
            return;
        }
        assert_eq!(result, Ok(1));
    }
}

#[test]
fn whole_frames_are_handed_out_from_the_input() {
    let mut input = [frame(0x81, b"text"), frame(0x01, b"part"), frame(0x89, b"ping")].concat();
    let range = input.as_ptr_range();
    let mut events = 0;
    Decoder::new()
        .decode(&mut input, &LIMITS, None, |event| {
            let (Event::Message(_, data) | Event::Ping(data)) = event else { panic!() };
            assert!(range.contains(&data.as_ptr()), "copied");
            events += 1;
            true
        })
        .unwrap();
    assert_eq!(events, 2);
}

#[test]
fn payload_that_arrives_after_its_head_is_handed_out_from_the_input() {
    let bytes = frame(0x82, b"payload");
    let mut decoder = Decoder::new();
    decoder.decode(&mut bytes[..6].to_vec(), &LIMITS, None, |_| panic!("no event")).unwrap();
    let mut input = bytes[6..].to_vec();
    let start = input.as_ptr();
    decoder
        .decode(&mut input, &LIMITS, None, |event| {
            assert_eq!(event, Event::Message(Payload::Binary, b"payload"));
            let Event::Message(_, data) = event else { panic!() };
            assert_eq!(data.as_ptr(), start);
            true
        })
        .unwrap();
    assert!(decoder.is_idle());
}

#[test]
fn nothing_is_kept_between_whole_messages() {
    assert!(size_of::<Decoder>() <= 16);
    let bytes = [frame(0x01, b"a"), frame(0x89, b"p"), frame(0x80, b"b")].concat();
    let mut decoder = Decoder::new();
    assert!(decoder.is_idle());
    for (i, &byte) in bytes.iter().enumerate() {
        decoder.decode(&mut [byte], &LIMITS, None, |_| true).unwrap();
        assert_eq!(decoder.is_idle(), i == bytes.len() - 1, "after byte {i}");
    }
}

#[test]
fn what_is_behind_the_last_event_before_a_rest_is_left_as_it_is() {
    let (first, rest) = (frame(0x89, b"1"), [frame(0x81, b"2"), frame(0xff, b"not even valid")].concat());
    let mut bytes = [&first[..], &rest].concat();
    let mut decoder = Decoder::new();
    assert_eq!(decoder.decode(&mut bytes, &LIMITS, None, |_| false), Ok(first.len()));
    assert_eq!(bytes[first.len()..], rest);
    assert!(decoder.is_idle());
}

#[test]
fn nothing_is_decoded_after_a_fault() {
    let mut decoder = Decoder::new();
    decoder.decode(&mut frame(0xf1, b""), &LIMITS, None, |_| panic!("no event")).unwrap_err();
    assert_eq!(decoder.decode(&mut frame(0x81, b"late"), &LIMITS, None, |_| panic!("no event")), Ok(4 + 2 + 4));
}

/// A message cut into fragments, with a ping after some of them.
fn fragmented(message: &Got, cuts: &[prop::sample::Index], ping: bool) -> Vec<u8> {
    let (opcode, data) = match message {
        Got::Text(text) => (1, text.as_bytes()),
        Got::Binary(data) => (2, &data[..]),
        _ => panic!("not a message"),
    };
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(data.len() + 1)).chain([0, data.len()]).collect();
    cuts.sort_unstable();
    let last = cuts.len() - 2;
    let mut out = Vec::new();
    for (i, cut) in cuts.windows(2).enumerate() {
        let (fin, opcode) = (if i == last { 0x80 } else { 0 }, if i == 0 { opcode } else { 0 });
        out.extend(frame(fin | opcode, &data[cut[0]..cut[1]]));
        if ping && i != last {
            out.extend(frame(0x89, b"ping"));
        }
    }
    out
}

/// `bytes` in pieces with these cuts.
fn pieces<'b>(bytes: &'b [u8], cuts: &[prop::sample::Index]) -> Vec<&'b [u8]> {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).chain([0, bytes.len()]).collect();
    cuts.sort_unstable();
    cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect()
}

proptest! {
    #[test]
    fn messages_come_back_from_any_fragments_in_any_pieces(
        messages in prop::collection::vec(
            (
                prop_oneof![
                    ".{0,300}".prop_map(Got::Text),
                    prop::collection::vec(any::<u8>(), 0..300).prop_map(Got::Binary),
                ],
                prop::collection::vec(any::<prop::sample::Index>(), 0..4),
                any::<bool>(),
            ),
            0..5,
        ),
        cuts: Vec<prop::sample::Index>,
    ) {
        let bytes: Vec<u8> = messages.iter().flat_map(|(message, cuts, ping)| fragmented(message, cuts, *ping)).collect();
        let (mut got, result) = decode(&pieces(&bytes, &cuts), &LIMITS);
        prop_assert_eq!(result, Ok(()));
        got.retain(|event| *event != Got::Ping(b"ping".into()));
        let sent: Vec<_> = messages.into_iter().map(|(message, ..)| message).collect();
        prop_assert_eq!(got, sent);
    }

    #[test]
    fn any_bytes_in_any_pieces_come_to_the_same(
        // Heads that are mostly valid, so that the bytes get somewhere.
        frames in prop::collection::vec(
            (prop::sample::select(vec![0x00u8, 0x01, 0x02, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8a, 0x8b, 0xc1]), any::<Vec<u8>>()),
            0..6,
        ),
        noise: Vec<u8>,
        cuts: Vec<prop::sample::Index>,
    ) {
        let mut bytes: Vec<u8> = frames.iter().flat_map(|(first, payload)| frame(*first, payload)).collect();
        bytes.extend(noise);
        let limits = Limits { message_max_bytes: 150 };
        prop_assert_eq!(decode(&pieces(&bytes, &cuts), &limits), decode(&[&bytes], &limits));
        let mut inflater = Inflater::new();
        let in_pieces = decode_with(&pieces(&bytes, &cuts), &limits, Some(&mut inflater));
        prop_assert_eq!(in_pieces, decode_with(&[&bytes], &limits, Some(&mut inflater)));
    }
}

/// "Hello" compressed, as in RFC 7692 §7.2.3.1.
const HELLO: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\x00";

/// As [`at_every_split`], with compressed messages negotiated, and one inflater for everything.
fn inflate_at_every_split(bytes: &[u8], limits: &Limits) -> (Vec<Got>, Result<(), ProtocolError>) {
    let mut inflater = Inflater::new();
    let whole = decode_with(&[bytes], limits, Some(&mut inflater));
    for cut in 1..bytes.len() {
        assert_eq!(decode_with(&[&bytes[..cut], &bytes[cut..]], limits, Some(&mut inflater)), whole, "cut at {cut}");
    }
    let single: Vec<_> = bytes.chunks(1).collect();
    assert_eq!(decode_with(&single, limits, Some(&mut inflater)), whole, "byte by byte");
    whole
}

#[test]
fn compressed_messages_become_their_events_at_every_split() {
    for (frames, events) in [
        (vec![frame(0xc1, HELLO)], vec![text("Hello")]),
        (vec![frame(0xc2, HELLO), frame(0xc1, HELLO)], vec![Got::Binary(b"Hello".into()), text("Hello")]),
        // Empty (§7.2.3.6), and not compressed although it may be.
        (vec![frame(0xc1, b"\0"), frame(0x81, b"plain")], vec![text(""), text("plain")]),
        // Only the first fragment has the bit (§6.1); control frames are never compressed.
        (
            vec![
                frame(0x41, &HELLO[..2]),
                frame(0x89, b"ping"),
                frame(0x00, b""),
                frame(0x00, &HELLO[2..4]),
                frame(0x80, &HELLO[4..]),
                frame(0x01, b"pl"),
                frame(0x80, b"ain"),
            ],
            vec![Got::Ping(b"ping".into()), text("Hello"), text("plain")],
        ),
        (vec![frame(0x41, b""), frame(0x00, HELLO), frame(0x80, b"")], vec![text("Hello")]),
    ] {
        assert_eq!(inflate_at_every_split(&frames.concat(), &LIMITS), (events, Ok(())));
    }
}

#[test]
fn faults_of_compressed_messages_end_the_connection_with_their_code_at_every_split() {
    use ProtocolError::*;
    // Stored blocks: 100 and 300 bytes, and text that is none.
    let stored = |data: &[u8]| {
        let len = data.len() as u16;
        [&[0], &len.to_le_bytes()[..], &(!len).to_le_bytes(), data, &[0]].concat()
    };
    let limits = Limits { message_max_bytes: 200 };
    for (frames, error, code) in [
        (vec![frame(0xc9, b"ping")], ReservedBit, 1002),
        (vec![frame(0xc8, b"")], ReservedBit, 1002),
        (vec![frame(0x41, HELLO), frame(0xc0, b"")], ReservedBit, 1002),
        (vec![frame(0xe1, HELLO)], ReservedBit, 1002),
        (vec![frame(0xd1, HELLO)], ReservedBit, 1002),
        (vec![frame(0x41, HELLO), frame(0xc1, HELLO)], Interleaved, 1002),
        (vec![frame(0xc1, b"")], BadDeflate, 1007),
        (vec![frame(0xc1, b"\x06")], BadDeflate, 1007),
        (vec![frame(0x42, &HELLO[..3]), frame(0x80, b"")], BadDeflate, 1007),
        (vec![frame(0xc1, &stored(b"\xff"))], BadUtf8, 1007),
        (vec![frame(0x41, &stored(b"\xc3")), frame(0x80, b"")], BadUtf8, 1007),
        (vec![frame(0xc2, &stored(&[0; 201]))], TooBig { max: 200 }, 1009),
        (vec![frame(0x42, &stored(&[0; 201])), frame(0x80, b"")], TooBig { max: 200 }, 1009),
        // So long that it can be no message of 200 bytes: not inflated, and not kept.
        (vec![frame(0xc2, &[0; 300])], TooBig { max: 200 }, 1009),
        (vec![frame(0x42, &[0; 200]), frame(0x80, &[0; 100])], TooBig { max: 200 }, 1009),
    ] {
        let bytes = [frame(0x8a, b"before"), frames.concat(), frame(0x8a, b"after")].concat();
        assert_eq!(inflate_at_every_split(&bytes, &limits), (vec![Got::Pong(b"before".into())], Err(error)));
        assert_eq!(error.close_code(), code);
    }
    let bytes = frame(0xc2, &stored(&[7; 200]));
    assert_eq!(inflate_at_every_split(&bytes, &limits), (vec![Got::Binary(vec![7; 200])], Ok(())));
}

#[test]
fn connections_that_share_an_inflater_do_not_touch_each_other() {
    let mut inflater = Inflater::new();
    let (mut one, mut other) = (Decoder::new(), Decoder::new());
    let hello = |event: Event<'_>| {
        assert_eq!(own(event), text("Hello"));
        true
    };
    one.decode(&mut frame(0x41, &HELLO[..3]), &LIMITS, Some(&mut inflater), |_| panic!("no event")).unwrap();
    other.decode(&mut frame(0xc1, HELLO), &LIMITS, Some(&mut inflater), hello).unwrap();
    other.decode(&mut frame(0xc1, b"\x06"), &LIMITS, Some(&mut inflater), |_| panic!("no event")).unwrap_err();
    one.decode(&mut frame(0x80, &HELLO[3..]), &LIMITS, Some(&mut inflater), hello).unwrap();
    assert!(one.is_idle());
}
