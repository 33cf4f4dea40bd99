//! [`Jobs`]: what waits for a seat, in two lanes that are taken from in turn.
//!
//! When a worker is lost, the requests of its push connections come to the others again, by the thousand. A request that a
//! client waits for would be behind all those that happen to be here. So they have a lane of their own: whoever waits in
//! the other one waits for one replay at most for each job before it, and replays get half of the seats' turns at least.
//! Within a lane the first one in is the first one out.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use bytes::Bytes;
use volador_proto::link::{Payload, Request, StreamId};

use crate::{listeners::Recipient, push::PushStream};

/// Something for a seat to do.
#[derive(Debug)]
pub(crate) enum Job {
    /// A request wants an answer.
    Request {
        stream: StreamId,
        request: Box<Request>,
        /// Its push stream, when it asks for a transport.
        push: Option<Arc<PushStream>>,
    },
    /// Somebody has an event; the mailbox is held by this job.
    Event(Recipient),
    /// A client has sent a message. The mailbox is held by this job, and has what comes after it.
    Message { recipient: Recipient, payload: Payload, data: Bytes },
}

impl Job {
    /// The request's stream; None for an event or a message.
    pub(crate) fn request(&self) -> Option<StreamId> {
        match self {
            Self::Request { stream, .. } => Some(*stream),
            Self::Event(_) | Self::Message { .. } => None,
        }
    }

    pub(crate) fn is_replay(&self) -> bool {
        matches!(self, Self::Request { request, .. } if request.resumed.is_some())
    }
}

/// A job with its place in time.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) job: Job,
    /// When it was delivered; None for one that a seat put back.
    pub(crate) since: Option<Instant>,
}

/// The jobs that wait.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    plain: VecDeque<Queued>,
    replays: VecDeque<Queued>,
    /// The last one that was taken is a replay.
    replayed: bool,
}

impl Jobs {
    pub(crate) fn len(&self) -> usize {
        self.plain.len() + self.replays.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn push(&mut self, job: Job, since: Option<Instant>) {
        let lane = if job.is_replay() { &mut self.replays } else { &mut self.plain };
        lane.push_back(Queued { job, since });
    }

    pub(crate) fn pop(&mut self) -> Option<Queued> {
        self.replayed = !self.replays.is_empty() && (self.plain.is_empty() || !self.replayed);
        if self.replayed { self.replays.pop_front() } else { self.plain.pop_front() }
    }

    /// Takes the request out. Returns whether it was there.
    pub(crate) fn remove(&mut self, stream: StreamId) -> bool {
        [&mut self.plain, &mut self.replays].into_iter().any(|lane| {
            let at = lane.iter().position(|queued| queued.job.request() == Some(stream));
            at.and_then(|at| lane.remove(at)).is_some()
        })
    }

    /// Takes out up to so many requests, the latest first; replays last, as nobody watches a clock for them.
    pub(crate) fn recall(&mut self, max: usize) -> Vec<StreamId> {
        let mut recalled = Vec::new();
        for lane in [&mut self.plain, &mut self.replays] {
            let mut at = lane.len();
            while at > 0 && recalled.len() < max {
                at -= 1;
                if let Some(stream) = lane[at].job.request() {
                    recalled.push(stream);
                    lane.remove(at);
                }
            }
        }
        recalled
    }
}

#[cfg(test)]
mod tests {
    use volador_proto::link::{Batch, ToWorker, Transport};

    use super::*;
    use crate::fixtures;

    fn id(n: u32) -> StreamId {
        StreamId::new(0, 0, n)
    }

    /// Streams from 100 on are replays, 0 is an event.
    fn jobs(numbers: &[u32]) -> Jobs {
        let mut batch = Batch::new();
        let mut jobs = Jobs::default();
        for &n in numbers {
            match n {
                0 => batch.drained(StreamId::NONE),
                1..100 => fixtures::request(&mut batch, id(n), None),
                _ => fixtures::replay(&mut batch, id(n), 0),
            }
        }
        let mut frames = batch.into_frames();
        while let Some(frame) = ToWorker::next(&mut frames) {
            let job = match frame.unwrap() {
                (stream, ToWorker::Request(request)) => Job::Request { stream, request, push: None },
                _ => Job::Event(Recipient::Stream(Arc::new(PushStream::new(StreamId::NONE, Transport::Sse)))),
            };
            jobs.push(job, None);
        }
        jobs
    }

    fn taken(jobs: &mut Jobs) -> Vec<StreamId> {
        std::iter::from_fn(|| jobs.pop()).map(|queued| queued.job.request().unwrap_or(StreamId::NONE)).collect()
    }

    #[test]
    fn replays_and_the_rest_are_taken_in_turn_and_each_in_order() {
        for (came, order) in [
            (&[][..], &[][..]),
            (&[1, 2, 3], &[1, 2, 3]),
            (&[100, 101, 102], &[100, 101, 102]),
            (&[100, 101, 102, 1, 2], &[100, 1, 101, 2, 102]),
            (&[1, 2, 3, 100, 4], &[100, 1, 2, 3, 4]),
        ] {
            let mut jobs = jobs(came);
            assert_eq!(jobs.len(), came.len());
            assert_eq!(taken(&mut jobs), order.iter().map(|&n| id(n)).collect::<Vec<_>>(), "{came:?}");
            assert!(jobs.is_empty());
        }
    }

    #[test]
    fn a_request_waits_for_one_replay_however_many_there_are() {
        let mut jobs = jobs(&[100, 101, 102, 103, 1]);
        let order = taken(&mut jobs);
        assert_eq!(order.iter().position(|&taken| taken == id(1)), Some(1));
    }

    #[test]
    fn requests_are_recalled_from_the_latest_and_replays_after_them() {
        for (max, recalled) in [(0, &[][..]), (1, &[2]), (3, &[2, 1, 101]), (9, &[2, 1, 101, 100])] {
            let mut jobs = jobs(&[1, 100, 0, 2, 101]);
            assert_eq!(jobs.recall(max), recalled.iter().map(|&n| id(n)).collect::<Vec<_>>());
            assert_eq!(jobs.len(), 5 - recalled.len(), "events stay");
        }
    }

    #[test]
    fn a_request_is_removed_from_either_lane_and_once() {
        let mut jobs = jobs(&[1, 100, 0]);
        for n in [1, 100] {
            assert!(jobs.remove(id(n)));
            assert!(!jobs.remove(id(n)));
        }
        assert_eq!(jobs.len(), 1);
    }
}
