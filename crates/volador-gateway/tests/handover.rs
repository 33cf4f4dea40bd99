//! Push connections of a cluster: their handlers move from worker to worker, and nothing is lost or doubled.

mod support;

use std::time::{Duration, Instant};

use support::{
    Client,
    cluster::{Cluster, Worker},
    config, eventually,
    moving::{CLOSE, TEXT, accept, asked_to_hand_over, deployed, is_released, is_told_the_end, open, opened, replayed},
};
use volador_proto::link::{Batch, Interest, Match, Payload, StreamId, ToWorker};

#[test]
fn a_handler_moves_with_its_state_and_messages_wait_in_order() {
    let (cluster, mut old, mut client, id) = opened(Some(Interest::MESSAGES));
    client.send_frame(1, b"0");
    assert_eq!(old.message(), "0");
    let mut new = deployed(&cluster);
    asked_to_hand_over(&mut old, id);
    client.send_frame(1, b"1");
    // What came before is handled first, and may be answered.
    old.begin(id, 2);
    old.send(|batch| {
        batch.write(id, Payload::Text, b"echo 0");
        batch.handled(id, 1);
        batch.handed_over(id, Some(b"state"));
    });
    assert_eq!(client.frame(), (TEXT, b"echo 0".to_vec()));
    replayed(&mut new, id, Some("state"));
    client.send_frame(1, b"2");
    new.send(|batch| batch.write(id, Payload::Text, b"hello again"));
    assert_eq!(client.frame(), (TEXT, b"hello again".to_vec()));
    accept(&mut new, id);
    is_released(&mut old, id);
    client.send_frame(1, b"3");
    for n in ["1", "2", "3"] {
        assert_eq!(new.message(), n);
    }
    // The old one has nothing to say any more.
    old.send(|batch| batch.write(id, Payload::Text, b"ghost"));
    new.send(|batch| batch.write(id, Payload::Text, b"real"));
    assert_eq!(client.frame(), (TEXT, b"real".to_vec()));
    eventually("the old worker is idle", || cluster.state(1, 1) == "idle");
    assert_eq!((cluster.stat("resumed"), cluster.stat("handlers"), cluster.stat("websocket_connections")), (1, 1, 1));
    drop(client);
    is_told_the_end(&mut new, id);
    assert!(old.is_quiet());
    eventually("nobody has a handler", || cluster.stat("handlers") == 0);
}

#[test]
fn the_next_worker_learns_the_timeout_that_was_chosen_for_the_connection() {
    let (cluster, mut old, _client, id) = opened(Some(Interest::MESSAGES));
    for (generation, set, told) in [(2, None, 0), (3, Some(90_000), 90_000), (4, Some(0), 0)] {
        let mut new = cluster.worker(1, generation, 1);
        old.send(|batch| set.into_iter().for_each(|millis| batch.timeout(id, millis)));
        cluster.gateway.promote(generation);
        asked_to_hand_over(&mut old, id);
        old.send(|batch| batch.handed_over(id, None));
        let (_, request) = new.request();
        assert_eq!(request.resumed.map(|resumed| resumed.timeout_ms), Some(told));
        accept(&mut new, id);
        old = new;
    }
}

#[test]
fn a_connection_without_handler_stays_and_keeps_its_subscriptions() {
    let (cluster, mut old, mut client, id) = opened(None);
    old.send(|batch| batch.subscribe(id, Match::Exact, b"news"));
    let mut new = deployed(&cluster);
    eventually("the old worker is idle", || cluster.state(1, 1) == "idle");
    drop(old);
    eventually("the old worker is gone", || cluster.state(1, 1) == "gone");
    new.send(|batch| {
        batch.publish(b"news", Payload::Text, b"hello");
        batch.broadcast(b"/ws", Payload::Text, b"all");
    });
    assert_eq!(client.frame(), (TEXT, b"hello".to_vec()));
    assert_eq!(client.frame(), (TEXT, b"all".to_vec()));
    assert!(new.is_quiet());
}

