//! What is left behind by those who are inside of application code. The watcher sees to it, also when it has to be woken for
//! that: nobody else would.

use super::*;

type Act = fn(&Setup, &mut Seat, &Arc<PushStream>);

/// A frame of each of these waits for an answer that the same thread is about to give.
const ACTS: [(&str, Act); 9] = [
    ("an answer that waits for others", |_, seat, _| seat.respond(200, [], [])),
    ("the head of a streamed answer", |_, seat, _| seat.start(200, [])),
    ("what waits in a file for a slow client", |s, seat, _| {
        seat.start(200, []);
        seat.write(id(2), b"1234567890").unwrap();
        s.await_sleep();
        s.kept.frames();
        seat.write(id(2), b"more than the window").unwrap();
    }),
    ("a message", |s, _, push| assert!(s.worker.write(push, Payload::Text, b"hi"))),
    ("a subscription", |s, _, push| assert!(s.worker.subscribe(push, Match::Exact, b"news"))),
    ("a close", |s, _, push| s.worker.close(push, 1000)),
    ("a publication", |s, _, _| assert!(s.worker.publish(b"news", Payload::Text, b"hi"))),
    ("a broadcast", |s, _, _| s.worker.broadcast(b"/", Payload::Text, b"hi")),
    ("a subscription of the worker's own", |s, _, _| _ = s.worker.listen(Match::Exact, b"news")),
];

impl Setup {
    /// The watcher has nothing to do.
    fn await_sleep(&self) {
        assert!(in_time(|| self.worker.core.watcher.is_asleep()), "the watcher is awake");
    }
}

fn in_time(mut fact: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + DEADLINE;
    while !fact() {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::yield_now();
    }
    true
}

#[test]
fn frames_that_wait_for_an_answer_are_handed_over_although_the_watcher_sleeps() {
    for (what, act) in ACTS {
        let s = Setup::new();
        let mut seat = s.worker.seat();
        let push = s.upgraded(&mut seat, 1);
        s.deliver(|batch| (2..=3).for_each(|n| request(batch, id(n), None)));
        assert!(matches!(seat.take(), Taken::Request(_)));
        s.await_sleep();
        s.kept.frames();
        act(&s, &mut seat, &push);
        assert!(in_time(|| !s.kept.frames().is_empty()), "{what} is left behind");
    }
}

/// Two seats have parked when a request comes. The last one is woken: `late` says what it does, beginning with its park.
/// Returns that, and whether the other one takes the request.
fn woken_last<T: Send>(s: &Setup, late: impl FnOnce(Seat) -> T + Send, before: impl FnOnce()) -> (T, bool) {
    let (mut first, second) = (s.worker.seat(), s.worker.seat());
    let waiter = first.waiter();
    let parked = |seats| assert!(in_time(|| s.worker.core.queue.parked() == seats));
    std::thread::scope(|scope| {
        let takes = scope.spawn(|| {
            waiter.park();
            first.take()
        });
        parked(1);
        let late = scope.spawn(|| late(second));
        parked(2);
        before();
        s.deliver(|batch| request(batch, id(1), None));
        let is_over = in_time(|| takes.is_finished());
        waiter.interrupt();
        let is_taken = is_over && matches!(takes.join(), Ok(Taken::Request(_)));
        (late.join().unwrap(), is_taken)
    })
}

#[test]
fn a_seat_that_goes_after_it_was_woken_wakes_another() {
    let s = Setup::new();
    let goes = |seat: Seat| {
        seat.waiter().park();
        drop(seat);
        // Not only when the watcher looks: each delivery would wait for that.
        s.worker.core.queue.parked()
    };
    assert_eq!(woken_last(&s, goes, || {}), (0, true));
}

#[test]
fn a_job_whose_seat_does_not_come_is_taken_by_another_although_the_watcher_sleeps() {
    let s = Setup::new();
    // It takes nothing: it waits to be allowed to run Ruby.
    let stays = |seat: Seat| {
        seat.waiter().park();
        seat
    };
    let (_seat, is_taken) = woken_last(&s, stays, || s.await_sleep());
    assert!(is_taken);
}
