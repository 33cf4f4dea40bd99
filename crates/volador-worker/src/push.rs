//! [`PushStream`]: one push connection as the application sees it, and the mailbox of its events.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicBool, AtomicU8, Ordering},
};

use bytes::Bytes;
use parking_lot::Mutex;
use volador_proto::link::{Payload, StreamId};

/// Something that happened on a push connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// The client sent a message.
    Message(Payload, Bytes),
    /// The connection has ended; the last event of a stream. The number is the close code (RFC 6455 §7.4).
    Close(u16),
}

/// The handshake has been answered, one way or the other.
const ANSWERED: u8 = 1;
/// This side has closed.
const CLOSED: u8 = 2;
/// The connection has ended, or its handshake was refused, or its client left before the answer.
const GONE: u8 = 4;

/// One push request and the connection that it may become.
///
/// Its events are handled one after the other, in order. For that the mailbox is *held* by at most one seat, or by the
/// place in the queue that will bring it to a seat.
#[derive(Debug)]
pub struct PushStream {
    id: StreamId,
    /// ANSWERED, CLOSED and GONE, in any combination. Bits are only ever added.
    state: AtomicU8,
    /// Whether the application wants the events.
    handler: AtomicBool,
    mailbox: Mutex<Mailbox>,
}

#[derive(Debug)]
struct Mailbox {
    /// Not handled yet. Bounded by the gateway, which stops to read when too many messages are unanswered.
    events: VecDeque<Event>,
    held: bool,
}

impl PushStream {
    /// A push request that has just arrived. Its mailbox is held by the request: events wait until the application has
    /// answered and knows its handler.
    pub(crate) fn new(id: StreamId) -> Self {
        Self {
            id,
            state: AtomicU8::new(0),
            handler: AtomicBool::new(false),
            mailbox: Mutex::new(Mailbox { events: VecDeque::new(), held: true }),
        }
    }

    /// Its name on the link.
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// False once the connection has ended, or will as soon as what was written has been sent. True before the handshake
    /// is answered.
    pub fn is_open(&self) -> bool {
        self.state.load(Ordering::Acquire) & (CLOSED | GONE) == 0
    }

    /// The handshake is accepted. Returns whether the end is to be told now: the client had left before.
    pub(crate) fn open(&self, handler: bool) -> bool {
        self.handler.store(handler, Ordering::Release);
        self.state.fetch_or(ANSWERED, Ordering::AcqRel) & GONE != 0 && handler
    }

    /// There will be no push connection.
    pub(crate) fn refuse(&self) {
        self.state.fetch_or(ANSWERED | GONE, Ordering::AcqRel);
    }

    /// The connection has ended. Returns whether that is to be told: if the handshake is not answered, [`Self::open`]
    /// will find out.
    pub(crate) fn end(&self) -> bool {
        self.state.fetch_or(GONE, Ordering::AcqRel) & (ANSWERED | GONE) == ANSWERED && self.has_handler()
    }

    /// This side closes. Returns whether the gateway is to be told.
    pub(crate) fn close(&self) -> bool {
        self.state.fetch_or(CLOSED, Ordering::AcqRel) & (CLOSED | GONE) == 0
    }

    /// Whether the handshake has not been answered.
    pub(crate) fn is_unanswered(&self) -> bool {
        self.state.load(Ordering::Acquire) & ANSWERED == 0
    }

    /// Whether events are wanted.
    pub(crate) fn has_handler(&self) -> bool {
        self.handler.load(Ordering::Acquire)
    }

    /// Adds an event. Returns whether the stream must be queued: the caller then has the mailbox for it.
    pub(crate) fn post(&self, event: Event) -> bool {
        let mut mailbox = self.mailbox.lock();
        mailbox.events.push_back(event);
        !std::mem::replace(&mut mailbox.held, true)
    }

    /// The next event, for whoever holds the mailbox.
    pub(crate) fn next(&self) -> Option<Event> {
        self.mailbox.lock().events.pop_front()
    }

    /// Lets the mailbox go, unless there are more events: then true, and the caller queues the stream again.
    pub(crate) fn let_go(&self) -> bool {
        let mut mailbox = self.mailbox.lock();
        mailbox.held = !mailbox.events.is_empty();
        if !mailbox.held {
            // Ten thousand quiet connections must not keep the memory of their liveliest moment.
            mailbox.events = VecDeque::new();
        }
        mailbox.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(s: &'static str) -> Event {
        Event::Message(Payload::Text, s.into())
    }

    #[test]
    fn events_wait_until_the_request_is_answered() {
        let push = PushStream::new(StreamId::NONE);
        assert!(!push.post(text("early")));
        assert!(push.let_go(), "to be queued now");
        assert_eq!(push.next(), Some(text("early")));
        assert!(!push.let_go());
    }

    #[test]
    fn only_the_first_event_of_a_quiet_stream_queues_it() {
        let push = PushStream::new(StreamId::NONE);
        assert!(!push.let_go());
        assert!(push.post(text("one")));
        assert!(!push.post(text("two")));
        assert_eq!(push.next(), Some(text("one")));
        assert!(!push.post(Event::Close(1000)));
        assert!(push.let_go());
        assert_eq!((push.next(), push.next()), (Some(text("two")), Some(Event::Close(1000))));
        assert!(!push.let_go());
    }

    #[test]
    fn end_is_told_once_whether_it_comes_before_or_after_the_answer() {
        let push = PushStream::new(StreamId::NONE);
        assert!(push.is_open());
        assert_eq!((push.end(), push.open(true)), (false, true));
        assert!(!push.is_open());
        let push = PushStream::new(StreamId::NONE);
        assert_eq!((push.open(true), push.end(), push.end()), (false, true, false));
        assert!(!push.is_open());
    }

    #[test]
    fn end_is_not_told_without_a_handler() {
        let push = PushStream::new(StreamId::NONE);
        assert_eq!((push.end(), push.open(false)), (false, false));
    }

    #[test]
    fn own_close_before_the_answer_is_not_the_end() {
        let push = PushStream::new(StreamId::NONE);
        assert!(push.close());
        assert!(!push.close());
        assert!(!push.is_open());
        assert_eq!((push.open(true), push.end()), (false, true));
    }
}
