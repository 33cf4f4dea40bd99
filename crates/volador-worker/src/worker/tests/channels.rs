//! Publications, subscriptions and listeners.

use super::*;

#[test]
fn broadcast_goes_to_every_shard_at_once() {
    let s = Setup::new();
    s.worker.broadcast(b"/rooms/*", Payload::Text, b"hi");
    let shards: Vec<u8> = s.kept.batches.lock().iter().map(|(shard, _)| *shard).collect();
    assert_eq!(shards, [0, 1]);
}

fn published(batch: &mut Batch, listener: ListenerId, data: &str) {
    batch.published(listener, b"news", Payload::Text, data.as_bytes());
}

fn is_published(taken: Taken, stream: StreamId, of: ListenerId, text: &str) -> bool {
    matches!(
        taken,
        Taken::Event(id, Event::Published { listener, channel, payload: Payload::Text, data })
        if id == stream && listener == of && channel == "news" && data == text
    )
}

/// The listeners that the gateway was told to keep, after all frames so far.
fn listening(s: &Setup) -> Vec<ListenerId> {
    s.worker.core.outboxes().unwrap().flush();
    let mut ids = Vec::new();
    for (_, frame) in s.kept.frames() {
        match frame {
            ToGateway::Listen(id, ..) => ids.push(id),
            ToGateway::Unlisten(id) => {
                assert!(ids.contains(&id), "ended before it began");
                ids.retain(|of| *of != id);
            }
            _ => {}
        }
    }
    ids
}

#[test]
fn publish_goes_to_every_shard_until_the_worker_stops() {
    let s = Setup::new();
    assert!(s.worker.publish(b"news", Payload::Binary, b"hi"));
    let shards: Vec<u8> = s.kept.batches.lock().iter().map(|(shard, _)| *shard).collect();
    assert_eq!(shards, [0, 1]);
    for (_, frame) in s.kept.frames() {
        assert!(matches!(frame, ToGateway::Publish { channel, data, .. } if channel == "news" && data == "hi"));
    }
    s.worker.stop();
    assert!(!s.worker.publish(b"news", Payload::Binary, b"late"));
    assert!(s.kept.frames().is_empty());
}

#[test]
fn subscriptions_go_to_the_shard_of_the_connection_before_a_later_publication() {
    let s = Setup::new();
    let mut seat = s.worker.seat();
    let push = s.upgraded(&mut seat, 1);
    assert!(s.worker.subscribe(&push, Match::Glob, b"n*"));
    assert!(s.worker.publish(b"news", Payload::Text, b"hi"));
    assert!(s.worker.unsubscribe(&push, Match::Glob, b"n*"));
    seat.take();
    s.worker.core.outboxes().unwrap().flush();
    s.kept.batches.lock().retain(|(shard, _)| *shard == 1);
    let frames = s.kept.frames();
    assert!(
        matches!(
            &frames[..],
            [(_, ToGateway::Upgrade { .. }), (a, ToGateway::Subscribe(Match::Glob, name)), (_, ToGateway::Publish { .. }), (b, ToGateway::Unsubscribe(..))]
            if *a == id(1) && *b == id(1) && name == "n*"
        ),
        "{frames:?}"
    );
    s.worker.close(&push, 1000);
    assert!(!s.worker.subscribe(&push, Match::Exact, b"news"));
    assert!(!s.worker.unsubscribe(&push, Match::Exact, b"news"));
    assert_eq!(s.worker.listen_for(&push, Match::Exact, b"news"), None);
}

