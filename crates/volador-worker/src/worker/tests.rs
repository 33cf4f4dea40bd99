//! A worker between a gateway that keeps what it gets and seats on plain threads.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use volador_proto::link::{Interest, Payload, StreamId, ToGateway, Transport};

use super::*;
use crate::{
    error::WriteError,
    fixtures::{options, request},
    mailbox::Event,
    outbox::tests::Kept,
    seat::Taken,
};

const DEADLINE: Duration = Duration::from_secs(20);

struct Setup {
    worker: Worker,
    kept: Arc<Kept>,
}

impl Setup {
    fn new() -> Self {
        let worker = Worker::new(options());
        let kept = Arc::new(Kept::default());
        worker.join(kept.clone()).unwrap();
        Self { worker, kept }
    }

    fn deliver(&self, write: impl FnOnce(&mut Batch)) {
        let mut batch = Batch::new();
        write(&mut batch);
        self.worker.deliver(batch).unwrap();
    }

    /// A push stream with a handler, whose request has been answered.
    fn upgraded(&self, seat: &mut Seat, n: u32) -> Arc<PushStream> {
        self.deliver(|batch| request(batch, id(n), Some(Transport::WebSocket)));
        assert!(matches!(seat.take(), Taken::Request(_)));
        let push = seat.push_stream().unwrap().clone();
        seat.upgrade(Some(Interest::MESSAGES), []);
        push
    }

    /// The next push connection that is let go of, with what its handler leaves.
    fn await_handed_over(&self) -> (StreamId, Option<bytes::Bytes>) {
        loop {
            let mut left = self.await_frames().into_iter().filter_map(|(id, frame)| match frame {
                ToGateway::HandedOver(state) => Some((id, state)),
                _ => None,
            });
            if let Some(left) = left.next() {
                return left;
            }
        }
    }

    /// Frames that arrive within the deadline.
    fn await_frames(&self) -> Vec<(StreamId, ToGateway)> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let frames = self.kept.frames();
            if !frames.is_empty() {
                return frames;
            }
            assert!(Instant::now() < deadline, "no frame");
            std::thread::yield_now();
        }
    }
}

fn id(n: u32) -> StreamId {
    StreamId::new(1, 0, n)
}

fn is_event(taken: Taken, n: u32, data: &str) -> bool {
    matches!(taken, Taken::Event(stream, Event::Message(Payload::Text, d)) if stream == id(n) && d == data)
}

#[test]
fn request_is_taken_and_its_answer_handed_over() {
    let s = Setup::new();
    let mut seat = s.worker.seat();
    s.deliver(|batch| request(batch, id(1), None));
    assert_eq!(s.worker.queued(), 1);
    assert!(matches!(seat.take(), Taken::Request(_)));
    assert!(seat.is_unanswered());
    seat.respond(200, [(&b"a"[..], &b"b"[..])], [&b"he"[..], b"llo"]);
    assert!(!seat.is_unanswered());
    assert!(matches!(&s.kept.frames()[..], [(stream, ToGateway::Response(r))] if *stream == id(1) && r.status == 200));
    assert!(matches!(seat.take(), Taken::Empty));
}

#[test]
fn cancelled_request_is_never_taken() {
    let s = Setup::new();
    let mut seat = s.worker.seat();
    s.deliver(|batch| {
        request(batch, id(1), None);
        request(batch, id(2), Some(Transport::Sse));
    });
    s.deliver(|batch| {
        batch.cancel(id(1));
        batch.cancel(id(2));
        request(batch, id(3), None);
        batch.cancel(id(3));
    });
    assert!(matches!(seat.take(), Taken::Empty));
    assert!(s.worker.core.streams.lock().is_empty());
}

#[test]
fn stream_of_a_client_that_left_takes_no_more() {
    let s = Setup::new();
    let mut seat = s.worker.seat();
    s.deliver(|batch| request(batch, id(1), None));
    seat.take();
    seat.start(200, []);
    assert_eq!(seat.write(b"12345").unwrap(), 5);
    s.deliver(|batch| batch.cancel(id(1)));
    assert!(matches!(seat.write(b"6"), Err(WriteError::Gone)));
    s.deliver(|batch| request(batch, id(2), None));
    seat.take();
    seat.start(200, []);
    assert_eq!(seat.write(b"6").unwrap(), 1, "the next request is not concerned");
}

#[test]
fn writer_waits_for_credit_when_the_spool_is_full() {
    let s = Setup::new();
    let mut seat = s.worker.seat();
    s.deliver(|batch| request(batch, id(1), None));
    seat.take();
    seat.start(200, []);
    assert_eq!(seat.write(&[b'x'; 40]).unwrap(), 30);
    let waiter = seat.waiter();
    std::thread::scope(|scope| {
        waiter.prepare();
        let waiting = scope.spawn(|| waiter.wait_credit());
        s.deliver(|batch| batch.credit(id(1), 29));
        assert!(!waiting.is_finished());
        s.deliver(|batch| batch.credit(id(1), 1));
    });
    assert_eq!(seat.write(b"0123456789").unwrap(), 10);
    seat.finish();
    let frames = s.kept.frames();
    assert!(matches!(frames.last(), Some((_, ToGateway::End))));
}

