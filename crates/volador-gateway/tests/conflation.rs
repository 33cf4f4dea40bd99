//! What waits for a client that takes nothing, of channels of which it gets the newest message only.
//!
//! Over a Unix socket: it takes the whole of a short send or nothing, so that what waits first has not begun and can be
//! replaced. A TCP socket takes a part, as a rule.

mod support;

use std::{
    net::TcpStream,
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::Path,
};

use support::{Client, DEADLINE, Server, config, eventually};
use volador_gateway::Config;
use volador_proto::link::{Batch, Interest, Match, Payload, ToWorker};

const CHANNELS: [&str; 3] = ["a", "b", "c"];

/// Zeros behind each message, so that a socket is full soon.
const PADDING: usize = 2000;

#[test]
fn the_newest_of_each_channel_waits_at_its_place_from_the_first_that_is_not_taken() {
    // So many messages in a batch: by itself, or with others. By one call for each client, and by one for many.
    for (together, clients) in [(1, 1), (1, 8), (3, 1), (3, 8)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("volador.sock");
        let bind = vec![format!("unix://{}", path.display()).parse().unwrap()];
        let server = Server::start(Config { bind, conflate: vec!["*".into()], ..config() }, |id, frame, answers| {
            if let ToWorker::Request(_) = frame {
                answers.upgrade(id, Interest::NONE, []);
                CHANNELS.iter().for_each(|channel| answers.subscribe(id, Match::Exact, channel.as_bytes()));
            }
        });
        let mut clients: Vec<_> = (0..clients).map(|_| open(&path)).collect();
        let stats = || server.gateway.stats();
        eventually("all are push connections", || stats().websocket_connections == clients.len() as u64);

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

/// With the length of the answer's head.
fn open(path: &Path) -> (Client, usize) {
    // For what the tests do with it, a stream socket is like another.
    let socket = TcpStream::from(OwnedFd::from(UnixStream::connect(path).unwrap()));
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut client = Client { socket, buf: Vec::new() };
    let reply = client.open_websocket("/");
    assert_eq!(reply.status, 101);
    (client, reply.head.len())
}
