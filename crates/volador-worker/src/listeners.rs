//! [`Listeners`]: the worker's own subscriptions, and who is told what is published to them.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use bytes::Bytes;
use volador_link::Case;
use volador_proto::link::{ListenerId, Match, StreamId};

use crate::{mailbox::Mailbox, push::PushStream};

/// The shard in the ids of listeners' mailboxes. A gateway numbers its shards from 0 and has at most 255, so no stream
/// has such an id.
const SHARD: u8 = u8::MAX;

/// A subscription of the worker as a whole, with a mailbox of its own.
#[derive(Debug)]
pub(crate) struct Listener {
    id: ListenerId,
    mailbox: Mailbox,
}

/// Who events are for: what a seat is given a turn of.
#[derive(Clone, Debug)]
pub(crate) enum Recipient {
    /// A push connection, with its listeners.
    Stream(Arc<PushStream>),
    /// A listener of the worker.
    Listener(Arc<Listener>),
}

impl Recipient {
    /// Names the mailbox: a stream by its own id; a listener by its number with the shard 255, which no stream has.
    pub(crate) fn id(&self) -> StreamId {
        match self {
            Self::Stream(push) => push.id(),
            Self::Listener(listener) => {
                let ListenerId(n) = listener.id;
                StreamId::new(SHARD, (n >> 32) as u32, n as u32)
            }
        }
    }

    pub(crate) fn mailbox(&self) -> &Mailbox {
        match self {
            Self::Stream(push) => push.mailbox(),
            Self::Listener(listener) => &listener.mailbox,
        }
    }

    fn is(&self, stream: Option<StreamId>) -> bool {
        match self {
            Self::Stream(push) => stream == Some(push.id()),
            Self::Listener(_) => stream.is_none(),
        }
    }
}

/// All listeners. Whoever changes it sends the frame about that under the same lock, so that the gateway hears it in the
/// same order.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    /// The number given last. Counting to 2^56, where the ids of mailboxes would repeat, takes two years at a thousand
    /// million a second.
    last: u64,
    recipients: HashMap<ListenerId, Recipient>,
    /// The listeners of each push connection that has any.
    of_streams: HashMap<StreamId, Vec<ListenerId>>,
    /// Those of which publications were dropped, and whether the log has named them.
    behind: HashMap<ListenerId, bool>,
    /// What the gateway is to be told once there is one.
    waiting: Vec<(ListenerId, Match, Bytes)>,
    /// The worker is to end: its own listeners hear no more.
    closed: bool,
}

impl Listeners {
    /// A listener whose publications are events of the push connection.
    pub(crate) fn add_to(&mut self, push: &Arc<PushStream>) -> ListenerId {
        let id = self.next_id();
        self.recipients.insert(id, Recipient::Stream(push.clone()));
        self.of_streams.entry(push.id()).or_default().push(id);
        id
    }

