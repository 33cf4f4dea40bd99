use std::os::unix::net::UnixListener;

use volador_proto::link::{Match, Payload, StreamId, ToGateway, WorkerFigures};

use super::*;
use crate::{
    Taken,
    fixtures::{options, request},
};

fn stream() -> StreamId {
    StreamId::new(0, 1, 7)
}

/// A gateway that sends all of this as soon as the worker has said hello.
fn joined(batch: Batch) -> (Arc<Worker>, Remote, UnixStream) {
    let path = std::env::temp_dir().join(format!("volador-remote-{}-{:?}", getpid(), thread::current().id()));
    let listener = UnixListener::bind(&path).unwrap();
    let gateway = thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        Incoming::new().receive(&socket, true).unwrap();
        let mut outgoing = Outgoing::new();
        outgoing.push(batch);
        assert_eq!(outgoing.send(&socket).unwrap(), Sent::All);
        socket
    });
    let worker = Arc::new(Worker::new(options()));
    let hello = Hello { shard: 0, number: 1, generation: 1, threads: 1 };
    let remote = Remote::join(worker.clone(), &path, hello, |fd| Ok(Box::new(std::fs::File::from(fd)))).unwrap();
    std::fs::remove_file(&path).unwrap();
    (worker, remote, gateway.join().unwrap())
}

fn welcome_and_request() -> Batch {
    let mut batch = Batch::new();
    batch.welcome(1, std::fs::File::open("/dev/null").unwrap().into());
    request(&mut batch, stream(), None);
    batch
}

#[test]
fn a_request_that_comes_with_the_welcome_is_taken() {
    let (worker, remote, _gateway) = joined(welcome_and_request());
    let mut seat = worker.seat();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !matches!(seat.take(), Taken::Request(_)) {
        assert!(Instant::now() < deadline, "the request never comes");
        thread::yield_now();
    }
    remote.leave(Duration::ZERO);
}

/// What the worker says next, `count` frames.
fn said(gateway: &UnixStream, count: usize) -> Vec<(StreamId, ToGateway)> {
    let (mut incoming, mut said) = (Incoming::new(), Vec::new());
    gateway.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    while said.len() < count {
        assert_eq!(incoming.receive(gateway, true).unwrap(), Received::Some, "no more than {said:?}");
        let take = |frames: &mut Frames| {
            while let Some(frame) = ToGateway::next(frames) {
                said.push(frame?);
            }
            Ok(())
        };
        incoming.take(take).unwrap();
    }
    said
}

#[test]
fn a_request_that_is_recalled_with_the_welcome_is_given_back() {
    let mut batch = welcome_and_request();
    batch.recall(u32::MAX);
    let (_worker, remote, gateway) = joined(batch);
    let said = said(&gateway, 1);
    assert!(matches!(said[..], [(id, ToGateway::Returned)] if id == stream()), "{said:?}");
    remote.leave(Duration::ZERO);
}

#[test]
fn the_worker_says_what_it_listens_to_before_it_is_ready() {
    let mut batch = Batch::new();
    batch.welcome(1, std::fs::File::open("/dev/null").unwrap().into());
    let (worker, remote, gateway) = joined(batch);
    worker.listen(Match::Exact, b"news");
    remote.ready();
    let said = said(&gateway, 2);
    assert!(matches!(said[..], [(_, ToGateway::Listen(..)), (_, ToGateway::Ready)]), "{said:?}");
    remote.leave(Duration::ZERO);
}

#[test]
fn a_worker_that_leaves_says_what_it_has_dropped_since_its_last_beat() {
    let mut batch = Batch::new();
    batch.welcome(1, std::fs::File::open("/dev/null").unwrap().into());
    let (worker, remote, gateway) = joined(batch);
    let listener = worker.listen(Match::Exact, b"news");
    remote.beat();
    let mut batch = Batch::new();
    (0..100).for_each(|_| batch.published(listener, b"news", Payload::Text, &[0; 1000]));
    worker.deliver(batch).unwrap();
    assert!(worker.dropped_block() > 0);
    remote.leave(Duration::from_secs(20));
    let said = said(&gateway, 3);
    let [(_, ToGateway::Listen(..)), (_, ToGateway::Beat(first)), (_, ToGateway::Beat(last))] = said[..] else {
        panic!("{said:?}")
    };
    assert_eq!((first.dropped, last.dropped), (0, worker.dropped_block()));
}

#[test]
fn a_link_that_can_not_be_sent_over_ends_for_both_sides() {
    for waits in [false, true] {
        let (worker, remote, gateway) = joined(welcome_and_request());
        gateway.set_nonblocking(true).unwrap();
        let link = &remote.shared.links[0];
        if waits {
            // The thread that hands frames over leaves them to the writer.
            while link.outgoing.lock().is_empty() {
                remote.beat();
            }
        }
        // The socket fails, and neither side is told.
        link.socket.shutdown(std::net::Shutdown::Write).unwrap();
        worker.report(0, |batch| batch.beat(WorkerFigures::default()));
        worker.flush();
        let (mut incoming, deadline) = (Incoming::new(), Instant::now() + Duration::from_secs(20));
        while !matches!(incoming.receive(&gateway, false), Ok(Received::End)) {
            assert!(Instant::now() < deadline, "the gateway is not told");
            thread::yield_now();
        }
        assert_eq!(remote.wait_end(Duration::from_secs(20)), Some(End::Lost));
        remote.leave(Duration::ZERO);
    }
}

#[test]
fn figures_are_those_that_were_asked_for_last_and_none_come_when_the_gateway_is_gone() {
    let (worker, remote, gateway) = joined(welcome_and_request());
    let (mut seat, mut outgoing) = (worker.seat(), Outgoing::new());
    let asked = || {
        remote.ask_figures();
        // Beside what is said of the requests.
        let token = |(_, frame)| if let ToGateway::AskStats(token) = frame { Some(token) } else { None };
        loop {
            if let Some(token) = said(&gateway, 1).into_iter().find_map(token) {
                return token;
            }
        }
    };
    let mut answer = |token, figures: &str| {
        let mut batch = Batch::new();
        batch.stats(token, figures.as_bytes());
        request(&mut batch, stream(), None);
        outgoing.push(batch);
        assert_eq!(outgoing.send(&gateway).unwrap(), Sent::All);
    };
    let mut take = || {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !matches!(seat.take(), Taken::Request(_)) {
            assert!(Instant::now() < deadline, "the request never comes");
            thread::yield_now();
        }
    };
    take();
    let (early, late) = (asked(), asked());
    answer(early, "early");
    // What came with it is here.
    take();
    assert!(remote.wait_figures(Instant::now()).is_none());
    answer(late, "late");
    let in_time = Instant::now() + Duration::from_secs(20);
    assert!(matches!(remote.wait_figures(in_time), Some(Ok(figures)) if figures == "late"));
    asked();
    remote.leave(Duration::ZERO);
    assert!(matches!(remote.wait_figures(in_time), Some(Err(_))));
}