#[test]
fn listener_of_a_connection_is_told_among_its_events_and_ends_with_it() {
    let s = Setup::new();
    let (mut seat, mut other) = (s.worker.seat(), s.worker.seat());
    let push = s.upgraded(&mut seat, 1);
    let listener = s.worker.listen_for(&push, Match::Exact, b"news").unwrap();
    assert!(matches!(seat.take(), Taken::Empty));
    assert_eq!(listening(&s), [listener]);
    s.deliver(|batch| {
        published(batch, listener, "one");
        batch.message(id(1), Payload::Text, b"two");
        published(batch, listener, "three");
        batch.closed(id(1), 1000);
        published(batch, listener, "late");
    });
    assert!(is_published(seat.take(), id(1), listener, "one"));
    assert!(matches!(other.take(), Taken::Empty), "no overlap");
    assert!(is_event(seat.take(), 1, "two"));
    assert!(is_published(seat.take(), id(1), listener, "three"));
    assert!(matches!(seat.take(), Taken::Event(_, Event::Close(1000))));
    assert!(matches!(seat.take(), Taken::Empty));
    assert!(matches!(s.kept.frames().as_slice(), [(_, ToGateway::Unlisten(id)), ..] if *id == listener));
    assert!(s.worker.core.listeners.lock().is_empty());
    assert_eq!(s.worker.listen_for(&push, Match::Exact, b"news"), None);
}

#[test]
fn listeners_end_with_a_refused_a_released_and_a_lost_handshake() {
    let s = Setup::new();
    let mut seat = s.worker.seat();
    for n in 1..=3 {
        s.deliver(|batch| request(batch, id(n), Some(Transport::Sse)));
        seat.take();
        let push = seat.push_stream().unwrap().clone();
        let listener = s.worker.listen_for(&push, Match::Exact, b"news").unwrap();
        s.deliver(|batch| published(batch, listener, "early"));
        match n {
            1 => seat.respond(403, [], []),
            2 => {
                seat.upgrade(None, []);
                s.worker.release(&push);
                assert!(is_published(seat.take(), id(n), listener, "early"));
                s.deliver(|batch| batch.closed(id(n), 1006));
            }
            _ => {
                s.deliver(|batch| batch.cancel(id(n)));
                seat.upgrade(Some(Interest::NONE), []);
                assert!(is_published(seat.take(), id(n), listener, "early"));
                assert!(matches!(seat.take(), Taken::Event(_, Event::Close(1006))));
            }
        }
        assert!(matches!(seat.take(), Taken::Empty));
        assert!(s.worker.core.listeners.lock().is_empty());
    }
    assert_eq!(listening(&s), []);
}

#[test]
fn listener_of_the_worker_has_a_mailbox_of_its_own_until_it_ends() {
    let s = Setup::new();
    let (mut seat, mut other) = (s.worker.seat(), s.worker.seat());
    let (a, b) = (s.worker.listen(Match::Exact, b"news"), s.worker.listen(Match::Subject, b">"));
    s.kept.batches.lock().iter().for_each(|(shard, _)| assert_eq!(*shard, 0));
    assert_eq!(listening(&s), [a, b]);
    s.deliver(|batch| {
        published(batch, a, "one");
        published(batch, a, "two");
        published(batch, b, "three");
    });
    let mailbox = |ListenerId(n): ListenerId| StreamId::new(255, 0, n as u32);
    assert!(is_published(seat.take(), mailbox(a), a, "one"));
    assert!(is_published(other.take(), mailbox(b), b, "three"), "in parallel");
    assert!(matches!(other.take(), Taken::Empty), "no overlap");
    s.worker.unlisten(a);
    assert!(matches!(seat.take(), Taken::Empty), "what is not told yet is taken back");
    s.deliver(|batch| {
        published(batch, b, "queued");
        published(batch, a, "late");
    });
    s.worker.unlisten(b);
    assert_eq!(s.worker.queued(), 1);
    assert!(matches!(seat.take(), Taken::Empty));
    assert!(s.worker.core.listeners.lock().is_empty());
}

