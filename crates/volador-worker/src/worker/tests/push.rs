//! Push connections: the handshake, and the events of their handlers.

use super::*;

#[test]
fn writes_before_and_after_the_handshake_keep_their_order() {
    let s = Setup::new();
    let mut seat = s.worker.seat();
    s.deliver(|batch| request(batch, id(1), Some(Transport::Sse)));
    seat.take();
    let push = seat.push_stream().unwrap().clone();
    assert!(s.worker.write(&push, Payload::Text, b"one"));
    seat.upgrade(Some(Interest::MESSAGES), []);
    assert!(s.worker.write(&push, Payload::Text, b"two"));
    s.worker.close(&push, 1000);
    assert!(!s.worker.write(&push, Payload::Text, b"three"));
    seat.take();
    s.deliver(|batch| batch.closed(id(1), 1000));
    assert!(matches!(seat.take(), Taken::Event(_, Event::Close(1000))));
    drop(seat);
    let frames: Vec<_> = s.kept.frames().into_iter().map(|(_, frame)| frame).collect();
    assert!(
        matches!(
            &frames[..],
            [ToGateway::Write(_, one), ToGateway::Upgrade { interest: Some(Interest::MESSAGES), .. }, ToGateway::Write(_, two), ToGateway::Close(1000)]
            if one == "one" && two == "two"
        ),
        "{frames:?}"
    );
}

#[test]
fn refused_handshake_closes_the_stream() {
    let s = Setup::new();
    let mut seat = s.worker.seat();
    s.deliver(|batch| request(batch, id(1), Some(Transport::WebSocket)));
    seat.take();
    let push = seat.push_stream().unwrap().clone();
    seat.respond(401, [], []);
    assert!(!push.is_open());
    assert!(!s.worker.write(&push, Payload::Text, b"late"));
    assert!(s.worker.core.streams.lock().is_empty());
}

#[test]
fn client_that_left_before_or_after_the_answer_is_told_once() {
    let s = Setup::new();
    let mut seat = s.worker.seat();
    // Cancel comes before the answer.
    s.deliver(|batch| request(batch, id(1), Some(Transport::WebSocket)));
    seat.take();
    s.deliver(|batch| batch.cancel(id(1)));
    seat.upgrade(Some(Interest::MESSAGES), []);
    assert!(matches!(seat.take(), Taken::Event(stream, Event::Close(1006)) if stream == id(1)));
    assert!(matches!(seat.take(), Taken::Empty));
    // The answer and Cancel pass each other.
    s.upgraded(&mut seat, 2);
    s.deliver(|batch| batch.cancel(id(2)));
    assert!(matches!(seat.take(), Taken::Event(stream, Event::Close(1006)) if stream == id(2)));
    assert!(matches!(seat.take(), Taken::Empty));
    assert!(s.worker.core.streams.lock().is_empty());
}

#[test]
fn event_waits_until_the_request_is_complete() {
    let s = Setup::new();
    let (mut seat, mut other) = (s.worker.seat(), s.worker.seat());
    s.upgraded(&mut seat, 1);
    s.deliver(|batch| batch.message(id(1), Payload::Text, b"hi"));
    assert!(matches!(other.take(), Taken::Empty));
    assert!(is_event(seat.take(), 1, "hi"));
}

#[test]
fn streams_take_turns_event_by_event() {
    let s = Setup::new();
    let mut seat = s.worker.seat();
    for n in [1, 2] {
        s.upgraded(&mut seat, n);
    }
    assert!(matches!(seat.take(), Taken::Empty));
    s.deliver(|batch| {
        batch.message(id(1), Payload::Text, b"a");
        batch.message(id(1), Payload::Text, b"b");
        batch.message(id(2), Payload::Text, b"c");
    });
    assert!(is_event(seat.take(), 1, "a"));
    assert!(is_event(seat.take(), 2, "c"));
    assert!(is_event(seat.take(), 1, "b"));
    assert!(matches!(seat.take(), Taken::Empty));
    drop(seat);
    let handled = s.kept.frames().into_iter().filter(|(_, f)| matches!(f, ToGateway::Handled(1))).count();
    assert_eq!(handled, 3);
}

