//! [`Mailbox`]: the events of one push connection or listener that wait for a seat.

use bytes::Bytes;
use volador_proto::link::{ListenerId, Payload};

use crate::{events::Events, sync::Mutex};

/// Something that happened on a push connection, or that a listener is told.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// The client sent a message.
    Message(Payload, Bytes),
    /// Everything that waited for the client has been sent.
    Drained,
    /// The server stops: last words may be written.
    Shutdown,
    /// A message was published to a channel that is listened to.
    Published {
        /// Which of the worker's subscriptions.
        listener: ListenerId,
        /// The channel, which a pattern leaves open.
        channel: Bytes,
        /// Text or binary.
        payload: Payload,
        /// The message.
        data: Bytes,
    },
    /// The push connection is to go on in another worker: what its handler leaves for the next one is wanted.
    HandOver,
    /// The push connection has come from another worker, and is this one's now.
    Resumed,
    /// The push connection is another worker's now; the last event of a stream, which is no end of the connection.
    Released,
    /// The connection has ended; the last event of a stream. The number is the close code (RFC 6455 §7.4).
    Close(u16),
}

/// What is to be done with a mailbox that an event was for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Posted {
    /// Nothing: the event waits behind others, or was dropped.
    Waits,
    /// It must be queued, and the caller has it for that.
    Queue,
    /// The same, and this message of the client's, of which the mailbox keeps nothing, goes along: it is the next event.
    Carry(Payload, Bytes),
}

/// Events are handled one after the other, in order. For that the mailbox is *held* by at most one seat, or by the place
/// in the queue that will bring it to a seat.
#[derive(Debug)]
pub(crate) struct Mailbox {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Not handled yet. The client's messages among them are bounded by the gateway, which stops to read when too many
    /// are unanswered; publications by [`Mailbox::make_room`].
    events: Events,
    /// Sum of what the publications among them weigh; see [`weight`].
    published_bytes: usize,
    held: bool,
    /// Nothing that is published may follow any more.
    unsubscribed: bool,
    /// Nothing may follow any more.
    over: bool,
}

impl Mailbox {
    /// `held`: by the caller, who lets it go.
    pub(crate) fn new(held: bool) -> Self {
        let (events, published_bytes) = (Events::default(), 0);
        Self { state: Mutex::new(State { events, published_bytes, held, unsubscribed: false, over: false }) }
    }

    /// Adds an event, which is dropped when there has been the last one.
    pub(crate) fn post(&self, event: Event) -> Posted {
        let mut state = self.state.lock();
        // A handler that has not been told yet is told once, however often the queue became empty meanwhile.
        if state.over
            || (state.unsubscribed && is_published(&event))
            || (is_drained(&event) && state.events.back().is_some_and(is_drained))
        {
            return Posted::Waits;
        }
        state.over = matches!(event, Event::Close(_) | Event::Released);
        if event == Event::Shutdown {
            // The server stops: who has not left yet is not to leave any more.
            state.events.retain(|event| *event != Event::HandOver);
        }
        state.published_bytes += weight(&event);
        if std::mem::replace(&mut state.held, true) {
            state.events.push_back(detached(event));
            return Posted::Waits;
        }
        // The mailbox is empty. A message, which nobody can take back, needs no memory in there: most often it is all
        // that comes before the handler's turn.
        match event {
            Event::Message(payload, data) => Posted::Carry(payload, data),
            event => {
                state.events.push_back(event);
                Posted::Queue
            }
        }
    }

    /// The next event, for whoever holds the mailbox. None when what it was queued for has been taken back.
    pub(crate) fn next(&self) -> Option<Event> {
        let mut state = self.state.lock();
        let event = state.events.pop_front()?;
        state.published_bytes -= weight(&event);
        Some(event)
    }

    /// Drops the oldest publications for as long as more than so many bytes of them wait, and returns them. The newest one
    /// stays, however large it is. All other events do.
    pub(crate) fn make_room(&self, max_bytes: usize) -> Vec<Event> {
        let mut state = self.state.lock();
        let mut dropped = Vec::new();
        while state.published_bytes > max_bytes {
            let two = {
                let mut published = (0..).zip(state.events.iter()).filter(|(_, event)| is_published(event));
                (published.next(), published.next())
            };
            let (Some((oldest, _)), Some(_newer)) = two else { break };
            let Some(event) = state.events.remove(oldest) else { break };
            state.published_bytes -= weight(&event);
            dropped.push(event);
        }
        dropped
    }

    /// Lets the mailbox go, unless there are more events: then true, and the caller queues it again.
    pub(crate) fn let_go(&self) -> bool {
        let mut state = self.state.lock();
        state.held = !state.events.is_empty();
        if !state.held {
            state.events.give_memory_back();
        }
        state.held
    }

