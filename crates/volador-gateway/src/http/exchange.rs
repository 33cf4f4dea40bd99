//! [`Exchange`]: what the worker has said about one request, until the connection takes it.

use std::{
    collections::VecDeque,
    os::fd::OwnedFd,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use volador_proto::link::{Fields, Interest, Kind, Response, ToGateway};

/// The head of an answer.
#[derive(Debug)]
pub(crate) enum Answer {
    Response(Response),
    Upgrade {
        fields: Fields,
        interest: Interest,
    },
    /// There will be none.
    Aborted,
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
    /// Sum of the messages' lengths.
    bytes: usize,
    /// Whether more was written than a send queue may hold. What came after that is not kept.
    pub(crate) overflowed: bool,
    /// The code by which the application closed it already.
    pub(crate) closed: Option<u16>,
}

impl Early {
    fn write(&mut self, kind: Kind, data: Bytes, max: usize) {
        self.bytes += data.len();
        self.overflowed |= self.bytes > max;
        if !self.overflowed {
            self.messages.push((kind, data));
        }
    }
}

/// One request between its dispatch and the end of its answer.
#[derive(Debug, Default)]
pub(crate) struct Exchange {
    answer: Option<Answer>,
    /// Whether there was one, taken or not.
    answered: bool,
    parts: VecDeque<Part>,
    early: Early,
    /// The task that waits for an answer or a part.
    waker: Option<Waker>,
}

impl Exchange {
    /// Takes a frame of the worker. `early_max` bounds the bytes that are written before a handshake is answered.
    pub(crate) fn handle(&mut self, frame: ToGateway, early_max: usize) {
        match frame {
            ToGateway::Response(response) => {
                self.answered = true;
                self.answer = Some(Answer::Response(response));
            }
            ToGateway::Upgrade { fields, interest } => {
                self.answered = true;
                self.answer = Some(Answer::Upgrade { fields, interest });
            }
            ToGateway::Chunk(bytes) => self.parts.push_back(Part::Chunk(bytes)),
            ToGateway::Spill(file) => self.parts.push_back(Part::Spill(file)),
            ToGateway::Spilled(len) => self.parts.push_back(Part::Spilled(len)),
            ToGateway::End => self.parts.push_back(Part::End),
            ToGateway::Abort if !self.answered => self.answer = Some(Answer::Aborted),
            ToGateway::Abort => self.parts.push_back(Part::Abort),
            ToGateway::Write(kind, data) => return self.early.write(kind, data, early_max),
            ToGateway::Close(code) => {
                self.early.closed.get_or_insert(code);
                return;
            }
            // Of a push connection only, and of no stream.
            ToGateway::Handled(_)
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

    /// The request has become a push connection: what to send it first.
    pub(crate) fn into_early(self) -> Early {
        self.early
    }
}
