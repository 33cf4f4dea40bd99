//! [`Inbox`]: the one way into a shard from other threads.

use std::{
    mem,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use parking_lot::Mutex;
use tokio::sync::Notify;
use volador_proto::link::Batch;

use crate::link::Arrival;

/// Frames from the worker and commands from the gateway, until the shard's thread takes them.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    waiting: Mutex<Delivery>,
    /// Bytes of the frames that wait, to be asked without the lock.
    bytes: AtomicUsize,
    /// Wakes the shard's inbox task. A wake-up that comes before the task waits is kept.
    wake: Notify,
}

/// What has come in since the last look.
#[derive(Debug, Default)]
pub(crate) struct Delivery {
    /// From the worker, in its order.
    pub(crate) frames: Batch,
    /// The furthest command that was given.
    pub(crate) command: Option<Command>,
    /// Links of workers.
    pub(crate) arrivals: Vec<Arrival>,
    /// What is to be done about workers, in order.
    pub(crate) orders: Vec<Order>,
    /// A worker of all shards may have room for a request.
    pub(crate) look: bool,
}

/// What the gateway tells its shards about the workers, whose states are in the roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Some workers have begun to serve or to retire.
    Rearrange,
    /// This process is to stop, when it is a worker.
    Dismiss(u32),
    /// All of them are, guests too.
    DismissAll,
}

/// What the gateway tells its shards. A later one includes the earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Command {
    /// Accept no more, answer what was accepted, close push connections.
    Drain,
    /// Leave everything and end the thread.
    Stop,
}

impl Inbox {
    pub(crate) fn deliver(&self, frames: Batch) {
        let first = {
            let mut waiting = self.waiting.lock();
            let first = waiting.frames.is_empty();
            waiting.frames.append(frames);
            self.bytes.store(waiting.frames.len(), Relaxed);
            first
        };
        // While something waits, a wake-up is under way already.
        if first {
            self.wake.notify_one();
        }
    }

    pub(crate) fn command(&self, command: Command) {
        {
            let mut waiting = self.waiting.lock();
            waiting.command = waiting.command.max(Some(command));
        }
        self.wake.notify_one();
    }

    /// A worker has opened a link for this shard.
    pub(crate) fn arrive(&self, arrival: Arrival) {
        self.waiting.lock().arrivals.push(arrival);
        self.wake.notify_one();
    }

    pub(crate) fn order(&self, order: Order) {
        self.waiting.lock().orders.push(order);
        self.wake.notify_one();
    }

    /// A worker has room for a request.
    pub(crate) fn look(&self) {
        self.waiting.lock().look = true;
        self.wake.notify_one();
    }

    /// Waits for a delivery and takes all of it.
    pub(crate) async fn next(&self) -> Delivery {
        self.wake.notified().await;
        let mut waiting = self.waiting.lock();
        self.bytes.store(0, Relaxed);
        mem::take(&mut waiting)
    }

    /// Bytes of frames that the shard has not taken.
    pub(crate) fn backlog(&self) -> usize {
        self.bytes.load(Relaxed)
    }
}
