//! [`Hub`]: who receives what in this shard, by request path and by channel.

use volador_hub::{
    channel::{Channels, Filter, FilterError},
    path::{PathIndex, PathKey, PathPattern},
};
use volador_proto::link::{ListenerId, Match};

use crate::link::WorkerKey;

/// Who is subscribed to a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subscriber {
    /// The stream in this slot: a push connection, or one that is about to be.
    Stream(u32),
    /// A subscription of a worker's own.
    Listener(WorkerKey, ListenerId),
}

/// A subscriber as the hub has it: eight bytes. Listeners have the highest bit, then their worker in 15 bits, then their
/// number in 48, which a worker counts up from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Key(u64);

impl Key {
    const LISTENER: u64 = 1 << 63;
    const WORKER_AT: u32 = 48;
}

impl From<Subscriber> for Key {
    fn from(subscriber: Subscriber) -> Self {
        match subscriber {
            Subscriber::Stream(slot) => Self(slot.into()),
            Subscriber::Listener(WorkerKey(worker), ListenerId(id)) => {
                let number = id & ((1 << Self::WORKER_AT) - 1);
                Self(Self::LISTENER | u64::from(worker) << Self::WORKER_AT | number)
            }
        }
    }
}

impl From<Key> for Subscriber {
    fn from(Key(bits): Key) -> Self {
        match bits & Key::LISTENER {
            0 => Self::Stream(bits as u32),
            _ => {
                let worker = (bits & !Key::LISTENER) >> Key::WORKER_AT;
                Self::Listener(WorkerKey(worker as u16), ListenerId(bits & ((1 << Key::WORKER_AT) - 1)))
            }
        }
    }
}

/// The shard's slice of the hub.
#[derive(Debug, Default)]
pub(super) struct Hub {
    /// Request paths with the slots of their connections.
    paths: PathIndex<u32>,
    channels: Channels<Key>,
}

impl Hub {
    /// A push connection begins.
    pub(super) fn join(&mut self, path: &[u8], slot: u32) -> PathKey {
        self.paths.insert(path, slot)
    }

    /// A push connection ends.
    pub(super) fn leave(&mut self, key: PathKey) {
        self.paths.remove(key);
    }

    /// Every connection on a matching path.
    pub(super) fn on_paths(&self, pattern: &PathPattern, mut each: impl FnMut(u32)) {
        self.paths.for_each(pattern, &mut each);
    }

    /// # Errors
    /// For a name that is empty, too long or no pattern of its kind.
    pub(super) fn subscribe(&mut self, who: Subscriber, matching: Match, name: &[u8]) -> Result<(), FilterError> {
        self.channels.subscribe(who.into(), filter(matching, name)?);
        Ok(())
    }

    /// # Errors
    /// As [`Self::subscribe`].
    pub(super) fn unsubscribe(&mut self, who: Subscriber, matching: Match, name: &[u8]) -> Result<(), FilterError> {
        self.channels.unsubscribe(who.into(), &filter(matching, name)?);
        Ok(())
    }

    /// A subscriber is no more. Whether it had subscriptions.
    pub(super) fn forget(&mut self, who: Subscriber) -> bool {
        // Every request comes by here, and most servers have no subscriptions.
        !self.channels.is_empty() && self.channels.unsubscribe_all(who.into()) > 0
    }

    /// Every subscriber of a channel, each once.
    pub(super) fn on_channel(&self, channel: &[u8], mut each: impl FnMut(Subscriber)) {
        self.channels.for_each(channel, |key| each(key.into()));
    }

    /// Subscriptions that there are.
    pub(super) fn subscriptions(&self) -> usize {
        self.channels.len()
    }
}

fn filter(matching: Match, name: &[u8]) -> Result<Filter, FilterError> {
    match matching {
        Match::Exact => Filter::exact(name),
        Match::Glob => Filter::glob(name),
        Match::Subject => Filter::subject(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_and_listeners_are_told_apart() {
        let mut hub = Hub::default();
        let (stream, listener) = (Subscriber::Stream(7), Subscriber::Listener(WorkerKey(3), ListenerId(7)));
        hub.subscribe(stream, Match::Exact, b"news").unwrap();
        hub.subscribe(listener, Match::Glob, b"n*").unwrap();
        let mut got = Vec::new();
        hub.on_channel(b"news", |who| got.push(who));
        assert_eq!(got, [stream, listener]);
        assert!(hub.forget(stream) && !hub.forget(stream));
        hub.unsubscribe(listener, Match::Glob, b"n*").unwrap();
        assert_eq!(hub.subscriptions(), 0);
    }
}