#[test]
fn a_handler_that_has_come_back_elsewhere_is_not_asked_to_leave() {
    let cluster = Cluster::start(config());
    let mut slow = cluster.worker(1, 1, 1);
    cluster.gateway.promote(1);
    // As many as may be asked at once: the one below has to wait for its turn.
    let waiting: Vec<_> = (0..64).map(|_| open(&cluster, &mut slow, Some(Interest::MESSAGES))).collect();
    let mut lost = cluster.worker(2, 1, 1);
    eventually("both serve", || cluster.state(2, 1) == "serving");
    let (mut client, id) = open(&cluster, &mut lost, Some(Interest::MESSAGES));
    let mut new = deployed(&cluster);
    waiting.iter().for_each(|(_, id)| asked_to_hand_over(&mut slow, *id));
    drop(lost);
    replayed(&mut new, id, None);
    accept(&mut new, id);
    // Now it would have its turn.
    let moving = waiting[0].1;
    slow.send(|batch| batch.handed_over(moving, None));
    replayed(&mut new, moving, None);
    accept(&mut new, moving);
    client.send_frame(1, b"still here");
    assert!(matches!(new.next(), (told, ToWorker::Message(..)) if told == id));
    new.send(|batch| batch.write(id, Payload::Text, b"heard"));
    assert_eq!(client.frame(), (TEXT, b"heard".to_vec()));
}

#[test]
fn new_code_that_refuses_closes_with_1012_and_the_old_handler_learns_it() {
    let refusals: [fn(&mut Batch, StreamId); 3] = [
        |batch, id| batch.complete_response(id, 403, [], [&b"no"[..]]),
        |batch, id| batch.abort(id),
        |batch, id| {
            batch.response(id, 500, [], volador_proto::link::ResponseBody::Stream);
            batch.end(id);
        },
    ];
    for refusal in refusals {
        let (cluster, mut old, mut client, id) = opened(Some(Interest::MESSAGES));
        let mut new = deployed(&cluster);
        asked_to_hand_over(&mut old, id);
        old.send(|batch| batch.handed_over(id, None));
        replayed(&mut new, id, None);
        new.send(|batch| refusal(batch, id));
        assert_eq!(client.frame(), (CLOSE, 1012u16.to_be_bytes().to_vec()));
        client.send_frame(8, &1012u16.to_be_bytes());
        assert!(matches!(old.next(), (closing, ToWorker::Closing) if closing == id));
        assert!(matches!(old.next(), (closed, ToWorker::Gone { code: 1012 }) if closed == id));
        eventually("there is no connection", || cluster.stat("websocket_connections") == 0);
        assert_eq!(cluster.state(1, 1), "retiring", "it has not told its handler yet");
        old.send(|batch| batch.ended(id));
        eventually("nothing is left", || cluster.state(1, 1) == "idle" && cluster.stat("websocket_connections") == 0);
    }
}

#[test]
fn a_handler_that_only_wants_the_end_moves_too_and_an_app_may_have_none_any_more() {
    let (cluster, mut old, client, id) = opened(Some(Interest::NONE));
    let mut new = deployed(&cluster);
    asked_to_hand_over(&mut old, id);
    old.send(|batch| batch.handed_over(id, None));
    replayed(&mut new, id, None);
    new.send(|batch| batch.upgrade(id, None, []));
    assert!(matches!(new.next(), (resumed, ToWorker::Resume) if resumed == id));
    is_released(&mut old, id);
    eventually("nobody has a handler", || cluster.stat("handlers") == 0 && cluster.state(1, 1) == "idle");
    drop(client);
}

#[test]
fn messages_past_the_bound_wait_in_the_socket_while_a_handler_moves() {
    // Of a KiB each, so that one read of the gateway brings only some.
    const COUNT: u32 = 500;
    let text = |n: u32| format!("{n:01024}");
    let (cluster, mut old, mut client, id) = opened(Some(Interest::MESSAGES));
    let mut new = deployed(&cluster);
    asked_to_hand_over(&mut old, id);
    for n in 0..COUNT {
        client.send_frame(1, text(n).as_bytes());
    }
    eventually("some have arrived", || cluster.stat("messages") > 0);
    assert!(old.is_quiet());
    assert!(cluster.stat("messages") < 200, "{} messages are held", cluster.stat("messages"));
    old.send(|batch| batch.handed_over(id, None));
    replayed(&mut new, id, None);
    accept(&mut new, id);
    for n in 0..COUNT {
        assert_eq!(new.message(), text(n));
        new.send(|batch| batch.handled(id, 1));
    }
}

