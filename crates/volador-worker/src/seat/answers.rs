//! How a [`Seat`] answers its request: at once, with a file, piece by piece, by an upgrade, or by giving the connection away.

use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixStream},
    time::Instant,
};

use volador_link::Want;
use volador_proto::link::{Interest, ResponseBody, StreamId};

use super::{Answer, CreditWait, Current, Lent, Seat, lent};
use crate::{
    core::NO_CLOSE, error::WriteError, flush::Haste, mailbox::Event, outbox::Outboxes, response::ResponseStream,
};

impl Seat {
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

    /// The streamed answer is complete. One of which bytes are lost is cut, whatever the application makes of that.
    pub fn finish(&mut self) {
        let Current::Request { stream, answer: answer @ Answer::Streaming(_), .. } = &mut self.current else { return };
        if matches!(answer, Answer::Streaming(Some(response)) if response.is_cut()) {
            return self.abort();
        }
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
    pub fn give_up(&mut self, want: Want) {
        want.gave_up();
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

    pub(super) fn push_at(
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
