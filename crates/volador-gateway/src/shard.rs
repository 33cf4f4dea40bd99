//! [`Shard`]: one gateway thread with its event loop, its connections and its slice of the hub.

mod frames;
mod runtime;

use std::{
    cell::{Cell, RefCell},
    io,
    num::NonZero,
    rc::Rc,
    sync::{Arc, mpsc::SyncSender},
    time::Duration,
};

use slab::Slab;
use tokio::task::LocalSet;
use volador_proto::link::{StreamId, ToGateway};

use crate::{
    WorkerLink, descriptors,
    dispatch::Dispatch,
    drain::DrainPromise,
    http::{self, Corks, Counted, Exchange, HttpSocket, Tunnels},
    inbox::{Command, Inbox},
    link::{Door, WorkerKey, Workers},
    listener::{Acceptor, Listener},
    log, panics,
    push::{Engine, PushConnection},
    selector::Selector,
    shared::Shared,
    socket::Socket,
    stats::{Counters, count},
    streams::{Stream, Streams},
};

/// How long a listener rests when there is no descriptor or no place for a client, or the system has refused a connection.
/// Clients wait meanwhile, in the system's backlog.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// How long before the end of a drain push connections are ended that have not come to theirs, at most.
const TELLING_MAX: Duration = Duration::from_secs(1);

/// The state of one gateway thread. All of its tasks share it; none of them leaves the thread, so nothing is locked.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) shared: Arc<Shared>,
    pub(crate) workers: Workers,
    pub(crate) dispatch: Dispatch,
    pub(crate) streams: RefCell<Streams>,
    pub(crate) selector: Selector,
    pub(crate) engine: Engine,
    pub(crate) counters: Arc<Counters>,
    /// Connections that speak HTTP, for those who have to reach all of them.
    pub(crate) connections: RefCell<Slab<Rc<HttpSocket>>>,
    /// Connections that applications have taken.
    pub(crate) tunnels: Tunnels,
    /// HTTP connections that have something to send.
    pub(crate) corks: Corks,
    pub(crate) draining: Cell<bool>,
    /// The time of the drain is nearly over: push connections are ended, also those that come now.
    pub(crate) is_late: Cell<bool>,
    /// When the frames at hand came from another process, by the roster's clock. Asked once for all of a read.
    pub(crate) read_at: Cell<u64>,
    /// Fires when a drain may have come to its end.
    progress: tokio::sync::Notify,
    drained: DrainPromise,
}

/// Where a shard's frames go.
#[derive(Debug)]
pub(crate) enum Labour {
    /// To this worker, for good.
    Embedded(Arc<dyn WorkerLink>),
    /// To workers that join; one of the shards lets them in.
    Cluster(Option<Door>),
}

impl Shard {
    /// Runs a shard until it is told to stop. `started` gets one message, before anything else is done.
    #[allow(clippy::too_many_arguments)] // each is one thing that crosses into the thread, once
    pub(crate) fn run(
        number: u8,
        shared: Arc<Shared>,
        drained: DrainPromise,
        inbox: &Inbox,
        counters: Arc<Counters>,
        labour: Labour,
        listeners: Arc<Vec<Listener>>,
        started: &SyncSender<io::Result<()>>,
    ) {
        // The receiver waits for exactly this message, so it can't be gone.
        let report = |result| drop(started.send(result));
        let runtime = match runtime::build(number) {
            Ok(runtime) => runtime,
            Err(error) => return report(Err(error)),
        };
        let local = LocalSet::new();
        let main = async {
            let setup = || -> io::Result<_> {
                let acceptors = listeners.iter().map(Listener::acceptor).collect::<io::Result<Vec<_>>>()?;
                Ok((acceptors, Selector::new()?))
            };
            let (acceptors, selector) = match setup() {
                Ok(parts) => parts,
                Err(error) => return report(Err(error)),
            };
            let (worker, door) = match labour {
                Labour::Embedded(worker) => (Some(worker), None),
                Labour::Cluster(door) => (None, door),
            };
            let block_queue_max_bytes = shared.config.block_queue_max_bytes;
            let shard = Rc::new(Self {
                engine: Engine::new(&shared.config),
                shared,
                workers: Workers::new(worker, block_queue_max_bytes),
                dispatch: Dispatch::default(),
                streams: RefCell::new(Streams::new(number)),
                selector,
                counters,
                connections: RefCell::default(),
                tunnels: Tunnels::default(),
                corks: Corks::default(),
                draining: Cell::new(false),
                is_late: Cell::new(false),
                read_at: Cell::default(),
                progress: tokio::sync::Notify::new(),
                drained,
            });
            report(Ok(()));
            shard.main(inbox, acceptors, listeners, door).await;
        };
        local.block_on(&runtime, main);
        // Dropping the tasks drops their connections. They tell the worker so, which no longer matters.
        drop(local);
    }