#[test]
fn slow_block_loses_the_oldest_publications_and_nothing_else() {
    let s = Setup::new();
    let mut seat = s.worker.seat();
    let push = s.upgraded(&mut seat, 1);
    let own = s.worker.listen_for(&push, Match::Exact, b"news").unwrap();
    let of_worker = s.worker.listen(Match::Exact, b"news");
    // The seat keeps its request meanwhile, as one with a slow block keeps its event.
    let text = |n| format!("{n:0>1000}");
    for n in 0..100 {
        s.deliver(|batch| {
            published(batch, own, &text(n));
            published(batch, of_worker, &text(n));
            if n == 50 {
                batch.message(id(1), Payload::Text, b"hello");
            }
        });
    }
    s.deliver(|batch| batch.closed(id(1), 1006));
    let (mut told_own, mut told_of_worker, mut others) = (Vec::new(), Vec::new(), Vec::new());
    while let Taken::Event(_, event) = seat.take() {
        match event {
            Event::Published { listener, data, .. } if listener == own => told_own.push(data),
            Event::Published { data, .. } => told_of_worker.push(data),
            event => others.push(event),
        }
    }
    assert_eq!(others, [Event::Message(Payload::Text, "hello".into()), Event::Close(1006)]);
    for told in [&told_own, &told_of_worker] {
        let newest: Vec<_> = (100 - told.len()..100).map(text).collect();
        assert_eq!(told, &newest);
    }
    // 1,000 bytes and what an event takes, ten times at most.
    assert!((5..10).contains(&told_own.len()) && (5..=10).contains(&told_of_worker.len()), "{}", told_own.len());
    assert_eq!(s.worker.dropped_block(), (200 - told_own.len() - told_of_worker.len()) as u64);
}

#[test]
fn slow_block_is_named_once_and_one_for_which_the_log_has_no_line_is_named_later() {
    let s = Setup::new();
    // Without a seat each block is as slow as can be. The log has five lines for them in a minute.
    let listeners: Vec<_> = (0..7).map(|_| s.worker.listen(Match::Exact, b"news")).collect();
    for _ in 0..2 {
        s.deliver(|batch| {
            for of in &listeners {
                (0..20).for_each(|_| published(batch, *of, &"x".repeat(1000)));
            }
        });
    }
    let mut kept = s.worker.core.listeners.lock();
    let named: Vec<_> = listeners.iter().map(|of| kept.falls_behind(*of).is_none()).collect();
    assert_eq!(named, [true, true, true, true, true, false, false]);
}

#[test]
fn worker_that_finishes_tells_its_blocks_what_has_come_and_listens_to_no_more() {
    let s = Setup::new();
    let mut seat = s.worker.seat();
    let listener = s.worker.listen(Match::Exact, b"news");
    s.deliver(|batch| published(batch, listener, "before"));
    s.kept.frames();
    s.worker.finish();
    s.worker.flush();
    let frames = s.kept.frames();
    assert!(matches!(frames[..], [(_, ToGateway::Unlisten(id))] if id == listener), "{frames:?}");
    s.deliver(|batch| published(batch, listener, "on its way"));
    assert!(matches!(seat.take(), Taken::Event(_, Event::Published { data, .. }) if data == "before"));
    // Who subscribes now hears nothing, and to stop tells the gateway nothing anew.
    s.worker.listen(Match::Exact, b"news");
    s.worker.stop();
    s.worker.flush();
    assert!(s.kept.frames().iter().all(|(_, frame)| matches!(frame, ToGateway::Handled(_))), "no Listen, no Unlisten");
    assert!(matches!(seat.take(), Taken::Stopped));
    assert_eq!((s.worker.drop_published(), s.worker.dropped_block()), (0, 0));
}

#[test]
fn publications_that_no_seat_will_take_are_dropped_and_counted_once() {
    let s = Setup::new();
    let mut seat = s.worker.seat();
    let push = s.upgraded(&mut seat, 1);
    let own = s.worker.listen_for(&push, Match::Exact, b"news").unwrap();
    let of_worker = s.worker.listen(Match::Exact, b"news");
    s.deliver(|batch| (0..3).for_each(|_| published(batch, own, "hi")));
    s.deliver(|batch| (0..2).for_each(|_| published(batch, of_worker, "hi")));
    s.worker.finish();
    assert_eq!((s.worker.drop_published(), s.worker.drop_published(), s.worker.dropped_block()), (5, 0, 5));
}

