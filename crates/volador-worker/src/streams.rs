//! [`Streams`]: the push streams of a worker, from their request until a seat takes their last event.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use volador_proto::link::StreamId;

use crate::{mailbox::Mailbox, push::PushStream};

/// All push streams that have something in front of them.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    /// Those that something can still arrive for. The gateway counts their ids, so that no client can choose some that
    /// collide.
    arriving: FxHashMap<StreamId, Arc<PushStream>>,
    /// Those that nothing arrives for any more, whose last event waits for a seat, and all that came before it. By their
    /// address: one that has moved on may come back, with the same id, before that is told.
    ending: FxHashMap<usize, Arc<PushStream>>,
}

impl Streams {
    pub(crate) fn insert(&mut self, push: Arc<PushStream>) {
        self.arriving.insert(push.id(), push);
    }

    /// One that something can still arrive for.
    pub(crate) fn get(&self, id: StreamId) -> Option<&Arc<PushStream>> {
        self.arriving.get(&id)
    }

    /// All that something can still arrive for.
    pub(crate) fn ids(&self) -> Vec<StreamId> {
        self.arriving.keys().copied().collect()
    }

    /// Nothing arrives for it any more, and nothing is told.
    pub(crate) fn remove(&mut self, id: StreamId) -> Option<Arc<PushStream>> {
        self.arriving.remove(&id)
    }

    /// Nothing arrives for it any more. Returns with it whether its last event is to be told: then it is kept until a seat
    /// [begins](Self::begin_last) with that.
    pub(crate) fn end(&mut self, id: StreamId) -> Option<(Arc<PushStream>, bool)> {
        let push = self.arriving.remove(&id)?;
        let is_told = push.end();
        if is_told {
            self.ending.insert(address(&push), push.clone());
        }
        Some((push, is_told))
    }

    /// A seat begins with the last event of this stream.
    pub(crate) fn begin_last(&mut self, push: &Arc<PushStream>) {
        self.ending.remove(&address(push));
    }

    /// Of all that something can still be told.
    pub(crate) fn mailboxes(&self) -> impl Iterator<Item = &Mailbox> {
        self.arriving.values().chain(self.ending.values()).map(|push| push.mailbox())
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.arriving.len() + self.ending.len()
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// No other stream has it while this one is kept.
fn address(push: &Arc<PushStream>) -> usize {
    Arc::as_ptr(push).addr()
}

#[cfg(test)]
mod tests {
    use volador_proto::link::{Interest, Transport};

    use super::*;

    fn opened() -> Arc<PushStream> {
        let push = Arc::new(PushStream::new(StreamId::new(0, 0, 1), Transport::WebSocket));
        push.open(Some(Interest::NONE));
        push
    }

    #[test]
    fn stream_that_ends_is_kept_until_its_last_event_begins_also_when_it_has_come_again() {
        let (mut streams, first, again) = (Streams::default(), opened(), opened());
        streams.insert(first.clone());
        assert!(matches!(streams.end(first.id()), Some((push, true)) if Arc::ptr_eq(&push, &first)));
        assert!(streams.get(first.id()).is_none() && streams.end(first.id()).is_none());
        streams.insert(again.clone());
        streams.end(again.id());
        assert_eq!(streams.mailboxes().count(), 2);
        streams.begin_last(&first);
        assert!(streams.mailboxes().all(|mailbox| std::ptr::eq(mailbox, again.mailbox())));
        streams.begin_last(&again);
        assert!(streams.is_empty());
    }

    #[test]
    fn stream_whose_end_nobody_is_told_is_not_kept() {
        let mut streams = Streams::default();
        let push = Arc::new(PushStream::new(StreamId::new(0, 0, 1), Transport::Sse));
        streams.insert(push.clone());
        assert!(matches!(streams.end(push.id()), Some((_, false))));
        assert!(streams.is_empty());
    }
}