/// As [`opened`], of eighty connections.
fn opened_eighty() -> (Cluster, Worker, Vec<Client>) {
    let (cluster, mut worker, first, _) = opened(Some(Interest::MESSAGES));
    let mut clients: Vec<_> = (0..79).map(|_| open(&cluster, &mut worker, Some(Interest::MESSAGES)).0).collect();
    clients.push(first);
    (cluster, worker, clients)
}

/// So many connections, which are asked to be handed over, and no more.
fn asked(old: &mut Worker, count: usize) -> Vec<StreamId> {
    let mut asked = Vec::new();
    while asked.len() < count || !old.is_quiet() {
        let (id, frame) = old.next();
        assert!(matches!(frame, ToWorker::HandOver | ToWorker::Release), "{frame:?}");
        if matches!(frame, ToWorker::HandOver) {
            asked.push(id);
        }
    }
    assert_eq!(asked.len(), count);
    asked
}

#[test]
fn a_deploy_moves_four_at_once_and_leaves_the_others_where_they_are() {
    let (cluster, mut old, _clients) = opened_eighty();
    let mut new = deployed(&cluster);
    // One that is slow to answer keeps no other.
    let leaving = asked(&mut old, 64);
    old.send(|batch| leaving.iter().for_each(|&id| batch.handed_over(id, None)));
    let mut replays: Vec<_> = (0..4).map(|_| new.request().0).collect();
    assert!(new.is_quiet());
    // One for each that could be replayed; those that wait for that come first.
    asked(&mut old, 4);
    // From here on each that is settled makes room for the next one.
    for n in 4..64 {
        let id = replays[n - 4];
        new.send(|batch| batch.upgrade(id, Interest::MESSAGES, []));
        assert!(matches!(new.next(), (resumed, ToWorker::Resume) if resumed == id));
        replays.push(new.request().0);
    }
    assert_eq!(replays, leaving);
    // None waits to be replayed any more.
    asked(&mut old, 12);
}

#[test]
fn a_deploy_to_many_threads_moves_half_as_many_at_once() {
    let (cluster, mut old, _clients) = opened_eighty();
    let mut new = cluster.worker(1, 2, 100);
    cluster.gateway.promote(2);
    let leaving = asked(&mut old, 64);
    old.send(|batch| leaving.iter().for_each(|&id| batch.handed_over(id, None)));
    (0..50).for_each(|_| drop(new.request()));
    assert!(new.is_quiet());
}

#[test]
fn plain_requests_are_sent_to_a_worker_that_has_as_many_replays_as_it_may() {
    let (cluster, old, _clients) = opened_eighty();
    let mut new = cluster.worker(2, 1, 1);
    drop(old);
    let ids: Vec<_> = (0..64).map(|_| new.request().0).collect();
    assert!(new.is_quiet(), "the other sixteen wait");
    let mut client = cluster.connect();
    client.send("GET /plain HTTP/1.1\r\nHost: a\r\n\r\n");
    let (id, request) = new.request();
    assert_eq!((request.path(), &request.resumed), (&b"/plain"[..], &None));
    new.send(|batch| batch.complete_response(id, 204, [], [&b""[..]]));
    assert_eq!(client.head().status, 204);
    new.send(|batch| ids.iter().for_each(|&id| batch.upgrade(id, Interest::MESSAGES, [])));
    eventually("all but sixteen have moved", || cluster.stat("resumed") == 64);
}

#[test]
fn a_handler_that_was_asked_to_leave_has_its_last_words_at_a_drain_and_the_messages_before() {
    for is_gone in [false, true] {
        let (cluster, mut old, mut client, id) = opened(Some(Interest::ALL));
        let _new = deployed(&cluster);
        asked_to_hand_over(&mut old, id);
        client.send_frame(1, b"held");
        eventually("the message has come", || cluster.stat("messages") == 1);
        cluster.gateway.drain();
        assert_eq!(old.message(), "held");
        assert!(matches!(old.next(), (told, ToWorker::Shutdown) if told == id));
        old.send(|batch| match is_gone {
            true => batch.handed_over(id, None),
            false => {
                batch.write(id, Payload::Text, b"bye");
                batch.handled(id, 1);
                batch.close(id, 1001);
            }
        });
        if !is_gone {
            assert_eq!(client.frame(), (TEXT, b"bye".to_vec()));
        }
        assert_eq!(client.frame(), (CLOSE, 1001u16.to_be_bytes().to_vec()));
        client.send_frame(8, &1001u16.to_be_bytes());
        if is_gone {
            assert!(matches!(old.next(), (closing, ToWorker::Closing) if closing == id));
        }
        assert!(matches!(old.next(), (closed, ToWorker::Gone { code: 1001 }) if closed == id));
        old.send(|batch| batch.ended(id));
        assert!(cluster.gateway.wait_drained(Instant::now() + Duration::from_secs(20)));
    }
}

