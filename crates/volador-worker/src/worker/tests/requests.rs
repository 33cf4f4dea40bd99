//! Requests: who takes them, how they are answered, and what becomes of those that are given up.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
};

use volador_proto::link::Assembler;

use super::*;
use crate::fixtures::request_with_file;

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
fn request_whose_body_was_lost_on_the_way_is_refused_and_those_behind_it_are_taken() {
    let s = Setup::new();
    let mut seat = s.worker.seat();
    let mut batch = Batch::new();
    request_with_file(&mut batch, id(1), std::fs::File::open("/dev/null").unwrap().into());
    request(&mut batch, id(2), None);
    let mut assembler = Assembler::new();
    assembler.push(&batch.into_parts().0, [], true);
    s.worker.receive(&mut assembler.take().unwrap().unwrap(), |_| {}).unwrap();
    let frames = s.kept.frames();
    assert!(matches!(&frames[..], [(stream, ToGateway::Refused)] if *stream == id(1)), "{frames:?}");
    assert!(matches!(seat.take(), Taken::Request(_)));
    seat.respond(200, [], []);
    assert!(matches!(&s.kept.frames()[..], [(stream, _)] if *stream == id(2)));
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
fn connection_is_taken_once_and_at_once() {
    let s = Setup::new();
    let mut seat = s.worker.seat();
    assert!(seat.hijack(b"").unwrap().is_none(), "there is no request");
    s.deliver(|batch| {
        request(batch, id(1), None);
        request(batch, id(2), Some(Transport::WebSocket));
    });
    seat.take();
    let mut socket = UnixStream::from(seat.hijack(b"head").unwrap().unwrap());
    assert!(!seat.is_unanswered() && seat.hijack(b"").unwrap().is_none());
    seat.respond(200, [], []);
    let Some((stream, ToGateway::Tunnel(gateways, first))) = s.kept.frames().pop() else {
        panic!("nothing was handed over")
    };
    assert_eq!((stream, &first[..]), (id(1), &b"head"[..]));
    UnixStream::from(gateways).write_all(b"hello").unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello");

    seat.take();
    seat.hijack(b"").unwrap();
    let said = s.kept.frames();
    let [.., (first, ToGateway::End), (second, ToGateway::Tunnel(..))] = &said[..] else { panic!("{said:?}") };
    assert_eq!((*first, *second), (id(1), id(2)), "the thread was free again, and is not any more");
    assert!(s.worker.core.streams.lock().is_empty(), "there will be no push connection");
    assert!(matches!(seat.take(), Taken::Empty));
}

/// A seat in the midst of a streamed response to the first of so many requests.
fn streaming(s: &Setup, requests: u32) -> crate::Seat {
    let mut seat = s.worker.seat();
    s.deliver(|batch| (1..=requests).for_each(|n| request(batch, id(n), None)));
    seat.take();
    seat.start(200, []);
    seat
}

#[test]
fn stream_of_a_client_that_left_takes_no_more() {
    let s = Setup::new();
    let mut seat = streaming(&s, 1);
    assert_eq!(seat.write(id(1), b"12345").unwrap(), 5);
    s.deliver(|batch| batch.cancel(id(1)));
    assert!(matches!(seat.write(id(1), b"6"), Err(WriteError::Gone)));
    s.deliver(|batch| request(batch, id(2), None));
    seat.take();
    seat.start(200, []);
    assert_eq!(seat.write(id(2), b"6").unwrap(), 1, "the next request is not concerned");
}

#[test]
fn response_of_which_bytes_are_lost_is_cut_even_if_the_application_goes_on() {
    let s = Setup::with(crate::Options { tmpdir: "/nonexistent".into(), ..options() });
    let mut seat = streaming(&s, 1);
    assert!(matches!(seat.write(id(1), b"1234567890ab"), Err(WriteError::Spool(_))));
    s.deliver(|batch| batch.credit(id(1), 10));
    assert!(matches!(seat.write(id(1), b"cd"), Err(WriteError::Gone)), "there is a hole before it");
    seat.finish();
    s.worker.flush();
    let said = s.kept.frames();
    assert!(
        matches!(&said[..], [(_, ToGateway::Response(_)), (_, ToGateway::Chunk(_)), (_, ToGateway::Abort)]),
        "{said:?}"
    );
}

#[test]
fn write_to_a_response_that_is_over_does_not_get_into_the_next_one() {
    let s = Setup::new();
    let mut seat = streaming(&s, 2);
    seat.finish();
    seat.take();
    seat.start(200, []);
    assert!(matches!(seat.write(id(1), b"1"), Err(WriteError::NotStreaming)));
    assert!(matches!(seat.lend(id(1)), Err(WriteError::NotStreaming)));
    assert_eq!(seat.write(id(2), b"2").unwrap(), 1);
}

#[test]
fn response_that_ends_while_it_is_lent_takes_nothing_more() {
    let s = Setup::new();
    let mut seat = streaming(&s, 2);
    let mut lent = seat.lend(id(1)).unwrap();
    assert_eq!(lent.write(b"1").unwrap(), 1);
    assert!(matches!(seat.write(id(1), b"2"), Err(WriteError::Busy)));
    seat.finish();
    seat.take();
    seat.start(200, []);
    assert!(matches!(lent.write(b"3"), Err(WriteError::NotStreaming)));
    seat.give_back(lent);
    assert_eq!(seat.write(id(2), b"4").unwrap(), 1);
}

#[test]
fn response_that_was_given_back_goes_on() {
    let s = Setup::new();
    let mut seat = streaming(&s, 1);
    let lent = seat.lend(id(1)).unwrap();
    seat.give_back(lent);
    assert_eq!(seat.write(id(1), b"1").unwrap(), 1);
}

#[test]
fn wait_of_a_writer_does_not_take_the_wake_up_of_the_seat() {
    let s = Setup::new();
    let mut seat = streaming(&s, 1);
    seat.write(id(1), &[b'x'; 40]).unwrap();
    let (credit, waiter) = (seat.credit_wait(id(1)), seat.waiter());
    std::thread::scope(|scope| {
        // A thread that writes on although the body's `call` has returned.
        let writer = scope.spawn(|| credit.wait());
        seat.finish();
        writer.join().unwrap();
        assert!(matches!(seat.take(), Taken::Empty));
        // For a response that is over there is nothing to wait for.
        seat.credit_wait(id(1)).wait();
        let seat = scope.spawn(move || {
            while let Taken::Empty = seat.take() {
                waiter.park();
                waiter.prepare();
            }
        });
        s.deliver(|batch| request(batch, id(2), None));
        seat.join().unwrap();
    });
}

#[test]
fn writer_waits_for_credit_when_the_spool_is_full() {
    let s = Setup::new();
    let mut seat = streaming(&s, 1);
    assert_eq!(seat.write(id(1), &[b'x'; 40]).unwrap(), 30);
    let credit = seat.credit_wait(id(1));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| credit.wait());
        s.deliver(|batch| batch.credit(id(1), 29));
        assert!(!waiting.is_finished());
        s.deliver(|batch| batch.credit(id(1), 1));
    });
    assert_eq!(seat.write(id(1), b"0123456789").unwrap(), 10);
    seat.finish();
    let frames = s.kept.frames();
    assert!(matches!(frames.last(), Some((_, ToGateway::End))));
}