#[test]
fn wait_for_credit_ends_by_cancel_and_by_interrupt() {
    let s = Setup::new();
    let mut seat = s.worker.seat();
    s.deliver(|batch| request(batch, id(1), None));
    seat.take();
    seat.start(200, []);
    seat.write(&[b'x'; 40]).unwrap();
    let waiter = seat.waiter();
    waiter.prepare();
    waiter.interrupt();
    waiter.wait_credit();
    waiter.prepare();
    s.deliver(|batch| batch.cancel(id(1)));
    waiter.wait_credit();
    assert!(matches!(seat.write(b"x"), Err(WriteError::Gone)));
}

#[test]
fn answer_that_waits_for_more_is_handed_over_by_the_watcher() {
    let s = Setup::new();
    let mut seat = s.worker.seat();
    s.deliver(|batch| (1..=2).for_each(|n| request(batch, id(n), None)));
    seat.take();
    seat.respond(200, [], []);
    seat.take();
    // The second request is inside of slow application code.
    assert!(matches!(&s.await_frames()[..], [(stream, ToGateway::Response(_))] if *stream == id(1)));
}

#[test]
fn job_behind_a_blocked_one_is_taken_by_another_seat() {
    let s = Setup::new();
    std::thread::scope(|scope| {
        let (mut blocked, mut other) = (s.worker.seat(), s.worker.seat());
        s.deliver(|batch| request(batch, id(1), None));
        blocked.take();
        let waiting = scope.spawn(move || {
            let waiter = other.waiter();
            loop {
                match other.take() {
                    Taken::Empty => waiter.park(),
                    taken => return matches!(taken, Taken::Request(_)),
                }
                waiter.prepare();
            }
        });
        s.deliver(|batch| request(batch, id(2), None));
        assert!(waiting.join().unwrap());
    });
}

