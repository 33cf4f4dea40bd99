//! Pings and heartbeats of connections that have a timeout of their own.

mod support;

use std::{
    io::Read,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, channel},
    },
    thread,
    time::{Duration, Instant},
};

use support::{Client, DEADLINE, Server, config, eventually};
use volador_gateway::Config;
use volador_proto::link::{Batch, Interest, Payload, StreamId, ToWorker};

const PING: u8 = 0x89;
const PONG: u8 = 10;

/// Never comes within a test.
const NEVER: Duration = Duration::from_secs(600);

/// What the worker hears: a stream that was opened, or has ended with this code.
type Heard = Receiver<(StreamId, Option<u16>)>;

/// Upgrades every request; those for `/early` with a timeout of 60 ms, set before the answer.
fn server(ping_interval: Duration, heartbeat_interval: Duration) -> (Server, Heard) {
    let (told, heard) = channel();
    let server =
        Server::start(
            Config { ping_interval, heartbeat_interval, ..config() },
            move |id, frame, answers| match frame {
                ToWorker::Request(request) => {
                    if request.path() == b"/early" {
                        answers.timeout(id, 60);
                    }
                    answers.upgrade(id, Interest::MESSAGES, []);
                    told.send((id, None)).unwrap();
                }
                ToWorker::Closed { code } => told.send((id, Some(code))).unwrap(),
                _ => {}
            },
        );
    (server, heard)
}

fn set_timeout(server: &Server, id: StreamId, millis: u32) {
    let mut batch = Batch::new();
    batch.timeout(id, millis);
    server.send(batch);
}

fn opened(heard: &Heard) -> StreamId {
    heard.recv_timeout(DEADLINE).unwrap().0
}

fn open_sse(client: &mut Client, path: &str) {
    client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n"));
    client.head();
}

#[test]
fn a_websocket_is_pinged_by_its_own_timeout_and_taken_for_dead_after_two_unanswered_pings() {
    let (server, heard) = server(NEVER, NEVER);
    let (mut client, mut other) = (server.connect(), server.connect());
    client.open_websocket("/");
    let id = opened(&heard);
    other.open_websocket("/");
    opened(&heard);
    set_timeout(&server, id, 60);
    let start = Instant::now();
    for _ in 0..4 {
        assert_eq!(client.frame(), (PING, Vec::new()));
        client.send_frame(PONG, b"");
    }
    assert!(start.elapsed() >= Duration::from_millis(200), "{:?}", start.elapsed());
    // From now on it is silent.
    assert_eq!([client.frame().0, client.frame().0], [PING, PING]);
    assert_eq!(heard.recv_timeout(DEADLINE), Ok((id, Some(1006))));
    assert_eq!(server.gateway.stats().closed_dead, 1);
    assert!(other.is_quiet(), "the others have no part in it");
}

#[test]
fn a_websocket_that_is_not_read_as_its_worker_is_behind_is_not_taken_for_dead() {
    let (server, heard) = server(NEVER, NEVER);
    let mut client = server.connect();
    client.open_websocket("/");
    let id = opened(&heard);
    // As many messages as the worker may have in hand; it handles none.
    for _ in 0..64 {
        client.send_frame(1, b"hi");
    }
    eventually("it is not read any more", || server.gateway.stats().messages == 64);
    set_timeout(&server, id, 200);
    for _ in 0..6 {
        assert_eq!(client.frame(), (PING, Vec::new()));
    }
    // From now on it can show that it is there.
    let mut handled = Batch::new();
    handled.handled(id, 64);
    server.send(handled);
    for _ in 0..4 {
        assert_eq!(client.frame(), (PING, Vec::new()));
        client.send_frame(PONG, b"");
    }
    assert_eq!(server.gateway.stats().closed_dead, 0);
    // Silent again, and now that counts.
    assert_eq!([client.frame().0, client.frame().0], [PING, PING]);
    assert_eq!(heard.recv_timeout(DEADLINE), Ok((id, Some(1006))));
}

#[test]
fn a_websocket_that_takes_slowly_what_waits_for_it_is_not_taken_for_dead() {
    const MESSAGES: usize = 48;
    let server = Server::start(Config { send_queue_max_bytes: 1 << 30, ..config() }, |id, frame, answers| {
        if let ToWorker::Request(_) = frame {
            answers.upgrade(id, Interest::NONE, []);
            answers.timeout(id, 500);
            for _ in 0..MESSAGES {
                answers.write(id, Payload::Binary, &[0; 1 << 20]);
            }
        }
    });
    let mut client = server.connect();
    client.open_websocket("/");
    let start = Instant::now();
    // It answers no ping before it has read everything. Without a sign of life it has 1.5 s.
    for n in 1..=MESSAGES {
        assert_eq!(client.frame().1.len(), 1 << 20);
        if n % 3 == 0 {
            thread::sleep(Duration::from_millis(200));
        }
    }
    assert!(start.elapsed() > Duration::from_millis(3000));
    client.send_frame(PONG, b"");
    // None has waited behind the messages, only since the last of them is in the system's buffers.
    let mut pings = 0;
    while pings == 0 || !client.is_quiet() {
        assert_eq!(client.frame(), (PING, Vec::new()));
        pings += 1;
    }
    assert!(pings <= 3, "{pings} pings");
    assert_eq!(server.gateway.stats().closed_dead, 0);
}

