//! Push connections over real sockets, with a worker that is a closure.

mod support;

use std::time::{Duration, Instant};

use support::{Client, DEADLINE, Server, config, eventually};
use volador_gateway::Config;
use volador_proto::link::{Batch, Interest, Payload, StreamId, ToWorker};

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// Upgrades every request that wants to be, echoes messages, and acknowledges them.
fn echo(config: Config) -> Server {
    Server::start(config, |id, frame, answers| match frame {
        ToWorker::Request(request) if request.transport.is_some() => {
            answers.upgrade(id, Interest::MESSAGES, [(&b"set-cookie"[..], &b"a=1"[..])]);
        }
        ToWorker::Request(_) => answers.complete_response(id, 200, [], [&b"plain"[..]]),
        ToWorker::Message(payload, data) => {
            answers.write(id, payload, &data);
            answers.handled(id, 1);
        }
        _ => {}
    })
}

fn open_sse(client: &mut Client, path: &str) -> String {
    client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n"));
    client.head().head
}

fn broadcast(server: &Server, pattern: &str, data: &str) {
    let mut batch = Batch::new();
    batch.broadcast(pattern.as_bytes(), Payload::Text, data.as_bytes());
    server.send(batch);
}

#[test]
fn a_websocket_is_upgraded_and_echoes_text_and_binary() {
    let server = echo(config());
    let mut client = server.connect();
    let reply = client.open_websocket("/ws");
    assert_eq!(reply.status, 101);
    assert!(reply.head.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{}", reply.head);
    assert!(reply.head.contains("set-cookie: a=1\r\n"));
    assert_eq!(client.send_frame(1, "grüß".as_bytes()).frame(), (TEXT, "grüß".as_bytes().to_vec()));
    assert_eq!(client.send_frame(2, &[0, 255]).frame(), (BINARY, vec![0, 255]));
    let long = vec![b'x'; 300_000];
    assert!(client.send_frame(2, &long).frame() == (BINARY, long));
    assert_eq!(client.send_frame(9, b"ping").frame(), (PONG, b"ping".to_vec()));
}

#[test]
fn frames_in_the_same_packet_as_the_handshake_are_read() {
    let server = echo(config());
    let mut client = server.connect();
    client.send(
        [
            &b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
               Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"[..],
            &[0x81, 0x82, 0, 0, 0, 0, b'h', b'i'],
        ]
        .concat(),
    );
    assert_eq!(client.head().status, 101);
    assert_eq!(client.frame(), (TEXT, b"hi".to_vec()));
}

#[test]
fn many_that_send_at_once_are_read_whole_whatever_the_size() {
    let server = echo(config());
    let mut clients: Vec<_> = (0..32).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| assert_eq!(client.open_websocket("/ws").status, 101));
    // Around the piece of the buffer that each has when they are read together: 1024 bytes with a frame's head of 8.
    for len in [1, 100, 1015, 1016, 1017, 1023, 1024, 2040, 5000, 70_000] {
        for (n, client) in clients.iter_mut().enumerate() {
            client.send_frame(2, &vec![n as u8; len + n % 2]).send_frame(1, b"and this");
        }
        for (n, client) in clients.iter_mut().enumerate() {
            assert!(client.frame() == (BINARY, vec![n as u8; len + n % 2]), "client {n}, {len} bytes");
            assert_eq!(client.frame(), (TEXT, b"and this".to_vec()));
        }
    }
}

#[test]
fn an_event_stream_gets_its_head_and_events_in_order_from_before_the_upgrade_on() {
    let server = Server::start(config(), |id, frame, answers| {
        if let ToWorker::Request(_) = frame {
            answers.write(id, Payload::Text, b"early");
            answers.upgrade(id, Interest::NONE, [(&b"content-type"[..], &b"text/html"[..])]);
            answers.write(id, Payload::Text, b"two\nlines");
            answers.close(id, 1000);
        }
    });
    let mut client = server.connect();
    let head = open_sse(&mut client, "/events");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"));
    for field in
        ["content-type: text/event-stream", "cache-control: no-store", "x-accel-buffering: no", "connection: close"]
    {
        assert!(head.contains(&format!("\r\n{field}\r\n")), "{head}");
    }
    assert_eq!(client.rest(), "data: early\n\ndata: two\ndata: lines\n\n");
}

