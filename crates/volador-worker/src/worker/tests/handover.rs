//! Handlers that move to another worker, and ends that are told.

use super::*;
use crate::{journal::Notes, sync::Mutex};

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
    let listener = s.worker.listen_for(&push, Match::Exact, b"news").unwrap();
    s.deliver(|batch| batch.published(listener, b"news", Payload::Text, b"for nobody"));
    s.worker.hand_over(&push, Some(b"state"));
    s.deliver(|batch| batch.published(listener, b"news", Payload::Text, b"nor this"));
    assert_eq!(s.worker.dropped_block(), 1, "the block that waited for it is not called");
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
fn a_connection_that_comes_here_keeps_the_time_between_its_pings() {
    let s = Setup::new();
    let mut seat = s.worker.seat();
    for (timeout_ms, timeout) in [(1500, Duration::from_millis(1500)), (0, options().ping_interval)] {
        s.deliver(|batch| replay(batch, id(1), timeout_ms));
        assert!(matches!(seat.take(), Taken::Request(_)));
        assert_eq!(s.worker.timeout(seat.push_stream().unwrap()), timeout);
    }
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
fn a_gateway_that_waits_for_it_hears_when_a_handler_has_been_told_the_end() {
    let ended = |s: &Setup| s.kept.frames().iter().any(|frame| matches!(frame, (of, ToGateway::Ended) if *of == id(1)));
    for is_awaited in [false, true] {
        let s = Setup::new();
        let mut seat = s.worker.seat();
        s.upgraded(&mut seat, 1);
        s.deliver(|batch| if is_awaited { batch.gone(id(1), 1000) } else { batch.closed(id(1), 1000) });
        assert!(matches!(seat.take(), Taken::Event(_, Event::Close(1000))));
        s.worker.flush();
        assert!(!ended(&s), "it is being told");
        assert!(matches!(seat.take(), Taken::Empty));
        s.worker.flush();
        assert_eq!(ended(&s), is_awaited);
    }
}

/// Keeps what is noted, and says when it is shut.
#[derive(Clone, Debug, Default)]
struct Recorder(Arc<Mutex<(Vec<u64>, bool)>>);

impl Notes for Recorder {
    fn note(&self, _slot: u32, note: u64) {
        self.0.lock().0.push(note);
    }

    fn is_open(&self) -> bool {
        !self.0.lock().1
    }
}

impl Recorder {
    fn shut(&self) {
        self.0.lock().1 = true;
    }
}

#[test]
fn a_worker_that_was_given_up_begins_nothing_more() {
    let (s, recorder) = (Setup::new(), Recorder::default());
    // The streams of these tests are the second shard's.
    s.worker.keep_journal(Journal::new(vec![Box::new(Recorder::default()), Box::new(recorder.clone())]));
    let mut seat = s.worker.seat();
    s.upgraded(&mut seat, 1);
    s.upgraded(&mut seat, 2);
    s.deliver(|batch| {
        batch.message(id(1), Payload::Text, b"another worker's by now");
        request(batch, id(3), None);
        request(batch, id(4), Some(Transport::Sse));
    });
    recorder.shut();
    assert!(matches!(seat.take(), Taken::Empty));
    // The connections go on: nobody is told an end.
    s.worker.lost();
    for _ in 1..=2 {
        assert!(matches!(seat.take(), Taken::Event(_, Event::Released)));
    }
    assert!(matches!(seat.take(), Taken::Empty));
}

#[test]
fn handlers_of_a_worker_whose_gateway_is_gone_are_told_the_end() {
    let s = Setup::new();
    s.worker.keep_journal(Journal::new(vec![Box::new(Recorder::default()), Box::new(Recorder::default())]));
    let mut seat = s.worker.seat();
    s.upgraded(&mut seat, 1);
    s.worker.lost();
    assert!(matches!(seat.take(), Taken::Event(_, Event::Close(1006))));
}

/// A slot is another stream's as soon as nobody waits for this one: a note would hide that the other one has begun.
#[test]
fn only_an_end_that_is_awaited_is_noted_in_the_journal() {
    for (is_awaited, noted) in [(false, vec![1]), (true, vec![1, 2])] {
        let (s, recorder) = (Setup::new(), Recorder::default());
        // The streams of these tests are the second shard's.
        s.worker.keep_journal(Journal::new(vec![Box::new(Recorder::default()), Box::new(recorder.clone())]));
        let mut seat = s.worker.seat();
        s.upgraded(&mut seat, 1);
        s.deliver(|batch| if is_awaited { batch.gone(id(1), 1000) } else { batch.closed(id(1), 1000) });
        assert!(matches!(seat.take(), Taken::Event(_, Event::Close(1000))));
        assert_eq!(recorder.0.lock().0, noted, "awaited: {is_awaited}");
    }
}

#[test]
fn an_end_that_is_nobodys_is_answered_at_once() {
    let s = Setup::new();
    let mut seat = s.worker.seat();
    s.deliver(|batch| request(batch, id(1), Some(Transport::Sse)));
    assert!(matches!(seat.take(), Taken::Request(_)));
    seat.upgrade(None, []);
    seat.take();
    s.kept.frames();
    s.deliver(|batch| (1..=2).for_each(|n| batch.gone(id(n), 1000)));
    s.worker.flush();
    let ended: Vec<_> = s.kept.frames().into_iter().map(|(id, frame)| (id, format!("{frame:?}"))).collect();
    assert_eq!(ended, [(id(1), "Ended".to_owned()), (id(2), "Ended".to_owned())]);
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
