//! The end of push connections whose client is slow, over real sockets.

mod support;

use std::{
    io::Read,
    net::Shutdown,
    sync::mpsc::RecvTimeoutError,
    thread,
    time::{Duration, Instant},
};

use support::{Client, DEADLINE, Server, config, eventually};
use volador_gateway::Config;
use volador_proto::link::{Batch, Interest, Payload, ToWorker};

const CLOSE: u8 = 0x88;

/// More than the system's buffers take of one connection at once.
const MESSAGES: usize = 40;
const MESSAGE_BYTES: usize = 1 << 20;

/// Writes much to each push connection and closes it at once. Tells the code of each end. Pings and heartbeats of those
/// that are open are so frequent that they would be over long before the time to close is.
fn farewell() -> (Server, std::sync::mpsc::Receiver<u16>) {
    let (codes, ended) = std::sync::mpsc::channel();
    let often = Duration::from_millis(100);
    let config = Config { send_queue_max_bytes: 1 << 30, ping_interval: often, heartbeat_interval: often, ..config() };
    let server = Server::start(config, move |id, frame, answers| match frame {
        ToWorker::Request(_) => {
            answers.upgrade(id, Interest::MESSAGES, []);
            for _ in 0..MESSAGES {
                answers.write(id, Payload::Text, &[b'x'; MESSAGE_BYTES]);
            }
            answers.close(id, 1000);
        }
        ToWorker::Closed { code } => codes.send(code).unwrap(),
        _ => {}
    });
    (server, ended)
}

#[test]
fn a_close_takes_effect_once_everything_is_sent_however_long_a_client_takes_that_goes_on_reading() {
    let (server, ended) = farewell();
    let mut client = server.connect();
    client.open_websocket("/");
    let start = Instant::now();
    for n in 0..MESSAGES {
        // Together longer than the time that a peer has who takes nothing.
        if n % 5 == 0 {
            thread::sleep(Duration::from_millis(700));
        }
        assert_eq!(client.frame().1.len(), MESSAGE_BYTES, "message {n} after {:?}", start.elapsed());
    }
    assert_eq!(client.frame(), (CLOSE, 1000u16.to_be_bytes().to_vec()));
    client.send_frame(8, &1000u16.to_be_bytes());
    assert_eq!(client.rest(), "");
    assert_eq!(ended.recv_timeout(DEADLINE), Ok(1000));
}

#[test]
fn a_closing_client_that_reads_on_is_not_cut_off_however_slow_it_is() {
    let (server, ended) = farewell();
    let mut client = server.connect();
    client.open_websocket("/");
    // The system reports room when a third of its buffer is free: at this pace that is after more than the time that a
    // peer has who takes nothing.
    let mut buf = [0; 64 << 10];
    for _ in 0..20 {
        client.socket.read_exact(&mut buf).unwrap();
        assert_eq!(ended.recv_timeout(Duration::from_millis(400)), Err(RecvTimeoutError::Timeout));
    }
}

#[test]
fn an_event_stream_ends_once_everything_is_sent_likewise_also_to_a_client_that_has_shut_down_its_side() {
    for has_shut_down in [false, true] {
        let (server, ended) = farewell();
        let mut client = server.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n");
        client.head();
        if has_shut_down {
            client.socket.shutdown(Shutdown::Write).unwrap();
        }
        let len = MESSAGES * ("data: ".len() + MESSAGE_BYTES + "\n\n".len());
        let mut got = client.buf.len();
        for pause in 1..=8 {
            thread::sleep(Duration::from_millis(700));
            while got < len * pause / 8 {
                let read = read(&mut client).unwrap();
                assert!(read > 0, "it ends before everything is sent");
                got += read;
            }
        }
        assert_eq!((got, read(&mut client).unwrap()), (len, 0));
        assert_eq!(ended.recv_timeout(DEADLINE), Ok(1000));
    }
}

