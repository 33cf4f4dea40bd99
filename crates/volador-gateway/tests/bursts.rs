//! Several messages for the same connections in one batch: each gets all of them by one send, in order, with whatever else
//! concerns it at its place.

mod support;

use std::sync::mpsc::{self, Receiver};

use support::{Client, DEADLINE, Server, config, eventually};
use volador_gateway::{Config, SlowClient};
use volador_proto::link::{Batch, Interest, Match, Payload, StreamId, ToWorker};

const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;

/// Accepts every push connection, subscribes it to the names in its query, between commas, and tells its id.
fn start(config: Config) -> (Server, Receiver<StreamId>) {
    let (opens, came) = mpsc::channel();
    let server = Server::start(config, move |id, frame, answers| {
        if let ToWorker::Request(request) = frame {
            answers.upgrade(id, Interest::NONE, []);
            for name in request.query().split(|byte| *byte == b',').filter(|name| !name.is_empty()) {
                answers.subscribe(id, Match::Exact, name);
            }
            opens.send(id).unwrap();
        }
    });
    (server, came)
}

fn open_websocket(server: &Server, came: &Receiver<StreamId>, target: &str) -> (Client, StreamId) {
    let mut client = server.connect();
    assert_eq!(client.open_websocket(target).status, 101);
    (client, came.recv_timeout(DEADLINE).unwrap())
}

fn open_event_stream(server: &Server, came: &Receiver<StreamId>, target: &str) -> (Client, StreamId) {
    let mut client = server.connect();
    client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n")).head();
    (client, came.recv_timeout(DEADLINE).unwrap())
}

/// The connections are taken over, so that what is sent goes to their sockets.
fn settled(server: &Server, connections: u64) {
    eventually("all are push connections", || {
        let stats = server.gateway.stats();
        stats.websocket_connections + stats.sse_connections == connections
    });
}

#[test]
fn everything_of_a_batch_reaches_each_connection_once_and_in_order() {
    // From 25 on, the first message is for many, and the next one for one of them.
    for (many, first) in [(1, 0), (1, 25), (2, 0), (6, 25), (70, 0)] {
        let (server, came) = start(config());
        // Of each three, the first two are subscribed to a, the last two to b. Every second one is an event stream.
        let channels = ["a", "a,b", "b"];
        let mut clients: Vec<_> = (0..many * 3)
            .map(|n| {
                let target = format!("/path?{}", channels[n % 3]);
                if n % 2 == 0 {
                    open_websocket(&server, &came, &target)
                } else {
                    open_event_stream(&server, &came, &target)
                }
            })
            .collect();
        settled(&server, many as u64 * 3);
        let mut batch = Batch::new();
        let mut wanted = vec![Vec::new(); clients.len()];
        let mut message = 0;
        for round in first..first + 40 {
            // Now and then one that is sent by itself.
            let filler = if round % 16 == 7 { 5000 } else { round };
            let mut next = |what: &str| {
                message += 1;
                format!("{message} {what} {}", "x".repeat(filler))
            };
            if round % 2 == 0 || round % 5 == 0 {
                let text = next("to a");
                batch.publish(b"a", Payload::Text, text.as_bytes());
                (0..clients.len()).filter(|n| n % 3 < 2).for_each(|n| wanted[n].push(text.clone()));
            }
            if round % 3 == 0 {
                let text = next("to b");
                batch.publish(b"b", Payload::Text, text.as_bytes());
                (0..clients.len()).filter(|n| n % 3 > 0).for_each(|n| wanted[n].push(text.clone()));
            }
            if round % 4 == 1 {
                let n = round % clients.len();
                let text = next("to one");
                batch.write(clients[n].1, Payload::Text, text.as_bytes());
                wanted[n].push(text);
            }
            if round % 7 == 2 {
                let text = next("to the path");
                batch.broadcast(b"/path", Payload::Text, text.as_bytes());
                wanted.iter_mut().for_each(|wanted| wanted.push(text.clone()));
            }
        }
        server.send(batch);
        for (n, (client, _)) in clients.iter_mut().enumerate() {
            for text in &wanted[n] {
                let (got, want) = if n % 2 == 0 {
                    let (opcode, data) = client.frame();
                    assert_eq!(opcode, TEXT);
                    (data, text.clone())
                } else {
                    let event = format!("data: {text}\n\n");
                    (client.take(event.len()), event)
                };
                assert_eq!(String::from_utf8_lossy(&got), want, "{n} of {many} times 3");
            }
        }
        let all: usize = wanted.iter().map(Vec::len).sum();
        eventually("all are counted", || server.gateway.stats().delivered == all as u64);
    }
}

