//! Push connections of a cluster whose client leaves or whose worker is lost: each end is told once, and what had begun is
//! not run again.

mod support;

use std::time::{Duration, Instant};

use support::{
    Client, eventually,
    moving::{CLOSE, accept, asked_to_hand_over, deployed, is_released, is_told_the_end, open, opened, replayed},
};
use volador_proto::link::{Interest, Match, Payload, ToWorker};

#[test]
fn a_client_that_leaves_on_the_way_is_told_to_the_new_handler_after_its_messages() {
    // Before the handler is let go of, and while the request is replayed.
    for is_replayed in [false, true] {
        let (cluster, mut old, mut client, id) = opened(Some(Interest::MESSAGES));
        let mut new = deployed(&cluster);
        asked_to_hand_over(&mut old, id);
        let leaves = |client: &mut Client| {
            client.send_frame(1, b"last words");
            client.send_frame(8, &1000u16.to_be_bytes());
            assert_eq!(client.frame().0, CLOSE);
            eventually("the client has left", || cluster.stat("websocket_connections") == 0);
        };
        if !is_replayed {
            leaves(&mut client);
        }
        old.send(|batch| batch.handed_over(id, Some(b"state")));
        replayed(&mut new, id, Some("state"));
        if is_replayed {
            leaves(&mut client);
        }
        accept(&mut new, id);
        is_released(&mut old, id);
        assert_eq!(new.message(), "last words");
        is_told_the_end(&mut new, id);
        eventually("nothing is left", || cluster.state(1, 1) == "idle" && cluster.stat("handlers") == 0);
        assert!(old.is_quiet() && new.is_quiet());
    }
}

#[test]
fn a_client_that_leaves_on_its_way_to_code_that_refuses_is_told_to_the_old_handler() {
    let (cluster, mut old, client, id) = opened(Some(Interest::MESSAGES));
    let mut new = deployed(&cluster);
    asked_to_hand_over(&mut old, id);
    old.send(|batch| batch.handed_over(id, None));
    replayed(&mut new, id, None);
    drop(client);
    eventually("the client has left", || cluster.stat("websocket_connections") == 0);
    new.send(|batch| batch.complete_response(id, 403, [], [&b"no"[..]]));
    is_told_the_end(&mut old, id);
    eventually("nothing is left", || cluster.state(1, 1) == "idle");
}

#[test]
fn a_client_that_leaves_when_its_worker_is_lost_is_told_to_the_next_handler() {
    let (cluster, lost, client, id) = opened(Some(Interest::MESSAGES));
    drop(lost);
    eventually("the worker is gone", || cluster.state(1, 1) == "gone");
    drop(client);
    eventually("the client has left", || cluster.stat("websocket_connections") == 0);
    let mut next = cluster.worker(2, 1, 1);
    replayed(&mut next, id, None);
    accept(&mut next, id);
    is_told_the_end(&mut next, id);
    eventually("nobody has a handler", || cluster.stat("handlers") == 0);
}

#[test]
fn an_end_that_a_lost_worker_had_not_begun_to_tell_is_told_by_the_next() {
    for has_begun in [false, true] {
        let (cluster, mut lost, mut client, id) = opened(Some(Interest::MESSAGES));
        let mut next = cluster.worker(2, 1, 1);
        client.send_frame(1, b"hi");
        assert_eq!(lost.message(), "hi");
        lost.begin(id, 2);
        lost.send(|batch| batch.handled(id, 1));
        drop(client);
        assert!(matches!(lost.next(), (closed, ToWorker::Gone { .. }) if closed == id));
        lost.begin(id, 2 + u32::from(has_begun));
        drop(lost);
        if has_begun {
            eventually("the worker is gone", || cluster.state(1, 1) == "gone");
        } else {
            replayed(&mut next, id, None);
            accept(&mut next, id);
            is_told_the_end(&mut next, id);
        }
        assert!(next.is_quiet());
        assert_eq!((cluster.stat("handlers"), cluster.stat("lost_messages")), (0, 0));
    }
}

#[test]
fn what_a_worker_says_for_a_client_that_has_left_does_no_harm() {
    let (cluster, mut worker, client, id) = opened(Some(Interest::ALL));
    worker.send(|batch| batch.subscribe(id, Match::Exact, b"news"));
    eventually("it has subscribed", || cluster.stat("subscriptions") == 1);
    drop(client);
    assert!(matches!(worker.next(), (closed, ToWorker::Gone { .. }) if closed == id));
    worker.send(|batch| {
        batch.write(id, Payload::Text, b"who is there?");
        batch.subscribe(id, Match::Exact, b"news");
        batch.timeout(id, 1);
        batch.close(id, 1000);
        batch.publish(b"news", Payload::Text, b"nobody");
        batch.broadcast(b"/ws", Payload::Text, b"nobody");
    });
    assert!(worker.is_quiet());
    assert_eq!((cluster.stat("subscriptions"), cluster.stat("delivered")), (0, 0));
    worker.send(|batch| batch.ended(id));
    eventually("nobody has a handler", || cluster.stat("handlers") == 0);
}

