//! Channels over real sockets: subscriptions of connections and of the worker, queues, last words.

mod support;

use std::{iter, sync::mpsc::channel, time::Duration};

use support::{Client, DEADLINE, Server, config, eventually};
use volador_gateway::{Config, SlowClient};
use volador_proto::link::{Batch, Interest, ListenerId, Match, Payload, StreamId, ToWorker};

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;

/// Subscribes each push connection to the name in its query: exact, or a glob when it has a star.
fn subscribing(config: Config) -> Server {
    Server::start(config, |id, frame, answers| {
        if let ToWorker::Request(request) = frame {
            let matching = if request.query().contains(&b'*') { Match::Glob } else { Match::Exact };
            answers.upgrade(id, Interest::NONE, []);
            answers.subscribe(id, matching, request.query());
            answers.subscribe(id, matching, request.query());
        }
    })
}

fn publish(server: &Server, channel: &str, payload: Payload, data: &[u8]) {
    let mut batch = Batch::new();
    batch.publish(channel.as_bytes(), payload, data);
    server.send(batch);
}

fn open(server: &Server, target: &str) -> Client {
    let mut client = server.connect();
    assert_eq!(client.open_websocket(target).status, 101);
    client
}

#[test]
fn a_publication_reaches_every_subscriber_once_in_its_form() {
    let server = subscribing(config());
    let (mut exact, mut glob, mut other) = (open(&server, "/?news"), open(&server, "/?n*"), open(&server, "/?else"));
    let mut events = server.connect();
    events.send("GET /?news HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n").head();
    eventually("four subscriptions", || server.gateway.stats().subscriptions == 4);
    publish(&server, "news", Payload::Text, b"one");
    publish(&server, "news", Payload::Binary, b"\0two");
    publish(&server, "else", Payload::Text, b"end");
    for client in [&mut exact, &mut glob] {
        assert_eq!(client.frame(), (TEXT, b"one".to_vec()));
        assert_eq!(client.frame(), (BINARY, b"\0two".to_vec()));
    }
    assert_eq!(other.frame(), (TEXT, b"end".to_vec()));
    assert_eq!(events.take_until("two\n\n"), "data: one\n\ndata: \0two\n\n");
    assert!(exact.is_quiet() && glob.is_quiet());
}

#[test]
fn subscriptions_end_with_their_connections() {
    let server = subscribing(config());
    let clients: Vec<_> = (0..50).map(|n| open(&server, &format!("/?channel{}", n % 7))).collect();
    eventually("fifty subscriptions", || server.gateway.stats().subscriptions == 50);
    drop(clients);
    eventually("none", || server.gateway.stats().subscriptions == 0);
}

#[test]
fn what_is_published_after_a_subscription_is_not_lost_while_the_connection_is_taken_over() {
    // The worker accepts, subscribes and publishes in one batch.
    let server = Server::start(config(), |id, frame, answers| {
        if let ToWorker::Request(_) = frame {
            answers.upgrade(id, Interest::NONE, []);
            answers.subscribe(id, Match::Exact, b"news");
            answers.publish(b"news", Payload::Text, b"at once");
            answers.write(id, Payload::Text, b"written after");
        }
    });
    let mut client = open(&server, "/");
    assert_eq!(client.frame(), (TEXT, b"at once".to_vec()));
    assert_eq!(client.frame(), (TEXT, b"written after".to_vec()));
}

#[test]
fn the_worker_is_told_what_it_listens_to_in_order() {
    let (events, happened) = channel();
    let server = Server::start(config(), move |_, frame, _| {
        if let ToWorker::Published { listener, channel, data, .. } = frame {
            events.send((listener.0, channel.to_vec(), data.to_vec())).unwrap();
        }
    });
    let mut batch = Batch::new();
    batch.listen(ListenerId(5), Match::Subject, b"rooms.>");
    batch.publish(b"rooms.7", Payload::Text, b"a");
    batch.publish(b"lobby", Payload::Text, b"b");
    batch.publish(b"rooms.8.chat", Payload::Binary, b"c");
    batch.unlisten(ListenerId(5));
    batch.publish(b"rooms.7", Payload::Text, b"d");
    batch.listen(ListenerId(6), Match::Exact, b"end");
    batch.publish(b"end", Payload::Text, b"e");
    server.send(batch);
    let next = || happened.recv_timeout(DEADLINE).unwrap();
    assert_eq!(next(), (5, b"rooms.7".to_vec(), b"a".to_vec()));
    assert_eq!(next(), (5, b"rooms.8.chat".to_vec(), b"c".to_vec()));
    assert_eq!(next(), (6, b"end".to_vec(), b"e".to_vec()));
}

