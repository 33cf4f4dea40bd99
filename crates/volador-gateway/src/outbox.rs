//! [`Outbox`]: a shard's frames on their way to the worker.

use std::cell::{Cell, RefCell, RefMut};
use std::sync::Arc;

use tokio::sync::Notify;
use volador_proto::link::Batch;

use crate::WorkerLink;

/// Collects the frames of one turn of the event loop. The flush task is woken by the first of them and so runs behind
/// every task that was ready before: it hands over what all those have added, at once.
#[derive(Debug)]
pub(crate) struct Outbox {
    batch: RefCell<Batch>,
    /// Whether the flush task has been woken since the last flush.
    woken: Cell<bool>,
    wake: Notify,
    worker: Arc<dyn WorkerLink>,
}

impl Outbox {
    pub(crate) fn new(worker: Arc<dyn WorkerLink>) -> Self {
        Self { batch: RefCell::default(), woken: Cell::new(false), wake: Notify::new(), worker }
    }

    /// The batch, to append frames to. Not to be held across another call to the outbox.
    pub(crate) fn batch(&self) -> RefMut<'_, Batch> {
        if !self.woken.replace(true) {
            self.wake.notify_one();
        }
        self.batch.borrow_mut()
    }

    /// Hands over what there is, after each wake-up, for ever.
    pub(crate) async fn flush_task(&self) {
        loop {
            self.wake.notified().await;
            self.flush();
        }
    }

    /// Hands over what there is.
    pub(crate) fn flush(&self) {
        self.woken.set(false);
        let batch = self.batch.borrow_mut().take();
        if !batch.is_empty() {
            self.worker.deliver(batch);
        }
    }
}