#[test]
fn a_drain_ends_when_the_handlers_have_been_told_and_does_not_wait_for_lost_ones() {
    let (cluster, mut worker, client, id) = opened(Some(Interest::MESSAGES));
    let (other_client, _) = open(&cluster, &mut worker, Some(Interest::MESSAGES));
    drop((client, other_client));
    for _ in 0..2 {
        assert!(matches!(worker.next(), (_, ToWorker::Gone { .. })));
    }
    cluster.gateway.drain();
    worker.send(|batch| batch.ended(id));
    assert!(!cluster.gateway.wait_drained(Instant::now() + Duration::from_millis(50)), "one has not been told");
    worker.send(|batch| batch.ask_stats(7));
    assert!(matches!(worker.next(), (_, ToWorker::Stats { token: 7, .. })), "the gateway lives on");
    drop(worker);
    assert!(cluster.gateway.wait_drained(Instant::now() + Duration::from_secs(20)));
}

#[test]
fn a_lost_worker_gives_its_handlers_to_another_and_what_it_had_begun_is_not_run_again() {
    let (cluster, mut lost, mut client, id) = opened(Some(Interest::MESSAGES));
    let mut other = cluster.worker(2, 1, 1);
    for n in [b"0", b"1", b"2", b"3"] {
        client.send_frame(1, n);
    }
    for n in ["0", "1", "2", "3"] {
        assert_eq!(lost.message(), n);
    }
    lost.begin(id, 3);
    lost.send(|batch| batch.handled(id, 1));
    eventually("all four have arrived", || cluster.stat("messages") == 4);
    drop(lost);
    replayed(&mut other, id, None);
    client.send_frame(1, b"4");
    accept(&mut other, id);
    for n in ["2", "3", "4"] {
        assert_eq!(other.message(), n);
    }
    assert_eq!((cluster.stat("lost_messages"), cluster.stat("resumed")), (1, 1));
    drop(client);
    is_told_the_end(&mut other, id);
}

#[test]
fn a_worker_that_is_lost_during_a_deploy_leaves_its_handlers_to_the_new_one() {
    // Asked, and after it has let go.
    for has_let_go in [false, true] {
        let (cluster, mut old, mut client, id) = opened(Some(Interest::MESSAGES));
        let mut new = deployed(&cluster);
        asked_to_hand_over(&mut old, id);
        if has_let_go {
            old.send(|batch| batch.handed_over(id, Some(b"kept")));
            replayed(&mut new, id, Some("kept"));
            drop(old);
            eventually("it is gone", || cluster.state(1, 1) == "gone");
        } else {
            drop(old);
            replayed(&mut new, id, None);
        }
        accept(&mut new, id);
        client.send_frame(1, b"hi");
        assert_eq!(new.message(), "hi");
    }
}

#[test]
fn a_new_worker_that_is_lost_over_the_replay_is_followed_by_the_next_with_the_same_state() {
    let (cluster, mut old, mut client, id) = opened(Some(Interest::MESSAGES));
    let mut lost = deployed(&cluster);
    asked_to_hand_over(&mut old, id);
    old.send(|batch| batch.handed_over(id, Some(b"state")));
    replayed(&mut lost, id, Some("state"));
    client.send_frame(1, b"held");
    drop(lost);
    let mut next = cluster.worker(2, 2, 1);
    replayed(&mut next, id, Some("state"));
    accept(&mut next, id);
    is_released(&mut old, id);
    assert_eq!(next.message(), "held");
}

#[test]
fn a_request_that_ends_three_workers_is_given_up() {
    let (cluster, lost, mut client, id) = opened(Some(Interest::MESSAGES));
    drop(lost);
    for number in 2..5 {
        let mut next = cluster.worker(number, 1, 1);
        replayed(&mut next, id, None);
    }
    assert_eq!(client.frame(), (CLOSE, 1012u16.to_be_bytes().to_vec()));
}

#[test]
fn a_connection_that_was_not_read_is_read_again_when_its_worker_is_lost() {
    let (cluster, mut lost, mut client, id) = opened(Some(Interest::MESSAGES));
    let mut other = cluster.worker(2, 1, 1);
    // As much as a worker may have in hand, and one more behind it.
    let large = "x".repeat(1 << 20);
    client.send_frame(1, large.as_bytes());
    assert_eq!(lost.message().len(), large.len());
    client.send_frame(1, b"behind");
    assert!(lost.is_quiet());
    lost.begin(id, 2);
    drop(lost);
    replayed(&mut other, id, None);
    accept(&mut other, id);
    assert_eq!(other.message(), "behind");
}