#[test]
fn an_open_event_stream_whose_client_shuts_down_its_side_ends_behind_what_waits() {
    let (codes, ended) = std::sync::mpsc::channel();
    let config = Config { send_queue_max_bytes: 1 << 30, ..config() };
    let server = Server::start(config, move |id, frame, answers| match frame {
        ToWorker::Request(_) => {
            answers.upgrade(id, Interest::MESSAGES, []);
            (0..MESSAGES).for_each(|_| answers.write(id, Payload::Text, &[b'x'; MESSAGE_BYTES]));
        }
        ToWorker::Closed { code } => codes.send(code).unwrap(),
        _ => {}
    });
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n");
    client.head();
    client.socket.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.rest().len(), MESSAGES * ("data: ".len() + MESSAGE_BYTES + "\n\n".len()));
    assert_eq!(ended.recv_timeout(DEADLINE), Ok(1006));
}

#[test]
fn a_closing_client_that_takes_nothing_is_cut_off() {
    let (server, ended) = farewell();
    let mut client = server.connect();
    client.open_websocket("/");
    assert_eq!(ended.recv_timeout(DEADLINE), Ok(1000));
    assert_eq!(server.gateway.stats().closed_dead, 0, "its deadline has ended it");
    assert!((0..10_000).any(|_| read(&mut client).is_none_or(|n| n == 0)), "it does not end");
}