#[test]
fn events_of_a_stream_never_overlap_and_keep_their_order() {
    const STREAMS: u32 = 8;
    const EVENTS: u32 = 300;
    let s = Setup::new();
    let mut seat = s.worker.seat();
    (0..STREAMS).for_each(|n| drop(s.upgraded(&mut seat, n)));
    drop(seat);
    let running: Vec<_> = (0..STREAMS).map(|_| AtomicUsize::new(0)).collect();
    let next: Vec<_> = (0..STREAMS).map(|_| AtomicUsize::new(0)).collect();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut seat = s.worker.seat();
                let waiter = seat.waiter();
                loop {
                    match seat.take() {
                        Taken::Event(stream, Event::Message(_, data)) => {
                            let stream = stream.slot() as usize;
                            assert_eq!(running[stream].fetch_add(1, Ordering::SeqCst), 0, "overlap");
                            let n = u32::from_le_bytes(*data.first_chunk().unwrap()) as usize;
                            assert_eq!(next[stream].fetch_add(1, Ordering::SeqCst), n, "order");
                            std::thread::yield_now();
                            running[stream].fetch_sub(1, Ordering::SeqCst);
                        }
                        Taken::Stopped => return,
                        Taken::Empty => {
                            waiter.prepare();
                            waiter.park();
                        }
                        other => panic!("{other:?}"),
                    }
                }
            });
        }
        for n in 0..EVENTS {
            s.deliver(|batch| {
                (0..STREAMS).for_each(|stream| batch.message(id(stream), Payload::Binary, &n.to_le_bytes()));
            });
        }
        s.worker.stop();
    });
    assert!(next.iter().all(|n| n.load(Ordering::SeqCst) == EVENTS as usize));
}

#[test]
fn push_without_handler_is_kept_until_it_is_released_or_closed() {
    let s = Setup::new();
    let mut seat = s.worker.seat();
    for (n, release) in [(1, true), (2, false)] {
        s.deliver(|batch| request(batch, id(n), Some(Transport::Sse)));
        seat.take();
        let push = seat.push_stream().unwrap().clone();
        s.worker.release(&push);
        seat.upgrade(None, []);
        assert_eq!(s.worker.core.streams.lock().len(), 1);
        if release {
            s.worker.release(&push);
        } else {
            s.deliver(|batch| batch.closed(id(n), 1006));
            assert!(!push.is_open());
        }
        assert!(s.worker.core.streams.lock().is_empty());
    }
    assert!(matches!(seat.take(), Taken::Empty));
}

#[test]
fn handler_gets_the_events_that_it_wants() {
    let s = Setup::new();
    let mut seat = s.worker.seat();
    let mut told = |n, interest| {
        s.deliver(|batch| request(batch, id(n), Some(Transport::WebSocket)));
        assert!(matches!(seat.take(), Taken::Request(_)));
        seat.upgrade(interest, []);
        assert!(matches!(seat.take(), Taken::Empty));
        s.deliver(|batch| {
            batch.drained(id(n));
            batch.shutdown(id(n));
            batch.closed(id(n), 1001);
        });
        let mut events = Vec::new();
        while let Taken::Event(stream, event) = seat.take() {
            assert_eq!(stream, id(n));
            events.push(event);
        }
        events
    };
    assert_eq!(told(1, Some(Interest::ALL)), [Event::Drained, Event::Shutdown, Event::Close(1001)]);
    assert_eq!(told(2, Some(Interest::NONE)), [Event::Close(1001)]);
    assert_eq!(told(3, None), []);
}

