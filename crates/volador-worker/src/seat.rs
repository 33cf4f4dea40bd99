//! [`Seat`]: where one application thread takes its jobs and answers them.

mod lent;
mod waiter;

use std::{io, os::fd::OwnedFd, os::unix::net::UnixStream, sync::Arc, time::Instant};

use volador_link::want;
use volador_proto::link::{Interest, Request, ResponseBody, StreamId};

use crate::{
    core::{Core, NO_CLOSE},
    error::WriteError,
    flush::{self, Haste},
    jobs::Job,
    listeners::Recipient,
    mailbox::Event,
    outbox::Outboxes,
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

    /// A complete answer; the slices of `body` follow each other.
    pub fn respond<'a>(
        &mut self,
        status: u16,
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        body: impl IntoIterator<Item = &'a [u8]>,
    ) {
        let Some(stream) = self.unanswered() else { return };
        self.refuse_push();
        self.push(stream, |last| Haste::Answer { last }, |batch| batch.complete_response(stream, status, fields, body));
        self.set_answer(Answer::Given);
    }

    /// A complete answer whose body is `len` bytes of a file, from `offset` on.
    pub fn respond_file<'a>(
        &mut self,
        status: u16,
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        fd: OwnedFd,
        offset: u64,
        len: u64,
    ) {
        let Some(stream) = self.unanswered() else { return };
        self.refuse_push();
        let body = ResponseBody::File { fd, offset, len };
        self.push(stream, |last| Haste::Answer { last }, |batch| batch.response(stream, status, fields, body));
        self.set_answer(Answer::Given);
    }

    /// The head of a streamed answer. It leaves together with the first bytes, or after a moment.
    pub fn start<'a>(&mut self, status: u16, fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) {
        let Some(stream) = self.unanswered() else { return };
        self.refuse_push();
        self.state.set_flow(stream);
        self.push(stream, |_| Haste::WithAnswer, |batch| batch.response(stream, status, fields, ResponseBody::Stream));
        self.set_answer(Answer::Streaming(Some(ResponseStream::new(stream))));
    }

    /// Hands over as much of `data` as there is room for, at least one byte unless the spool file is full. When it was
    /// not all: [`CreditWait::wait`], then write the rest.
    ///
    /// `response` is the stream that was started: an application may keep the means to write longer than the response
    /// lives, and by then the seat has another one.
    ///
    /// # Errors
    /// [`WriteError`] when the response takes no more bytes.
    pub fn write(&mut self, response: StreamId, data: &[u8]) -> Result<usize, WriteError> {
        let Self { core, state, current } = self;
        match streamed(current, response)? {
            Some(response) => lent::write(core, state, response, data),
            None => Err(WriteError::Busy),
        }
    }

    /// For a write that may take its time: meanwhile the seat is free for others. To be given back.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn lend(&mut self, response: StreamId) -> Result<Lent, WriteError> {
        let response = streamed(&mut self.current, response)?.take().ok_or(WriteError::Busy)?;
        Ok(Lent { core: self.core.clone(), state: self.state.clone(), response })
    }

    /// See [`Self::lend`]. The response may be over by now.
    pub fn give_back(&mut self, lent: Lent) {
        if let Ok(response) = streamed(&mut self.current, lent.response.stream()) {
            *response = Some(lent.response);
        }
    }

    /// For one wait until the client of this response has taken everything.
    pub fn credit_wait(&self, response: StreamId) -> CreditWait {
        CreditWait::new(self.core.clone(), self.state.clone(), response)
    }

    /// The streamed answer is complete.
    pub fn finish(&mut self) {
        let Current::Request { stream, answer: answer @ Answer::Streaming(_), .. } = &mut self.current else { return };
        *answer = Answer::Given;
        let stream = *stream;
        self.state.set_flow(StreamId::NONE);
        self.push(stream, |last| Haste::Answer { last }, |batch| batch.end(stream));
    }

    /// Cuts the connection, whether nothing or a part was answered; ignored after a complete answer.
    pub fn abort(&mut self) {
        let Current::Request { stream, answer, .. } = &mut self.current else { return };
        if matches!(answer, Answer::Given | Answer::Hijacked) {
            return;
        }
        let was = std::mem::replace(answer, Answer::Given);
        let stream = *stream;
        if let Answer::Streaming(_) = was {
            self.state.set_flow(StreamId::NONE);
        }
        self.refuse_push();
        self.push(stream, |last| Haste::Answer { last }, |batch| batch.abort(stream));
    }

    /// The same since there is no descriptor for the answer: the log says so once.
    pub fn give_up(&mut self) {
        want::gave_up();
        self.abort();
    }

    /// Accepts the handshake of the current request; ignored when it asks for no transport. `interest`: what the
    /// application's handler wants to be told beside the end; None when there is no handler.
    pub fn upgrade<'a>(&mut self, interest: Option<Interest>, fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) {
        let (Some(stream), Some(push)) = (self.unanswered(), self.push_stream()) else { return };
        if push.open(interest) {
            // The mailbox is held by this request, so this queues nothing yet.
            push.mailbox().post(Event::Close(NO_CLOSE));
        }
        self.push(stream, |last| Haste::Answer { last }, |batch| batch.upgrade(stream, interest, fields));
        self.set_answer(Answer::Given);
    }

    /// Takes the connection of the current request, which is answered by that. `first` goes to the client, and then what is
    /// written to the socket, as it is; what the client sends can be read from it. None without an unanswered request.
    ///
    /// # Errors
    /// When the process may have no more descriptors. The request is still unanswered then.
    pub fn hijack(&mut self, first: &[u8]) -> io::Result<Option<OwnedFd>> {
        let Some(stream) = self.unanswered() else { return Ok(None) };
        let (socket, gateways) = UnixStream::pair()?;
        self.refuse_push();
        // The thread may talk to the client before it comes back.
        self.push(stream, |_| Haste::Now, |batch| batch.tunnel(stream, gateways.into(), first));
        self.set_answer(Answer::Hijacked);
        Ok(Some(socket.into()))
    }

    fn set_answer(&mut self, given: Answer) {
        if let Current::Request { answer, .. } = &mut self.current {
            *answer = given;
        }
    }

    /// The request is answered as a plain one: there will be no push connection.
    fn refuse_push(&self) {
        if let Some(push) = self.push_stream()
            && push.is_unanswered()
        {
            push.refuse();
            self.core.forget(push.id());
            self.core.unlisten_all(push.id());
        }
    }

    fn push(
        &self,
        stream: StreamId,
        haste: impl FnOnce(/* last: */ bool) -> Haste,
        write: impl FnOnce(&mut volador_proto::link::Batch),
    ) {
        self.push_at(Instant::now, stream, haste, write);
    }

    fn push_at(
        &self,
        now: impl FnOnce() -> Instant,
        stream: StreamId,
        haste: impl FnOnce(/* last: */ bool) -> Haste,
        write: impl FnOnce(&mut volador_proto::link::Batch),
    ) {
        // Jobs come only after the outlet was set.
        let Some(outboxes): Option<&Outboxes> = self.core.outboxes() else { return };
        if outboxes.push_at(now, stream.shard(), haste(self.core.queue.len() == 0), write) {
            self.core.watcher.call();
        }
    }
}

/// The response of this stream, which must be the current one; None while it is lent.
fn streamed(current: &mut Current, response: StreamId) -> Result<&mut Option<ResponseStream>, WriteError> {
    match current {
        Current::Request { stream, answer: Answer::Streaming(streamed), .. } if *stream == response => Ok(streamed),
        _ => Err(WriteError::NotStreaming),
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
