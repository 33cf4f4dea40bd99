//! [`PushStream`]: one push connection as the application sees it.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use volador_proto::link::{Interest, StreamId, Transport};

use crate::mailbox::{Event, Mailbox};

/// The handshake has been answered, one way or the other.
const ANSWERED: u8 = 1;
/// This side has closed, or the gateway takes nothing more.
const CLOSED: u8 = 2;
/// The connection has ended, or its handshake was refused, or its client left before the answer.
const GONE: u8 = 4;
/// It is to go on in another worker, or does: nothing is written here any more.
const MOVED: u8 = 8;
/// The gateway waits to hear that the handler has been told the end.
const AWAITED: u8 = 16;

/// There is a handler, which wants to know of the end.
const HANDLER: u8 = 1;
/// It wants the client's messages.
const MESSAGES: u8 = 2;
/// It wants to know when everything has been sent.
const DRAINED: u8 = 4;
/// It wants to know that the server stops.
const SHUTDOWN: u8 = 8;

/// One push request and the connection that it may become.
#[derive(Debug)]
pub struct PushStream {
    id: StreamId,
    transport: Transport,
    /// ANSWERED, CLOSED, GONE, MOVED and AWAITED, in any combination. Bits are only ever added.
    state: AtomicU8,
    /// What the application wants to be told: HANDLER, with any of MESSAGES, DRAINED and SHUTDOWN, or nothing.
    wants: AtomicU8,
    /// Messages that wait for the client, as the gateway said last.
    backlog: AtomicU32,
    /// Jobs of this stream that have begun: the request, messages, and an end that is awaited.
    begun: AtomicU32,
    /// Milliseconds between two pings or heartbeats; 0: as all others.
    timeout: AtomicU32,
    mailbox: Mailbox,
}

impl PushStream {
    /// A push request that has just arrived. Its mailbox is held by the request: events wait until the application has
    /// answered and knows its handler.
    pub(crate) fn new(id: StreamId, transport: Transport) -> Self {
        Self {
            id,
            transport,
            state: AtomicU8::new(0),
            wants: AtomicU8::new(0),
            backlog: AtomicU32::new(0),
            begun: AtomicU32::new(0),
            timeout: AtomicU32::new(0),
            mailbox: Mailbox::new(true),
        }
    }

    /// Its name on the link.
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// WebSocket or SSE.
    pub(crate) fn transport(&self) -> Transport {
        self.transport
    }

    /// False once the connection has ended, or will as soon as what was written has been sent. True before the handshake
    /// is answered.
    pub fn is_open(&self) -> bool {
        self.state.load(Ordering::Acquire) & (CLOSED | GONE | MOVED) == 0
    }

    /// Messages that wait for the client, as the gateway said last: it does for handlers that want messages, or to know
    /// when everything has been sent. None once the connection is closed.
    pub fn pending(&self) -> Option<u32> {
        self.is_open().then(|| self.backlog.load(Ordering::Relaxed))
    }

    /// So many messages wait for the client.
    pub(crate) fn set_backlog(&self, messages: u32) {
        self.backlog.store(messages, Ordering::Relaxed);
    }

    /// Milliseconds between two pings or heartbeats that were chosen for this connection.
    pub(crate) fn timeout(&self) -> Option<u32> {
        Some(self.timeout.load(Ordering::Relaxed)).filter(|millis| *millis > 0)
    }

    pub(crate) fn set_timeout(&self, millis: u32) {
        self.timeout.store(millis, Ordering::Relaxed);
    }

    /// The handshake is accepted. `interest` is the handler's; without a handler nothing is told. Returns whether the end
    /// is to be told now: the client had left before.
    pub(crate) fn open(&self, interest: Option<Interest>) -> bool {
        let wants = interest.map_or(0, |Interest { messages, drained, shutdown }| {
            let flag = |wanted: bool, flag: u8| if wanted { flag } else { 0 };
            HANDLER | flag(messages, MESSAGES) | flag(drained, DRAINED) | flag(shutdown, SHUTDOWN)
        });
        self.wants.store(wants, Ordering::Release);
        self.state.fetch_or(ANSWERED, Ordering::AcqRel) & GONE != 0 && wants != 0
    }

    /// There will be no push connection, and nothing is told of it.
    pub(crate) fn refuse(&self) {
        self.state.fetch_or(ANSWERED | GONE, Ordering::AcqRel);
        self.mailbox.shut();
    }