    /// Takes back what a listener has not been told yet.
    pub(crate) fn take_back(&self, ended: ListenerId) {
        let is_its = |event: &Event| matches!(event, Event::Published { listener, .. } if *listener == ended);
        let mut state = self.state.lock();
        state.events.retain(|event| !is_its(event));
        state.published_bytes = state.events.iter().map(weight).sum();
    }

    /// Nothing that is published follows any more; what waits stays.
    pub(crate) fn close_to_published(&self) {
        self.state.lock().unsubscribed = true;
    }

    /// Nothing that is published is told any more. Returns how many publications have waited.
    pub(crate) fn unsubscribe(&self) -> usize {
        let mut state = self.state.lock();
        let before = state.events.iter().count();
        state.events.retain(|event| !is_published(event));
        state.published_bytes = 0;
        state.unsubscribed = true;
        before - state.events.iter().count()
    }

    /// Nothing is told any more, whatever was posted.
    pub(crate) fn shut(&self) {
        let mut state = self.state.lock();
        state.over = true;
        state.events = Events::default();
        state.published_bytes = 0;
    }
}

fn is_drained(event: &Event) -> bool {
    matches!(event, Event::Drained)
}

fn is_published(event: &Event) -> bool {
    matches!(event, Event::Published { .. })
}

/// About what a publication takes in memory while it waits. Other events weigh nothing here: they are bounded elsewhere.
fn weight(event: &Event) -> usize {
    match event {
        Event::Published { channel, data, .. } => size_of::<Event>() + channel.len() + data.len(),
        _ => 0,
    }
}