#[test]
fn a_burst_leaves_by_one_send_to_each() {
    const BURSTS: usize = 50;
    let (server, came) = start(config());
    let mut clients: Vec<_> = (0..5).map(|_| open_websocket(&server, &came, "/?news").0).collect();
    settled(&server, 5);
    let (reads, read) = mpsc::channel();
    let mut reader = clients.pop().unwrap();
    // It waits in its next read when a burst comes, and has what the first send brings.
    std::thread::spawn(move || while reader.fill() && reads.send(std::mem::take(&mut reader.buf).len()).is_ok() {});
    for _ in 0..BURSTS {
        let mut batch = Batch::new();
        for n in 0..10u8 {
            batch.publish(b"news", Payload::Text, &[b'0' + n; 64]);
        }
        server.send(batch);
        for client in &mut clients {
            for n in 0..10u8 {
                assert_eq!(client.frame(), (TEXT, vec![b'0' + n; 64]));
            }
        }
        assert_eq!(read.recv_timeout(DEADLINE), Ok(10 * 66));
    }
}

#[test]
fn a_close_comes_behind_what_was_published_before_it_and_before_what_comes_after() {
    for before in [1, 2, 5] {
        let (server, came) = start(config());
        let mut clients: Vec<_> = (0..6).map(|_| open_websocket(&server, &came, "/?news")).collect();
        settled(&server, 6);
        let mut batch = Batch::new();
        for n in 0..before {
            batch.publish(b"news", Payload::Text, &[b'0' + n]);
        }
        batch.close(clients[1].1, 4000);
        batch.publish(b"news", Payload::Text, b"after");
        server.send(batch);
        for (n, (client, _)) in clients.iter_mut().enumerate() {
            for message in 0..before {
                assert_eq!(client.frame(), (TEXT, vec![b'0' + message]));
            }
            let last = if n == 1 { (CLOSE, 4000u16.to_be_bytes().to_vec()) } else { (TEXT, b"after".to_vec()) };
            assert_eq!(client.frame(), last);
        }
    }
}

#[test]
fn a_subscription_counts_from_its_place_in_the_batch() {
    let (server, came) = start(config());
    let mut always = open_websocket(&server, &came, "/?news");
    let mut comes = open_websocket(&server, &came, "/");
    let mut goes = open_websocket(&server, &came, "/?news");
    settled(&server, 3);
    for before in [1, 2] {
        let mut batch = Batch::new();
        (0..before).for_each(|_| batch.publish(b"news", Payload::Text, b"before"));
        batch.subscribe(comes.1, Match::Exact, b"news");
        batch.unsubscribe(goes.1, Match::Exact, b"news");
        batch.publish(b"news", Payload::Text, b"after");
        // As it was.
        batch.unsubscribe(comes.1, Match::Exact, b"news");
        batch.subscribe(goes.1, Match::Exact, b"news");
        server.send(batch);
        (0..before).for_each(|_| assert_eq!(always.0.frame(), (TEXT, b"before".to_vec())));
        assert_eq!(always.0.frame(), (TEXT, b"after".to_vec()));
        assert_eq!(comes.0.frame(), (TEXT, b"after".to_vec()));
        (0..before).for_each(|_| assert_eq!(goes.0.frame(), (TEXT, b"before".to_vec())));
    }
    assert!(comes.0.is_quiet() && goes.0.is_quiet());
}

