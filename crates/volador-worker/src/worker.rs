//! [`Worker`]: the worker's end of the link.

use std::{
    collections::HashMap,
    fmt, io,
    path::PathBuf,
    sync::{Arc, OnceLock},
    thread::JoinHandle,
};

use parking_lot::{Mutex, RwLock};
use volador_proto::link::{Batch, LinkError, Payload, StreamId, ToWorker};

use crate::{
    outbox::{Outboxes, Outlet},
    push::{Event, PushStream},
    queue::{Job, JobQueue, SeatState},
    response::Limits,
    seat::{Seat, push_haste},
    signal,
    watcher::Watcher,
};

/// The close code of a connection that ended without a close handshake (RFC 6455 §7.1.5).
pub(crate) const NO_CLOSE: u16 = 1006;

/// How a worker treats slow clients of streamed responses.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes of one response that are on their way before the rest goes to a file. More costs memory per slow client,
    /// less costs files and throughput.
    pub window_bytes: u64,
    /// Bytes of one response in its file before the writer has to wait, that is, before a slow client holds an
    /// application thread.
    pub spool_max_bytes: u64,
    /// Where the files are made.
    pub tmpdir: PathBuf,
}

/// What the worker, its seats and its watcher share.
#[derive(Debug)]
pub(crate) struct Core {
    options: Options,
    pub(crate) queue: JobQueue,
    /// Set when the gateway is joined.
    outboxes: OnceLock<Outboxes>,
    /// The push streams that something can still arrive for.
    streams: Mutex<HashMap<StreamId, Arc<PushStream>>>,
    /// All seats; few.
    pub(crate) seats: RwLock<Vec<Arc<SeatState>>>,
    pub(crate) watcher: Watcher,
}

/// Takes the gateway's frames, gives jobs to its seats, and sends what they answer.
pub struct Worker {
    core: Arc<Core>,
    watcher: Mutex<Option<JoinHandle<()>>>,
}

impl Worker {
    /// A worker without a gateway. It starts no thread yet.
    pub fn new(options: Options) -> Self {
        let core = Core {
            options,
            queue: JobQueue::new(),
            outboxes: OnceLock::new(),
            streams: Mutex::default(),
            seats: RwLock::default(),
            watcher: Watcher::default(),
        };
        Self { core: Arc::new(core), watcher: Mutex::new(None) }
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
                match (wake, flush) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                }
            });
        })?;
        *watcher = Some(thread);
        let _ = self.core.outboxes.set(Outboxes::new(outlet));
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
        let mut frames = batch.into_frames();
        let mut jobs = Vec::new();
        let mut broken = Ok(());
        while let Some(frame) = ToWorker::next(&mut frames) {
            match frame {
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

    /// Sends a message to every push connection whose request path matches. Ignored before a gateway is joined: there
    /// are no connections.
    pub fn broadcast(&self, pattern: &[u8], payload: Payload, data: &[u8]) {
        let Some(outboxes) = self.core.outboxes() else { return };
        for shard in outboxes.shards() {
            self.core.push(shard, |batch| batch.broadcast(pattern, payload, data));
        }
    }

    /// Sends a message to one push connection, also before its handshake is answered. Returns whether it is open.
    pub fn write(&self, push: &PushStream, payload: Payload, data: &[u8]) -> bool {
        let open = push.is_open();
        if open {
            self.core.push(push.id().shard(), |batch| batch.write(push.id(), payload, data));
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

    /// Seats get [`Taken::Stopped`](crate::Taken::Stopped) once no job is left.
    pub fn stop(&self) {
        self.core.queue.stop();
    }
}

impl Core {
    pub(crate) fn outboxes(&self) -> Option<&Outboxes> {
        self.outboxes.get()
    }

    pub(crate) fn limits(&self) -> Limits<'_> {
        let Options { window_bytes, spool_max_bytes, tmpdir } = &self.options;
        Limits { window_bytes: *window_bytes, spool_max_bytes: *spool_max_bytes, tmpdir }
    }

    /// Drops a push stream that nothing arrives for any more, or nothing that matters.
    pub(crate) fn forget(&self, id: StreamId) {
        self.streams.lock().remove(&id);
    }

    /// Acts on one frame. New jobs are added to `jobs`: one lock of the queue for the whole batch.
    fn receive(&self, stream: StreamId, frame: ToWorker, jobs: &mut Vec<Job>) {
        match frame {
            ToWorker::Request(request) => {
                let push = request.transport.map(|_| {
                    let push = Arc::new(PushStream::new(stream));
                    self.streams.lock().insert(stream, push.clone());
                    push
                });
                jobs.push(Job::Request { stream, request, push });
            }
            ToWorker::Message(payload, data) => self.post(stream, Event::Message(payload, data), jobs),
            // Not asked for by this worker.
            ToWorker::Published { .. } | ToWorker::Backlog(_) | ToWorker::Drained | ToWorker::Shutdown => {}
            ToWorker::Closed { code } => {
                let push = self.streams.lock().remove(&stream);
                if let Some(push) = push.filter(|push| push.end()) {
                    Self::post_to(push, Event::Close(code), jobs);
                }
            }
            ToWorker::Cancel => self.cancel(stream, jobs),
            ToWorker::Credit(bytes) => {
                for seat in &*self.seats.read() {
                    let mut flow = seat.flow.lock();
                    if flow.stream == stream && flow.credit(bytes.into()) {
                        drop(flow);
                        seat.signal.raise(signal::CREDIT);
                    }
                }
            }
        }
    }

    fn post(&self, stream: StreamId, event: Event, jobs: &mut Vec<Job>) {
        let push = self.streams.lock().get(&stream).cloned();
        // None: the stream was given up on this side while the message was on its way.
        if let Some(push) = push {
            Self::post_to(push, event, jobs);
        }
    }

    fn post_to(push: Arc<PushStream>, event: Event, jobs: &mut Vec<Job>) {
        if push.post(event) {
            jobs.push(Job::Event(push));
        }
    }

    /// The client of a request that is not answered completely has left.
    fn cancel(&self, cancelled: StreamId, jobs: &mut Vec<Job>) {
        let push = self.streams.lock().remove(&cancelled);
        if let Some(push) = push.filter(|push| push.end()) {
            // The answer that accepts the handshake is on its way and comes too late.
            Self::post_to(push, Event::Close(NO_CLOSE), jobs);
        }
        let in_batch = jobs.iter().position(|job| matches!(job, Job::Request { stream, .. } if *stream == cancelled));
        if let Some(at) = in_batch {
            jobs.remove(at);
        } else if !self.queue.cancel(cancelled) {
            for seat in &*self.seats.read() {
                seat.cancel(cancelled);
            }
        }
    }

    fn push(&self, shard: u8, write: impl FnOnce(&mut Batch)) {
        if let Some(outboxes) = self.outboxes()
            && outboxes.push(shard, push_haste(), write)
        {
            self.watcher.call();
        }
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
