//! The closing handshake of WebSockets, by either side and after a fault (RFC 6455 §7), over real sockets.

mod support;

use support::{Client, DEADLINE, Server, config, echo, eventually};
use volador_proto::link::{Interest, ToWorker};

const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;

#[test]
fn the_closing_handshake_is_answered_and_the_worker_told_the_code() {
    let (codes, ended) = std::sync::mpsc::channel();
    let server = Server::start(config(), move |id, frame, answers| match frame {
        ToWorker::Request(_) => answers.upgrade(id, Interest::MESSAGES, []),
        ToWorker::Message(..) => answers.close(id, 1000),
        ToWorker::Closed { code } => codes.send(code).unwrap(),
        _ => {}
    });
    // By the client.
    let mut client = server.connect();
    client.open_websocket("/");
    assert_eq!(client.send_frame(8, &4000u16.to_be_bytes()).frame(), (CLOSE, 4000u16.to_be_bytes().to_vec()));
    assert_eq!(client.rest(), "");
    assert_eq!(ended.recv_timeout(DEADLINE), Ok(4000));
    // By the application.
    let mut client = server.connect();
    client.open_websocket("/");
    assert_eq!(client.send_frame(1, b"bye").frame(), (CLOSE, 1000u16.to_be_bytes().to_vec()));
    client.send_frame(8, &1000u16.to_be_bytes());
    assert_eq!(client.rest(), "");
    assert_eq!(ended.recv_timeout(DEADLINE), Ok(1000));
    // By a fault.
    let mut client = server.connect();
    client.open_websocket("/");
    let (opcode, payload) = client.send_frame(1, b"\xff").frame();
    assert_eq!((opcode, &payload[..2]), (CLOSE, &1007u16.to_be_bytes()[..]));
    // Whoever fails a connection does not wait for the answer (RFC 6455 §7.1.7).
    assert_eq!(client.rest(), "");
    drop(client);
    assert_eq!(ended.recv_timeout(DEADLINE), Ok(1007));
    // By nobody.
    let mut client = server.connect();
    client.open_websocket("/");
    drop(client);
    assert_eq!(ended.recv_timeout(DEADLINE), Ok(1006));
    eventually("no connection is left", || server.gateway.stats().websocket_connections == 0);
}

#[test]
fn what_came_before_a_fault_is_answered_before_the_close() {
    let server = echo(config());
    let mut client = server.connect();
    client.open_websocket("/");
    client.send_frame(1, b"one").send_frame(1, b"two").send_frame(3, b"no such opcode").send_frame(1, b"three");
    assert_eq!(client.frame(), (TEXT, b"one".to_vec()));
    assert_eq!(client.frame(), (TEXT, b"two".to_vec()));
    let (opcode, payload) = client.frame();
    assert_eq!((opcode, &payload[..2]), (CLOSE, &1002u16.to_be_bytes()[..]));
    assert_eq!(client.rest(), "");
}

#[test]
fn a_fault_is_told_even_if_the_messages_before_it_are_never_handled() {
    let (codes, ended) = std::sync::mpsc::channel();
    let server = Server::start(config(), move |id, frame, answers| match frame {
        ToWorker::Request(_) => answers.upgrade(id, Interest::MESSAGES, []),
        ToWorker::Closed { code } => codes.send(code).unwrap(),
        _ => {}
    });
    let mut client = server.connect();
    client.open_websocket("/");
    let (opcode, payload) = client.send_frame(1, b"never handled").send_frame(3, b"").frame();
    assert_eq!((opcode, &payload[..2]), (CLOSE, &1002u16.to_be_bytes()[..]));
    assert_eq!(client.rest(), "");
    assert_eq!(ended.recv_timeout(DEADLINE), Ok(1002));
}

#[test]
fn the_close_after_a_fault_reaches_a_client_that_is_still_sending() {
    let server = echo(config());
    let mut client = server.connect();
    client.open_websocket("/");
    // More than one read takes: closing the socket over it would be a reset, which takes the close frame with it.
    client.send_frame(3, &[0; 1 << 20]);
    let (opcode, payload) = client.frame();
    assert_eq!((opcode, &payload[..2]), (CLOSE, &1002u16.to_be_bytes()[..]));
    client.send_frame(1, &[b'x'; 1 << 20]);
    assert_eq!(client.rest(), "");
}

/// A WebSocket that the worker closes as soon as it is open, with our close frame read, and the code that the worker is told.
fn closed_by_us() -> (Server, Client, std::sync::mpsc::Receiver<u16>) {
    let (codes, ended) = std::sync::mpsc::channel();
    let server = Server::start(config(), move |id, frame, answers| match frame {
        ToWorker::Request(_) => {
            answers.upgrade(id, Interest::MESSAGES, []);
            answers.close(id, 1000);
        }
        ToWorker::Closed { code } => codes.send(code).unwrap(),
        _ => {}
    });
    let mut client = server.connect();
    client.open_websocket("/");
    assert_eq!(client.frame(), (CLOSE, 1000u16.to_be_bytes().to_vec()));
    (server, client, ended)
}

#[test]
fn a_peer_that_does_not_answer_our_close_is_cut_off() {
    let (_server, mut client, ended) = closed_by_us();
    assert_eq!(ended.recv_timeout(DEADLINE), Ok(1000));
    assert_eq!(client.rest(), "");
}

#[test]
fn a_fault_behind_our_close_frame_is_not_what_closed_the_connection() {
    let (server, mut client, ended) = closed_by_us();
    client.send_frame(3, b"no such opcode");
    assert_eq!((ended.recv_timeout(DEADLINE), server.gateway.stats().closed_protocol), (Ok(1000), 0));
}
