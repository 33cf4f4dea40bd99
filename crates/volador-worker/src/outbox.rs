//! [`Outboxes`]: frames on their way to the gateway, gathered per shard.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use volador_proto::link::Batch;

use crate::{
    flush::{self, Haste},
    sync::Mutex,
};

/// The gateway's end of the link.
pub trait Outlet: Send + Sync {
    /// Hands frames to a shard. Must be quick: the caller may hold the lock that lets Ruby run.
    fn deliver(&self, shard: u8, batch: Batch);

    /// Bytes of frames that it has been handed and the shard that is furthest behind has not taken.
    fn backlog(&self) -> usize;

    /// The number of shards; they are numbered from 0.
    fn shards(&self) -> u8;
}

/// One outbox per shard of the gateway.
pub(crate) struct Outboxes {
    outlet: Arc<dyn Outlet>,
    /// By shard.
    boxes: Box<[Outbox]>,
    /// Answers that are enough for a hand-over.
    enough: u32,
    /// Whether frames for all shards may wait in some outboxes.
    shared: AtomicBool,
}

#[derive(Default)]
struct Outbox {
    staged: Mutex<Staged>,
    /// Held from taking the frames out until they are delivered, so that two threads cannot overtake each other there.
    turn: Mutex<()>,
}

#[derive(Default)]
struct Staged {
    batch: Batch,
    /// Answers among the frames.
    answers: u32,
    /// When the oldest frame came; None when there is none.
    since: Option<Instant>,
}

impl Staged {
    fn take(&mut self) -> Batch {
        (self.answers, self.since) = (0, None);
        self.batch.take()
    }
}

impl Outboxes {
    /// For a process that may use so many cores.
    pub(crate) fn new(outlet: Arc<dyn Outlet>, cores: usize) -> Self {
        let boxes = (0..outlet.shards()).map(|_| Outbox::default()).collect();
        Self { outlet, boxes, enough: flush::enough(cores), shared: AtomicBool::new(false) }
    }

    /// The numbers of all shards.
    pub(crate) fn shards(&self) -> std::ops::Range<u8> {
        0..self.outlet.shards()
    }

    /// Adds the frames that `write` appends, and hands all over if that is due. Returns whether frames stay behind, which
    /// the watcher must then know of.
    pub(crate) fn push(&self, shard: u8, haste: Haste, write: impl FnOnce(&mut Batch)) -> bool {
        self.push_at(Instant::now, shard, haste, write)
    }

    /// The same for every shard: a publication, say. Whoever sees an answer that follows it should find it everywhere, so it
    /// leaves before that, unless another thread is handing it over at that moment.
    pub(crate) fn push_all(&self, haste: Haste, mut write: impl FnMut(&mut Batch)) -> bool {
        let mut stays = false;
        for shard in self.shards() {
            stays |= self.push(shard, haste, &mut write);
        }
        if stays {
            self.shared.store(true, Ordering::Release);
        }
        stays
    }

    /// The same for a caller who has a clock that is cheaper to ask.
    pub(crate) fn push_at(
        &self,
        now: impl FnOnce() -> Instant,
        shard: u8,
        haste: Haste,
        write: impl FnOnce(&mut Batch),
    ) -> bool {
        // A stream id with another shard cannot come from this gateway, so nobody waits for the frame.
        let Some(outbox) = self.boxes.get(usize::from(shard)) else { return false };
        let due = {
            let mut staged = outbox.staged.lock();
            write(&mut staged.batch);
            staged.answers += u32::from(matches!(haste, Haste::Answer { .. }));
            let age = match staged.since {
                None => {
                    staged.since = Some(now());
                    Duration::ZERO
                }
                // The clock is asked only where the answer depends on it.
                Some(since) if haste == (Haste::Answer { last: false }) => now().saturating_duration_since(since),
                Some(_) => Duration::ZERO,
            };
            flush::is_due(haste, staged.answers, self.enough, age)
        };
        if due {
            if self.boxes.len() > 1 && self.shared.load(Ordering::Acquire) {
                self.shared.store(false, Ordering::Release);
                self.flush_but(shard);
            }
            self.hand_over(shard, outbox);
        }
        !due
    }

    /// See [`Outlet::backlog`].
    pub(crate) fn backlog(&self) -> usize {
        self.outlet.backlog()
    }

    /// Hands over whatever there is. When it returns, all that was added before has been delivered, whoever did it.
    pub(crate) fn flush(&self) {
        for (shard, outbox) in (0..).zip(&self.boxes) {
            self.hand_over(shard, outbox);
        }
    }

