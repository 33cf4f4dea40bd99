//! What handlers write: the messages of one batch, many of which are sent by one system call.

mod support;

use std::{iter, sync::mpsc};

use support::{Client, DEADLINE, Server, config};
use volador_gateway::Config;
use volador_proto::link::{Batch, Interest, Kind, ListenerId, Match, Payload, StreamId, ToWorker};

const BINARY: u8 = 0x82;

/// So many WebSockets that are open.
fn opened(config: Config, many: usize) -> (Server, Vec<(Client, StreamId)>) {
    let (opens, came) = mpsc::channel();
    let server = Server::start(config, move |id, frame, answers| {
        if let ToWorker::Request(_) = frame {
            answers.upgrade(id, Interest::NONE, []);
            opens.send(id).unwrap();
        }
    });
    let clients = (0..many).map(|_| {
        let mut client = server.connect();
        client.open_websocket("/");
        (client, came.recv_timeout(DEADLINE).unwrap())
    });
    let clients = clients.collect();
    (server, clients)
}

/// Bytes that tell which message of which client they are.
fn data(client: usize, message: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (client * 31 + message * 7 + at) as u8).collect()
}

#[test]
fn messages_of_a_batch_reach_each_client_in_order_whatever_their_sizes() {
    // Below and above the size from which on a message is sent by itself, and together more than what waits for others.
    let sizes = [64, 0, 4095, 4096, 64, 70_000, 4000, 1, 200_000, 64, 300];
    for many in [1, 3, 4, 40] {
        let (server, mut clients) = opened(config(), many);
        let mut batch = Batch::new();
        for (message, len) in sizes.into_iter().enumerate() {
            for (client, (_, id)) in clients.iter().enumerate() {
                batch.write(*id, Payload::Binary, &data(client, message, len));
            }
        }
        server.send(batch);
        for (client, (socket, _)) in clients.iter_mut().enumerate() {
            for (message, len) in sizes.into_iter().enumerate() {
                assert_eq!(
                    socket.frame(),
                    (BINARY, data(client, message, len)),
                    "message {message} of {client} of {many}"
                );
            }
        }
    }
}

#[test]
fn what_a_client_does_not_take_at_once_waits_for_it_and_is_its_own() {
    let (server, mut clients) = opened(Config { send_queue_max_bytes: 64 << 20, ..config() }, 5);
    // More than sockets take; meanwhile the memory of the messages is used again and again.
    let (rounds, len) = (5000, 4000);
    for message in 0..rounds {
        let mut batch = Batch::new();
        for (client, (_, id)) in clients.iter().enumerate() {
            batch.write(*id, Payload::Binary, &data(client, message, len));
        }
        server.send(batch);
    }
    for (client, (socket, _)) in clients.iter_mut().enumerate() {
        for message in 0..rounds {
            assert!(socket.frame() == (BINARY, data(client, message, len)), "message {message} of {client}");
        }
    }
}

#[test]
fn event_streams_and_websockets_of_one_batch_get_their_own_form() {
    let (opens, came) = mpsc::channel();
    let server = Server::start(config(), move |id, frame, answers| {
        if let ToWorker::Request(request) = frame {
            answers.upgrade(id, Interest::NONE, []);
            opens.send((id, request.transport)).unwrap();
        }
    });
    let mut sockets = Vec::new();
    for n in 0..8 {
        let mut client = server.connect();
        if n % 2 == 0 {
            client.open_websocket("/");
        } else {
            client.send("GET / HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n").head();
        }
        sockets.push((client, came.recv_timeout(DEADLINE).unwrap().0));
    }
    let mut batch = Batch::new();
    for (n, (_, id)) in sockets.iter().enumerate() {
        batch.write(*id, Kind::Message(Payload::Text), format!("for {n}\nonly").as_bytes());
    }
    server.send(batch);
    for (n, (client, _)) in sockets.iter_mut().enumerate() {
        if n % 2 == 0 {
            assert_eq!(client.frame(), (0x81, format!("for {n}\nonly").into_bytes()));
        } else {
            let event = format!("data: for {n}\ndata: only\n\n");
            assert_eq!(client.take(event.len()), event.as_bytes());
        }
    }
}

#[test]
fn a_handler_that_asks_is_told_when_all_is_sent_and_not_before() {
    #[derive(Debug, PartialEq)]
    enum Told {
        Noted,
        Drained,
        Waits,
    }
    let (opens, came) = mpsc::channel();
    let (tells, told) = mpsc::channel();
    let server = Server::start(Config { send_queue_max_bytes: 64 << 20, ..config() }, move |id, frame, answers| {
        let told = match frame {
            ToWorker::Request(_) => {
                answers.upgrade(id, Interest { messages: true, drained: true, ..Interest::NONE }, []);
                answers.listen(ListenerId(1), Match::Exact, b"note");
                return opens.send(id).unwrap();
            }
            ToWorker::Published { .. } => Told::Noted,
            ToWorker::Drained => Told::Drained,
            ToWorker::Backlog(_) => Told::Waits,
            _ => return,
        };
        tells.send(told).unwrap();
    });
    let mut client = server.connect();
    client.open_websocket("/");
    let id = came.recv_timeout(DEADLINE).unwrap();
    let mut batches = 0;
    loop {
        // It does not read. The worker itself is told at once what is published.
        let mut batch = Batch::new();
        (0..20).for_each(|message| batch.write(id, Payload::Binary, &data(0, message, 1000)));
        batch.publish(b"note", Payload::Text, b"");
        batch.ask_drained(id);
        server.send(batch);
        batches += 1;
        assert_eq!(told.recv_timeout(DEADLINE), Ok(Told::Noted));
        match told.recv_timeout(DEADLINE).unwrap() {
            Told::Drained => {}
            other => {
                assert_eq!(other, Told::Waits);
                break;
            }
        }
    }
    assert!(batches > 1, "the first one is taken whole");
    // Behind all that it is told as long as the client does not read.
    let mut batch = Batch::new();
    batch.publish(b"note", Payload::Text, b"");
    server.send(batch);
    let news = || iter::repeat_with(|| told.recv_timeout(DEADLINE).unwrap()).find(|told| *told != Told::Waits);
    assert_eq!(news(), Some(Told::Noted));
    for message in 0..batches * 20 {
        assert_eq!(client.frame(), (BINARY, data(0, message % 20, 1000)));
    }
    // The question of the last batch is answered now.
    assert_eq!(news(), Some(Told::Drained));
}
