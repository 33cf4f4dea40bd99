//! A worker between a gateway that keeps what it gets and seats on plain threads.

mod channels;
mod handover;
mod left_behind;
mod push;
mod requests;

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use volador_proto::link::{Interest, Payload, StreamId, ToGateway, Transport, WorkerFigures};

use super::*;
use crate::{
    error::WriteError,
    fixtures::{options, replay, request},
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
        Self::with(options())
    }

    fn with(options: Options) -> Self {
        let worker = Worker::new(options);
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
