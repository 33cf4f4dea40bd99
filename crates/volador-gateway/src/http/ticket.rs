//! [`Ticket`]: a request's place.

use std::rc::Rc;

use volador_proto::link::StreamId;

use super::Exchange;
use crate::{link::WorkerKey, shard::Shard};

/// A request's place in the table of streams and in the worker's queue. Dropping it tells the worker that nobody waits
/// any longer, unless the answer is complete.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(super) shard: Rc<Shard>,
    pub(super) id: StreamId,
    /// Whether the worker's queue still counts it.
    waiting: bool,
    /// Whether the worker may still send something for it.
    open: bool,
    /// Whether the stream goes on as a push connection.
    handed_over: bool,
}

impl Ticket {
    /// None when the queue is full.
    pub(super) fn take(shard: &Rc<Shard>) -> Option<Self> {
        let exchange = if shard.shared.is_cluster { Exchange::default() } else { Exchange::embedded() };
        shard.shared.claim().then(|| Self {
            shard: shard.clone(),
            id: shard.streams.borrow_mut().insert(exchange),
            waiting: true,
            open: true,
            handed_over: false,
        })
    }

    pub(super) fn answered(&mut self) {
        self.waiting = false;
        self.shard.shared.release();
    }

    /// Who works on the request.
    pub(super) fn worker(&self) -> Option<WorkerKey> {
        self.shard.streams.borrow_mut().exchange(self.id).and_then(|exchange| exchange.worker())
    }

    /// Nothing more will come.
    pub(super) fn complete(&mut self) {
        self.open = false;
    }

    pub(super) fn hand_over(mut self) -> StreamId {
        self.handed_over = true;
        self.id
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.waiting {
            self.shard.shared.release();
        }
        if self.handed_over {
            return;
        }
        match self.worker() {
            Some(worker) if self.open => self.shard.workers.batch(worker).cancel(self.id),
            Some(_) => {}
            None => self.shard.leave_queue(self.id),
        }
        self.shard.remove(self.id);
        self.shard.ended();
    }
}
