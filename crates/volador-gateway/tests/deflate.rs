//! Compressed messages (RFC 7692) over real sockets.

mod support;

use std::time::Duration;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use support::{Client, DEADLINE, Server, config, echo, eventually};
use volador_gateway::Config;
use volador_proto::link::{Batch, Interest, Payload, ToWorker};

const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";

fn open(server: &Server, fields: &str) -> (Client, String) {
    let mut client = server.connect();
    let head = client.open_websocket_with("/", fields).head;
    (client, head)
}

/// What a client compresses, without the flush at its end.
fn deflate(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() + 100);
    Compress::new(Compression::new(6), false).compress_vec(data, &mut out, FlushCompress::Sync).unwrap();
    out.truncate(out.len() - 4);
    out
}

/// What a client with a window of this size makes of a frame, which must be compressed.
fn inflate((first, payload): (u8, Vec<u8>), bits: u8) -> Vec<u8> {
    assert_eq!(first & 0xf0, 0xc0, "FIN and RSV1");
    let mut out = Vec::with_capacity(1 << 20);
    let data = [&payload[..], &[0, 0, 0xff, 0xff]].concat();
    Decompress::new_with_window_bits(false, bits).decompress_vec(&data, &mut out, FlushDecompress::Sync).unwrap();
    out
}

fn text() -> Vec<u8> {
    (0..2000).map(|n| format!("{{\"id\":{n},\"name\":\"fish {}\"}},", n * n % 97)).collect::<String>().into_bytes()
}

#[test]
fn an_offer_is_answered_and_messages_are_compressed_both_ways() {
    let server = echo(config());
    let (mut client, head) = open(&server, OFFER);
    let answer =
        "sec-websocket-extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n";
    assert!(head.contains(answer), "{head}");
    let text = text();
    for _ in 0..2 {
        let (first, payload) = client.send_raw_frame(0xc1, &deflate(&text)).frame();
        assert!(payload.len() < text.len() / 3);
        assert!(inflate((first, payload), 15) == text);
    }
    // In fragments, and a ping in between is not compressed.
    let deflated = deflate(&text);
    client.send_raw_frame(0x42, &deflated[..500]).send_frame(9, b"ping").send_raw_frame(0x80, &deflated[500..]);
    assert_eq!(client.frame(), (0x8a, b"ping".to_vec()));
    let frame = client.frame();
    assert_eq!(frame.0, 0xc2);
    assert!(inflate(frame, 15) == text);
    // An uncompressed message is as good as ever, and a short one is answered as one.
    assert_eq!(client.send_frame(1, b"short").frame(), (0x81, b"short".to_vec()));
}

#[test]
fn a_window_that_the_client_limits_is_kept_to() {
    let server = echo(config());
    let text = text();
    for bits in 8..=15 {
        let (mut client, head) =
            open(&server, &format!("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits={bits}\r\n"));
        assert!(head.contains(&format!("; server_max_window_bits={bits}\r\n")), "{head}");
        let frame = client.send_raw_frame(0xc1, &deflate(&text)).frame();
        if bits == 8 {
            assert!(frame == (0x81, text.clone()), "there is no window so small: not compressed");
        } else {
            assert!(inflate(frame, bits) == text, "{bits} bits");
        }
    }
}

#[test]
fn one_broadcast_reaches_each_client_in_the_form_that_it_takes() {
    let server = echo(config());
    let text = text();
    let (mut plain, head) = open(&server, "");
    assert!(!head.contains("extensions"));
    let (mut one, _) = open(&server, OFFER);
    let (mut other, _) = open(&server, OFFER);
    let (mut small, _) = open(&server, "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=9\r\n");
    eventually("four connections", || server.gateway.stats().websocket_connections == 4);
    let mut batch = Batch::new();
    batch.broadcast(b"/**", Payload::Text, &text);
    server.send(batch);
    assert!(plain.frame() == (0x81, text.clone()));
    let frame = one.frame();
    assert_eq!(other.frame(), frame);
    assert!(inflate(frame, 15) == text && inflate(small.frame(), 9) == text);
}

#[test]
fn nothing_is_agreed_on_when_it_is_off_or_the_offer_is_not_understood() {
    let off = echo(Config { deflate_level: 0, ..config() });
    let on = echo(config());
    let unknown = "Sec-WebSocket-Extensions: permessage-deflate; unknown\r\n";
    for (server, fields) in [(&off, OFFER), (&on, unknown), (&on, "")] {
        let (mut client, head) = open(server, fields);
        assert!(head.starts_with("HTTP/1.1 101 ") && !head.contains("extensions"), "{head}");
        let text = text();
        assert!(client.send_frame(1, &text).frame() == (0x81, text));
        let (first, payload) = client.send_raw_frame(0xc1, &deflate(b"hello")).frame();
        assert_eq!((first, &payload[..2]), (0x88, &1002u16.to_be_bytes()[..]), "RSV1 has no meaning");
    }
    // Offers come in several lines, too.
    let (_, head) = open(&on, &format!("{unknown}{OFFER}"));
    assert!(head.contains("sec-websocket-extensions: permessage-deflate"));
}

#[test]
fn bombs_and_bad_data_are_refused_with_their_code() {
    let server = echo(Config { message_max_bytes: 100_000, ..config() });
    for (payload, code) in [(deflate(&vec![0; 10 << 20]), 1009u16), (vec![6, 6, 6], 1007), (deflate(b"\xff"), 1007)] {
        let (mut client, _) = open(&server, OFFER);
        let (first, reason) = client.send_raw_frame(0xc1, &payload).frame();
        assert_eq!((first, &reason[..2]), (0x88, &code.to_be_bytes()[..]), "{}", String::from_utf8_lossy(&reason[2..]));
        assert_eq!(client.rest(), "");
    }
    assert_eq!(server.gateway.stats().closed_protocol, 3);
}

#[test]
fn messages_below_the_minimum_go_out_as_they_are() {
    let server = echo(Config { deflate_min_bytes: 1000, ..config() });
    let (mut client, _) = open(&server, OFFER);
    assert_eq!(client.send_frame(2, &[7; 999]).frame(), (0x82, vec![7; 999]));
    assert_eq!(inflate(client.send_frame(2, &[7; 1000]).frame(), 15), [7; 1000]);
}

#[test]
fn messages_that_have_come_are_not_inflated_before_the_worker_has_room_for_them() {
    let (messages, told) = std::sync::mpsc::channel();
    let server = Server::start(config(), move |id, frame, answers| match frame {
        ToWorker::Request(_) => answers.upgrade(id, Interest::MESSAGES, []),
        ToWorker::Message(_, data) => messages.send((id, data)).unwrap(),
        _ => {}
    });
    let (mut client, _) = open(&server, OFFER);
    let first_bytes = 0..20u8;
    let frames: Vec<_> = first_bytes.clone().map(|n| deflate(&[vec![n], vec![0; (1 << 20) - 1]].concat())).collect();
    for frame in &frames {
        client.send_raw_frame(0xc2, frame);
    }
    client.send_frame(8, &1000u16.to_be_bytes());
    for n in first_bytes {
        let (id, data) = told.recv_timeout(DEADLINE).unwrap();
        assert_eq!((data[0], data.len()), (n, 1 << 20));
        assert!(told.recv_timeout(Duration::from_millis(20)).is_err(), "more than one waits, of a whole MiB each");
        assert_eq!(server.gateway.stats().messages, u64::from(n) + 1);
        let mut batch = Batch::new();
        batch.handled(id, 1);
        server.send(batch);
    }
    assert_eq!(client.frame(), (0x88, 1000u16.to_be_bytes().to_vec()));
}
