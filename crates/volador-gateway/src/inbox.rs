//! [`Inbox`]: the one way into a shard from other threads.

use std::mem;

use parking_lot::Mutex;
use tokio::sync::Notify;
use volador_proto::link::Batch;

/// Frames from the worker and commands from the gateway, until the shard's thread takes them.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    waiting: Mutex<Delivery>,
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

    /// Waits for a delivery and takes all of it.
    pub(crate) async fn next(&self) -> Delivery {
        self.wake.notified().await;
        mem::take(&mut self.waiting.lock())
    }
}