#[test]
fn a_close_while_the_worker_is_behind_finds_the_peers_close_frame_behind_what_was_not_read() {
    let (opened, streams) = std::sync::mpsc::channel();
    let (codes, ended) = std::sync::mpsc::channel();
    let server = Server::start(config(), move |id, frame, answers| match frame {
        ToWorker::Request(request) if request.transport.is_some() => {
            answers.upgrade(id, Interest::MESSAGES, []);
            opened.send(id).unwrap();
        }
        ToWorker::Request(_) => answers.complete_response(id, 200, [], []),
        ToWorker::Closed { code } => codes.send(code).unwrap(),
        _ => {} // no message is handled
    });
    let mut client = server.connect();
    client.open_websocket("/");
    // As many messages as the worker may have in hand.
    for _ in 0..64 {
        client.send_frame(1, b"early");
    }
    eventually("it is not read any more", || server.gateway.stats().messages == 64);
    client.send_frame(1, b"late").send_frame(8, &1000u16.to_be_bytes());
    // The shard looks at its sockets in turn: it has seen what came before this.
    assert_eq!(server.connect().send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").reply().status, 200);
    let mut close = Batch::new();
    close.close(streams.recv_timeout(DEADLINE).unwrap(), 1000);
    let start = Instant::now();
    server.send(close);
    assert_eq!(client.frame(), (CLOSE, 1000u16.to_be_bytes().to_vec()));
    assert_eq!(ended.recv_timeout(DEADLINE), Ok(1000));
    assert!(start.elapsed() < Duration::from_secs(2), "only its deadline has ended it");
    assert_eq!((client.rest(), server.gateway.stats().messages), (String::new(), 64));
}

/// What the client does after our close frame may take so long: less than the 3 s that it has, and more than is left of them
/// when the worker has used up [`SLOW_WORKER`].
const SLOW_CLIENT: Duration = Duration::from_millis(1700);
const SLOW_WORKER: Duration = Duration::from_millis(2000);

/// Less than the 3 s as well.
const SHORT_DRAIN: Duration = Duration::from_millis(2000);

#[test]
fn a_handler_that_is_long_over_its_last_words_leaves_the_client_its_time_to_answer() {
    let (codes, ended) = std::sync::mpsc::channel();
    let server = Server::start(config(), move |id, frame, answers| match frame {
        ToWorker::Request(_) => answers.upgrade(id, Interest { shutdown: true, ..Interest::NONE }, []),
        ToWorker::Shutdown => {
            thread::sleep(SLOW_WORKER);
            answers.close(id, 1001);
        }
        ToWorker::Closed { code } => codes.send(code).unwrap(),
        _ => {}
    });
    let mut client = server.connect();
    client.open_websocket("/");
    eventually("it is taken over", || server.gateway.stats().websocket_connections == 1);
    server.gateway.drain();
    assert_eq!(client.frame(), (CLOSE, 1001u16.to_be_bytes().to_vec()));
    assert!(ended.recv_timeout(SLOW_CLIENT).is_err(), "it is cut off");
    client.send_frame(8, &1001u16.to_be_bytes());
    assert_eq!((client.rest(), ended.recv_timeout(DEADLINE)), (String::new(), Ok(1001)));
}

#[test]
fn a_handler_is_told_the_end_of_a_client_that_says_nothing_before_a_short_drain_is_over() {
    let (codes, ended) = std::sync::mpsc::channel();
    // A quarter of it is left for the end to be told.
    let config = Config { drain_timeout: SHORT_DRAIN, ..config() };
    let server = Server::start(config, move |id, frame, answers| match frame {
        ToWorker::Request(_) => answers.upgrade(id, Interest::NONE, []),
        ToWorker::Closed { code } => codes.send(code).unwrap(),
        _ => {}
    });
    let mut client = server.connect();
    client.open_websocket("/");
    eventually("it is taken over", || server.gateway.stats().websocket_connections == 1);
    let start = Instant::now();
    server.gateway.drain();
    assert_eq!(client.frame(), (CLOSE, 1001u16.to_be_bytes().to_vec()));
    assert!(server.gateway.wait_drained(start + SHORT_DRAIN), "the time is over");
    assert_eq!((ended.recv_timeout(DEADLINE), client.rest()), (Ok(1001), String::new()));
    assert!(start.elapsed() > SHORT_DRAIN / 2, "the client has some time");
}

#[test]
fn last_words_may_take_longer_than_a_closing_handshake() {
    let server = Server::start(config(), move |id, frame, answers| match frame {
        ToWorker::Request(_) => answers.upgrade(id, Interest { shutdown: true, ..Interest::NONE }, []),
        ToWorker::Shutdown => {
            // The time for a closing handshake, and more.
            thread::sleep(Duration::from_millis(3300));
            answers.write(id, Payload::Text, b"bye");
            answers.close(id, 1001);
        }
        _ => {}
    });
    let mut client = server.connect();
    client.open_websocket("/");
    eventually("it is taken over", || server.gateway.stats().websocket_connections == 1);
    server.gateway.drain();
    assert_eq!(client.frame(), (0x81, b"bye".to_vec()));
    assert_eq!(client.frame(), (CLOSE, 1001u16.to_be_bytes().to_vec()));
}

#[test]
fn a_worker_that_is_long_over_what_came_before_a_fault_leaves_the_client_its_time_to_end() {
    let (codes, ended) = std::sync::mpsc::channel();
    let server = Server::start(config(), move |id, frame, answers| match frame {
        ToWorker::Request(_) => answers.upgrade(id, Interest::MESSAGES, []),
        ToWorker::Message(..) => {
            thread::sleep(SLOW_WORKER);
            answers.handled(id, 1);
        }
        ToWorker::Closed { code } => codes.send(code).unwrap(),
        _ => {}
    });
    let mut client = server.connect();
    client.open_websocket("/");
    let (opcode, payload) = client.send_frame(1, b"before").send_frame(3, b"no such opcode").frame();
    assert_eq!((opcode, &payload[..2]), (CLOSE, &1002u16.to_be_bytes()[..]));
    assert!(ended.recv_timeout(SLOW_CLIENT).is_err(), "it is cut off");
    assert_eq!(client.rest(), "");
    drop(client);
    assert_eq!(ended.recv_timeout(DEADLINE), Ok(1002));
}

/// One more read, of which only the length is of interest; None for a reset.
fn read(client: &mut Client) -> Option<usize> {
    client.socket.read(&mut [0; 1 << 16]).ok()
}
