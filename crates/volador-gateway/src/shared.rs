//! [`Shared`]: what the shards of a gateway have in common, its limits and figures among that.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering, fence},
    },
    time::Instant,
};

use volador_link::Spell;

use crate::{
    Config, GatewayError, Stats, client_log::ClientLog, descriptors::Shortage, drain::Drain, http::Bodies,
    inbox::Inbox, link::Roster, log, stats::Counters,
};

/// What all shards share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    /// Whether the workers are processes of their own.
    pub(crate) is_cluster: bool,
    /// The workers of a cluster.
    pub(crate) roster: Roster,
    /// The way into each shard.
    pub(crate) inboxes: Arc<[Arc<Inbox>]>,
    /// Of each shard.
    pub(crate) counters: Vec<Arc<Counters>>,
    pub(crate) shortage: Shortage,
    /// There is no place for a client.
    full: Spell,
    /// What request bodies take of the memory.
    pub(crate) bodies: Bodies,
    pub(crate) client_log: ClientLog,
    /// Requests of a cluster that no worker has, over all shards.
    pub(crate) waiting: AtomicUsize,
    /// Requests that are not answered, over all shards.
    pub(crate) outstanding: AtomicUsize,
    pub(crate) drain: Arc<Drain>,
}

impl Shared {
    /// # Errors
    /// [`GatewayError::Start`] when the system has nothing for a bell.
    pub(crate) fn new(config: Config, is_cluster: bool) -> Result<Self, GatewayError> {
        let shards = usize::from(config.shards.max(1));
        Ok(Self {
            is_cluster,
            roster: Roster::new().map_err(GatewayError::Start)?,
            inboxes: (0..shards).map(|_| Arc::default()).collect(),
            counters: (0..shards).map(|_| Arc::default()).collect(),
            shortage: Shortage::default(),
            full: Spell::default(),
            bodies: Bodies::new(config.body_memory_total_bytes),
            client_log: ClientLog::default(),
            waiting: AtomicUsize::new(0),
            outstanding: AtomicUsize::new(0),
            drain: Arc::new(Drain::new(shards)),
            config,
        })
    }

    /// Takes a place in the queue, if there is one. To be given back by [`Self::release`].
    pub(crate) fn claim(&self) -> bool {
        let threads = if self.is_cluster { self.roster.threads() } else { self.config.threads };
        let max = threads + self.config.queue_max;
        if self.outstanding.fetch_add(1, Ordering::Relaxed) < max {
            return true;
        }
        self.release();
        false
    }

    pub(crate) fn release(&self) {
        self.outstanding.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether there may be as many connections as are counted. One that comes is to be counted before: shards that ask at
    /// the same moment would have the last place twice.
    pub(crate) fn has_room(&self) -> bool {
        let max = self.config.connections_max as u64;
        if max == 0 {
            return true;
        }
        // Of two shards that have counted, one at least sees what the other has.
        fence(Ordering::SeqCst);
        self.counters.iter().map(|counters| counters.connections()).sum::<u64>() <= max
    }

    /// Accepting rests, since there are as many connections as there may be.
    pub(crate) fn was_full(&self) {
        if self.full.is_new(Instant::now()) {
            log::warn(format_args!(
                "new clients wait until others leave: there are {} connections. Raise connections_max if there is memory for more",
                self.config.connections_max
            ));
        }
    }

    /// The figures of all shards together.
    pub(crate) fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        self.counters.iter().for_each(|counters| counters.add_to(&mut stats));
        // Every shard has every publication, and a longest wait of its own.
        stats.published = self.counters.first().map_or(0, |first| first.published.load(Ordering::Relaxed));
        let longest = self.counters.iter().map(|counters| counters.queue_wait_micros_max.load(Ordering::Relaxed));
        stats.queue_wait_micros_max = longest.max().unwrap_or_default();
        stats
    }

    /// The figures of a cluster: those of the shards, and what the workers have in hand now.
    pub(crate) fn cluster_stats(&self) -> Vec<(&'static str, u64)> {
        let workers = self.roster.reports();
        let serving = workers.iter().filter(|worker| worker.state == "serving").count();
        let handlers: usize = workers.iter().map(|worker| worker.handlers).sum();
        let now = [
            ("workers", serving as u64),
            ("handlers", handlers as u64),
            ("queued", self.waiting.load(Ordering::Relaxed) as u64),
        ];
        self.stats().entries().chain(now).collect()
    }

    /// The same, as lines of a name and a figure.
    pub(crate) fn figures(&self) -> String {
        self.cluster_stats().iter().map(|(name, figure)| format!("{name} {figure}\n")).collect()
    }
}
