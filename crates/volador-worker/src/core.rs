//! [`Core`]: what a worker, its seats and its watcher share, and what the gateway's frames do to it.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use volador_link::{Lines, Want};
use volador_proto::link::{Batch, ListenerId, StreamId, ToWorker};

use crate::{
    Options,
    flush::{Haste, push_haste},
    jobs::Job,
    journal::Journal,
    listeners::{Listeners, Recipient},
    mailbox::{Event, Mailbox, Posted},
    outbox::Outboxes,
    push::PushStream,
    queue::{JobQueue, SeatState},
    response::Limits,
    streams::Streams,
    sync::{Mutex, RwLock},
    watcher::Watcher,
};

/// The close code of a connection that ended without a close handshake (RFC 6455 §7.1.5).
pub(crate) const NO_CLOSE: u16 = 1006;

/// The shard that tells the worker what is published: every shard has all publications, and one telling is enough.
pub(crate) const LISTENING_SHARD: u8 = 0;

/// What the worker, its seats and its watcher share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) options: Options,
    pub(crate) queue: JobQueue,
    /// Set when the gateway is joined.
    pub(crate) outboxes: OnceLock<Outboxes>,
    /// Set before the gateway of another process is joined.
    pub(crate) journal: OnceLock<Journal>,
    pub(crate) streams: Mutex<Streams>,
    /// The worker's own subscriptions.
    pub(crate) listeners: Mutex<Listeners>,
    /// Publications dropped at `block_queue_max_bytes`.
    pub(crate) dropped_block: AtomicU64,
    /// Of listeners that fall behind. Each is named once, but clients that come again have new ones.
    slow_blocks: Lines,
    /// Nothing can be published any more.
    pub(crate) stopped: AtomicBool,
    /// All seats; few.
    pub(crate) seats: RwLock<Vec<Arc<SeatState>>>,
    pub(crate) watcher: Watcher,
}

impl Core {
    /// Without a gateway.
    pub(crate) fn new(options: Options) -> Self {
        Self {
            options,
            queue: JobQueue::new(),
            outboxes: OnceLock::new(),
            journal: OnceLock::new(),
            streams: Mutex::default(),
            listeners: Mutex::default(),
            dropped_block: AtomicU64::new(0),
            slow_blocks: Lines::default(),
            stopped: AtomicBool::new(false),
            seats: RwLock::default(),
            watcher: Watcher::default(),
        }
    }

    pub(crate) fn outboxes(&self) -> Option<&Outboxes> {
        self.outboxes.get()
    }