#[test]
fn a_drain_closes_what_is_on_its_way_and_the_old_handler_learns_it() {
    let (cluster, mut old, mut client, id) = opened(Some(Interest::MESSAGES));
    let _new = deployed(&cluster);
    asked_to_hand_over(&mut old, id);
    cluster.gateway.drain();
    assert_eq!(client.frame(), (CLOSE, 1001u16.to_be_bytes().to_vec()));
    client.send_frame(8, &1001u16.to_be_bytes());
    assert!(matches!(old.next(), (closing, ToWorker::Closing) if closing == id));
    assert!(matches!(old.next(), (closed, ToWorker::Gone { code: 1001 }) if closed == id));
}

/// A server with workers of two generations that stops while the new one is about to have the handler. The client has left.
fn stopped_during_a_replay() -> (Cluster, Worker, Worker, StreamId) {
    let (cluster, mut old, mut client, id) = opened(Some(Interest::MESSAGES));
    let mut new = deployed(&cluster);
    asked_to_hand_over(&mut old, id);
    old.send(|batch| batch.handed_over(id, None));
    replayed(&mut new, id, None);
    cluster.gateway.drain();
    assert_eq!(client.frame(), (CLOSE, 1001u16.to_be_bytes().to_vec()));
    client.send_frame(8, &1001u16.to_be_bytes());
    assert!(matches!(old.next(), (closing, ToWorker::Closing) if closing == id));
    eventually("the client has left", || cluster.stat("websocket_connections") == 0);
    assert!(new.is_quiet() && old.is_quiet(), "the end waits until it is known whose it is");
    assert!(!cluster.gateway.wait_drained(Instant::now() + Duration::from_millis(50)));
    (cluster, old, new, id)
}

fn has_drained(cluster: &Cluster) -> bool {
    cluster.gateway.wait_drained(Instant::now() + Duration::from_secs(20))
}

#[test]
fn a_replay_that_a_drain_finds_goes_on_and_the_new_handler_learns_the_end() {
    let (cluster, mut old, mut new, id) = stopped_during_a_replay();
    accept(&mut new, id);
    is_released(&mut old, id);
    is_told_the_end(&mut new, id);
    assert!(has_drained(&cluster) && old.is_quiet());
}

#[test]
fn a_replay_that_is_refused_during_a_drain_leaves_the_end_to_the_old_handler() {
    let (cluster, mut old, mut new, id) = stopped_during_a_replay();
    new.send(|batch| batch.complete_response(id, 403, [], [&b""[..]]));
    is_told_the_end(&mut old, id);
    assert!(has_drained(&cluster));
}

#[test]
fn a_replay_that_is_given_back_or_lost_during_a_drain_leaves_the_end_to_the_old_handler() {
    for is_lost in [false, true] {
        let (cluster, mut old, mut new, id) = stopped_during_a_replay();
        match is_lost {
            true => drop(new),
            false => new.send(|batch| batch.returned(id)),
        }
        is_told_the_end(&mut old, id);
        assert!(has_drained(&cluster));
    }
}

#[test]
fn a_handler_that_comes_to_a_worker_that_retires_meanwhile_goes_on_to_the_next() {
    let (cluster, mut old, _client, id) = opened(Some(Interest::MESSAGES));
    let mut second = deployed(&cluster);
    asked_to_hand_over(&mut old, id);
    old.send(|batch| batch.handed_over(id, Some(b"one")));
    replayed(&mut second, id, Some("one"));
    let mut third = cluster.worker(1, 3, 1);
    cluster.gateway.promote(3);
    eventually("the second retires", || cluster.state(1, 2) == "retiring");
    accept(&mut second, id);
    asked_to_hand_over(&mut second, id);
    second.send(|batch| batch.handed_over(id, Some(b"two")));
    replayed(&mut third, id, Some("two"));
}