#[test]
fn seat_dropped_in_a_request_cuts_it_off() {
    let s = Setup::new();
    let mut seat = s.worker.seat();
    s.deliver(|batch| request(batch, id(1), None));
    seat.take();
    drop(seat);
    assert!(matches!(&s.kept.frames()[..], [(_, ToGateway::Abort)]));
    assert!(s.worker.core.seats.read().is_empty());
}

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
fn broadcast_goes_to_every_shard_at_once() {
    let s = Setup::new();
    s.worker.broadcast(b"/rooms/*", Payload::Text, b"hi");
    let shards: Vec<u8> = s.kept.batches.lock().iter().map(|(shard, _)| *shard).collect();
    assert_eq!(shards, [0, 1]);
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
fn frame_that_is_none_is_an_error_after_those_before_it() {
    let s = Setup::new();
    let mut batch = Batch::new();
    request(&mut batch, id(1), None);
    batch.beat(0); // of the other direction
    assert!(matches!(s.worker.deliver(batch), Err(LinkError::UnknownKind(_))));
    assert_eq!(s.worker.queued(), 1);
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
fn waits_of_requests_are_measured_and_those_of_events_are_not() {
    let s = Setup::new();
    let mut seat = s.worker.seat();
    let push = s.upgraded(&mut seat, 1);
    assert_eq!(s.worker.waits().requests, 1);
    s.deliver(|batch| {
        request(batch, id(2), None);
        batch.message(push.id(), Payload::Text, b"hi");
    });
    std::thread::sleep(Duration::from_millis(2));
    assert!(matches!(seat.take(), Taken::Request(_)));
    assert!(matches!(seat.take(), Taken::Event(..)));
    let waits = s.worker.waits();
    assert_eq!(waits.requests, 2);
    assert!(waits.longest >= Duration::from_millis(2) && waits.total >= waits.longest, "{waits:?}");
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
fn requests_that_no_seat_has_begun_are_given_back_the_latest_first() {
    let s = Setup::new();
    let mut seat = s.worker.seat();
    s.deliver(|batch| (1..=4).for_each(|n| request(batch, id(n), (n == 4).then_some(Transport::Sse))));
    assert!(matches!(seat.take(), Taken::Request(_)));
    s.deliver(|batch| batch.recall(2));
    let returned: Vec<_> = s.kept.frames().into_iter().map(|(id, frame)| (id, format!("{frame:?}"))).collect();
    assert_eq!(returned, [(id(4), "Returned".to_owned()), (id(3), "Returned".to_owned())]);
    assert!(s.worker.core.streams.lock().is_empty());
    s.deliver(|batch| {
        request(batch, id(5), None);
        batch.recall(u32::MAX);
    });
    assert_eq!(s.kept.frames().into_iter().map(|(id, _)| id).collect::<Vec<_>>(), [id(5), id(2)]);
    // The one that has begun is not.
    seat.respond(200, [], []);
    assert!(matches!(seat.take(), Taken::Empty));
}

#[test]
fn a_cancelled_request_is_given_back_unless_a_seat_has_it() {
    let s = Setup::new();
    let mut seat = s.worker.seat();
    s.deliver(|batch| (1..=2).for_each(|n| request(batch, id(n), None)));
    assert!(matches!(seat.take(), Taken::Request(_)));
    s.deliver(|batch| (1..=2).for_each(|n| batch.cancel(id(n))));
    assert!(matches!(&s.kept.frames()[..], [(given_back, ToGateway::Returned)] if *given_back == id(2)));
}

#[test]
fn a_handler_is_asked_after_all_that_came_before_and_then_nothing_is_written_here() {
    let s = Setup::new();
    let mut seat = s.worker.seat();
    let push = s.upgraded(&mut seat, 1);
    s.deliver(|batch| {
        batch.message(id(1), Payload::Text, b"before");
        batch.hand_over(id(1));
    });
    assert!(is_event(seat.take(), 1, "before"));
    assert!(matches!(seat.take(), Taken::Event(_, Event::HandOver)));
    assert!(s.worker.listen_for(&push, Match::Exact, b"news").is_some());
    s.worker.hand_over(&push, Some(b"state"));
    assert!(!push.is_open() && !s.worker.write(&push, Payload::Text, b"late"));
    assert!(s.worker.listen_for(&push, Match::Exact, b"more").is_none());
    assert!(matches!(seat.take(), Taken::Empty));
    assert_eq!(s.await_handed_over(), (id(1), Some("state".into())));
    s.deliver(|batch| batch.release(id(1)));
    assert!(matches!(seat.take(), Taken::Event(_, Event::Released)));
    assert!(s.worker.core.streams.lock().is_empty() && s.worker.core.listeners.lock().is_empty());
    s.deliver(|batch| batch.closed(id(1), 1000));
    assert!(matches!(seat.take(), Taken::Empty));
}

#[test]
fn a_handler_whose_connection_ends_on_the_way_is_told_the_end() {
    let s = Setup::new();
    let mut seat = s.worker.seat();
    let push = s.upgraded(&mut seat, 1);
    s.deliver(|batch| batch.hand_over(id(1)));
    assert!(matches!(seat.take(), Taken::Event(_, Event::HandOver)));
    s.worker.hand_over(&push, None);
    s.deliver(|batch| batch.closed(id(1), 1012));
    assert!(matches!(seat.take(), Taken::Event(_, Event::Close(1012))));
    // One that the worker does not know any more has nothing to leave.
    assert_eq!(s.await_handed_over(), (id(1), None));
    s.deliver(|batch| batch.hand_over(id(9)));
    assert_eq!(s.await_handed_over(), (id(9), None));
}

#[test]
fn the_gateway_of_a_cluster_hears_when_a_handler_has_been_told_the_end() {
    let ended = |s: &Setup| s.kept.frames().iter().any(|frame| matches!(frame, (of, ToGateway::Ended) if *of == id(1)));
    for is_cluster in [false, true] {
        let s = Setup::new();
        if is_cluster {
            s.worker.keep_journal(Journal::new(Vec::new()));
        }
        let mut seat = s.worker.seat();
        s.upgraded(&mut seat, 1);
        s.deliver(|batch| batch.closed(id(1), 1000));
        assert!(matches!(seat.take(), Taken::Event(_, Event::Close(1000))));
        s.worker.flush();
        assert!(!ended(&s), "it is being told");
        assert!(matches!(seat.take(), Taken::Empty));
        s.worker.flush();
        assert_eq!(ended(&s), is_cluster);
    }
}

#[test]
fn an_end_that_is_nobodys_is_answered_at_once() {
    let s = Setup::new();
    s.worker.keep_journal(Journal::new(Vec::new()));
    let mut seat = s.worker.seat();
    s.deliver(|batch| request(batch, id(1), Some(Transport::Sse)));
    assert!(matches!(seat.take(), Taken::Request(_)));
    seat.upgrade(None, []);
    seat.take();
    s.kept.frames();
    s.deliver(|batch| (1..=2).for_each(|n| batch.closed(id(n), 1000)));
    s.worker.flush();
    let ended: Vec<_> = s.kept.frames().into_iter().map(|(id, frame)| (id, format!("{frame:?}"))).collect();
    assert_eq!(ended, [(id(1), "Ended".to_owned()), (id(2), "Ended".to_owned())]);
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

#[test]
fn a_handler_whose_thread_ends_over_it_leaves_nothing() {
    let s = Setup::new();
    let mut seat = s.worker.seat();
    let push = s.upgraded(&mut seat, 1);
    s.deliver(|batch| batch.hand_over(id(1)));
    assert!(matches!(seat.take(), Taken::Event(_, Event::HandOver)));
    drop(seat);
    assert_eq!(s.await_handed_over(), (id(1), None));
    assert!(!push.is_open());
}