/// Who stops closes the push connections first.
#[test]
fn publications_that_no_seat_will_take_are_counted_of_connections_that_have_ended_as_well() {
    let s = Setup::new();
    let (mut seat, mut other) = (s.worker.seat(), s.worker.seat());
    let pushes = [1, 2, 3].map(|n| s.upgraded(&mut seat, n));
    assert!(matches!(seat.take(), Taken::Empty));
    let listeners = pushes.each_ref().map(|push| s.worker.listen_for(push, Match::Exact, b"news").unwrap());
    s.deliver(|batch| listeners.iter().for_each(|of| (0..3).for_each(|_| published(batch, *of, "hi"))));
    // One waits for a seat, one is moved on, and one stands on a seat whose thread never comes back.
    assert!(matches!(seat.take(), Taken::Event(stream, Event::Published { .. }) if stream == id(1)));
    s.deliver(|batch| {
        batch.closed(id(1), 1001);
        batch.closed(id(2), 1001);
        batch.release(id(3));
    });
    s.worker.finish();
    assert_eq!((s.worker.drop_published(), s.worker.drop_published(), s.worker.dropped_block()), (8, 0, 8));
    // What is left is told once, and of that nothing is kept.
    for n in [2, 3] {
        let taken = other.take();
        assert!(matches!(taken, Taken::Event(of, Event::Close(1001) | Event::Released) if of == id(n)), "{n}");
    }
    drop(seat);
    assert!(matches!(other.take(), Taken::Event(stream, Event::Close(1001)) if stream == id(1)));
    assert!(matches!(other.take(), Taken::Stopped));
    assert!(s.worker.core.streams.lock().is_empty());
}

#[test]
fn listeners_before_the_gateway_are_told_to_it_unless_they_have_ended() {
    let s = Setup { worker: Worker::new(options()), kept: Arc::default() };
    assert!(!s.worker.publish(b"news", Payload::Text, b"hi"));
    let (ended, kept) = (s.worker.listen(Match::Exact, b"a"), s.worker.listen(Match::Glob, b"b*"));
    s.worker.unlisten(ended);
    s.worker.join(s.kept.clone()).unwrap();
    let frames = s.kept.frames();
    assert!(
        matches!(&frames[..], [(StreamId::NONE, ToGateway::Listen(id, Match::Glob, name))] if *id == kept && name == "b*"),
        "{frames:?}"
    );
}

#[test]
fn connections_that_end_while_they_listen_leave_nothing() {
    const CONNECTIONS: u32 = 500;
    let s = Setup::new();
    let mut seat = s.worker.seat();
    let pushes: Vec<_> = (0..CONNECTIONS).map(|n| s.upgraded(&mut seat, n)).collect();
    seat.take();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for push in &pushes {
                s.worker.listen_for(push, Match::Exact, b"news");
            }
        });
        scope.spawn(|| (0..CONNECTIONS).for_each(|n| s.deliver(|batch| batch.closed(id(n), 1000))));
    });
    assert!(s.worker.core.listeners.lock().is_empty());
    assert_eq!(listening(&s), []);
}

#[test]
fn connection_goes_on_after_all_that_it_was_queued_for_is_taken_back() {
    let s = Setup::new();
    let mut seat = s.worker.seat();
    let push = s.upgraded(&mut seat, 1);
    assert!(matches!(seat.take(), Taken::Empty));
    let listener = s.worker.listen_for(&push, Match::Exact, b"news").unwrap();
    s.deliver(|batch| published(batch, listener, "queued"));
    s.worker.unlisten_for(&push, listener);
    assert!(matches!(seat.take(), Taken::Empty));
    s.deliver(|batch| batch.message(id(1), Payload::Text, b"hi"));
    assert!(is_event(seat.take(), 1, "hi"));
}

#[test]
fn who_publishes_is_ahead_when_the_gateway_takes_nothing() {
    let s = Setup::new();
    std::thread::scope(|scope| {
        // A thread without a job: what it publishes is handed over at once.
        scope.spawn(|| {
            assert!(!s.worker.is_ahead());
            for _ in 0..BACKLOG_MAX >> 20 {
                s.worker.publish(b"news", Payload::Binary, &vec![0; 1 << 20]);
            }
            assert!(s.worker.is_ahead());
            s.kept.frames();
            assert!(!s.worker.is_ahead());
        });
    });
}
