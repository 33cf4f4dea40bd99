//! [`Seat`]: where one application thread takes its jobs; it answers them by [`answers`].

mod answers;
mod lent;
mod waiter;

use std::{sync::Arc, time::Instant};

use volador_proto::link::{Request, StreamId};

use crate::{
    core::Core,
    flush::{self, Haste},
    jobs::Job,
    listeners::Recipient,
    mailbox::Event,
    push::PushStream,
    queue::{Popped, SeatState},
    response::ResponseStream,
};

pub use lent::Lent;
pub use waiter::{CreditWait, Waiter};

/// What a seat took.
#[derive(Debug)]
pub enum Taken {
    /// A request, which is now the seat's current job.
    Request(Box<Request>),
    /// An event, which is now the seat's current job; it is complete at the next take. The id is that of its push stream.
    /// Listeners of the worker have ids too, with the shard 255, which no stream has.
    Event(StreamId, Event),
    /// Nothing now: park, then try again.
    Empty,
    /// Nothing, and nothing more will come.
    Stopped,
}

#[derive(Debug)]
enum Current {
    None,
    Request { stream: StreamId, push: Option<Arc<PushStream>>, answer: Answer },
    Event(Recipient, Told),
}

/// What an event was, as far as something is to be done at its end.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    /// The gateway waits to hear that it was handled.
    Message,
    /// The gateway waits for what the handler leaves.
    HandOver,
    /// The gateway waits to hear that the end was told.
    End,
    Other,
}

#[derive(Debug)]
enum Answer {
    Missing,
    /// None while it is lent.
    Streaming(Option<ResponseStream>),
    Given,
    /// The connection was given away. The gateway waits to hear that the thread is free again.
    Hijacked,
}

/// One application thread's seat at the queue.
///
/// ```text
///   take ─▶ Request ─▶ respond | respond_file | upgrade | hijack | abort ─▶ take …
///                    └▶ start ─▶ write* ─▶ finish | abort ────────────────▶ take …
///                       (or lend ─▶ Lent::write ─▶ give_back)
///        ─▶ Event ─────────────────────────────────────────────────────────▶ take …
///        ─▶ Empty ─▶ park ─────────────────────────────────────────────────▶ take …
/// ```
///
/// Answers for a request that has one already, or for none, are ignored: the caller checks [`Self::is_unanswered`].
#[derive(Debug)]
pub struct Seat {
    core: Arc<Core>,
    state: Arc<SeatState>,
    current: Current,
}

