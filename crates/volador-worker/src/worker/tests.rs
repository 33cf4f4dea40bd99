//! A worker between a gateway that keeps what it gets and seats on plain threads.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use volador_proto::link::{Interest, RequestBody, RequestHead, ToGateway, Transport};

use super::*;
use crate::{error::WriteError, outbox::tests::Kept, seat::Taken};

const DEADLINE: Duration = Duration::from_secs(5);

struct Setup {
    worker: Worker,
    kept: Arc<Kept>,
}

impl Setup {
    fn new() -> Self {
        let worker = Worker::new(Options { window_bytes: 10, spool_max_bytes: 20, tmpdir: std::env::temp_dir() });
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
        seat.upgrade(true, Interest::MESSAGES, []);
        push
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

fn request(batch: &mut Batch, id: StreamId, transport: Option<Transport>) {
    let head = RequestHead {
        transport,
        tls: false,
        http_10: false,
        method: b"GET",
        path: b"/",
        query: b"",
        remote_addr: b"",
        server_name: b"localhost",
        server_port: b"80",
    };
    batch.request(id, &head, [], RequestBody::None);
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
    seat.upgrade(true, Interest::MESSAGES, []);
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
            [ToGateway::Write(_, one), ToGateway::Upgrade { interest: Interest::MESSAGES, .. }, ToGateway::Write(_, two), ToGateway::Close(1000)]
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
    seat.upgrade(true, Interest::MESSAGES, []);
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
        seat.upgrade(false, Interest::NONE, []);
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
    batch.broadcast(b"/", Payload::Text, b"");
    assert!(matches!(s.worker.deliver(batch), Err(LinkError::UnknownKind(_))));
    assert_eq!(s.worker.queued(), 1);
}
