use std::time::Duration;

use super::*;
use crate::{listeners::Recipient, push::PushStream};

fn event() -> Job {
    Job::Event(Recipient::Stream(Arc::new(PushStream::new(StreamId::NONE, volador_proto::link::Transport::Sse))))
}

fn open() -> JobQueue {
    let queue = JobQueue::new();
    queue.open();
    queue
}

fn within_deadline(what: &str, mut fact: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !fact() {
        assert!(Instant::now() < deadline, "not within 20 s: {what}");
        std::thread::yield_now();
    }
}

/// A seat's loop as an extension runs it, without a lock.
fn run(queue: &JobQueue, seat: &Arc<SeatState>, mut on_job: impl FnMut(Job)) {
    loop {
        match queue.take(seat, Instant::now()).0 {
            Popped::Job(job) => on_job(job),
            Popped::Stopped => return,
            Popped::Empty => {
                seat.signal.clear();
                queue.park(seat);
            }
        }
    }
}

#[test]
fn every_job_is_taken_once_and_all_seats_end() {
    let queue = open();
    let taken = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..5 {
            scope.spawn(|| {
                run(&queue, &SeatState::new(), |_| {
                    taken.fetch_add(1, Ordering::Relaxed);
                })
            });
        }
        for n in 0..2_000 {
            queue.deliver(std::iter::repeat_with(event).take(n % 4));
            if n % 50 == 0 {
                queue.wake_overdue(Instant::now());
            }
        }
        queue.stop();
    });
    assert_eq!(taken.into_inner(), 3_000);
    let state = queue.state.lock();
    assert_eq!((state.busy, state.coming, state.parked.len(), queue.len()), (0, 0, 0, 0));
}

#[test]
fn last_parked_seat_is_woken_first() {
    let queue = open();
    let seats = [SeatState::new(), SeatState::new()];
    std::thread::scope(|scope| {
        for (n, seat) in seats.iter().enumerate() {
            scope.spawn(|| queue.park(seat));
            within_deadline("it parks", || queue.parked() == n + 1);
        }
        queue.deliver([event()]);
        assert_eq!(seats[1].role.load(Ordering::Relaxed), COMING);
        assert_eq!(queue.parked(), 1);
        queue.stop();
    });
}

#[test]
fn burst_of_deliveries_wakes_one_seat_and_the_watcher_another() {
    let queue = open();
    let seats = [SeatState::new(), SeatState::new(), SeatState::new()];
    std::thread::scope(|scope| {
        for seat in &seats {
            scope.spawn(|| queue.park(seat));
        }
        within_deadline("all park", || queue.parked() == 3);
        for _ in 0..10 {
            queue.deliver([event()]);
        }
        assert_eq!(queue.parked(), 2);
        assert!(queue.wake_overdue(Instant::now() + crate::wake::PATIENCE).is_some());
        assert_eq!(queue.parked(), 1);
        queue.stop();
    });
}

#[test]
fn interrupted_seat_passes_its_wake_up_on() {
    let queue = open();
    let (first, second) = (SeatState::new(), SeatState::new());
    std::thread::scope(|scope| {
        scope.spawn(|| queue.park(&first));
        within_deadline("first parks", || queue.parked() == 1);
        scope.spawn(|| queue.park(&second));
        within_deadline("second parks", || queue.parked() == 2);
        queue.deliver([event()]);
        queue.leave(&second);
        assert_eq!(first.role.load(Ordering::Relaxed), COMING);
    });
}

#[test]
fn interrupt_ends_the_park_and_takes_the_seat_out() {
    let queue = open();
    let seat = SeatState::new();
    std::thread::scope(|scope| {
        scope.spawn(|| queue.park(&seat));
        within_deadline("it parks", || queue.parked() == 1);
        seat.signal.raise();
    });
    assert_eq!(queue.parked(), 0);
    assert_eq!(seat.role.load(Ordering::Relaxed), IDLE);
}

#[test]
fn jobs_wait_until_the_queue_is_opened() {
    let queue = JobQueue::new();
    let seat = SeatState::new();
    queue.deliver([event()]);
    assert!(matches!(queue.take(&seat, Instant::now()).0, Popped::Empty));
    queue.open();
    assert!(matches!(queue.take(&seat, Instant::now()).0, Popped::Job(_)));
}

#[test]
fn jobs_left_at_stop_are_still_taken() {
    let queue = open();
    let seat = SeatState::new();
    queue.deliver([event()]);
    queue.stop();
    assert!(matches!(queue.take(&seat, Instant::now()).0, Popped::Job(_)));
    assert!(matches!(queue.take(&seat, Instant::now()).0, Popped::Stopped));
}