#[test]
fn writing_more_than_the_queue_holds_before_the_handshake_is_answered_closes_with_1013() {
    // Each message counts 128 bytes more than it has.
    let server = Server::start(Config { send_queue_max_bytes: 1100, ..config() }, |id, frame, answers| {
        if let ToWorker::Request(_) = frame {
            for _ in 0..3 {
                answers.write(id, Payload::Text, &[b'x'; 400]);
            }
            answers.upgrade(id, Interest::MESSAGES, []);
        }
    });
    let mut client = server.connect();
    client.open_websocket("/");
    assert_eq!([client.frame().1.len(), client.frame().1.len()], [400, 400]);
    let (opcode, payload) = client.frame();
    assert_eq!((opcode, &payload[..2]), (CLOSE, &1013u16.to_be_bytes()[..]));
}

#[test]
fn what_comes_behind_the_answer_finds_a_push_connection_though_the_socket_is_with_http_still() {
    let server = Server::start(Config { send_queue_max_bytes: 1100, ..config() }, |id, frame, answers| {
        if let ToWorker::Request(_) = frame {
            answers.broadcast(b"/room", Payload::Text, b"nobody is there");
            answers.upgrade(id, Interest::MESSAGES, []);
            answers.broadcast(b"/room", Payload::Text, b"one is there");
            (0..3).for_each(|_| answers.write(id, Payload::Text, &[b'x'; 400]));
            answers.write(id, Payload::Text, &[b'y'; 2000]);
            answers.broadcast(b"/*", Payload::Text, b"still");
        }
    });
    let mut client = server.connect();
    client.open_websocket("/room");
    assert_eq!(client.frame(), (TEXT, b"one is there".to_vec()));
    assert_eq!([(); 4].map(|()| client.frame().1.len()), [400, 400, 400, 2000]);
    assert_eq!(client.frame(), (TEXT, b"still".to_vec()));
    drop(client);
    // Nor is one kept in mind that leaves on the way.
    for _ in 0..20 {
        let mut client = server.connect();
        client.send("GET /room HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n");
    }
    eventually("all have left", || {
        let stats = server.gateway.stats();
        stats.accepted == 21 && stats.http_connections + stats.websocket_connections + stats.sse_connections == 0
    });
    let mut client = server.connect();
    client.open_websocket("/room");
    let got: Vec<_> =
        (0..6).map(|_| client.frame()).filter(|(_, data)| data.len() < 100).map(|(_, data)| data).collect();
    assert_eq!(got, [&b"one is there"[..], b"still"], "each once");
}

#[test]
fn a_broadcast_reaches_the_matching_paths_of_both_transports_and_no_other() {
    let server = echo(config());
    let (mut room, mut other, mut events) = (server.connect(), server.connect(), server.connect());
    room.open_websocket("/rooms/7?token=x");
    other.open_websocket("/lobby");
    open_sse(&mut events, "/rooms/8/chat");
    eventually("three push connections", || {
        let stats = server.gateway.stats();
        (stats.websocket_connections, stats.sse_connections) == (2, 1)
    });
    broadcast(&server, "/rooms/**", "all rooms");
    broadcast(&server, "/rooms/*", "one segment");
    broadcast(&server, "/lobby", "exact");
    broadcast(&server, "/nowhere", "nobody");
    broadcast(&server, "not a path", "dropped");
    broadcast(&server, "/**", "everybody");
    assert_eq!(room.frame(), (TEXT, b"all rooms".to_vec()));
    assert_eq!(room.frame(), (TEXT, b"one segment".to_vec()));
    assert_eq!(room.frame(), (TEXT, b"everybody".to_vec()));
    assert_eq!(other.frame(), (TEXT, b"exact".to_vec()));
    assert_eq!(other.frame(), (TEXT, b"everybody".to_vec()));
    assert_eq!(events.take_until("everybody\n\n"), "data: all rooms\n\ndata: everybody\n\n");
}