#[test]
fn whoever_is_not_taken_over_yet_has_them_in_order_as_well() {
    // All of it before the connection leaves HTTP: in one batch with its acceptance.
    let server = Server::start(config(), |id, frame, answers| {
        if let ToWorker::Request(_) = frame {
            answers.subscribe(id, Match::Exact, b"news");
            answers.publish(b"news", Payload::Text, b"1");
            answers.write(id, Payload::Text, b"2");
            answers.publish(b"news", Payload::Text, b"3");
            answers.upgrade(id, Interest::NONE, []);
            answers.publish(b"news", Payload::Text, b"4");
            answers.publish(b"news", Payload::Text, b"5");
            answers.write(id, Payload::Text, b"6");
            answers.publish(b"news", Payload::Text, b"7");
            answers.close(id, 4000);
            answers.publish(b"news", Payload::Text, b"late");
            answers.write(id, Payload::Text, b"late");
        }
    });
    let mut client = server.connect();
    assert_eq!(client.open_websocket("/").status, 101);
    for n in 1..=7u8 {
        assert_eq!(client.frame(), (TEXT, vec![b'0' + n]));
    }
    assert_eq!(client.frame(), (CLOSE, 4000u16.to_be_bytes().to_vec()));
}

/// Bursts of numbered messages of 1,000 bytes to a client that does not read, until `done`, which is asked now and then. Returns
/// how many messages those were.
fn stall(server: &Server, mut done: impl FnMut() -> bool) -> u32 {
    let mut number = 0u32;
    for burst in 1..=3000 {
        let mut batch = Batch::new();
        for _ in 0..20 {
            batch.publish(b"news", Payload::Binary, &[&number.to_be_bytes()[..], &[0; 996]].concat());
            number += 1;
        }
        server.send(batch);
        if burst % 20 == 0 {
            eventually("they are published", || server.gateway.stats().published == u64::from(number));
            if done() {
                return number;
            }
        }
    }
    panic!("everything was taken");
}

fn number(data: &[u8]) -> u32 {
    u32::from_be_bytes(*data.first_chunk().unwrap())
}

#[test]
fn what_a_client_does_not_take_of_a_burst_waits_for_it_in_its_order() {
    // With others, and alone: by one call for many, and by one for each.
    for others in [0, 7] {
        let (server, came) = start(Config { send_queue_max_bytes: 64 << 20, ..config() });
        let mut slow = open_websocket(&server, &came, "/?news").0;
        let others: Vec<_> = (0..others).map(|_| open_websocket(&server, &came, "/?news")).collect();
        settled(&server, 1 + others.len() as u64);
        // What sockets take at most, by far.
        let messages = stall(&server, || server.gateway.stats().published >= 20_000);
        for n in 0..messages {
            let (_, data) = slow.frame();
            assert_eq!((number(&data), data.len()), (n, 1000));
        }
        assert!(slow.is_quiet());
    }
}

#[test]
fn a_client_that_is_too_slow_for_a_burst_is_closed_or_loses_the_oldest() {
    for slow_client in [SlowClient::Disconnect, SlowClient::DropOldest] {
        let (server, came) = start(Config { slow_client, send_queue_max_bytes: 10_000, ..config() });
        let mut slow = open_websocket(&server, &came, "/?news").0;
        settled(&server, 1);
        let stats = || server.gateway.stats();
        let messages = stall(&server, || stats().closed_slow + stats().dropped_oldest > 0);
        let mut numbers = Vec::new();
        loop {
            let (opcode, data) = slow.frame();
            if opcode == CLOSE {
                assert_eq!(data[..2], 1013u16.to_be_bytes());
                break;
            }
            numbers.push(number(&data));
            if numbers.last() == Some(&(messages - 1)) {
                break;
            }
        }
        match slow_client {
            SlowClient::Disconnect => assert!((0..).zip(&numbers).all(|(n, number)| n == *number), "{numbers:?}"),
            SlowClient::DropOldest => {
                let gaps = numbers.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
                assert!(numbers.is_sorted() && gaps > 0, "{numbers:?}");
                let lost = u64::from(messages) - numbers.len() as u64;
                assert_eq!((lost, stats().closed_slow), (stats().dropped_oldest, 0));
            }
        }
    }
}