#[test]
fn a_queue_is_told_while_it_grows_and_when_it_is_empty_again() {
    for interest in [Interest::ALL, Interest { drained: true, ..Interest::NONE }] {
        let (events, happened) = channel();
        let config = Config { send_queue_max_bytes: 64 << 20, ..config() };
        let server = Server::start(config, move |id, frame, answers| match frame {
            ToWorker::Request(_) => {
                answers.upgrade(id, interest, []);
                for _ in 0..400 {
                    answers.write(id, Payload::Binary, &[0; 50_000]);
                }
            }
            ToWorker::Backlog(messages) => events.send(Some(messages)).unwrap(),
            ToWorker::Drained => events.send(None).unwrap(),
            _ => {}
        });
        let mut client = open(&server, "/");
        // Each time that there are twice as many.
        for messages in [1, 2, 4, 8, 16, 32] {
            assert_eq!(happened.recv_timeout(DEADLINE), Ok(Some(messages)));
        }
        for _ in 0..400 {
            assert_eq!(client.frame().1.len(), 50_000);
        }
        let mut told = Vec::new();
        while let Some(messages) = happened.recv_timeout(DEADLINE).unwrap() {
            told.push(messages);
        }
        assert_eq!(told.pop(), Some(0));
        assert!(told.iter().all(|messages| messages.is_power_of_two()), "{told:?}");
    }
}

#[test]
fn a_handler_that_wants_to_has_last_words_before_a_drain_closes_its_connection() {
    // Of these the closing handshake may need three.
    let config = Config { drain_timeout: Duration::from_secs(4), ..config() };
    let server = Server::start(config, |id, frame, answers| match frame {
        ToWorker::Request(request) if request.path() == b"/speaks" => answers.upgrade(id, Interest::ALL, []),
        // It does not answer to the shutdown.
        ToWorker::Request(_) => {
            answers.upgrade(id, Interest { shutdown: true, ..Interest::NONE }, [(&b"x-silent"[..], &b"1"[..])])
        }
        ToWorker::Shutdown if id == StreamId::new(0, 0, 0) => {
            answers.write(id, Payload::Text, b"bye");
            answers.close(id, 1001);
        }
        _ => {}
    });
    let mut speaks = open(&server, "/speaks");
    let mut silent = open(&server, "/silent");
    server.gateway.drain();
    assert_eq!(speaks.frame(), (TEXT, b"bye".to_vec()));
    assert_eq!(speaks.frame(), (CLOSE, 1001u16.to_be_bytes().to_vec()));
    // After its time.
    assert_eq!(silent.frame(), (CLOSE, 1001u16.to_be_bytes().to_vec()));
}

/// Fills the queue of a client that does not read, by publications of 50,000 bytes, until `done`. Returns how many there were.
fn stall(server: &Server, channel: &str, done: impl Fn() -> bool) -> u64 {
    for n in 0..5000u32 {
        publish(server, channel, Payload::Binary, &[&n.to_be_bytes()[..], &[0; 50_000]].concat());
        if n % 20 == 0 && done() {
            return u64::from(n) + 1;
        }
    }
    panic!("everything was taken");
}

#[test]
fn a_slow_client_loses_the_oldest_messages_where_that_is_the_policy() {
    let server = subscribing(Config { slow_client: SlowClient::DropOldest, send_queue_max_bytes: 200_000, ..config() });
    let mut client = open(&server, "/?news");
    eventually("it is subscribed", || server.gateway.stats().subscriptions == 1);
    stall(&server, "news", || server.gateway.stats().dropped_oldest > 0);
    publish(&server, "news", Payload::Text, b"last");
    let mut numbers = Vec::new();
    loop {
        let (opcode, data) = client.frame();
        if opcode == TEXT {
            break;
        }
        numbers.push(u32::from_be_bytes(*data.first_chunk().unwrap()));
    }
    assert!(numbers.is_sorted() && numbers.windows(2).any(|pair| pair[1] > pair[0] + 1), "{numbers:?}");
    assert_eq!(server.gateway.stats().closed_slow, 0);
}

#[test]
fn what_is_being_sent_does_not_keep_the_newest_message_from_a_slow_client() {
    // There is room for three messages, and never for one beside a part of one that has half of that.
    let limit = 3 * 50_132;
    let server = subscribing(Config { slow_client: SlowClient::DropOldest, send_queue_max_bytes: limit, ..config() });
    let mut client = open(&server, "/?news");
    eventually("it is subscribed", || server.gateway.stats().subscriptions == 1);
    stall(&server, "news", || server.gateway.stats().dropped_oldest > 0);
    for first in [1, 2, 3] {
        let newest = [vec![first], vec![0; limit - 200]].concat();
        publish(&server, "news", Payload::Text, &newest);
    }
    // Alone it is more than there is room for: it is dropped, and those that wait are not.
    publish(&server, "news", Payload::Text, &vec![4; limit]);
    let texts = iter::repeat_with(|| client.frame()).filter(|(opcode, _)| *opcode == TEXT);
    let firsts: Vec<_> = texts.map(|(_, data)| data[0]).take_while(|first| *first != 3).collect();
    assert!(firsts.is_empty() || firsts == [2] || firsts == [1, 2], "{firsts:?}");
    assert_eq!(server.gateway.stats().closed_slow, 0);
}