impl Seat {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        let state = SeatState::new();
        core.seats.write().push(state.clone());
        Self { core, state, current: Current::None }
    }

    /// For the waits of this seat.
    pub fn waiter(&self) -> Waiter {
        Waiter { core: self.core.clone(), state: self.state.clone() }
    }

    /// Completes the current job and takes the next. An unanswered or unfinished request is cut off.
    pub fn take(&mut self) -> Taken {
        let now = Instant::now();
        self.complete(now);
        loop {
            let (popped, call_watcher) = self.core.queue.take(&self.state, now);
            if call_watcher {
                self.core.watcher.call();
            }
            flush::set_in_job(matches!(popped, Popped::Job(_)));
            let taken = match popped {
                Popped::Job(Job::Request { stream, request, push }) => self.begin_request(stream, request, push),
                Popped::Job(Job::Message { recipient, payload, data }) => {
                    self.begin_event(recipient, Event::Message(payload, data))
                }
                Popped::Job(Job::Event(recipient)) => match recipient.mailbox().next() {
                    Some(event) => self.begin_event(recipient, event),
                    // Its listener has ended meanwhile.
                    None => {
                        self.let_go(recipient);
                        None
                    }
                },
                Popped::Empty => Some(Taken::Empty),
                Popped::Stopped => Some(Taken::Stopped),
            };
            if let Some(taken) = taken {
                return taken;
            }
        }
    }

    /// Makes a request the current job, unless it is another worker's by now.
    fn begin_request(
        &mut self,
        stream: StreamId,
        request: Box<Request>,
        push: Option<Arc<PushStream>>,
    ) -> Option<Taken> {
        if !self.core.begins(stream, push.as_ref()) {
            if let Some(push) = push {
                push.refuse();
            }
            return None;
        }
        self.current = Current::Request { stream, push, answer: Answer::Missing };
        Some(Taken::Request(request))
    }

    /// Makes an event the current job, likewise.
    fn begin_event(&mut self, recipient: Recipient, event: Event) -> Option<Taken> {
        let id = recipient.id();
        if let (Event::Close(_) | Event::Released, Recipient::Stream(push)) = (&event, &recipient) {
            self.core.streams.lock().begin_last(push);
        }
        let told = match (&event, &recipient) {
            (Event::Message(..), _) => Told::Message,
            (Event::HandOver, _) => Told::HandOver,
            // Only then the note is about the stream that has the slot now.
            (Event::Close(_), Recipient::Stream(push)) if push.is_end_awaited() => Told::End,
            _ => Told::Other,
        };
        if let (Recipient::Stream(push), Told::Message | Told::End) = (&recipient, &told)
            && !self.core.begins(id, Some(push))
        {
            self.let_go(recipient);
            return None;
        }
        self.current = Current::Event(recipient, told);
        Some(Taken::Event(id, event))
    }

    fn complete(&mut self, now: Instant) {
        self.abort();
        match std::mem::replace(&mut self.current, Current::None) {
            Current::None => {}
            Current::Request { stream, push, answer } => {
                if let Answer::Hijacked = answer {
                    self.push_at(|| now, stream, |last| Haste::Answer { last }, |batch| batch.end(stream));
                }
                if let Some(push) = push {
                    self.let_go(Recipient::Stream(push));
                }
            }
            Current::Event(recipient, event) => {
                if let (Told::HandOver, Recipient::Stream(push)) = (&event, &recipient) {
                    // Unless the handler has: the thread may have been ended over it.
                    self.core.hand_over(push, None);
                }
                if event == Told::Message {
                    let stream = recipient.id();
                    self.push_at(|| now, stream, |last| Haste::Answer { last }, |batch| batch.handled(stream, 1));
                }
                if event == Told::End {
                    self.core.ended(recipient.id());
                }
                self.let_go(recipient);
            }
        }
    }

    /// The mailbox's turn is over; if it has more, it goes to the end of the queue, so that none keeps the others waiting.
    fn let_go(&self, recipient: Recipient) {
        if recipient.mailbox().let_go() && self.core.queue.requeue(Job::Event(recipient)) {
            self.core.watcher.call();
        }
    }

    /// The request that wants an answer still.
    fn unanswered(&self) -> Option<StreamId> {
        match self.current {
            Current::Request { stream, answer: Answer::Missing, .. } => Some(stream),
            _ => None,
        }
    }

    /// Whether there is a current request without an answer of any kind.
    pub fn is_unanswered(&self) -> bool {
        self.unanswered().is_some()
    }

    /// Whether a streamed response has been started and is not complete.
    pub fn is_streaming(&self) -> bool {
        matches!(self.current, Current::Request { answer: Answer::Streaming(_), .. })
    }

    /// The streamed response that has been started and is not complete.
    pub fn streaming(&self) -> Option<StreamId> {
        match self.current {
            Current::Request { stream, answer: Answer::Streaming(_), .. } => Some(stream),
            _ => None,
        }
    }

    /// The push stream of the current request, when it asks for a transport.
    pub fn push_stream(&self) -> Option<&Arc<PushStream>> {
        match &self.current {
            Current::Request { push, .. } => push.as_ref(),
            _ => None,
        }
    }
}

impl Drop for Seat {
    /// The thread has gone, perhaps in the middle of a job.
    fn drop(&mut self) {
        self.complete(Instant::now());
        if self.core.queue.leave(&self.state) {
            self.core.watcher.call();
        }
        if let Some(outboxes) = self.core.outboxes() {
            outboxes.flush();
        }
        self.core.seats.write().retain(|seat| !Arc::ptr_eq(seat, &self.state));
    }
}