    async fn main(
        self: &Rc<Self>,
        inbox: &Inbox,
        acceptors: Vec<Acceptor>,
        listeners: Arc<Vec<Listener>>,
        door: Option<Door>,
    ) {
        let accepting: Vec<_> = acceptors.into_iter().map(|a| panics::spawn(self.clone().accept(a))).collect();
        let mut accepting = Some((accepting, listeners));
        let cores = std::thread::available_parallelism().map_or(2, NonZero::get);
        self.spawn_lasting("handing frames over", async move |shard| {
            shard.workers.flush_task(cores, || shard.selector.look(shard)).await;
        });
        self.spawn_lasting("sending answers", async |shard| shard.corks.task(shard).await);
        if let Some(door) = door {
            let shard = self.clone();
            panics::spawn(async move { door.task(shard).await });
        }
        if self.shared.is_cluster {
            self.spawn_lasting("recalling requests", async |shard| shard.recall_task().await);
        }
        self.spawn_lasting("serving sockets", async |shard| shard.selector.task(shard).await);
        self.spawn_lasting("timing connections", async |shard| shard.engine.timer_task(shard).await);
        loop {
            let delivery = inbox.next().await;
            // A worker that publishes without a pause is not to keep everything else from its turn.
            tokio::task::yield_now().await;
            let mut frames = delivery.frames.into_frames();
            while let Some(frame) = ToGateway::next(&mut frames) {
                match frame {
                    Ok((id, frame)) => self.dispatch(WorkerKey::EMBEDDED, id, frame),
                    Err(error) => {
                        log::warn(format_args!("the worker's frames can't be read, its batch is dropped: {error}"));
                        break;
                    }
                }
            }
            self.engine.flush_writes(self);
            for arrival in delivery.arrivals {
                if let Err(error) = self.welcome(arrival) {
                    log::warn(format_args!("can't take a worker's link: {error}"));
                }
            }
            for order in delivery.orders {
                self.obey(order);
            }
            if delivery.look {
                self.pump();
            }
            match delivery.command {
                None => {}
                Some(Command::Stop) => {
                    self.workers.flush();
                    return;
                }
                Some(Command::Drain) => {
                    // Stops listening: dropping the last shard's reference closes the listeners.
                    if let Some((tasks, _listeners)) = accepting.take() {
                        tasks.iter().for_each(|task| task.abort());
                        self.drain();
                    }
                }
            }
        }
    }

    fn spawn_lasting(self: &Rc<Self>, what: &'static str, task: impl AsyncFn(&Self) + Clone + 'static) {
        let shard = self.clone();
        panics::spawn_lasting(what, move || {
            let (shard, task) = (shard.clone(), task.clone());
            async move { task(&shard).await }
        });
    }

    async fn accept(self: Rc<Self>, acceptor: Acceptor) {
        let mut rests = false;
        loop {
            match acceptor.accept().await {
                Ok((socket, peer)) => {
                    rests = false;
                    let (socket, counted) = self.settle(socket).await;
                    count(&self.counters.accepted);
                    panics::spawn(http::serve(self.clone(), socket, peer, counted));
                }
                // The client left while it waited in the backlog.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    if !std::mem::replace(&mut rests, true) {
                        count(&self.counters.accept_waits);
                    }
                    self.shared.shortage.failed(&error);
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            }
        }
    }

    /// Waits until there is a descriptor for this client that is not kept from clients, and a place among the connections,
    /// as those do that come after it. It has the place from then on: others may be accepted before its task has had a turn.
    async fn settle(&self, mut socket: Socket) -> (Socket, Counted) {
        let mut waits = false;
        loop {
            let has_descriptor = descriptors::is_for_clients(&socket);
            if has_descriptor {
                let counted = Counted::new(self.counters.clone());
                if self.shared.has_room() {
                    return (socket, counted);
                }
            }
            if !std::mem::replace(&mut waits, true) {
                count(&self.counters.accept_waits);
            }
            match has_descriptor {
                true => self.shared.was_full(),
                false => self.shared.shortage.refused(),
            }
            tokio::time::sleep(ACCEPT_REST).await;
            // A lower one, if one has become free. There may be none at all.
            if !has_descriptor && let Ok(again) = socket.again() {
                socket = again;
            }
        }
    }

    /// Its own number.
    pub(crate) fn number(&self) -> usize {
        self.streams.borrow().shard().into()
    }

    /// No new connections; those that there are come to their end.
    fn drain(self: &Rc<Self>) {
        self.draining.set(true);
        self.connections.borrow().iter().for_each(|(_, connection)| connection.wake());
        self.engine.close_all(self);
        let (shard, time) = (self.clone(), self.shared.config.drain_timeout);
        // Before the time is over, so that there is some for handlers to be told.
        panics::spawn(async move {
            tokio::time::sleep(time - (time / 4).min(TELLING_MAX)).await;
            shard.is_late.set(true);
            shard.engine.end_all(&shard);
        });
        let shard = self.clone();
        panics::spawn(async move {
            while shard.streams.borrow().len() > 0 || !shard.connections.borrow().is_empty() {
                shard.progress.notified().await;
            }
            // What the applications do with these, and for how long, is not known; a thread of theirs may wait for the end.
            shard.tunnels.close();
            shard.workers.flush();
            shard.drained.fulfil();
        });
    }

    /// Ends a stream. Returns what it was, if it was a push connection.
    pub(crate) fn remove(&self, id: StreamId) -> Option<Box<PushConnection>> {
        let stream = self.streams.borrow_mut().remove(id)?;
        self.engine.forget(self, id);
        match stream {
            Stream::Push(connection) => Some(connection),
            Stream::Exchange(mut memory) => {
                memory.leave().into_iter().for_each(|key| self.engine.leave_path(key));
                *memory = Exchange::default();
                self.streams.borrow_mut().keep(memory);
                None
            }
        }
    }

    /// To be called when a connection or a stream has ended.
    pub(crate) fn ended(&self) {
        if self.draining.get() {
            self.progress.notify_one();
        }
    }
}