#[test]
fn conflated_messages_of_a_burst_leave_the_newest_to_a_slow_client() {
    let (server, came) = start(Config { conflate: vec!["news".into()], ..config() });
    let mut slow = open_websocket(&server, &came, "/?news").0;
    settled(&server, 1);
    let messages = stall(&server, || server.gateway.stats().conflated > 0);
    let mut numbers = vec![number(&slow.frame().1)];
    while numbers.last() != Some(&(messages - 1)) {
        numbers.push(number(&slow.frame().1));
    }
    let lost = u64::from(messages) - numbers.len() as u64;
    assert!(numbers.is_sorted() && lost > 0, "{numbers:?}");
    assert_eq!(lost, server.gateway.stats().conflated);
}

#[test]
fn broadcasts_are_not_taken_for_messages_of_one_channel() {
    let (server, came) = start(Config { conflate: vec!["*".into()], send_queue_max_bytes: 64 << 20, ..config() });
    let mut slow = open_websocket(&server, &came, "/?news").0;
    settled(&server, 1);
    stall(&server, || server.gateway.stats().conflated > 0);
    for n in 0..3u8 {
        let mut batch = Batch::new();
        batch.broadcast(b"/", Payload::Text, &[n]);
        server.send(batch);
    }
    let mut texts = Vec::new();
    while texts.len() < 3 {
        let (opcode, data) = slow.frame();
        if opcode == TEXT {
            texts.push(data[0]);
        }
    }
    assert_eq!(texts, [0, 1, 2]);
}

#[test]
fn a_client_that_has_broken_the_protocol_gets_what_answers_the_message_before_and_then_its_close_frame() {
    type Answer = (fn(&mut Batch, StreamId), &'static [&'static str]);
    let answers: [Answer; 4] = [
        (|batch, id| batch.write(id, Payload::Text, b"written"), &["written"]),
        (|batch, _| batch.publish(b"news", Payload::Text, b"published"), &["published"]),
        (
            |batch, id| {
                batch.publish(b"news", Payload::Text, b"published");
                batch.write(id, Payload::Text, b"written");
            },
            &["published", "written"],
        ),
        (
            |batch, id| {
                batch.write(id, Payload::Text, b"written");
                batch.publish(b"news", Payload::Text, b"published");
                batch.publish(b"news", Payload::Text, b"again");
            },
            &["written", "published", "again"],
        ),
    ];
    for (answer, wanted) in answers {
        let (opens, came) = mpsc::channel();
        let server = Server::start(config(), move |id, frame, answers| {
            if let ToWorker::Request(_) = frame {
                answers.upgrade(id, Interest::MESSAGES, []);
                answers.subscribe(id, Match::Exact, b"news");
                opens.send(id).unwrap();
            }
        });
        let (mut client, id) = open_websocket(&server, &came, "/");
        settled(&server, 1);
        // Reserved bits that nothing was agreed on for (RFC 6455 §5.2).
        client.send_frame(1, b"message").send_raw_frame(0xf3, b"fault");
        eventually("the fault is found", || server.gateway.stats().closed_protocol == 1);
        let mut batch = Batch::new();
        answer(&mut batch, id);
        batch.handled(id, 1);
        batch.publish(b"news", Payload::Text, b"late");
        batch.write(id, Payload::Text, b"late");
        server.send(batch);
        for text in wanted {
            assert_eq!(client.frame(), (TEXT, text.as_bytes().to_vec()));
        }
        let (opcode, data) = client.frame();
        assert_eq!((opcode, &data[..2]), (CLOSE, &1002u16.to_be_bytes()[..]));
        assert!(!client.fill() && client.buf.is_empty());
    }
}
