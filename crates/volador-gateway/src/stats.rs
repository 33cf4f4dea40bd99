//! [`Stats`]: what has happened since the gateway's start, and what there is now.

use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// The gateway's figures, summed over all shards. Counts but where a field says otherwise.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Stats { $($(#[$doc])* pub $name: u64,)+ }

        /// The figures while they change. Each shard has its own, so that no two threads write to one.
        #[derive(Debug, Default)]
        pub(crate) struct Counters { $(pub(crate) $name: AtomicU64,)+ }

        impl Counters {
            pub(crate) fn add_to(&self, stats: &mut Stats) {
                $(stats.$name += self.$name.load(Relaxed);)+
            }
        }

        impl Stats {
            /// Every figure with its name.
            pub fn entries(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name)),+].into_iter()
            }
        }
    };
}

counters! {
    /// Connections accepted.
    accepted,
    /// Times that new clients had to wait, as there was no descriptor or no place for one, or the system refused it.
    accept_waits,
    /// Connections that speak HTTP now.
    http_connections,
    /// WebSocket connections now.
    websocket_connections,
    /// SSE connections now.
    sse_connections,
    /// Connections that the application has taken, now.
    hijacked_connections,
    /// Requests handed to the worker.
    requests,
    /// Requests refused with 503, as the queue was full.
    refused_busy,
    /// Requests refused for a fault of theirs (400, 408, 413, 414, 417, 431 ...).
    refused_bad,
    /// Subscriptions to channels now.
    subscriptions,
    /// Messages published to channels, whoever is subscribed.
    published,
    /// Messages received from push connections.
    messages,
    /// Messages handed to push connections, one for each connection that a broadcast or a publication reaches.
    delivered,
    /// Bytes read from the sockets of push connections, after the handshake.
    received_bytes,
    /// Bytes that the sockets of push connections have taken, from the handshake's answer on.
    sent_bytes,
    /// Messages dropped from full send queues, the oldest first.
    dropped_oldest,
    /// Messages that a newer one of their channel has replaced in a send queue.
    conflated,
    /// Publications that a worker or guest of a cluster dropped, as the block of its subscription was too slow, or that were
    /// not sent to it, as it took nothing.
    dropped_block,
    /// Push connections closed for a full send queue (1013).
    closed_slow,
    /// Push connections closed for breaking their protocol (1002, 1007, 1009).
    closed_protocol,
    /// Push connections taken for dead.
    closed_dead,
    /// Requests that a worker of a cluster was found for.
    queue_waits,
    /// Microseconds that those waited for it, together.
    queue_wait_micros,
    /// Microseconds that one of them waited at most.
    queue_wait_micros_max,
    /// Requests that went to another worker of a cluster, as the first one had not begun them.
    redispatched,
    /// Requests answered with 502, or cut, as their worker was lost.
    lost_requests,
    /// Messages of push connections that a worker had begun to handle when it was lost.
    lost_messages,
    /// Handlers of push connections that have gone on in another worker.
    resumed,
}

impl Counters {
    /// Connections of all kinds, now. One that changes its kind meanwhile may be seen twice, but is not missed: each begins
    /// as one that speaks HTTP, is counted anew before it is counted no more as that, and is looked for in this order.
    pub(crate) fn connections(&self) -> u64 {
        [&self.http_connections, &self.websocket_connections, &self.sse_connections, &self.hijacked_connections]
            .iter()
            .map(|kind| kind.load(Acquire))
            .sum()
    }
}

/// One more.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

/// One less, for a figure of what there is now. Who sees it sees what was counted before, too.
pub(crate) fn uncount(counter: &AtomicU64) {
    counter.fetch_sub(1, Release);
}

/// So many more. The shard's own thread is the only one that writes, so no read-modify-write is needed.
pub(crate) fn add(counter: &AtomicU64, n: usize) {
    counter.store(counter.load(Relaxed) + n as u64, Relaxed);
}