    pub(crate) fn limits(&self) -> Limits<'_> {
        let Options { window_bytes, spool_max_bytes, tmpdir, .. } = &self.options;
        Limits { window_bytes: *window_bytes, spool_max_bytes: *spool_max_bytes, tmpdir }
    }

    /// Drops a push stream that nothing arrives for any more, or nothing that matters.
    pub(crate) fn forget(&self, id: StreamId) {
        self.streams.lock().remove(id);
    }

    pub(crate) fn unlisten(&self, id: ListenerId, stream: Option<StreamId>) {
        let mut listeners = self.listeners.lock();
        if listeners.remove(id, stream) {
            self.push(LISTENING_SHARD, |batch| batch.unlisten(id));
        }
    }

    /// The worker is to end: what is published from now on is for others. What its own subscriptions were told before waits
    /// for their blocks still.
    pub(crate) fn hear_no_more(&self) {
        let mut listeners = self.listeners.lock();
        for id in listeners.close() {
            self.push(LISTENING_SHARD, |batch| batch.unlisten(id));
        }
    }

    /// No block is called any more. Returns how many publications have waited for one; they count as dropped.
    pub(crate) fn drop_published(&self) -> usize {
        let of_worker: usize = self.listeners.lock().of_worker().map(|(_, mailbox)| mailbox.unsubscribe()).sum();
        let of_streams: usize = self.streams.lock().mailboxes().map(Mailbox::unsubscribe).sum();
        let dropped = of_worker + of_streams;
        self.dropped_block.fetch_add(dropped as u64, Ordering::Relaxed);
        dropped
    }

    /// A push connection has ended, and is marked so: its listeners end with it.
    pub(crate) fn unlisten_all(&self, stream: StreamId) {
        let mut listeners = self.listeners.lock();
        for id in listeners.remove_all(stream) {
            self.push(LISTENING_SHARD, |batch| batch.unlisten(id));
        }
    }

    /// Acts on one frame. New jobs are added to `jobs`: one lock of the queue for the whole batch.
    pub(crate) fn receive(&self, stream: StreamId, frame: ToWorker, jobs: &mut Vec<Job>) {
        match frame {
            ToWorker::Request(request) => {
                let push = request.transport.map(|transport| {
                    let push = Arc::new(PushStream::new(stream, transport));
                    if let Some(resumed) = &request.resumed {
                        push.set_timeout(resumed.timeout_ms);
                    }
                    self.streams.lock().insert(push.clone());
                    push
                });
                jobs.push(Job::Request { stream, request, push });
            }
            ToWorker::Lost => self.refuse(stream),
            ToWorker::Message(payload, data) => self.post(stream, Event::Message(payload, data), jobs),
            ToWorker::Drained => self.post(stream, Event::Drained, jobs),
            ToWorker::Shutdown => self.post(stream, Event::Shutdown, jobs),
            ToWorker::Backlog(messages) => {
                if let Some(push) = self.streams.lock().get(stream) {
                    push.set_backlog(messages);
                }
            }
            ToWorker::Closing => {
                if let Some(push) = self.streams.lock().get(stream) {
                    push.closing();
                }
            }
            ToWorker::Published { listener, channel, payload, data } => {
                let recipient = self.listeners.lock().get(listener).cloned();
                // None: it has ended while the message was on its way.
                if let Some(recipient) = recipient {
                    Self::post_to(recipient.clone(), Event::Published { listener, channel, payload, data }, jobs);
                    self.dropped(&recipient.mailbox().make_room(self.options.block_queue_max_bytes));
                }
            }
            ToWorker::Closed { code } => {
                self.end(stream, code, jobs);
            }
            ToWorker::Gone { code } => {
                if let Some(push) = self.streams.lock().get(stream) {
                    push.await_end();
                }
                if !self.end(stream, code, jobs) {
                    self.ended(stream);
                }
            }
            ToWorker::HandOver => {
                if self.streams.lock().get(stream).is_some() {
                    self.post(stream, Event::HandOver, jobs);
                } else {
                    // Its handler is gone: there is nothing to wait for.
                    self.push(stream.shard(), |batch| batch.handed_over(stream, None));
                }
            }
            ToWorker::Resume => self.post(stream, Event::Resumed, jobs),
            ToWorker::Release => self.release(stream, jobs),
            ToWorker::Recall(max) => self.recall(max as usize, jobs),
            // Of the process as a whole, and not for its streams.
            ToWorker::Welcome { .. } | ToWorker::Stop | ToWorker::Stats { .. } => {}
            ToWorker::Cancel => self.cancel(stream, jobs),
            ToWorker::Credit(bytes) => {
                for seat in &*self.seats.read() {
                    seat.credit(stream, bytes.into());
                }
            }
        }
    }

    pub(crate) fn post(&self, stream: StreamId, event: Event, jobs: &mut Vec<Job>) {
        let push = self.streams.lock().get(stream).cloned();
        // None: the stream was given up on this side while the message was on its way.
        if let Some(push) = push.filter(|push| push.wants(&event)) {
            Self::post_to(Recipient::Stream(push), event, jobs);
        }
    }

    pub(crate) fn post_to(recipient: Recipient, event: Event, jobs: &mut Vec<Job>) {
        match recipient.mailbox().post(event) {
            Posted::Waits => {}
            Posted::Queue => jobs.push(Job::Event(recipient)),
            Posted::Carry(payload, data) => jobs.push(Job::Message { recipient, payload, data }),
        }
    }

    /// Publications were dropped, of which every listener that is concerned is named in the log once. Where there are too
    /// many it is counted there first, and named when it still falls behind later.
    pub(crate) fn dropped(&self, events: &[Event]) {
        self.dropped_block.fetch_add(events.len() as u64, Ordering::Relaxed);
        for event in events {
            let Event::Published { listener, channel, .. } = event else { continue };
            let Some(case) = self.listeners.lock().falls_behind(*listener) else { continue };
            let is_named = self.slow_blocks.warn_of(
                case,
                format_args!(
                    "the block of a subscription is slower than what is published to \"{}\": more than {} bytes wait for it \
                     (block_queue_max_bytes), so its oldest messages are dropped, and counted in \
                     Volador.stats[:dropped_block]. Make the block quicker, or let it hand its work to a thread",
                    channel.escape_ascii(),
                    self.options.block_queue_max_bytes,
                ),
            );
            if is_named {
                self.listeners.lock().named(*listener);
            }
        }
    }

    /// A push connection has ended, or will not come to be. Returns whether there is a handler to tell so, now or when the
    /// handshake is answered.
    pub(crate) fn end(&self, stream: StreamId, code: u16, jobs: &mut Vec<Job>) -> bool {
        let ended = self.streams.lock().end(stream);
        let is_told = match ended {
            Some((push, true)) => {
                Self::post_to(Recipient::Stream(push), Event::Close(code), jobs);
                true
            }
            Some((push, false)) => push.is_unanswered(),
            None => false,
        };
        // Also those of a stream that was released: the end is told in any case.
        self.unlisten_all(stream);
        is_told
    }

    /// A push connection is another worker's now.
    pub(crate) fn release(&self, stream: StreamId, jobs: &mut Vec<Job>) {
        let ended = self.streams.lock().end(stream);
        if let Some((push, true)) = ended {
            Self::post_to(Recipient::Stream(push), Event::Released, jobs);
        }
        self.unlisten_all(stream);
    }

    /// The client of a request that is not answered completely has left.
    pub(crate) fn cancel(&self, cancelled: StreamId, jobs: &mut Vec<Job>) {
        // If it was a push request: the answer that accepts the handshake may be on its way and comes too late.
        self.end(cancelled, NO_CLOSE, jobs);
        let in_batch = jobs.iter().position(|job| job.request() == Some(cancelled));
        let has_begun = match in_batch {
            Some(at) => {
                jobs.remove(at);
                false
            }
            None => !self.queue.cancel(cancelled),
        };
        if has_begun {
            for seat in &*self.seats.read() {
                seat.cancel(cancelled);
            }
        } else {
            self.give_back(cancelled);
        }
    }

    /// Gives requests back that have not begun: first those of this batch, which are the latest.
    pub(crate) fn recall(&self, max: usize, jobs: &mut Vec<Job>) {
        let mut recalled = Vec::new();
        let mut at = jobs.len();
        while at > 0 && recalled.len() < max {
            at -= 1;
            if let Some(stream) = jobs[at].request() {
                recalled.push(stream);
                jobs.remove(at);
            }
        }
        recalled.extend(self.queue.recall(max - recalled.len()));
        for stream in recalled {
            if let Some(push) = self.streams.lock().remove(stream) {
                push.refuse();
            }
            self.give_back(stream);
        }
    }

    /// The request has not begun, and will not. To be told at once: another worker may have time for it.
    pub(crate) fn give_back(&self, stream: StreamId) {
        if let Some(outboxes) = self.outboxes() {
            outboxes.push(stream.shard(), Haste::Now, |batch| batch.returned(stream));
        }
    }

    /// This process had no descriptor for the body of a request. The client may try again.
    fn refuse(&self, stream: StreamId) {
        Want::OfProcess.gave_up();
        if let Some(outboxes) = self.outboxes() {
            outboxes.push(stream.shard(), Haste::Now, |batch| batch.refused(stream));
        }
    }

    /// The handler of a push connection has been told its end, or there is none: the gateway waits to hear that.
    pub(crate) fn ended(&self, stream: StreamId) {
        self.push(stream.shard(), |batch| batch.ended(stream));
    }

    /// See [`Worker::hand_over`](crate::Worker::hand_over). The first time counts.
    pub(crate) fn hand_over(&self, push: &PushStream, state: Option<&[u8]>) {
        if push.hand_over() {
            self.unlisten_all(push.id());
            // Its blocks end with what it leaves: they would run beside its successor.
            self.dropped_block.fetch_add(push.mailbox().unsubscribe() as u64, Ordering::Relaxed);
            self.push(push.id().shard(), |batch| batch.handed_over(push.id(), state));
        }
    }

    /// A seat begins with a job of a stream, unless this returns false: the gateway has given this worker up, and the job to
    /// another one.
    pub(crate) fn begins(&self, stream: StreamId, push: Option<&Arc<PushStream>>) -> bool {
        let begun = push.map_or(1, |push| push.begin());
        self.journal.get().is_none_or(|journal| journal.note(stream, begun))
    }

    pub(crate) fn push(&self, shard: u8, write: impl FnOnce(&mut Batch)) {
        if let Some(outboxes) = self.outboxes()
            && outboxes.push(shard, push_haste(), write)
        {
            self.watcher.call();
        }
    }
}
