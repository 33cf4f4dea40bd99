//! [`Gateway`]: binds the listeners; starts, drains and stops the shards.

use std::{
    fmt, io,
    os::fd::RawFd,
    path::Path,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Instant,
};

use volador_hub::channel::Filter;
use volador_proto::link::Batch;

use crate::{
    Config, GatewayError, Stats, WorkerReport, descriptors,
    drain::DrainPromise,
    inbox::{Command, Inbox, Order},
    link::Door,
    listener::Listener,
    shard::{Labour, Shard},
    shared::Shared,
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

    /// Bytes of frames that the shard that is furthest behind has not taken.
    pub fn backlog(&self) -> usize {
        self.inboxes.iter().map(|inbox| inbox.backlog()).max().unwrap_or_default()
    }

    /// How many shards there are; they are numbered from 0. A broadcast goes to each of them.
    pub fn shards(&self) -> u8 {
        self.inboxes.len() as u8
    }
}

/// The sockets of one server and the threads that serve them.
#[derive(Debug)]
pub struct Gateway {
    shared: Arc<Shared>,
    /// Until the shards are started, which then hold the listeners themselves.
    listeners: Vec<Listener>,
    addresses: Vec<String>,
    threads: Vec<JoinHandle<()>>,
}

impl Gateway {
    /// Binds all addresses. Clients can connect from now on; they are served after [`Self::start`].
    ///
    /// # Errors
    /// [`GatewayError::Bind`] for the first address that can't be bound; the others are given back.
    pub fn bind(config: Config) -> Result<Self, GatewayError> {
        Self::new(config, false)
    }

    /// As [`Self::bind`], for workers in processes of their own.
    ///
    /// # Errors
    /// As [`Self::bind`].
    pub fn bind_cluster(config: Config) -> Result<Self, GatewayError> {
        Self::new(config, true)
    }

    fn new(config: Config, is_cluster: bool) -> Result<Self, GatewayError> {
        for pattern in &config.conflate {
            Filter::glob(pattern.as_bytes())
                .map_err(|source| GatewayError::BadPattern { pattern: pattern.clone(), source })?;
        }
        let inherited = config.inherited.iter().map(|socket| Listener::inherit(socket));
        let bound = config.bind.iter().map(Listener::bind);
        let listeners = inherited.chain(bound).collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            addresses: listeners.iter().map(Listener::address).collect(),
            listeners,
            threads: Vec::new(),
            shared: Arc::new(Shared::new(config, is_cluster)?),
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
        self.start_shards(|_| Labour::Embedded(worker.clone()))?;
        Ok(GatewayHandle { inboxes: self.shared.inboxes.clone() })
    }

    /// Starts the shards; requests wait until workers have joined over the Unix socket `link`, and [`Self::promote`] says
    /// which of them are to get the requests. A second call changes nothing.
    ///
    /// # Errors
    /// As [`Self::start`], and [`GatewayError::Bind`] for the Unix socket.
    pub fn start_cluster(&mut self, link: &Path) -> Result<(), GatewayError> {
        if !self.threads.is_empty() {
            return Ok(());
        }
        let mut door = Some(Door::bind(link)?);
        self.start_shards(|_| Labour::Cluster(door.take()))
    }

    fn start_shards(&mut self, mut labour: impl FnMut(u8) -> Labour) -> Result<(), GatewayError> {
        if !self.threads.is_empty() {
            return Ok(());
        }
        descriptors::raise_limit();
        let listeners = Arc::new(std::mem::take(&mut self.listeners));
        for number in 0..self.shared.inboxes.len() {
            let (shared, inbox) = (self.shared.clone(), self.shared.inboxes[number].clone());
            let (counters, listeners) = (self.shared.counters[number].clone(), listeners.clone());
            let labour = labour(number as u8);
            let (started, has_started) = std::sync::mpsc::sync_channel::<io::Result<()>>(1);
            let thread = thread::Builder::new().name(format!("volador-shard-{number}")).spawn(move || {
                let promise = DrainPromise::new(shared.drain.clone());
                Shard::run(number as u8, shared, promise, &inbox, counters, labour, listeners, &started);
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
        Ok(())
    }

    /// The workers of a cluster that have joined.
    pub fn workers(&self) -> Vec<WorkerReport> {
        self.shared.roster.reports()
    }

    /// A descriptor that becomes readable when there is something new to see in [`Self::workers`]. What is in it may be
    /// read and thrown away. It is the gateway's.
    pub fn bell(&self) -> RawFd {
        self.shared.roster.bell()
    }

    /// From now on requests go to the workers of this generation, those that are there and those to come. Workers of
    /// lower generations get no more of them; their push connections are handed over.
    pub fn promote(&self, generation: u32) {
        self.shared.roster.promote(generation);
        self.order(Order::Rearrange);
    }

    /// The worker with this process id gets no more requests; its push connections are handed over.
    pub fn retire(&self, pid: u32) {
        self.shared.roster.retire(pid);
        self.order(Order::Rearrange);
    }

    /// Tells the worker with this process id to stop. It gets no more requests, also when it is about to say that it is ready.
    pub fn dismiss(&self, pid: u32) {
        self.retire(pid);
        self.order(Order::Dismiss(pid));
    }

    /// Tells all workers to stop, and guests that it is over.
    pub fn dismiss_all(&self) {
        self.order(Order::DismissAll);
    }

    /// Begins to drain: no new connections, the requests that have arrived are answered, push connections are closed
    /// with 1001. Returns at once.
    pub fn drain(&self) {
        self.command(Command::Drain);
    }

    /// Waits until all shards have drained and says whether they have. `until` bounds the wait.
    pub fn wait_drained(&self, until: Instant) -> bool {
        // Without threads there is nothing to drain, or nothing any more.
        self.threads.is_empty() || self.shared.drain.wait(until)
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
        self.shared.stats()
    }

    /// The figures of a cluster, with their names: those of [`Self::stats`] and what the workers have in hand now.
    pub fn cluster_stats(&self) -> Vec<(&'static str, u64)> {
        self.shared.cluster_stats()
    }

    fn command(&self, command: Command) {
        self.shared.inboxes.iter().for_each(|inbox| inbox.command(command));
    }

    fn order(&self, order: Order) {
        self.shared.inboxes.iter().for_each(|inbox| inbox.order(order));
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.stop();
    }
}