#[test]
fn a_peer_that_does_not_read_is_disconnected_and_delays_nobody() {
    let (codes, ended) = std::sync::mpsc::channel();
    let server =
        Server::start(Config { send_queue_max_bytes: 100_000, ..config() }, move |id, frame, answers| match frame {
            ToWorker::Request(_) => answers.upgrade(id, Interest::MESSAGES, []),
            ToWorker::Closed { code } => codes.send(code).unwrap(),
            _ => {}
        });
    let (mut stalled, mut reader) = (server.connect(), server.connect());
    stalled.open_websocket("/");
    reader.open_websocket("/");
    let data = "x".repeat(50_000);
    let mut sent = 0;
    // Until the system's buffers and the queue are full, and on past that.
    while server.gateway.stats().closed_slow == 0 || sent % 20 != 0 {
        sent += 1;
        assert!(sent < 2000, "everything is taken");
        broadcast(&server, "/**", &data);
        assert_eq!(reader.frame().1.len(), data.len());
    }
    // The frame that had begun is completed, so that the stream of frames stays whole up to the close frame.
    loop {
        let (opcode, payload) = stalled.frame();
        if opcode == CLOSE {
            assert_eq!(payload[..2], 1013u16.to_be_bytes());
            break;
        }
        assert_eq!(payload.len(), data.len());
    }
    stalled.send_frame(8, &1013u16.to_be_bytes());
    assert_eq!(ended.recv_timeout(DEADLINE), Ok(1013));
}

#[test]
fn a_client_that_sends_faster_than_the_worker_handles_is_not_read_from() {
    let server = Server::start(config(), |id, frame, answers| {
        if let ToWorker::Request(_) = frame {
            answers.upgrade(id, Interest::MESSAGES, []); // and never acknowledges
        }
    });
    let mut client = server.connect();
    client.open_websocket("/");
    client.socket.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let chunk = [&[0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4][..], &[0; 65536]].concat();
    let mut sent = 0;
    while std::io::Write::write_all(&mut client.socket, &chunk).is_ok() {
        sent += chunk.len();
        assert!(sent < 64 << 20, "everything was read");
    }
    assert!(server.gateway.stats().messages < 100);
}

#[test]
fn pings_are_sent_and_a_silent_peer_is_taken_for_dead() {
    let (codes, ended) = std::sync::mpsc::channel();
    let server =
        Server::start(Config { ping_interval: Duration::from_millis(700), ..config() }, move |id, frame, answers| {
            match frame {
                ToWorker::Request(_) => answers.upgrade(id, Interest::MESSAGES, []),
                ToWorker::Closed { code } => codes.send(code).unwrap(),
                _ => {}
            }
        });
    let mut alive = server.connect();
    alive.open_websocket("/");
    for _ in 0..3 {
        assert_eq!(alive.frame(), (PING, Vec::new()));
        alive.send_frame(10, b"");
    }
    // Now it says nothing any more.
    assert_eq!(ended.recv_timeout(DEADLINE), Ok(1006));
    assert_eq!(server.gateway.stats().closed_dead, 1);
}

#[test]
fn heartbeats_are_comments() {
    let server = echo(Config { heartbeat_interval: Duration::from_millis(60), ..config() });
    let mut client = server.connect();
    open_sse(&mut client, "/");
    assert_eq!(client.take(3), b":\n\n");
}

#[test]
fn bad_handshakes_are_refused_with_their_status_and_the_worker_never_sees_them() {
    let server = echo(config());
    let fine = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", "13"),
        ("Origin", "http://a"),
    ];
    for (name, value, status, field) in [
        ("Sec-WebSocket-Version", "8", 426, "sec-websocket-version: 13"),
        ("Sec-WebSocket-Key", "short", 400, ""),
        ("Connection", "close", 400, ""),
        ("Origin", "http://evil.example", 403, ""),
    ] {
        let fields = fine.map(|(n, v)| format!("{n}: {}\r\n", if n == name { value } else { v })).concat();
        let reply = server.connect().send(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).reply();
        assert_eq!(reply.status, status, "{name}: {value}");
        assert!(reply.head.contains(field), "{}", reply.head);
    }
    let fields = fine.map(|(n, v)| format!("{n}: {v}\r\n")).concat();
    let reply =
        server.connect().send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n{fields}\r\n")).reply();
    assert_eq!((reply.status, reply.head.contains("allow: GET\r\n")), (405, true));
    assert_eq!(server.gateway.stats().requests, 0);
}