#[test]
fn whoever_takes_less_than_the_system_reports_is_not_taken_for_dead() {
    let server = Server::start(Config { send_queue_max_bytes: 1 << 30, ..config() }, |id, frame, answers| {
        if let ToWorker::Request(_) = frame {
            answers.upgrade(id, Interest::NONE, []);
            answers.timeout(id, 500);
            (0..48).for_each(|_| answers.write(id, Payload::Binary, &[b'x'; 1 << 20]));
        }
    });
    let (mut websocket, mut events) = (server.connect(), server.connect());
    websocket.open_websocket("/");
    open_sse(&mut events, "/");
    // The system reports room when a third of its buffer is free, which takes several seconds at this pace. Without a sign
    // of life there are 1.5 s.
    let mut buf = [0; 64 << 10];
    for _ in 0..20 {
        for client in [&mut websocket, &mut events] {
            client.socket.read_exact(&mut buf).unwrap();
        }
        thread::sleep(Duration::from_millis(150));
        assert_eq!(server.gateway.stats().closed_dead, 0);
    }
}

#[test]
fn an_event_stream_gets_a_comment_by_its_own_timeout() {
    let (server, heard) = server(NEVER, NEVER);
    let (mut client, mut other) = (server.connect(), server.connect());
    open_sse(&mut client, "/");
    set_timeout(&server, opened(&heard), 60);
    open_sse(&mut other, "/");
    assert_eq!(client.take(9), b":\n\n:\n\n:\n\n");
    assert!(other.is_quiet());
}

#[test]
fn a_timeout_that_is_set_before_the_handshake_is_answered_counts() {
    let (server, _heard) = server(NEVER, NEVER);
    let mut client = server.connect();
    client.open_websocket("/early");
    assert_eq!(client.frame(), (PING, Vec::new()));
    let mut client = server.connect();
    open_sse(&mut client, "/early");
    assert_eq!(client.take(3), b":\n\n");
}

#[test]
fn a_longer_timeout_takes_a_connection_out_of_the_rounds_and_zero_brings_it_back() {
    let (server, heard) = server(Duration::from_millis(60), NEVER);
    let mut client = server.connect();
    client.open_websocket("/");
    let id = opened(&heard);
    assert_eq!(client.frame(), (PING, Vec::new()));
    client.send_frame(PONG, b"");
    set_timeout(&server, id, 600_000);
    // Those that were on their way before.
    eventually("no more pings", || {
        client.buf.clear();
        client.is_quiet() || !client.fill()
    });
    assert!(client.is_quiet());
    set_timeout(&server, id, 0);
    for _ in 0..2 {
        assert_eq!(client.frame(), (PING, Vec::new()));
        client.send_frame(PONG, b"");
    }
}

#[test]
fn zero_that_is_said_again_and_again_does_not_put_the_ping_off() {
    let (server, heard) = server(Duration::from_millis(100), NEVER);
    let mut client = server.connect();
    client.open_websocket("/");
    let id = opened(&heard);
    let (is_pinged, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..300 {
                set_timeout(&server, id, 0);
                thread::sleep(Duration::from_millis(10));
                if is_pinged.load(Ordering::Relaxed) {
                    return;
                }
            }
            is_over.store(true, Ordering::Relaxed);
        });
        assert_eq!(client.frame(), (PING, Vec::new()));
        assert!(!is_over.load(Ordering::Relaxed), "it comes when nobody says so any more");
        is_pinged.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_timeout_of_a_connection_that_has_ended_is_harmless() {
    let (server, heard) = server(NEVER, NEVER);
    let mut client = server.connect();
    client.open_websocket("/");
    let id = opened(&heard);
    set_timeout(&server, id, 20);
    drop(client);
    assert!(matches!(heard.recv_timeout(DEADLINE), Ok((ended, Some(_))) if ended == id));
    set_timeout(&server, id, 20);
    // The slot is used again, and the new connection has no timeout.
    let mut client = server.connect();
    client.open_websocket("/");
    assert_eq!(opened(&heard).slot(), id.slot());
    assert!(client.is_quiet());
}
