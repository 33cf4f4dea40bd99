//! [`Gateway`]: binds the listeners; starts, drains and stops the shards.

use std::{
    cell::Cell,
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Instant,
};

use parking_lot::{Condvar, Mutex};
use volador_hub::channel::Filter;
use volador_proto::link::Batch;

use crate::{
    Config, GatewayError, Stats,
    inbox::{Command, Inbox},
    listener::Listener,
    shard::Shard,
    stats::Counters,
};

/// The worker's end of the link, as the gateway sees it.
pub trait WorkerLink: Send + Sync + fmt::Debug {
    /// Takes frames for the worker, in order. Called on a shard's thread, which does nothing else meanwhile: it must
    /// not block.
    fn deliver(&self, batch: Batch);
}

/// The gateway's end of the link, as the worker sees it. Frames for a gateway that has stopped are dropped.
#[derive(Clone, Debug)]
pub struct GatewayHandle {
    inboxes: Arc<[Arc<Inbox>]>,
}

impl GatewayHandle {
    /// Takes frames for the streams of one shard, in order. From any thread, does not block.
    pub fn deliver(&self, shard: u8, frames: Batch) {
        if let Some(inbox) = self.inboxes.get(usize::from(shard)) {
            inbox.deliver(frames);
        }
    }

    /// How many shards there are; they are numbered from 0. A broadcast goes to each of them.
    pub fn shards(&self) -> u8 {
        self.inboxes.len() as u8
    }
}

/// What all shards share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    /// Requests that are with the worker and not answered, over all shards.
    pub(crate) outstanding: AtomicUsize,
    /// Shards that have not drained yet, or not ended.
    undrained: Mutex<usize>,
    drained: Condvar,
}

impl Shared {
    /// Takes a place in the worker's queue, if there is one. To be given back by [`Self::release`].
    pub(crate) fn claim(&self) -> bool {
        let max = self.config.threads + self.config.queue_max;
        if self.outstanding.fetch_add(1, Ordering::Relaxed) < max {
            return true;
        }
        self.release();
        false
    }

    pub(crate) fn release(&self) {
        self.outstanding.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A shard's promise to say when it has nothing left to do: by [`Self::fulfil`], or at its end.
pub(crate) struct DrainPromise(Cell<Option<Arc<Shared>>>);

impl DrainPromise {
    fn new(shared: Arc<Shared>) -> Self {
        Self(Cell::new(Some(shared)))
    }

    /// Says so. Only the first time counts.
    pub(crate) fn fulfil(&self) {
        if let Some(shared) = self.0.take() {
            *shared.undrained.lock() -= 1;
            shared.drained.notify_all();
        }
    }
}

impl fmt::Debug for DrainPromise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DrainPromise").finish_non_exhaustive()
    }
}

impl Drop for DrainPromise {
    fn drop(&mut self) {
        self.fulfil();
    }
}

/// The sockets of one server and the threads that serve them.
#[derive(Debug)]
pub struct Gateway {
    shared: Arc<Shared>,
    /// Until the shards are started, which then hold the listeners themselves.
    listeners: Vec<Listener>,
    addresses: Vec<String>,
    inboxes: Arc<[Arc<Inbox>]>,
    counters: Vec<Arc<Counters>>,
    threads: Vec<JoinHandle<()>>,
}

impl Gateway {
    /// Binds all addresses. Clients can connect from now on; they are served after [`Self::start`].
    ///
    /// # Errors
    /// [`GatewayError::Bind`] for the first address that can't be bound; the others are given back.
    pub fn bind(config: Config) -> Result<Self, GatewayError> {
        for pattern in &config.conflate {
            Filter::glob(pattern.as_bytes())
                .map_err(|source| GatewayError::BadPattern { pattern: pattern.clone(), source })?;
        }
        let listeners = config.bind.iter().map(Listener::bind).collect::<Result<Vec<_>, _>>()?;
        let shards = usize::from(config.shards.max(1));
        Ok(Self {
            addresses: listeners.iter().map(Listener::address).collect(),
            listeners,
            inboxes: (0..shards).map(|_| Arc::default()).collect(),
            counters: (0..shards).map(|_| Arc::default()).collect(),
            threads: Vec::with_capacity(shards),
            shared: Arc::new(Shared {
                outstanding: AtomicUsize::new(0),
                undrained: Mutex::new(shards),
                drained: Condvar::new(),
                config,
            }),
        })
    }

    /// The bound addresses with their real ports, in the order of [`Config::bind`].
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Starts the shards; from now on requests go to `worker`. A second call changes nothing.
    ///
    /// # Errors
    /// [`GatewayError::Start`] when the system refuses a thread or an event queue; the gateway is then stopped.
    pub fn start(&mut self, worker: Arc<dyn WorkerLink>) -> Result<GatewayHandle, GatewayError> {
        let handle = GatewayHandle { inboxes: self.inboxes.clone() };
        if !self.threads.is_empty() {
            return Ok(handle);
        }
        let listeners = Arc::new(std::mem::take(&mut self.listeners));
        for (number, inbox) in self.inboxes.iter().enumerate() {
            let (shared, inbox) = (self.shared.clone(), inbox.clone());
            let (counters, worker, listeners) = (self.counters[number].clone(), worker.clone(), listeners.clone());
            let (started, has_started) = std::sync::mpsc::sync_channel::<io::Result<()>>(1);
            let thread = thread::Builder::new().name(format!("volador-shard-{number}")).spawn(move || {
                let promise = DrainPromise::new(shared.clone());
                Shard::run(number as u8, shared, promise, &inbox, counters, worker, listeners, &started);
            });
            let result = thread.and_then(|thread| {
                self.threads.push(thread);
                // The thread says how its start went before it does anything else; if it can't, it has ended.
                has_started.recv().unwrap_or_else(|_| Err(io::Error::other("the thread ended at its start")))
            });
            if let Err(error) = result {
                self.stop();
                return Err(GatewayError::Start(error));
            }
        }
        Ok(handle)
    }

    /// Begins to drain: no new connections, the requests that have arrived are answered, push connections are closed
    /// with 1001. Returns at once.
    pub fn drain(&self) {
        self.command(Command::Drain);
    }

    /// Waits until all shards have drained and says whether they have. `until` bounds the wait.
    pub fn wait_drained(&self, until: Instant) -> bool {
        let mut undrained = self.shared.undrained.lock();
        while *undrained > 0 && !self.threads.is_empty() {
            if self.shared.drained.wait_until(&mut undrained, until).timed_out() {
                return *undrained == 0;
            }
        }
        true
    }

    /// Ends everything at once: connections are cut, threads joined, listeners closed.
    pub fn stop(&mut self) {
        self.command(Command::Stop);
        self.listeners.clear();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                crate::log::warn(format_args!("a gateway thread ended by a panic, which was reported above"));
            }
        }
    }

    /// The figures of all shards together.
    pub fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        self.counters.iter().for_each(|counters| counters.add_to(&mut stats));
        // Every shard has every publication.
        stats.published = self.counters.first().map_or(0, |first| first.published.load(Ordering::Relaxed));
        stats
    }

    fn command(&self, command: Command) {
        self.inboxes.iter().for_each(|inbox| inbox.command(command));
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.stop();
    }
}