#[test]
fn a_websocket_handshake_with_a_body_is_refused_before_that_is_sent() {
    let server = echo(config());
    for fields in ["Content-Length: 5\r\nExpect: 100-continue\r\n", "Transfer-Encoding: chunked\r\n"] {
        let refusal = server.connect().open_websocket_with("/", fields);
        assert_eq!(refusal.status, 400, "{fields}");
    }
    assert_eq!(server.gateway.stats().refused_bad, 2);
    assert_eq!(server.connect().open_websocket_with("/", "Content-Length: 0\r\n").status, 101);
}

#[test]
fn an_event_stream_is_not_opened_by_a_request_with_a_body() {
    let server = echo(config());
    let body = |field: &str, body: &str| {
        format!("GET / HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n{field}\r\n\r\n{body}")
    };
    let mut client = server.connect();
    for (field, bytes) in [("Content-Length: 4", "body"), ("Transfer-Encoding: chunked", "4\r\nbody\r\n0\r\n\r\n")] {
        assert_eq!(client.send(body(field, bytes)).reply().body, "plain", "{field}");
    }
    assert!(client.send(body("Content-Length: 0", "")).head().head.contains("content-type: text/event-stream"));
}

#[test]
fn a_drain_finishes_requests_and_closes_push_connections_with_1001() {
    let (events, happened) = std::sync::mpsc::channel();
    let server = Server::start(config(), move |id, frame, answers| match frame {
        ToWorker::Request(request) if request.transport.is_some() => answers.upgrade(id, Interest::MESSAGES, []),
        ToWorker::Request(_) => events.send((id, 0)).unwrap(),
        ToWorker::Closed { code } => events.send((id, code)).unwrap(),
        _ => {}
    });
    let (mut websocket, mut sse, mut busy, mut idle) =
        (server.connect(), server.connect(), server.connect(), server.connect());
    websocket.open_websocket("/");
    open_sse(&mut sse, "/");
    busy.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let (request, _) = happened.recv_timeout(DEADLINE).unwrap();
    assert!(idle.is_quiet());
    server.gateway.drain();
    assert_eq!(websocket.frame(), (CLOSE, 1001u16.to_be_bytes().to_vec()));
    websocket.send_frame(8, &1001u16.to_be_bytes());
    assert_eq!((websocket.rest(), sse.rest(), idle.rest()), Default::default());
    let codes = [happened.recv_timeout(DEADLINE).unwrap().1, happened.recv_timeout(DEADLINE).unwrap().1];
    assert_eq!(codes, [1001, 1001]);
    // The request that had begun keeps the drain from its end.
    assert!(!server.gateway.wait_drained(Instant::now() + Duration::from_millis(50)));
    let mut answer = Batch::new();
    answer.complete_response(request, 200, [], [&b"late"[..]]);
    server.send(answer);
    let reply = busy.reply();
    assert_eq!((reply.body.as_str(), reply.head.contains("connection: close\r\n")), ("late", true));
    assert!(server.gateway.wait_drained(Instant::now() + DEADLINE));
    let address = server.gateway.addresses()[0].strip_prefix("tcp://").unwrap().to_owned();
    assert!(std::net::TcpStream::connect(address).is_err(), "still listening");
}

#[test]
fn an_upgrade_for_a_client_that_has_left_is_answered_with_its_end() {
    let (events, happened) = std::sync::mpsc::channel::<(StreamId, Option<u16>)>();
    let server = Server::start(config(), move |id, frame, _| match frame {
        ToWorker::Request(_) => events.send((id, None)).unwrap(),
        ToWorker::Closed { code } => events.send((id, Some(code))).unwrap(),
        _ => {}
    });
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n");
    let (id, _) = happened.recv_timeout(DEADLINE).unwrap();
    drop(client);
    let mut answer = Batch::new();
    answer.upgrade(id, Interest::MESSAGES, []);
    server.send(answer);
    assert_eq!(happened.recv_timeout(DEADLINE), Ok((id, Some(1006))));
    eventually("no connection is left", || server.gateway.stats().sse_connections == 0);
}