    fn flush_but(&self, but: u8) {
        for (shard, outbox) in (0..).zip(&self.boxes).filter(|(shard, _)| *shard != but) {
            if outbox.staged.lock().since.is_some() {
                self.hand_over(shard, outbox);
            }
        }
    }

    /// Hands over what has waited too long, and tells when to look again; None when there is nothing left.
    pub(crate) fn flush_overdue(&self, now: Instant) -> Option<Instant> {
        let mut next = None;
        for (shard, outbox) in (0..).zip(&self.boxes) {
            let since = outbox.staged.lock().since;
            let Some(due) = since.map(|since| since + flush::FRAME_AGE) else { continue };
            if due <= now {
                self.hand_over(shard, outbox);
            } else {
                next = Some(next.map_or(due, |at: Instant| at.min(due)));
            }
        }
        next
    }

    fn hand_over(&self, shard: u8, outbox: &Outbox) {
        let _turn = outbox.turn.lock();
        let batch = outbox.staged.lock().take();
        if !batch.is_empty() {
            self.outlet.deliver(shard, batch);
        }
    }
}

impl fmt::Debug for Outboxes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outboxes").field("shards", &self.boxes.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use volador_proto::link::{Payload, StreamId, ToGateway};

    use super::*;

    /// Keeps what it is given.
    #[derive(Default)]
    pub(crate) struct Kept {
        pub(crate) batches: Mutex<Vec<(u8, Batch)>>,
    }

    impl Kept {
        /// All frames so far, with their streams.
        pub(crate) fn frames(&self) -> Vec<(StreamId, ToGateway)> {
            let batches = std::mem::take(&mut *self.batches.lock());
            batches
                .into_iter()
                .flat_map(|(_, batch)| {
                    let mut frames = batch.into_frames();
                    std::iter::from_fn(move || ToGateway::next(&mut frames)).map(Result::unwrap).collect::<Vec<_>>()
                })
                .collect()
        }
    }

    impl Outlet for Kept {
        fn deliver(&self, shard: u8, batch: Batch) {
            self.batches.lock().push((shard, batch));
        }

        fn backlog(&self) -> usize {
            self.batches.lock().iter().map(|(_, batch)| batch.len()).sum()
        }

        fn shards(&self) -> u8 {
            2
        }
    }

    fn stream(shard: u8) -> StreamId {
        StreamId::new(shard, 0, 0)
    }

    /// Answers that are gathered before a hand-over.
    fn gathered(cores: usize) -> usize {
        // On a busy machine the frames may reach their age limit before: then again.
        for _ in 0..1000 {
            let kept = Arc::new(Kept::default());
            let outboxes = Outboxes::new(kept.clone(), cores);
            let began = Instant::now();
            while outboxes.push(1, Haste::Answer { last: false }, |batch| batch.end(stream(1))) {}
            if began.elapsed() < flush::RESPONSE_AGE {
                assert_eq!(kept.batches.lock().len(), 1);
                return kept.frames().len();
            }
        }
        panic!("it always took longer than {:?}", flush::RESPONSE_AGE);
    }

    /// Delivers once it may.
    #[derive(Default)]
    struct Gated {
        kept: Kept,
        began: AtomicBool,
        goes_on: AtomicBool,
    }

    impl Outlet for Gated {
        fn deliver(&self, shard: u8, batch: Batch) {
            self.began.store(true, Ordering::Release);
            while !self.goes_on.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
            self.kept.deliver(shard, batch);
        }

        fn backlog(&self) -> usize {
            0
        }

        fn shards(&self) -> u8 {
            2
        }
    }

    #[test]
    fn flush_returns_when_all_is_delivered_also_by_another_thread() {
        // Who does not wait may still be late enough by chance, though not every time.
        for _ in 0..100 {
            let gated = Arc::new(Gated::default());
            let outboxes = Outboxes::new(gated.clone(), 2);
            let flushes = AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| outboxes.push(1, Haste::Now, |batch| batch.end(stream(1))));
                while !gated.began.load(Ordering::Acquire) {
                    std::thread::yield_now();
                }
                let flushing = scope.spawn(|| {
                    flushes.store(true, Ordering::Release);
                    outboxes.flush();
                    gated.kept.frames().len()
                });
                while !flushes.load(Ordering::Acquire) {
                    std::thread::yield_now();
                }
                gated.goes_on.store(true, Ordering::Release);
                assert_eq!(flushing.join().unwrap(), 1);
            });
        }
    }

    #[test]
    fn sixteen_answers_are_gathered_and_on_one_core_sixty_four() {
        assert_eq!(gathered(2), 16);
        assert_eq!(gathered(1), 64);
    }

    #[test]
    fn what_is_for_all_shards_leaves_before_an_answer_that_follows_it() {
        let kept = Arc::new(Kept::default());
        let outboxes = Outboxes::new(kept.clone(), 2);
        assert!(outboxes.push_all(Haste::WithAnswer, |batch| batch.publish(b"news", Payload::Text, b"hi")));
        assert!(kept.batches.lock().is_empty());
        outboxes.push(0, Haste::Answer { last: true }, |batch| batch.end(stream(0)));
        let shards = || kept.batches.lock().drain(..).map(|(shard, _)| shard).collect::<Vec<_>>();
        assert_eq!(shards(), [1, 0]);
        // What is for one shard only waits for its own.
        assert!(outboxes.push(1, Haste::WithAnswer, |batch| batch.close(stream(1), 1000)));
        outboxes.push(0, Haste::Answer { last: true }, |batch| batch.end(stream(0)));
        assert_eq!(shards(), [0]);
    }

    #[test]
    fn frames_older_than_a_millisecond_are_handed_over_by_the_watcher() {
        let kept = Arc::new(Kept::default());
        let outboxes = Outboxes::new(kept.clone(), 2);
        let before = Instant::now();
        assert!(outboxes.push(0, Haste::WithAnswer, |batch| batch.close(stream(0), 1000)));
        let due = outboxes.flush_overdue(before).expect("it waits");
        assert!(kept.frames().is_empty());
        assert_eq!(outboxes.flush_overdue(due), None);
        assert_eq!(kept.frames().len(), 1);
    }

    /// Is slow over its first batch: until the second has passed it, or cannot.
    #[derive(Default)]
    struct Slow {
        kept: Kept,
        entered: AtomicBool,
        overtaken: AtomicBool,
    }

    impl Outlet for Slow {
        fn deliver(&self, shard: u8, batch: Batch) {
            let first = !self.entered.swap(true, Ordering::SeqCst);
            let deadline = Instant::now() + Duration::from_millis(100);
            while first && !self.overtaken.load(Ordering::SeqCst) && Instant::now() < deadline {
                std::thread::yield_now();
            }
            self.kept.deliver(shard, batch);
            self.overtaken.store(true, Ordering::SeqCst);
        }

        fn backlog(&self) -> usize {
            self.kept.backlog()
        }

        fn shards(&self) -> u8 {
            1
        }
    }

    #[test]
    fn batch_does_not_overtake_the_one_before_it() {
        let slow = Arc::new(Slow::default());
        let outboxes = Outboxes::new(slow.clone(), 2);
        std::thread::scope(|scope| {
            scope.spawn(|| outboxes.push(0, Haste::Now, |batch| batch.end(StreamId::new(0, 0, 1))));
            let deadline = Instant::now() + Duration::from_secs(20);
            while !slow.entered.load(Ordering::SeqCst) {
                assert!(Instant::now() < deadline);
                std::thread::yield_now();
            }
            outboxes.push(0, Haste::Now, |batch| batch.end(StreamId::new(0, 0, 2)));
        });
        let order: Vec<u32> = slow.kept.frames().iter().map(|(id, _)| id.slot()).collect();
        assert_eq!(order, [1, 2]);
    }

    #[test]
    fn frames_of_one_thread_keep_their_order_while_others_flush() {
        let kept = Arc::new(Kept::default());
        let outboxes = Outboxes::new(kept.clone(), 2);
        std::thread::scope(|scope| {
            for thread in 0..4u32 {
                let outboxes = &outboxes;
                scope.spawn(move || {
                    for n in 0..2_000u32 {
                        let haste = if n % 3 == 0 { Haste::Now } else { Haste::WithAnswer };
                        outboxes.push(0, haste, |batch| {
                            batch.write(StreamId::new(0, 0, thread), Payload::Binary, &n.to_le_bytes());
                        });
                    }
                });
            }
        });
        outboxes.flush();
        let mut next = [0u32; 4];
        for (id, frame) in kept.frames() {
            let ToGateway::Write(_, data) = frame else { panic!("not a write") };
            let expected = &mut next[id.slot() as usize];
            assert_eq!(data[..], expected.to_le_bytes());
            *expected += 1;
        }
        assert_eq!(next, [2_000; 4]);
    }
}