#[test]
fn a_client_that_pings_and_does_not_read_gets_the_last_pong_and_is_not_closed_for_the_others() {
    const PONG: u8 = 0x8a;
    let server = subscribing(Config { slow_client: SlowClient::DropOldest, send_queue_max_bytes: 200_000, ..config() });
    let mut client = open(&server, "/?news");
    eventually("it is subscribed", || server.gateway.stats().subscriptions == 1);
    stall(&server, "news", || server.gateway.stats().dropped_oldest > 0);
    let read = server.gateway.stats().received_bytes;
    // Together more than there is room for.
    for n in 0..2000u32 {
        client.send_frame(9, &[&n.to_be_bytes()[..], &[0; 121]].concat());
    }
    eventually("they are read", || server.gateway.stats().received_bytes == read + 2000 * (2 + 4 + 125));
    let pong = iter::repeat_with(|| client.frame()).find(|(opcode, _)| *opcode == PONG);
    assert_eq!(pong.map(|(_, data)| u32::from_be_bytes(*data.first_chunk().unwrap())), Some(1999));
    assert_eq!(server.gateway.stats().closed_slow, 0);
}

#[test]
fn a_slow_client_of_a_conflated_channel_gets_the_newest_message_only() {
    let server = subscribing(Config { conflate: vec!["price.*".into()], send_queue_max_bytes: 64 << 20, ..config() });
    let mut client = open(&server, "/?price.*");
    eventually("it is subscribed", || server.gateway.stats().subscriptions == 1);
    stall(&server, "price.a", || server.gateway.stats().conflated > 100);
    // In one batch, between whose frames nothing is sent of what waits; and if the client's system has made room for all that
    // waited before, it has none for the first of these. So one of price.a waits that has not begun.
    let mut batch = Batch::new();
    batch.publish(b"price.a", Payload::Binary, &vec![0; 32 << 20]);
    batch.publish(b"price.a", Payload::Binary, b"older a");
    batch.publish(b"price.b", Payload::Text, b"b");
    batch.publish(b"price.a", Payload::Text, b"newest a");
    server.send_to(0, batch);
    // In the place of the one that waited: before b.
    let mut frames = iter::repeat_with(|| client.frame()).skip_while(|(opcode, _)| *opcode == BINARY);
    assert_eq!(frames.next(), Some((TEXT, b"newest a".to_vec())));
    assert_eq!(frames.next(), Some((TEXT, b"b".to_vec())));
}

/// Publishes to 100 conflated channels, of which one message each waits then, and replaces each by one that is much larger.
/// Returns how many publications there were in all.
fn grow(slow_client: SlowClient) -> (Server, Client, u64) {
    let config = Config { conflate: vec!["*".into()], slow_client, send_queue_max_bytes: 200_000, ..config() };
    let server = subscribing(config);
    let client = open(&server, "/?*");
    eventually("it is subscribed", || server.gateway.stats().subscriptions == 1);
    let before = stall(&server, "a", || server.gateway.stats().conflated > 0);
    for len in [10, 100_000] {
        for n in 0..100 {
            publish(&server, &format!("b{n}"), Payload::Text, &[vec![n], vec![0; len]].concat());
        }
    }
    (server, client, before + 200)
}

#[test]
fn conflated_messages_have_no_more_room_than_others() {
    let (server, _client, _) = grow(SlowClient::Disconnect);
    eventually("it is too slow", || server.gateway.stats().closed_slow == 1);
}

#[test]
fn conflated_messages_lose_the_oldest_likewise() {
    let (server, mut client, before) = grow(SlowClient::DropOldest);
    // There is never room for it, and it does not take that of the one that waits.
    publish(&server, "b99", Payload::Text, &vec![99; 200_000]);
    eventually("all are published", || server.gateway.stats().published == before + 1);
    let texts = iter::repeat_with(|| client.frame().1).filter(|data| data.len() == 100_001);
    let firsts: Vec<_> = texts.map(|data| data[0]).take_while(|first| *first != 99).collect();
    assert!(firsts.len() <= 3, "{firsts:?} have waited beside the newest one");
    assert_eq!(server.gateway.stats().closed_slow, 0);
}

#[test]
fn bytes_and_publications_are_counted_once() {
    let server = subscribing(Config { shards: 2, ..config() });
    let mut client = server.connect();
    let head = client.open_websocket("/?news").head;
    eventually("it is taken over", || server.gateway.stats().websocket_connections == 1);
    let sent = || server.gateway.stats().sent_bytes;
    eventually("the head is counted", || sent() == head.len() as u64);
    client.send_frame(0x1, b"hello");
    eventually("the frame is counted", || server.gateway.stats().received_bytes == 2 + 4 + 5);
    for shard in 0..2 {
        let mut batch = Batch::new();
        batch.publish(b"news", Payload::Text, b"hi");
        server.send_to(shard, batch);
    }
    assert_eq!(client.frame(), (TEXT, b"hi".to_vec()));
    eventually("the message is counted", || sent() == head.len() as u64 + 4);
    eventually("one publication", || server.gateway.stats().published == 1);
}
