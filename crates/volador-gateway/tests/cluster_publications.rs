//! Publications of a cluster over real sockets: on their way to workers and guests that listen, and that take nothing.

mod support;

use support::{
    cluster::{Cluster, Worker, serving},
    config, eventually,
};
use volador_gateway::Config;
use volador_proto::link::{ListenerId, Match, Payload, ToWorker};

#[test]
fn a_worker_that_publishes_without_a_pause_keeps_nobody_from_their_turn() {
    let (cluster, [mut publisher, mut other]) = serving(config());
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let data = vec![b'x'; 16 << 10];
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                publisher.send(|batch| (0..8).for_each(|_| batch.publish(b"flood", Payload::Binary, &data)));
            }
        });
        // Both workers are idle, so one of the two requests is the other one's.
        let mut clients = [cluster.connect(), cluster.connect()];
        for client in &mut clients {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        let (id, _) = other.request();
        other.answer(id, "done");
        let answered = |client: &mut support::Client| {
            client.socket.set_nonblocking(true).unwrap();
            client.socket.peek(&mut [0]).is_ok()
        };
        eventually("one is answered", || clients.iter_mut().any(answered));
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

/// A worker that publishes, and one that listens and takes nothing.
fn publisher_and_listener(config: Config) -> (Cluster, Worker, Worker) {
    let (cluster, [publisher, mut listener]) = serving(config);
    listen(&cluster, &mut listener);
    (cluster, publisher, listener)
}

/// A worker that publishes, and a guest that listens and takes nothing.
fn publisher_and_guest() -> (Cluster, Worker, Worker) {
    let (cluster, [publisher]) = serving(config());
    let mut guest = cluster.worker(0, 0, 0);
    listen(&cluster, &mut guest);
    (cluster, publisher, guest)
}

fn listen(cluster: &Cluster, listener: &mut Worker) {
    listener.send(|batch| batch.listen(ListenerId(1), Match::Exact, b"news"));
    eventually("it listens", || cluster.stat("subscriptions") == 1);
}

/// Publishes so many numbered messages of 256 KiB.
fn publish(cluster: &Cluster, publisher: &mut Worker, count: u64) {
    let mut data = vec![b'x'; 256 << 10];
    for number in 0..count {
        data[..8].copy_from_slice(&number.to_le_bytes());
        publisher.send(|batch| batch.publish(b"news", Payload::Binary, &data));
    }
    eventually("all is published", || cluster.stat("published") == count);
}

/// The number of the publication that comes next.
fn number(listener: &mut Worker) -> u64 {
    match listener.next() {
        (_, ToWorker::Published { data, .. }) => u64::from_le_bytes(data[..8].try_into().unwrap()),
        other => panic!("not a publication: {other:?}"),
    }
}

#[test]
fn of_publications_for_a_worker_that_takes_nothing_the_first_16_mib_wait_and_the_rest_is_dropped_and_counted() {
    let (cluster, mut publisher, mut listener) = publisher_and_listener(config());
    publish(&cluster, &mut publisher, 400);
    let dropped = cluster.stat("dropped_block");
    assert!((400 - 64 - 4..=400 - 64 + 1).contains(&dropped), "{dropped} of 100 MiB");
    // What is not a publication waits behind them, and they are followed by others when there is room again.
    let mut clients = [cluster.connect(), cluster.connect()];
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    let (id, _) = publisher.request();
    publisher.answer(id, "the publisher's");
    for expected in 0..400 - dropped {
        assert_eq!(number(&mut listener), expected);
    }
    let (id, _) = listener.request();
    listener.answer(id, "the listener's");
    clients.iter_mut().for_each(|client| drop(client.reply()));
    publisher.send(|batch| batch.publish(b"news", Payload::Binary, &[7, 0, 0, 0, 0, 0, 0, 0]));
    assert_eq!((number(&mut listener), cluster.stat("dropped_block")), (7, dropped));
}

#[test]
fn a_guest_that_takes_nothing_keeps_its_link_and_what_waits_and_the_rest_is_dropped_and_counted() {
    let (cluster, mut publisher, mut guest) = publisher_and_guest();
    publish(&cluster, &mut publisher, 400);
    let dropped = cluster.stat("dropped_block");
    assert!((400 - 64 - 4..=400 - 64 + 1).contains(&dropped), "{dropped} of 100 MiB");
    for expected in 0..400 - dropped {
        assert_eq!(number(&mut guest), expected);
    }
    publisher.send(|batch| batch.publish(b"news", Payload::Binary, &[7, 0, 0, 0, 0, 0, 0, 0]));
    assert_eq!((number(&mut guest), cluster.stat("dropped_block")), (7, dropped));
    assert_eq!((cluster.state(0, 0), cluster.stat("subscriptions")), ("guest", 1));
}

#[test]
fn a_worker_that_is_slow_for_a_moment_loses_no_publication() {
    let (cluster, mut publisher, mut listener) = publisher_and_listener(config());
    publish(&cluster, &mut publisher, 60);
    assert_eq!((0..60).map(|_| number(&mut listener)).collect::<Vec<_>>(), (0..60).collect::<Vec<_>>());
    // More than 16 MiB by now, but never at once.
    for n in 1..=20 {
        publisher.send(|batch| batch.publish(b"news", Payload::Binary, &vec![0; 4 << 20]));
        assert_eq!((number(&mut listener), n), (0, n));
    }
    assert_eq!(cluster.stat("dropped_block"), 0);
}

#[test]
fn a_publication_reaches_a_listener_that_nothing_waits_for_however_large_it_is() {
    for (cluster, mut publisher, mut listener) in [publisher_and_listener(config()), publisher_and_guest()] {
        publisher.send(|batch| batch.publish(b"news", Payload::Binary, &vec![0; 20 << 20]));
        assert_eq!((number(&mut listener), cluster.stat("dropped_block")), (0, 0));
    }
}

#[test]
fn as_much_may_be_on_the_way_to_a_worker_as_may_wait_for_one_of_its_blocks() {
    let config = Config { block_queue_max_bytes: 64 << 20, ..config() };
    let (cluster, mut publisher, mut listener) = publisher_and_listener(config);
    publish(&cluster, &mut publisher, 200);
    assert_eq!((0..200).map(|_| number(&mut listener)).collect::<Vec<_>>(), (0..200).collect::<Vec<_>>());
    assert_eq!(cluster.stat("dropped_block"), 0);
}