    /// The worker is to end. Returns its listeners, which are to be told no more, the first time.
    pub(crate) fn close(&mut self) -> Vec<ListenerId> {
        if std::mem::replace(&mut self.closed, true) {
            return Vec::new();
        }
        self.waiting.clear();
        let of_worker = self.of_worker().inspect(|(_, mailbox)| mailbox.close_to_published());
        of_worker.map(|(id, _)| id).collect()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// A listener of the worker.
    pub(crate) fn add(&mut self) -> ListenerId {
        let id = self.next_id();
        let listener = Listener { id, mailbox: Mailbox::new(false) };
        self.recipients.insert(id, Recipient::Listener(Arc::new(listener)));
        id
    }

    /// Remembers a listener for [`Self::take_waiting`].
    pub(crate) fn wait(&mut self, id: ListenerId, matching: Match, name: &[u8]) {
        self.waiting.push((id, matching, Bytes::copy_from_slice(name)));
    }

    /// Those that came before the gateway.
    pub(crate) fn take_waiting(&mut self) -> Vec<(ListenerId, Match, Bytes)> {
        std::mem::take(&mut self.waiting)
    }

    /// Who is told.
    pub(crate) fn get(&self, id: ListenerId) -> Option<&Recipient> {
        self.recipients.get(&id)
    }

    /// A publication was dropped, as the listener's block is too slow. Returns what that is for the log; None when it has
    /// named the listener, or there is none any more.
    pub(crate) fn falls_behind(&mut self, id: ListenerId) -> Option<Case> {
        if !self.recipients.contains_key(&id) {
            return None;
        }
        match self.behind.entry(id) {
            Entry::Vacant(entry) => {
                entry.insert(false);
                Some(Case::New)
            }
            Entry::Occupied(entry) => (!entry.get()).then_some(Case::Counted),
        }
    }

    /// The log has named a listener that [falls behind](Self::falls_behind).
    pub(crate) fn named(&mut self, id: ListenerId) {
        if let Some(is_named) = self.behind.get_mut(&id) {
            *is_named = true;
        }
    }

    /// Those of the worker itself, and not of its push connections.
    pub(crate) fn of_worker(&self) -> impl Iterator<Item = (ListenerId, &Mailbox)> {
        self.recipients.iter().filter_map(|(id, recipient)| match recipient {
            Recipient::Listener(listener) => Some((*id, &listener.mailbox)),
            Recipient::Stream(_) => None,
        })
    }

    /// Ends a listener of this stream, or with None of the worker, and takes back what it has not been told yet. Returns
    /// whether there was one.
    pub(crate) fn remove(&mut self, id: ListenerId, stream: Option<StreamId>) -> bool {
        if !self.recipients.get(&id).is_some_and(|recipient| recipient.is(stream)) {
            return false;
        }
        if let Some(recipient) = self.recipients.remove(&id) {
            recipient.mailbox().take_back(id);
        }
        self.behind.remove(&id);
        if let Some(stream) = stream
            && let Some(ids) = self.of_streams.get_mut(&stream)
        {
            ids.retain(|of_stream| *of_stream != id);
            if ids.is_empty() {
                self.of_streams.remove(&stream);
            }
        }
        self.waiting.retain(|(waiting, ..)| *waiting != id);
        true
    }

    /// Ends all listeners of a push connection. Returns them. What they were told before stays in its mailbox.
    pub(crate) fn remove_all(&mut self, stream: StreamId) -> Vec<ListenerId> {
        // Every push connection comes by here, and most have no listeners.
        let ids = self.of_streams.remove(&stream).unwrap_or_default();
        for id in &ids {
            self.recipients.remove(id);
            self.behind.remove(id);
        }
        ids
    }

    /// Whether nobody listens and nothing is kept.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.recipients.is_empty() && self.of_streams.is_empty() && self.waiting.is_empty() && self.behind.is_empty()
    }

    fn next_id(&mut self) -> ListenerId {
        self.last += 1;
        ListenerId(self.last)
    }
}

#[cfg(test)]
mod tests {
    use volador_proto::link::Transport;

    use super::*;

    #[test]
    fn mailbox_of_a_listener_is_named_like_no_stream() {
        let mut listeners = Listeners { last: 5 << 32, ..Listeners::default() };
        let id = listeners.add();
        let mailbox = listeners.get(id).unwrap().id();
        assert_eq!((mailbox.shard(), mailbox.generation(), mailbox.slot()), (255, 5, 1));
        assert_ne!(mailbox, StreamId::NONE);
    }

    #[test]
    fn listener_is_removed_by_its_owner_only() {
        let mut listeners = Listeners::default();
        let push = Arc::new(PushStream::new(StreamId::new(0, 0, 1), Transport::Sse));
        let (own, of_worker) = (listeners.add_to(&push), listeners.add());
        assert_ne!(own, of_worker);
        assert!(!listeners.remove(own, None));
        assert!(!listeners.remove(own, Some(StreamId::new(0, 0, 2))));
        assert!(!listeners.remove(of_worker, Some(push.id())));
        assert!(listeners.remove(own, Some(push.id())) && listeners.remove(of_worker, None));
        assert!(!listeners.remove(of_worker, None));
        assert!(listeners.is_empty());
    }

    #[test]
    fn falling_behind_is_news_once_for_each_listener_and_nothing_more_is_said_of_one_that_was_named() {
        let mut listeners = Listeners::default();
        let push = Arc::new(PushStream::new(StreamId::new(0, 0, 1), Transport::Sse));
        let (own, of_worker) = (listeners.add_to(&push), listeners.add());
        for id in [own, of_worker] {
            let both = [listeners.falls_behind(id), listeners.falls_behind(id)];
            assert_eq!(both, [Some(Case::New), Some(Case::Counted)]);
            listeners.named(id);
            assert_eq!(listeners.falls_behind(id), None);
        }
        listeners.remove_all(push.id());
        listeners.remove(of_worker, None);
        listeners.named(own);
        assert_eq!(listeners.falls_behind(own), None, "it has ended");
        assert!(listeners.is_empty());
    }

    #[test]
    fn listeners_of_a_stream_end_together() {
        let mut listeners = Listeners::default();
        let push = Arc::new(PushStream::new(StreamId::new(0, 0, 1), Transport::Sse));
        let ids = vec![listeners.add_to(&push), listeners.add_to(&push)];
        assert_eq!(listeners.remove_all(push.id()), ids);
        assert_eq!(listeners.remove_all(push.id()), []);
        assert!(listeners.is_empty());
    }
}