/// A publication that has to wait gets memory of its own. It came in a batch, and would keep all of that.
fn detached(event: Event) -> Event {
    let Event::Published { listener, channel, payload, data } = event else { return event };
    let both = Bytes::from([&channel[..], &data[..]].concat());
    let (channel, data) = (both.slice(..channel.len()), both.slice(channel.len()..));
    Event::Published { listener, channel, payload, data }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(s: &'static str) -> Event {
        Event::Message(Payload::Text, s.into())
    }

    fn published(listener: u64) -> Event {
        let (channel, data) = ("news".into(), "hi".into());
        Event::Published { listener: ListenerId(listener), channel, payload: Payload::Text, data }
    }

    #[test]
    fn events_wait_while_the_mailbox_is_held() {
        let mailbox = Mailbox::new(true);
        assert_eq!(mailbox.post(text("early")), Posted::Waits);
        assert!(mailbox.let_go(), "to be queued now");
        assert_eq!(mailbox.next(), Some(text("early")));
        assert!(!mailbox.let_go());
    }

    #[test]
    fn only_the_first_event_of_a_quiet_mailbox_queues_it() {
        let mailbox = Mailbox::new(false);
        assert_eq!(mailbox.post(Event::Drained), Posted::Queue);
        assert_eq!(mailbox.post(text("two")), Posted::Waits);
        assert_eq!(mailbox.next(), Some(Event::Drained));
        assert_eq!(mailbox.post(Event::Close(1000)), Posted::Waits);
        assert!(mailbox.let_go());
        assert_eq!((mailbox.next(), mailbox.next()), (Some(text("two")), Some(Event::Close(1000))));
        assert!(!mailbox.let_go());
    }

    #[test]
    fn a_message_goes_along_with_its_quiet_mailbox_and_before_all_that_follow() {
        let mailbox = Mailbox::new(false);
        assert_eq!(mailbox.post(text("one")), Posted::Carry(Payload::Text, "one".into()));
        assert_eq!((mailbox.post(text("two")), mailbox.post(published(1))), (Posted::Waits, Posted::Waits));
        assert!(mailbox.let_go(), "to be queued again, for those");
        assert_eq!((mailbox.next(), mailbox.next(), mailbox.next()), (Some(text("two")), Some(published(1)), None));
    }

    #[test]
    fn nothing_follows_the_close_event() {
        let mailbox = Mailbox::new(false);
        assert_eq!(mailbox.post(Event::Close(1000)), Posted::Queue);
        assert_eq!(mailbox.next(), Some(Event::Close(1000)));
        assert!(!mailbox.let_go());
        assert_eq!(mailbox.post(published(1)), Posted::Waits);
        assert_eq!(mailbox.next(), None);
    }

    #[test]
    fn drained_is_told_once_until_it_is_taken() {
        let mailbox = Mailbox::new(true);
        for event in [Event::Drained, Event::Drained, text("a"), Event::Drained] {
            mailbox.post(event);
        }
        assert_eq!((mailbox.next(), mailbox.next()), (Some(Event::Drained), Some(text("a"))));
        assert_eq!((mailbox.next(), mailbox.next()), (Some(Event::Drained), None));
    }

    #[test]
    fn publications_of_an_ended_listener_are_taken_back() {
        let mailbox = Mailbox::new(true);
        for event in [published(1), text("a"), published(2), published(1)] {
            mailbox.post(event);
        }
        mailbox.take_back(ListenerId(1));
        assert_eq!((mailbox.next(), mailbox.next(), mailbox.next()), (Some(text("a")), Some(published(2)), None));
    }

    /// How many there are, and whether the sum is right.
    fn waiting(mailbox: &Mailbox) -> usize {
        let state = mailbox.state.lock();
        assert_eq!(state.published_bytes, state.events.iter().map(weight).sum());
        state.events.iter().count()
    }

    #[test]
    fn oldest_publications_make_room_and_all_other_events_stay() {
        let mailbox = Mailbox::new(true);
        let max = 3 * weight(&published(1));
        let mut dropped = Vec::new();
        mailbox.post(text("a"));
        for n in 1..=10 {
            mailbox.post(published(n));
            if n == 5 {
                mailbox.post(text("b"));
                mailbox.post(Event::Drained);
            }
            dropped.extend(mailbox.make_room(max));
            waiting(&mailbox);
        }
        mailbox.post(Event::Close(1000));
        assert!(mailbox.make_room(max).is_empty());
        assert_eq!(dropped, (1..=7).map(published).collect::<Vec<_>>());
        let left: Vec<_> = std::iter::from_fn(|| mailbox.next()).collect();
        let newest = (8..=10).map(published);
        let expected = [text("a"), text("b"), Event::Drained].into_iter().chain(newest).chain([Event::Close(1000)]);
        assert_eq!(left, expected.collect::<Vec<_>>());
        assert_eq!(waiting(&mailbox), 0);
    }

    #[test]
    fn newest_publication_stays_however_large_it_is() {
        let mailbox = Mailbox::new(true);
        mailbox.post(published(1));
        assert_eq!(mailbox.make_room(0), []);
        mailbox.post(published(2));
        assert_eq!(mailbox.make_room(0), [published(1)]);
        assert_eq!((mailbox.next(), waiting(&mailbox)), (Some(published(2)), 0));
    }

    #[test]
    fn publication_that_waits_does_not_hold_the_batch_that_it_came_in() {
        let batch = Bytes::from(vec![b'x'; 1 << 20]);
        let mailbox = Mailbox::new(true);
        let event = Event::Published {
            listener: ListenerId(1),
            channel: batch.slice(..4),
            payload: Payload::Text,
            data: batch.slice(4..6),
        };
        mailbox.post(event);
        assert!(batch.is_unique(), "nobody else has a part of it");
        let Some(Event::Published { channel, data, .. }) = mailbox.next() else { panic!() };
        assert_eq!((&channel[..], &data[..]), (&b"xxxx"[..], &b"xx"[..]));
    }

    #[test]
    fn what_is_taken_back_makes_room() {
        let mailbox = Mailbox::new(true);
        for n in [1, 2, 1, 2] {
            mailbox.post(published(n));
        }
        mailbox.take_back(ListenerId(1));
        assert_eq!(waiting(&mailbox), 2);
        mailbox.shut();
        assert_eq!(waiting(&mailbox), 0);
    }

    #[test]
    fn who_is_told_of_the_shutdown_is_not_asked_to_leave_any_more() {
        let mailbox = Mailbox::new(true);
        for event in [text("a"), Event::HandOver, published(1), Event::Shutdown] {
            mailbox.post(event);
        }
        let left: Vec<_> = std::iter::from_fn(|| mailbox.next()).collect();
        assert_eq!(left, [text("a"), published(1), Event::Shutdown]);
    }

    #[test]
    fn unsubscribed_mailbox_tells_all_but_publications() {
        let mailbox = Mailbox::new(true);
        for event in [published(1), text("a"), published(2)] {
            mailbox.post(event);
        }
        assert_eq!((mailbox.unsubscribe(), waiting(&mailbox)), (2, 1));
        mailbox.post(published(3));
        mailbox.post(Event::Close(1000));
        assert_eq!((mailbox.next(), mailbox.next()), (Some(text("a")), Some(Event::Close(1000))));
        assert_eq!((mailbox.next(), waiting(&mailbox)), (None, 0));
    }

    #[test]
    fn mailbox_that_is_closed_to_publications_tells_those_that_waited() {
        let mailbox = Mailbox::new(true);
        mailbox.post(published(1));
        mailbox.close_to_published();
        mailbox.post(published(2));
        mailbox.post(text("a"));
        assert_eq!((mailbox.next(), mailbox.next(), mailbox.next()), (Some(published(1)), Some(text("a")), None));
    }

    #[test]
    fn shut_mailbox_tells_nothing() {
        let mailbox = Mailbox::new(true);
        mailbox.post(published(1));
        mailbox.shut();
        assert_eq!(mailbox.post(published(1)), Posted::Waits);
        assert!(!mailbox.let_go());
        assert_eq!(mailbox.next(), None);
    }
}
