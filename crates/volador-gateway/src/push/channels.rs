//! What the worker's frames about channels do: who is subscribed to what.

use std::sync::atomic::Ordering;

use volador_proto::link::{ListenerId, Match, StreamId};

use super::{engine::Engine, hub::Subscriber};
use crate::{link::WorkerKey, log, shard::Shard};

impl Engine {
    /// The stream gets what is published to these channels. It may be one that is not a push connection yet.
    pub(crate) fn subscribe(&self, shard: &Shard, id: StreamId, matching: Match, name: &[u8]) {
        if let Err(error) = self.hub.borrow_mut().subscribe(Subscriber::Stream(id.slot()), matching, name) {
            log::warn(format_args!("dropped a subscription: {error}"));
        }
        self.count_subscriptions(shard);
    }

    /// It no longer does.
    pub(crate) fn unsubscribe(&self, shard: &Shard, id: StreamId, matching: Match, name: &[u8]) {
        // A name that can't be subscribed to is subscribed to by nobody.
        let _ = self.hub.borrow_mut().unsubscribe(Subscriber::Stream(id.slot()), matching, name);
        self.count_subscriptions(shard);
    }

    /// The worker itself is told what is published to these channels.
    pub(crate) fn listen(&self, shard: &Shard, worker: WorkerKey, listener: ListenerId, matching: Match, name: &[u8]) {
        match self.hub.borrow_mut().subscribe(Subscriber::Listener(worker, listener), matching, name) {
            Ok(()) => shard.workers.listens(worker, listener),
            Err(error) => log::warn(format_args!("dropped a subscription: {error}")),
        }
        self.count_subscriptions(shard);
    }

    /// It no longer is.
    pub(crate) fn unlisten(&self, shard: &Shard, worker: WorkerKey, listener: ListenerId) {
        shard.workers.unlistens(worker, listener);
        self.hub.borrow_mut().forget(Subscriber::Listener(worker, listener));
        self.count_subscriptions(shard);
    }

    /// A stream has ended, whatever it was.
    pub(crate) fn forget(&self, shard: &Shard, id: StreamId) {
        if self.hub.borrow_mut().forget(Subscriber::Stream(id.slot())) {
            self.count_subscriptions(shard);
        }
    }

    fn count_subscriptions(&self, shard: &Shard) {
        shard.counters.subscriptions.store(self.hub.borrow().subscriptions() as u64, Ordering::Relaxed);
    }
}
