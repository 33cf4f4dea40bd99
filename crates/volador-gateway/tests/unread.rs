//! What waits for a client that reads nothing.
//!
//! Over a Unix socket: it takes the whole of a short send or nothing, so that what waits first has not begun, and can be
//! replaced or dropped. A TCP socket takes a part, as a rule.

mod support;

use std::{
    net::TcpStream,
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::Path,
};

use support::{Client, DEADLINE, Server, config, eventually};
use volador_gateway::Config;
use volador_proto::link::{Batch, Interest, Match, Payload, ToWorker};

const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;

const CHANNELS: [&str; 3] = ["a", "b", "c"];

/// Zeros behind each message, so that a socket is full soon.
const PADDING: usize = 2000;

#[test]
fn the_newest_of_each_channel_waits_at_its_place_from_the_first_that_is_not_taken() {
    // So many messages in a batch: by itself, or with others. By one call for each client, and by one for many.
    for (together, clients) in [(1, 1), (1, 8), (3, 1), (3, 8)] {
        let (server, mut clients) = opened(Config { conflate: vec!["*".into()], ..config() }, clients);
        let stats = || server.gateway.stats();

        let messages_of = |round: usize| CHANNELS.map(|channel| format!("{channel} {round}"));
        let (mut rounds, mut sent) = (0, 0);
        // More than once for each of them, so that one that has replaced another is replaced as well.
        while stats().conflated < 3 * (CHANNELS.len() * clients.len()) as u64 {
            rounds += 1;
            assert!(rounds < 10_000, "everything was taken");
            let messages: Vec<_> = CHANNELS.into_iter().zip(messages_of(rounds)).collect();
            for messages in messages.chunks(together) {
                let mut batch = Batch::new();
                for (channel, text) in messages {
                    batch.publish(channel.as_bytes(), Payload::Binary, &[text.as_bytes(), &[0; PADDING]].concat());
                }
                server.send(batch);
                sent += messages.len() * clients.len();
                // Else it may be one batch with the next.
                eventually("all is sent", || stats().delivered == sent as u64);
            }
        }

        // What sockets have taken can't be replaced, and all else has been: it tells how many of them there are.
        let (sent_bytes, mut taken_bytes, mut lost) = (stats().sent_bytes, 0, 0);
        for (client, head_bytes) in &mut clients {
            let mut got: Vec<String> = Vec::new();
            let mut newest = messages_of(rounds).to_vec();
            while !newest.is_empty() {
                let mut data = client.frame().1;
                data.truncate(data.len() - PADDING);
                let text = String::from_utf8(data).unwrap();
                newest.retain(|newest| *newest != text);
                got.push(text);
            }
            // The first that was not taken is of any channel.
            let taken = got.len() - CHANNELS.len();
            let all: Vec<_> = (1..=rounds).flat_map(messages_of).collect();
            let waited = (taken..taken + CHANNELS.len()).map(|at| messages_of(rounds)[at % CHANNELS.len()].clone());
            let wanted: Vec<_> = all[..taken].iter().cloned().chain(waited).collect();
            assert_eq!(got, wanted, "{together} in a batch");
            taken_bytes += *head_bytes + all[..taken].iter().map(|text| 4 + text.len() + PADDING).sum::<usize>();
            lost += all.len() - got.len();
        }
        assert_eq!(taken_bytes as u64, sent_bytes);
        eventually("all that was replaced is counted", || stats().conflated == lost as u64);
        assert!(clients[0].0.is_quiet());
    }
}

#[test]
fn a_client_that_is_too_slow_gets_its_close_frame_behind_what_its_socket_has_taken() {
    // One by one, and in bursts.
    for together in [1, 3] {
        let (server, mut clients) = opened(Config { send_queue_max_bytes: 10_000, ..config() }, 1);
        let stats = || server.gateway.stats();
        let mut sent = 0;
        while stats().closed_slow == 0 {
            assert!(sent < 10_000, "everything was taken");
            let mut batch = Batch::new();
            (0..together).for_each(|_| batch.publish(b"a", Payload::Binary, &[0; PADDING]));
            server.send(batch);
            sent += together;
            eventually("all is published", || stats().published == sent as u64);
        }
        let sent_bytes = stats().sent_bytes;
        let [(client, head_bytes)] = &mut clients[..] else { panic!("one client") };
        let mut taken_bytes = *head_bytes;
        let close = loop {
            match client.frame() {
                (BINARY, data) => taken_bytes += 4 + data.len(),
                other => break other,
            }
        };
        assert_eq!((close.0, &close.1[..2]), (CLOSE, &1013u16.to_be_bytes()[..]));
        assert_eq!(taken_bytes as u64, sent_bytes, "what has waited is dropped");
    }
}

#[test]
fn many_short_messages_fill_a_queue_by_what_they_take_in_memory() {
    let (server, clients) = opened(Config { send_queue_max_bytes: 600_000, ..config() }, 1);
    let stats = || server.gateway.stats();
    let publish = |count, data: &[u8]| {
        let mut batch = Batch::new();
        (0..count).for_each(|_| batch.publish(b"a", Payload::Binary, data));
        server.send(batch);
    };
    // Until the system takes no more: of the one before, all that was taken is counted by then.
    let (mut sent, mut before) = (0, clients[0].1 as u64);
    loop {
        publish(1, &[0; PADDING]);
        sent += 1;
        eventually("it is sent", || stats().delivered == sent);
        if stats().sent_bytes < before {
            break;
        }
        before += 4 + PADDING as u64;
    }
    assert_eq!(stats().closed_slow, 0);
    // These frames have 15 kB together, and take more than 600.
    publish(5000, b"x");
    eventually("it is too slow", || stats().closed_slow == 1);
}

/// So many WebSockets that are subscribed to all channels, with the lengths of the heads that have opened them.
fn opened(config: Config, clients: usize) -> (Server, Vec<(Client, usize)>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("volador.sock");
    let bind = vec![format!("unix://{}", path.display()).parse().unwrap()];
    let server = Server::start(Config { bind, ..config }, |id, frame, answers| {
        if let ToWorker::Request(_) = frame {
            answers.upgrade(id, Interest::NONE, []);
            CHANNELS.iter().for_each(|channel| answers.subscribe(id, Match::Exact, channel.as_bytes()));
        }
    });
    let clients: Vec<_> = (0..clients).map(|_| open(&path)).collect();
    eventually("all are push connections", || server.gateway.stats().websocket_connections == clients.len() as u64);
    (server, clients)
}

fn open(path: &Path) -> (Client, usize) {
    // For what the tests do with it, a stream socket is like another.
    let socket = TcpStream::from(OwnedFd::from(UnixStream::connect(path).unwrap()));
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut client = Client { socket, buf: Vec::new() };
    let reply = client.open_websocket("/");
    assert_eq!(reply.status, 101);
    (client, reply.head.len())
}
