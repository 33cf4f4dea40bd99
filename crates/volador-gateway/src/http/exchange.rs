//! [`Exchange`]: what the worker has said about one request, until the connection takes it.

use std::{
    collections::VecDeque,
    io,
    os::fd::OwnedFd,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use volador_hub::path::PathKey;
use volador_proto::link::{Batch, Fields, Interest, Kind, Response, SealedRequest, StreamId, ToGateway};

use super::tunnel::Tunnel;
use crate::{dispatch, link::WorkerKey, push::MESSAGE_BYTES};

/// The head of an answer.
#[derive(Debug)]
pub(crate) enum Answer {
    Response(Response),
    Upgrade {
        fields: Fields,
        /// None without a handler.
        interest: Option<Interest>,
    },
    /// The application takes the connection.
    Tunnel(Tunnel),
    /// There will be none.
    Aborted,
    /// Its body's file could not be sent to a worker, or was lost on the way. Another try may reach it.
    Unsent,
}

/// A piece of a streamed answer.
#[derive(Debug)]
pub(crate) enum Part {
    Chunk(Bytes),
    Spill(OwnedFd),
    Spilled(u64),
    End,
    Abort,
}

/// What was written to a push connection before it became one.
#[derive(Debug, Default)]
pub(crate) struct Early {
    /// Messages, in order.
    pub(crate) messages: Vec<(Kind, Bytes)>,
    /// Sum of the messages' lengths, and of what each of them takes beside, as in a send queue.
    bytes: usize,
    /// Whether one of them is larger than a send queue by itself. It is not in the sum.
    has_large: bool,
    /// Whether more was written than a send queue may hold. What came after that is not kept.
    pub(crate) overflowed: bool,
    /// The code by which the application closed it already.
    pub(crate) closed: Option<u16>,
    /// Milliseconds of [`ToGateway::Timeout`]; 0: none.
    pub(crate) timeout: u32,
    /// Whether there was a [`ToGateway::AskDrained`].
    pub(crate) asks_drained: bool,
}

impl Early {
    fn write(&mut self, kind: Kind, data: Bytes, max: usize) {
        // As at a connection that has been told to close: what was written before is what is sent still.
        if self.closed.is_some() {
            return;
        }
        let weight = MESSAGE_BYTES + data.len();
        if weight <= max {
            self.bytes += weight;
            self.overflowed |= self.bytes > max;
        } else {
            // A client for whom nothing waits is sent it, and whether something does is not known here: it is judged when
            // it is sent. One is kept, so that the memory is bounded.
            self.overflowed |= self.has_large;
            self.has_large = true;
        }
        if !self.overflowed {
            self.messages.push((kind, data));
        }
    }
}

/// What is left of a request that becomes a push connection.
#[derive(Debug)]
pub(crate) struct Former {
    pub(crate) worker: Option<WorkerKey>,
    /// The request itself, in a cluster.
    pub(crate) request: Option<Rc<SealedRequest>>,
    /// What to send first.
    pub(crate) early: Early,
    /// Where the hub has it; None when it was never accepted.
    pub(crate) path_key: Option<PathKey>,
}

/// One request between its dispatch and the end of its answer.
#[derive(Debug, Default)]
pub(crate) struct Exchange {
    answer: Option<Answer>,
    /// Whether there was one, taken or not.
    answered: bool,
    /// Whether nothing more will come.
    complete: bool,
    parts: VecDeque<Part>,
    early: Early,
    /// The request's path, for broadcasts, when it wants to become a push connection.
    path: Option<Box<[u8]>>,
    /// Where the hub has it, once it is accepted as one.
    path_key: Option<PathKey>,
    /// Who works on it; None while it waits for a worker.
    worker: Option<WorkerKey>,
    /// Whether a worker has been sent it, this one or another before.
    was_sent: bool,
    /// The request itself, in a cluster: another worker may have to be sent it.
    kept: Option<Rc<SealedRequest>>,
    /// The task that waits for an answer or a part.
    waker: Option<Waker>,
}

impl Exchange {
    /// Of the embedded worker, which is sent the request at once.
    pub(crate) fn embedded() -> Self {
        Self { worker: Some(WorkerKey::EMBEDDED), ..Self::default() }
    }

    /// It wants to become a push connection.
    pub(crate) fn wants_push(&mut self, path: &str) {
        self.path = Some(path.as_bytes().into());
    }

    /// It has been accepted as a push connection, and `join` tells the hub of its path: from now on it is reached like one,
    /// though it may not have left HTTP yet.
    pub(crate) fn join(&mut self, join: impl FnOnce(&[u8]) -> PathKey) {
        if let Some(path) = self.path.take() {
            self.path_key = Some(join(&path));
        }
    }

    /// It ends. Where the hub has it, if it does.
    pub(crate) fn leave(&mut self) -> Option<PathKey> {
        self.path_key.take()
    }

    /// Of a cluster.
    pub(crate) fn keep(&mut self, request: SealedRequest) {
        self.kept = Some(Rc::new(request));
    }

    /// Sends the request to a worker.
    ///
    /// # Errors
    /// The system's, when the body's file can't be handed over.
    pub(crate) fn send(&mut self, id: StreamId, worker: WorkerKey, batch: &mut Batch) -> io::Result<()> {
        if let Some(request) = &self.kept {
            batch.sealed_request(id, request)?;
        }
        self.worker = Some(worker);
        self.was_sent = true;
        Ok(())
    }

    /// Whether no worker has been sent it yet.
    pub(crate) fn is_new(&self) -> bool {
        !self.was_sent
    }

    /// There is no descriptor for its body's file, here or in the worker.
    pub(crate) fn refuse(&mut self) {
        self.complete = true;
        self.answer = Some(Answer::Unsent);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Who works on it.
    pub(crate) fn worker(&self) -> Option<WorkerKey> {
        self.worker
    }

    /// Its worker, which has said all that there is to say, is lost.
    pub(crate) fn forget_worker(&mut self) {
        self.worker = None;
    }

    /// Whether its worker has said all that there is to say, or has accepted a push connection.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Its worker is lost, which had begun it. It may have had its effect, so there is no silent second try: what is
    /// unanswered is a 502, what is half answered is cut.
    pub(crate) fn lose(&mut self) {
        self.worker = None;
        self.handle(ToGateway::Abort, 0);
    }

    /// Whether it waits for a worker.
    pub(crate) fn is_unsent(&self) -> bool {
        self.worker.is_none() && self.answer.is_none() && !self.answered && !self.complete
    }

    /// The worker has not begun it, and will not. False when another one has it, or it is answered.
    pub(crate) fn take_back(&mut self, from: WorkerKey) -> bool {
        if self.worker != Some(from) || self.answered || self.answer.is_some() {
            return false;
        }
        self.worker = None;
        // What a request says that has not begun can't have been said by it.
        self.early = Early::default();
        true
    }

    /// Takes a frame of the worker. `early_max` bounds the bytes that are written before a handshake is answered. It does not
    /// count until the connection has taken the answer: what comes behind that, mostly in the same turn, finds a socket.
    pub(crate) fn handle(&mut self, frame: ToGateway, early_max: usize) {
        self.complete |= dispatch::completes(&frame);
        match frame {
            ToGateway::Response(response) => {
                self.answered = true;
                self.kept = None;
                self.answer = Some(Answer::Response(response));
            }
            ToGateway::Upgrade { fields, interest } => {
                self.answered = true;
                self.answer = Some(Answer::Upgrade { fields, interest });
            }
            ToGateway::Tunnel(application, first) => {
                self.answered = true;
                self.kept = None;
                self.answer = Some(Answer::Tunnel(Tunnel { application, worker: self.worker, first }));
            }
            ToGateway::Chunk(bytes) => self.parts.push_back(Part::Chunk(bytes)),
            ToGateway::Spill(file) => self.parts.push_back(Part::Spill(file)),
            ToGateway::Spilled(len) => self.parts.push_back(Part::Spilled(len)),
            ToGateway::End => self.parts.push_back(Part::End),
            ToGateway::Refused => return self.refuse(),
            ToGateway::Abort if !self.answered => self.answer = Some(Answer::Aborted),
            ToGateway::Abort => self.parts.push_back(Part::Abort),
            ToGateway::Write(kind, data) | ToGateway::Reply(kind, data) => {
                let max = if self.answer.is_some() { usize::MAX } else { early_max };
                return self.early.write(kind, data, max);
            }
            ToGateway::Close(code) => {
                self.early.closed.get_or_insert(code);
                return;
            }
            ToGateway::Timeout(millis) => {
                self.early.timeout = millis;
                return;
            }
            ToGateway::AskDrained => {
                self.early.asks_drained = true;
                return;
            }
            // Of a push connection only, of no stream, and what the shard has made something else of.
            ToGateway::Hello(_)
            | ToGateway::Lost(_)
            | ToGateway::Returned
            | ToGateway::Ended
            | ToGateway::HandedOver(_)
            | ToGateway::Ready
            | ToGateway::Beat(_)
            | ToGateway::AskStats(_)
            | ToGateway::Handled(_)
            | ToGateway::Subscribe(..)
            | ToGateway::Unsubscribe(..)
            | ToGateway::Listen(..)
            | ToGateway::Unlisten(_)
            | ToGateway::Publish { .. }
            | ToGateway::Broadcast { .. } => return,
        }
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// The answer's head.
    pub(crate) fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Answer> {
        match self.answer.take() {
            Some(answer) => Poll::Ready(answer),
            None => self.park(cx),
        }
    }

    /// The next part of a streamed answer.
    pub(crate) fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Part> {
        match self.parts.pop_front() {
            Some(part) => Poll::Ready(part),
            None => self.park(cx),
        }
    }

    fn park<T>(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// The request becomes a push connection.
    pub(crate) fn into_former(self) -> Former {
        Former { worker: self.worker, request: self.kept, early: self.early, path_key: self.path_key }
    }
}

#[cfg(test)]
mod tests {
    use volador_proto::link::Payload;

    use super::*;

    #[test]
    fn short_early_messages_weigh_what_they_take() {
        let mut early = Early::default();
        let write = |early: &mut Early| early.write(Payload::Text.into(), "x".into(), 10 * (128 + 1));
        (0..10).for_each(|_| write(&mut early));
        assert!(!early.overflowed);
        write(&mut early);
        assert!(early.overflowed && early.messages.len() == 10);
    }

    #[test]
    fn one_early_message_may_be_larger_than_the_limit() {
        let max = 10 * MESSAGE_BYTES;
        let (small, half, large) = (1, max / 2, 2 * max);
        for (lengths, kept) in [
            (&[large][..], 1),
            (&[small, large, small], 3),
            (&[large, half, small], 3),
            (&[large, large], 1),
            (&[large, small, large, small], 2),
            (&[half, half], 1),
            (&[half, large, half, small], 2),
            (&[max - MESSAGE_BYTES, small], 1),
        ] {
            let mut early = Early::default();
            lengths.iter().for_each(|len| early.write(Payload::Text.into(), vec![b'x'; *len].into(), max));
            assert_eq!((early.messages.len(), early.overflowed), (kept, kept < lengths.len()), "{lengths:?}");
        }
    }
}