    /// The connection has ended. Returns whether that is to be told: if the handshake is not answered, [`Self::open`]
    /// will find out.
    pub(crate) fn end(&self) -> bool {
        self.state.fetch_or(GONE, Ordering::AcqRel) & (ANSWERED | GONE) == ANSWERED && self.has_handler()
    }

    /// This side closes. Returns whether the gateway is to be told.
    pub(crate) fn close(&self) -> bool {
        self.state.fetch_or(CLOSED, Ordering::AcqRel) & (CLOSED | GONE | MOVED) == 0
    }

    /// The gateway takes nothing more: the end is on its way.
    pub(crate) fn closing(&self) {
        self.state.fetch_or(CLOSED, Ordering::AcqRel);
    }

    /// It is to go on in another worker. Returns whether it can.
    pub(crate) fn hand_over(&self) -> bool {
        self.state.fetch_or(MOVED, Ordering::AcqRel) & (GONE | MOVED) == 0
    }

    /// The gateway waits to hear that the handler has been told the end, and keeps the stream until then.
    pub(crate) fn await_end(&self) {
        self.state.fetch_or(AWAITED, Ordering::AcqRel);
    }

    pub(crate) fn is_end_awaited(&self) -> bool {
        self.state.load(Ordering::Acquire) & AWAITED != 0
    }

    /// A job of this stream begins. Returns how many have.
    pub(crate) fn begin(&self) -> u32 {
        self.begun.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }

    /// Whether the handshake has not been answered.
    pub(crate) fn is_unanswered(&self) -> bool {
        self.state.load(Ordering::Acquire) & ANSWERED == 0
    }

    /// Whether the application has a handler.
    pub(crate) fn has_handler(&self) -> bool {
        self.wants.load(Ordering::Acquire) & HANDLER != 0
    }

    /// Whether this event is to be told. What a listener is told was asked for by listening.
    pub(crate) fn wants(&self, event: &Event) -> bool {
        let flag = match event {
            Event::Message(..) => MESSAGES,
            Event::Drained => DRAINED,
            Event::Shutdown => SHUTDOWN,
            Event::HandOver | Event::Resumed | Event::Released | Event::Close(_) => HANDLER,
            Event::Published { .. } => return true,
        };
        self.wants.load(Ordering::Acquire) & flag != 0
    }

    pub(crate) fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGES: Option<Interest> = Some(Interest::MESSAGES);

    fn stream() -> PushStream {
        PushStream::new(StreamId::NONE, Transport::WebSocket)
    }

    #[test]
    fn end_is_told_once_whether_it_comes_before_or_after_the_answer() {
        let push = stream();
        assert!(push.is_open());
        assert_eq!((push.end(), push.open(MESSAGES)), (false, true));
        assert!(!push.is_open());
        let push = stream();
        assert_eq!((push.open(MESSAGES), push.end(), push.end()), (false, true, false));
        assert!(!push.is_open());
    }

    #[test]
    fn end_is_not_told_without_a_handler() {
        let push = stream();
        assert_eq!((push.end(), push.open(None)), (false, false));
    }

    #[test]
    fn own_close_before_the_answer_is_not_the_end() {
        let push = stream();
        assert!(push.close());
        assert!(!push.close());
        assert!(!push.is_open());
        assert_eq!((push.open(MESSAGES), push.end()), (false, true));
    }

    #[test]
    fn handler_is_told_what_it_wants_and_the_end() {
        let told = |interest| {
            let push = stream();
            push.open(interest);
            let message = Event::Message(volador_proto::link::Payload::Text, "".into());
            [message, Event::Drained, Event::Shutdown, Event::Close(1000)].map(|event| push.wants(&event))
        };
        assert_eq!(told(None), [false; 4]);
        assert_eq!(told(Some(Interest::NONE)), [false, false, false, true]);
        assert_eq!(told(MESSAGES), [true, false, false, true]);
        assert_eq!(told(Some(Interest { drained: true, ..Interest::NONE })), [false, true, false, true]);
        assert_eq!(told(Some(Interest::ALL)), [true; 4]);
    }

    #[test]
    fn pending_is_what_was_said_last_until_the_close() {
        let push = stream();
        assert_eq!(push.pending(), Some(0));
        push.set_backlog(7);
        assert_eq!(push.pending(), Some(7));
        push.close();
        assert_eq!(push.pending(), None);
    }

    #[test]
    fn a_connection_that_the_gateway_closes_takes_nothing_more_and_its_end_is_told_all_the_same() {
        let push = stream();
        push.open(MESSAGES);
        push.closing();
        assert_eq!((push.is_open(), push.pending(), push.close()), (false, None, false));
        assert!(push.end());
    }
}
