//! Batches of frames at random, and what each client gets of them by the rules: everything once, in order, up to its close.

mod support;

use std::{
    sync::mpsc::{self, Receiver},
    time::Duration,
};

use proptest::{collection::vec, prelude::*};
use support::{Client, DEADLINE, Server, config, eventually};
use volador_gateway::Config;
use volador_proto::link::{Batch, Interest, Match, Payload, StreamId, ToWorker};

const CHANNELS: [&[u8]; 3] = [b"a", b"b", b"c"];

/// A frame. Connections and channels are chosen by the remainder.
#[derive(Clone, Debug)]
enum Step {
    Publish(usize, usize),
    Broadcast(usize),
    Write(usize, usize),
    Subscribe(usize, usize),
    Unsubscribe(usize, usize),
    Timeout(usize),
    Handled(usize),
    AskDrained(usize),
    Close(usize),
}

/// On both sides of the length from which on a message is sent by itself.
fn len() -> impl Strategy<Value = usize> {
    prop_oneof![10 => 0..40usize, 4 => 0..800usize, 1 => 3000..4090usize, 1 => Just(5000)]
}

fn step() -> impl Strategy<Value = Step> {
    let one = || 0..100usize;
    prop_oneof![
        10 => (one(), len()).prop_map(|(channel, len)| Step::Publish(channel, len)),
        3 => len().prop_map(Step::Broadcast),
        7 => (one(), len()).prop_map(|(who, len)| Step::Write(who, len)),
        6 => (one(), one()).prop_map(|(who, channel)| Step::Subscribe(who, channel)),
        3 => (one(), one()).prop_map(|(who, channel)| Step::Unsubscribe(who, channel)),
        1 => one().prop_map(Step::Timeout),
        1 => one().prop_map(Step::Handled),
        1 => one().prop_map(Step::AskDrained),
        1 => one().prop_map(Step::Close),
    ]
}

struct Connection {
    client: Client,
    id: StreamId,
    is_event_stream: bool,
    channels: [bool; 3],
    wanted: Vec<String>,
    is_closed: bool,
}

impl Connection {
    fn is_in(&self, channel: usize) -> bool {
        !self.is_closed && self.channels[channel]
    }
}

fn start() -> (Server, Receiver<StreamId>) {
    let (opens, came) = mpsc::channel();
    // Nothing but what the test sends, and that as it is.
    let never = Duration::from_secs(90_000);
    let config = Config { ping_interval: never, heartbeat_interval: never, deflate_min_bytes: usize::MAX, ..config() };
    let server = Server::start(config, move |id, frame, answers| {
        if let ToWorker::Request(_) = frame {
            answers.upgrade(id, Interest::NONE, []);
            opens.send(id).unwrap();
        }
    });
    (server, came)
}

/// Event streams, WebSockets, and those that have agreed to compressed messages, in turn.
fn open(server: &Server, came: &Receiver<StreamId>, n: usize) -> Connection {
    let mut client = server.connect();
    let is_event_stream = n % 4 == 1;
    if is_event_stream {
        client.send("GET /path HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n").head();
    } else {
        let extension = match n % 4 {
            0 => "",
            2 => "Sec-WebSocket-Extensions: permessage-deflate\r\n",
            _ => "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10\r\n",
        };
        assert_eq!(client.open_websocket_with("/path", extension).status, 101);
    }
    let id = came.recv_timeout(DEADLINE).unwrap();
    Connection { client, id, is_event_stream, channels: [false; 3], wanted: Vec::new(), is_closed: false }
}

/// Puts a step into a batch, and notes who is to get what of it.
fn take(step: &Step, number: usize, connections: &mut [Connection], batch: &mut Batch) {
    let many = connections.len();
    let text = |len: usize| format!("{number} {}", "x".repeat(len));
    match *step {
        Step::Publish(channel, len) => {
            let channel = channel % CHANNELS.len();
            batch.publish(CHANNELS[channel], Payload::Text, text(len).as_bytes());
            let subscribers = connections.iter_mut().filter(|connection| connection.is_in(channel));
            subscribers.for_each(|connection| connection.wanted.push(text(len)));
        }
        Step::Broadcast(len) => {
            batch.broadcast(b"/path", Payload::Text, text(len).as_bytes());
            let open = connections.iter_mut().filter(|connection| !connection.is_closed);
            open.for_each(|connection| connection.wanted.push(text(len)));
        }
        Step::Write(who, len) => {
            let connection = &mut connections[who % many];
            batch.write(connection.id, Payload::Text, text(len).as_bytes());
            if !connection.is_closed {
                connection.wanted.push(text(len));
            }
        }
        Step::Subscribe(who, channel) => {
            let channel = channel % CHANNELS.len();
            batch.subscribe(connections[who % many].id, Match::Exact, CHANNELS[channel]);
            connections[who % many].channels[channel] = true;
        }
        Step::Unsubscribe(who, channel) => {
            let channel = channel % CHANNELS.len();
            batch.unsubscribe(connections[who % many].id, Match::Exact, CHANNELS[channel]);
            connections[who % many].channels[channel] = false;
        }
        Step::Timeout(who) => batch.timeout(connections[who % many].id, 100_000),
        Step::Handled(who) => batch.handled(connections[who % many].id, 1),
        Step::AskDrained(who) => batch.ask_drained(connections[who % many].id),
        Step::Close(who) => {
            batch.close(connections[who % many].id, 4001);
            connections[who % many].is_closed = true;
        }
    }
}

/// Reads what the connection is to get. Returns its bytes.
fn received(connection: &mut Connection) -> u64 {
    let mut bytes = 0;
    for text in &connection.wanted {
        if connection.is_event_stream {
            let event = format!("data: {text}\n\n");
            assert_eq!(String::from_utf8_lossy(&connection.client.take(event.len())), event);
            bytes += event.len();
        } else {
            let (opcode, data) = connection.client.frame();
            assert_eq!((opcode, String::from_utf8_lossy(&data)), (0x81, text.into()));
            bytes += data.len() + if data.len() < 126 { 2 } else { 4 };
        }
    }
    if connection.is_closed {
        if connection.is_event_stream {
            assert_eq!(connection.client.rest(), "");
        } else {
            assert_eq!(connection.client.frame(), (0x88, 4001u16.to_be_bytes().to_vec()));
            bytes += 4;
        }
    }
    bytes as u64
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_time: 30_000, ..ProptestConfig::default() })]

    #[test]
    fn every_client_gets_what_is_its_own_once_and_in_order(
        many in 1..12usize,
        batches in vec(vec(step(), 1..120), 1..8),
    ) {
        let (server, came) = start();
        let mut connections: Vec<_> = (0..many).map(|n| open(&server, &came, n)).collect();
        eventually("all are push connections", || {
            let stats = server.gateway.stats();
            stats.websocket_connections + stats.sse_connections == many as u64
        });
        let mut number = 0;
        for steps in &batches {
            let mut batch = Batch::new();
            for step in steps {
                number += 1;
                take(step, number, &mut connections, &mut batch);
            }
            server.send(batch);
        }
        let bytes: u64 = connections.iter_mut().map(received).sum();
        let messages: usize = connections.iter().map(|connection| connection.wanted.len()).sum();
        eventually("all messages are counted", || server.gateway.stats().delivered == messages as u64);
        // And heads before them.
        eventually("all bytes are counted", || server.gateway.stats().sent_bytes >= bytes);
        if let Some(connection) = connections.iter_mut().find(|connection| !connection.is_closed) {
            prop_assert!(connection.client.is_quiet());
        }
    }
}