#[test]
fn wait_for_credit_ends_by_cancel_and_by_interrupt() {
    let s = Setup::new();
    let mut seat = streaming(&s, 1);
    seat.write(id(1), &[b'x'; 40]).unwrap();
    let interrupted = seat.credit_wait(id(1));
    interrupted.interrupt();
    interrupted.wait();
    s.deliver(|batch| batch.cancel(id(1)));
    seat.credit_wait(id(1)).wait();
    assert!(matches!(seat.write(id(1), b"x"), Err(WriteError::Gone)));
}

#[test]
fn wait_for_credit_may_have_an_end() {
    let s = Setup::new();
    let mut seat = streaming(&s, 1);
    seat.write(id(1), &[b'x'; 40]).unwrap();
    let credit = seat.credit_wait(id(1));
    assert!(!credit.wait_until(Instant::now() + Duration::from_millis(1)));
    s.deliver(|batch| batch.credit(id(1), 30));
    assert!(credit.wait_until(Instant::now() + Duration::from_secs(300)));
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
fn frame_that_is_none_is_an_error_after_those_before_it() {
    let s = Setup::new();
    let mut batch = Batch::new();
    request(&mut batch, id(1), None);
    batch.beat(WorkerFigures::default()); // of the other direction
    assert!(matches!(s.worker.deliver(batch), Err(LinkError::UnknownKind(_))));
    assert_eq!(s.worker.queued(), 1);
}

#[test]
fn waits_of_requests_are_measured_and_those_of_events_and_replays_are_not() {
    let s = Setup::new();
    let mut seat = s.worker.seat();
    let push = s.upgraded(&mut seat, 1);
    assert_eq!(s.worker.waits().requests, 1);
    s.deliver(|batch| {
        request(batch, id(2), None);
        batch.message(push.id(), Payload::Text, b"hi");
        replay(batch, id(3), 0);
    });
    std::thread::sleep(Duration::from_millis(2));
    assert!(matches!(seat.take(), Taken::Request(request) if request.resumed.is_some()));
    assert!(matches!(seat.take(), Taken::Request(_)));
    assert!(matches!(seat.take(), Taken::Event(..)));
    let waits = s.worker.waits();
    assert_eq!(waits.requests, 2);
    assert!(waits.longest >= Duration::from_millis(2) && waits.total >= waits.longest, "{waits:?}");
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
fn no_more_requests_are_given_back_than_are_wanted_whether_they_came_before_or_with_that() {
    for before in 0..=3 {
        let s = Setup::new();
        let mut seat = s.worker.seat();
        s.deliver(|batch| (1..=before).for_each(|n| request(batch, id(n), None)));
        s.deliver(|batch| {
            (before + 1..=3).for_each(|n| request(batch, id(n), None));
            batch.recall(2);
        });
        let returned: Vec<_> = s.kept.frames().into_iter().map(|(id, _)| id).collect();
        assert_eq!(returned, [id(3), id(2)], "{before} came before");
        assert!(matches!(seat.take(), Taken::Request(_)) && matches!(seat.take(), Taken::Empty));
    }
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
