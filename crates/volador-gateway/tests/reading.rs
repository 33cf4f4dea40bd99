//! Clients that speak at the same time are read by one system call. Whatever they say, nothing of it is lost or mixed up.

mod support;

use std::net::Shutdown;

use support::{Client, Server, config, eventually, text};
use volador_proto::link::{Interest, ToWorker};

/// Bytes that the shard reads of each of several connections at once.
const PIECE: usize = 1024;

/// Answers requests with their length, takes WebSockets, and echoes.
fn server() -> Server {
    Server::start(config(), |id, frame, answers| match frame {
        ToWorker::Request(request) if request.transport.is_some() => answers.upgrade(id, Interest::MESSAGES, []),
        ToWorker::Request(request) => answers.complete_response(id, 200, [], [request.path()]),
        ToWorker::Message(payload, data) => {
            answers.write(id, payload, &data);
            answers.handled(id, 1);
        }
        _ => {}
    })
}

/// A request of so many bytes, one of which is its number.
fn request(number: usize, len: usize) -> String {
    let (head, end) = (format!("GET /{number} HTTP/1.1\r\nHost: a\r\nX-Filler: "), "\r\n\r\n");
    format!("{head}{}{end}", "x".repeat(len - head.len() - end.len()))
}

/// Connections that have had an answer each, and are waited for by the shard.
fn waiting(server: &Server, count: usize) -> Vec<Client> {
    let mut clients: Vec<_> = (0..count).map(|_| server.connect()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.send(request(number, 100)).reply().body, format!("/{number}"));
    }
    clients
}

/// What each client does is there at once when the shard looks, by the client's number.
fn at_once(server: &Server, clients: &mut [Client], mut act: impl FnMut(usize, &mut Client)) {
    let _hold = server.hold();
    clients.iter_mut().enumerate().for_each(|(number, client)| act(number, client));
}

#[test]
fn requests_that_come_at_once_are_answered_whatever_their_lengths() {
    let server = server();
    let lens = [60, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 5 * PIECE, 100, 20 * PIECE];
    let mut clients = waiting(&server, lens.len());
    for _ in 0..3 {
        at_once(&server, &mut clients, |number, client| {
            client.send(request(number, lens[number]));
        });
        for (number, client) in clients.iter_mut().enumerate() {
            assert_eq!(client.reply().body, format!("/{number}"));
        }
    }
}

#[test]
fn requests_that_come_at_once_may_be_parts_or_several() {
    let server = server();
    let mut clients = waiting(&server, 8);
    at_once(&server, &mut clients, |number, client| {
        let bytes = request(number, PIECE + 100).repeat(2);
        client.send(&bytes[..number * 310 + 1]);
    });
    for (number, client) in clients.iter_mut().enumerate() {
        let bytes = request(number, PIECE + 100).repeat(2);
        client.send(&bytes[number * 310 + 1..]);
        assert_eq!([client.reply().body, client.reply().body], [format!("/{number}"), format!("/{number}")]);
    }
}

#[test]
fn an_end_that_comes_with_others_requests_is_seen() {
    let server = server();
    let mut clients = waiting(&server, 8);
    at_once(&server, &mut clients, |number, client| {
        if number % 2 == 0 {
            client.send(request(number, if number == 4 { PIECE } else { 100 }));
        }
        if number < 6 {
            client.socket.shutdown(Shutdown::Write).unwrap();
        }
    });
    for (number, client) in clients.iter_mut().enumerate().take(6) {
        let rest = client.rest();
        assert_eq!(rest.ends_with(&format!("/{number}")), number % 2 == 0, "{rest}");
    }
    assert_eq!(clients[6].reply().body, "/6");
    assert_eq!(clients[7].send(request(7, 100)).reply().body, "/7");
    drop(clients);
    eventually("all are gone", || server.gateway.stats().http_connections == 0);
}

#[test]
fn messages_that_come_with_the_handshake_reach_the_handler_when_others_speak_as_well() {
    let server = server();
    let mut clients = waiting(&server, 8);
    at_once(&server, &mut clients, |number, client| {
        client.send(format!(
            "GET /{number} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        ));
        // Up to, at and above the end of the piece.
        client.send_frame(1, "m".repeat(number * 200).as_bytes()).send_frame(1, b"last");
    });
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.head().status, 101);
        assert_eq!(text(&client.frame().1), "m".repeat(number * 200));
        assert_eq!(text(&client.frame().1), "last");
        assert_eq!(text(&client.send_frame(1, b"on").frame().1), "on");
    }
}