#[test]
fn pending_is_what_the_gateway_told_last() {
    let s = Setup::new();
    let mut seat = s.worker.seat();
    let push = s.upgraded(&mut seat, 1);
    s.deliver(|batch| batch.backlog(id(1), 12));
    assert_eq!(push.pending(), Some(12));
    s.deliver(|batch| batch.closed(id(1), 1000));
    assert_eq!(push.pending(), None);
}

#[test]
fn a_connection_that_the_gateway_closes_takes_nothing_more_before_its_end_is_told() {
    let s = Setup::new();
    let mut seat = s.worker.seat();
    let push = s.upgraded(&mut seat, 1);
    s.deliver(|batch| batch.closing(id(1)));
    assert!(!push.is_open() && !s.worker.write(&push, Payload::Text, b"late"));
    assert!(matches!(seat.take(), Taken::Empty));
    s.deliver(|batch| batch.closed(id(1), 1000));
    assert!(matches!(seat.take(), Taken::Event(_, Event::Close(1000))));
}

#[test]
fn timeout_is_the_gateways_until_one_is_set_and_goes_to_the_shard_of_the_connection() {
    let s = Setup::new();
    let mut seat = s.worker.seat();
    let push = s.upgraded(&mut seat, 1);
    s.deliver(|batch| request(batch, id(2), Some(Transport::Sse)));
    seat.take();
    let sse = seat.push_stream().unwrap().clone();
    let seconds = |push| s.worker.timeout(push).as_secs_f64();
    assert_eq!([seconds(&push), seconds(&sse)], [30.0, 15.0]);
    s.kept.frames();
    s.worker.set_timeout(&push, 1500);
    assert_eq!([seconds(&push), seconds(&sse)], [1.5, 15.0]);
    assert!(
        s.await_frames().iter().any(|frame| matches!(frame, (stream, ToGateway::Timeout(1500)) if *stream == id(1)))
    );
    s.worker.set_timeout(&push, 0);
    assert_eq!(seconds(&push), 30.0);
    s.worker.close(&push, 1000);
    s.await_frames();
    s.worker.set_timeout(&push, 7000);
    assert_eq!((seconds(&push), s.kept.frames().len()), (30.0, 0), "it is closed");
}

#[test]
fn events_with_fields_are_written_published_and_broadcast() {
    let s = Setup::new();
    let push = s.upgraded(&mut s.worker.seat(), 1);
    let event = volador_proto::sse::Event { data: "hi", event: Some("greeting"), ..Default::default() };
    let packed = volador_proto::link::pack_event(&event);
    s.kept.frames();
    // A thread without a job: its pushes wait for no answer.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            assert!(s.worker.write(&push, Kind::Event, &packed));
            assert!(s.worker.publish(b"news", Kind::Event, &packed));
            s.worker.broadcast(b"/", Kind::Event, &packed);
        });
    });
    let frames = s.kept.frames();
    let has = |fact: fn(&ToGateway) -> Option<&[u8]>| frames.iter().any(|(_, f)| fact(f) == Some(&packed[..]));
    assert!(has(|frame| if let ToGateway::Write(Kind::Event, data) = frame { Some(data) } else { None }));
    assert!(has(|frame| if let ToGateway::Publish { kind: Kind::Event, data, .. } = frame {
        Some(data)
    } else {
        None
    }));
    assert!(has(|frame| if let ToGateway::Broadcast { kind: Kind::Event, data, .. } = frame {
        Some(data)
    } else {
        None
    }));
}

#[test]
fn all_push_connections_end_with_a_gateway_that_is_lost() {
    let s = Setup::new();
    let mut seat = s.worker.seat();
    let pushes = [s.upgraded(&mut seat, 1), s.upgraded(&mut seat, 2)];
    assert!(matches!(seat.take(), Taken::Empty));
    s.worker.lost();
    assert!(pushes.iter().all(|push| !push.is_open()));
    for _ in 0..2 {
        assert!(matches!(seat.take(), Taken::Event(_, Event::Close(NO_CLOSE))));
    }
}
