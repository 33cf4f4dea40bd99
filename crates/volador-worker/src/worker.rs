//! [`Worker`]: the worker's end of the link.

use std::{
    fmt, io,
    num::NonZero,
    sync::{Arc, atomic::Ordering},
    thread::JoinHandle,
    time::Duration,
};

use volador_proto::link::{Batch, Frames, Kind, LinkError, ListenerId, Match, ToWorker, Transport};

use crate::{
    Options,
    core::{Core, LISTENING_SHARD, NO_CLOSE},
    flush::push_haste,
    journal::Journal,
    outbox::{Outboxes, Outlet},
    push::PushStream,
    queue::Waits,
    seat::Seat,
    sync::Mutex,
    watcher::Look,
};

/// Bytes that the gateway may be behind before whoever publishes has to wait.
const BACKLOG_MAX: usize = 2 << 20;

/// Takes the gateway's frames, gives jobs to its seats, and sends what they answer.
pub struct Worker {
    core: Arc<Core>,
    watcher: Mutex<Option<JoinHandle<()>>>,
}

impl Worker {
    /// A worker without a gateway. It starts no thread yet.
    pub fn new(options: Options) -> Self {
        Self { core: Arc::new(Core::new(options)), watcher: Mutex::new(None) }
    }

    /// Joins the gateway: from now on jobs are given out. Jobs that came before wait until then. A second call is
    /// ignored.
    ///
    /// # Errors
    /// When the watcher's thread can't be started.
    pub fn join(&self, outlet: Arc<dyn Outlet>) -> io::Result<()> {
        let mut watcher = self.watcher.lock();
        if watcher.is_some() {
            return Ok(());
        }
        let core = self.core.clone();
        let thread = std::thread::Builder::new().name("volador-watcher".into()).spawn(move || {
            core.watcher.run(|now| {
                let wake = core.queue.wake_overdue(now);
                let flush = core.outboxes().and_then(|outboxes| outboxes.flush_overdue(now));
                let next = match (wake, flush) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                };
                Look { next, is_brisk: core.queue.is_brisk(now) }
            });
        })?;
        *watcher = Some(thread);
        {
            let mut listeners = self.core.listeners.lock();
            let cores = std::thread::available_parallelism().map_or(2, NonZero::get);
            let _ = self.core.outboxes.set(Outboxes::new(outlet, cores));
            for (id, matching, name) in listeners.take_waiting() {
                self.core.push(LISTENING_SHARD, |batch| batch.listen(id, matching, &name));
            }
        }
        if self.core.queue.open() {
            self.core.watcher.call();
        }
        Ok(())
    }

    /// Takes the frames of a batch. For the gateway's threads: never waits for application code.
    ///
    /// # Errors
    /// [`LinkError`] when a frame makes no sense. What stood before it in the batch counts; the link is broken.
    pub fn deliver(&self, batch: Batch) -> Result<(), LinkError> {
        self.receive(&mut batch.into_frames(), |_| {})
    }

    /// As [`Self::deliver`], for frames that came over a socket. Those that concern the process as a whole go to
    /// `process`.
    ///
    /// # Errors
    /// As [`Self::deliver`].
    pub(crate) fn receive(&self, frames: &mut Frames, mut process: impl FnMut(ToWorker)) -> Result<(), LinkError> {
        let mut jobs = Vec::new();
        let mut broken = Ok(());
        while let Some(frame) = ToWorker::next(frames) {
            match frame {
                Ok((_, frame @ (ToWorker::Stop | ToWorker::Stats { .. }))) => process(frame),
                Ok((stream, frame)) => self.core.receive(stream, frame, &mut jobs),
                Err(error) => {
                    broken = Err(error);
                    break;
                }
            }
        }
        if !jobs.is_empty() && self.core.queue.deliver(jobs) {
            self.core.watcher.call();
        }
        broken
    }

    /// Whether the gateway is so far behind what it was handed that whoever has more is to wait a moment. Nothing is lost
    /// when it does not, but memory is taken without a bound.
    pub fn is_ahead(&self) -> bool {
        self.core.outboxes().is_some_and(|outboxes| outboxes.backlog() >= BACKLOG_MAX)
    }

    /// Sends a message to every push connection whose request path matches. Ignored before a gateway is joined: there
    /// are no connections.
    pub fn broadcast(&self, pattern: &[u8], kind: impl Into<Kind>, data: &[u8]) {
        let Some(outboxes) = self.core.outboxes() else { return };
        let kind = kind.into();
        if outboxes.push_all(push_haste(), |batch| batch.broadcast(pattern, kind, data)) {
            self.core.watcher.call();
        }
    }

    /// Sends a message to every subscriber of a channel. Returns whether there is a gateway that is not about to stop.
    pub fn publish(&self, channel: &[u8], kind: impl Into<Kind>, data: &[u8]) -> bool {
        let Some(outboxes) = self.core.outboxes().filter(|_| !self.core.stopped.load(Ordering::Acquire)) else {
            return false;
        };
        let kind = kind.into();
        if outboxes.push_all(push_haste(), |batch| batch.publish(channel, kind, data)) {
            self.core.watcher.call();
        }
        true
    }

    /// From now on the push connection gets what is published to these channels, straight from the gateway; also before
    /// its handshake is answered. Returns whether it is open.
    pub fn subscribe(&self, push: &PushStream, matching: Match, name: &[u8]) -> bool {
        self.tell(push, |batch| batch.subscribe(push.id(), matching, name))
    }

    /// It no longer gets them. Returns whether it is open.
    pub fn unsubscribe(&self, push: &PushStream, matching: Match, name: &[u8]) -> bool {
        self.tell(push, |batch| batch.unsubscribe(push.id(), matching, name))
    }

    /// Tells what is published to these channels as events of the push connection, which end with it. None when it is
    /// closed.
    pub fn listen_for(&self, push: &Arc<PushStream>, matching: Match, name: &[u8]) -> Option<ListenerId> {
        let mut listeners = self.core.listeners.lock();
        // Under the lock: whoever ends the connection comes after this, or has been before and is seen here.
        if !push.is_open() {
            return None;
        }
        let id = listeners.add_to(push);
        self.core.push(LISTENING_SHARD, |batch| batch.listen(id, matching, name));
        Some(id)
    }

    /// Tells what is published to these channels as events with an id of the listener's own (see
    /// [`Taken::Event`](crate::Taken::Event)), one after the other. Before a gateway is joined it is remembered; after
    /// [`Self::finish`] nothing is told.
    pub fn listen(&self, matching: Match, name: &[u8]) -> ListenerId {
        let mut listeners = self.core.listeners.lock();
        let id = listeners.add();
        if listeners.is_closed() {
            // It would never be at the end of what is published.
        } else if self.core.outboxes().is_some() {
            self.core.push(LISTENING_SHARD, |batch| batch.listen(id, matching, name));
        } else {
            listeners.wait(id, matching, name);
        }
        id
    }

    /// Ends what [`Self::listen_for`] has begun for this push connection; any other id is ignored. Nothing more is told,
    /// but for an event that a seat has taken already.
    pub fn unlisten_for(&self, push: &PushStream, id: ListenerId) {
        self.core.unlisten(id, Some(push.id()));
    }

    /// Ends what [`Self::listen`] has begun, as [`Self::unlisten_for`] does.
    pub fn unlisten(&self, id: ListenerId) {
        self.core.unlisten(id, None);
    }

    /// Sends a message to one push connection, also before its handshake is answered. Returns whether it is open.
    pub fn write(&self, push: &PushStream, kind: impl Into<Kind>, data: &[u8]) -> bool {
        self.tell(push, |batch| batch.write(push.id(), kind, data))
    }

    /// The time between two pings or heartbeats of this push connection.
    pub fn timeout(&self, push: &PushStream) -> Duration {
        match (push.timeout(), push.transport()) {
            (Some(millis), _) => Duration::from_millis(millis.into()),
            (None, Transport::WebSocket) => self.core.options.ping_interval,
            (None, Transport::Sse) => self.core.options.heartbeat_interval,
        }
    }

    /// A ping or a heartbeat goes to this push connection after so many milliseconds, each time; 0: as to all others.
    /// Ignored once it is closed.
    pub fn set_timeout(&self, push: &PushStream, millis: u32) {
        if self.tell(push, |batch| batch.timeout(push.id(), millis)) {
            push.set_timeout(millis);
        }
    }

    /// The handler of this push connection, which has just written, gets an [`Event::Drained`](crate::Event::Drained) as
    /// soon as nothing waits for the client. Ignored once it is closed.
    pub fn ask_drained(&self, push: &PushStream) {
        self.tell(push, |batch| batch.ask_drained(push.id()));
    }

    /// Tells the gateway something about a push connection that is open. Returns whether it is.
    fn tell(&self, push: &PushStream, write: impl FnOnce(&mut Batch)) -> bool {
        let open = push.is_open();
        if open {
            self.core.push(push.id().shard(), write);
        }
        open
    }

    /// Closes one push connection once what was written before has been sent. The code is what a WebSocket's peer is
    /// told (RFC 6455 §7.4).
    pub fn close(&self, push: &PushStream, code: u16) {
        if push.close() {
            self.core.push(push.id().shard(), |batch| batch.close(push.id(), code));
        }
    }

    /// Its handler has been asked, and leaves `state` for the next one: from here on the push connection takes no more
    /// from this worker. Ignored when it has ended meanwhile.
    pub fn hand_over(&self, push: &PushStream, state: Option<&[u8]>) {
        self.core.hand_over(push, state);
    }

    /// Notes from now on which jobs begin, so that the gateway knows when this process is no more.
    pub(crate) fn keep_journal(&self, journal: Journal) {
        let _ = self.core.journal.set(journal);
    }

    /// The gateway is gone, and with it every push connection. Or it lives and has given this worker up: then they go on in
    /// others.
    pub(crate) fn lost(&self) {
        let is_given_up = self.core.journal.get().is_some_and(|journal| !journal.is_open());
        let streams = self.core.streams.lock().ids();
        let mut jobs = Vec::new();
        for stream in streams {
            if is_given_up {
                self.core.release(stream, &mut jobs);
            } else {
                self.core.end(stream, NO_CLOSE, &mut jobs);
            }
        }
        if self.core.queue.deliver(jobs) {
            self.core.watcher.call();
        }
    }

    /// Hands over what waits for company. When it returns, the gateway has been handed all that was there before.
    pub fn flush(&self) {
        if let Some(outboxes) = self.core.outboxes() {
            outboxes.flush();
        }
    }

    /// Tells the gateway something about this worker, on the link of one shard.
    pub(crate) fn report(&self, shard: u8, write: impl FnOnce(&mut Batch)) {
        self.core.push(shard, write);
    }

    /// Nobody will ask for the state of this push stream any more: without a handler it need not be kept.
    pub fn release(&self, push: &PushStream) {
        if !push.has_handler() && !push.is_unanswered() {
            self.core.forget(push.id());
        }
    }

    /// A new seat for an application thread.
    pub fn seat(&self) -> Seat {
        Seat::new(self.core.clone())
    }

    /// Jobs that wait.
    pub fn queued(&self) -> usize {
        self.core.queue.len()
    }

    /// Publications that were dropped, as the block that should have been called was too slow.
    pub fn dropped_block(&self) -> u64 {
        self.core.dropped_block.load(Ordering::Relaxed)
    }

    /// How long requests have waited for a seat.
    pub fn waits(&self) -> Waits {
        self.core.queue.waits()
    }

    /// Seats get [`Taken::Stopped`](crate::Taken::Stopped) once no job is left. What is published still goes out, and no
    /// longer to this worker's own subscriptions, which would never be at the end of it.
    pub fn finish(&self) {
        self.core.hear_no_more();
        self.core.queue.stop();
    }

    /// There are no seats any more: what is published and has waited for them is dropped, and counted. Returns how much.
    pub fn drop_published(&self) -> usize {
        self.core.drop_published()
    }

    /// As [`Self::finish`], and nothing is published any more.
    pub fn stop(&self) {
        self.core.stopped.store(true, Ordering::Release);
        self.finish();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.core.watcher.stop();
        if let Some(thread) = self.watcher.get_mut().take()
            && thread.thread().id() != std::thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("queued", &self.queued()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
