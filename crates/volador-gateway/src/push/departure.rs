//! How a handler learns that its connection has ended, and learns it once.
//!
//! Embedded, or without a handler, the worker is told and the connection is forgotten. In a cluster the worker may be lost
//! before it has told the handler, or the handler may be nowhere when the client leaves. So the end is kept as a message
//! is (see [`super::tenant`]), and the connection, without its socket, stays in the table of streams until the worker that
//! has the handler says that it was told. A worker that is lost on the way is followed by the next one, unless it had
//! begun: what has begun is not begun again.

use volador_proto::link::StreamId;

use super::{engine::Engine, tenant::Stage};
use crate::{link::WorkerKey, shard::Shard};

impl Engine {
    /// The connection has no socket any more.
    pub(super) fn tell_end(&self, shard: &Shard, id: StreamId, code: u16) {
        self.stay_at_drain(shard, id);
        let is_awaited = {
            let mut streams = shard.streams.borrow_mut();
            let Some(connection) = streams.push(id) else { return };
            let worker = connection.worker;
            match &mut connection.tenant {
                None => {
                    worker.into_iter().for_each(|worker| shard.workers.batch(worker).closed(id, code));
                    false
                }
                // Nobody has it, and nobody will.
                Some(tenant) if tenant.stage == Stage::Refused => {
                    worker.into_iter().for_each(|worker| shard.workers.batch(worker).gone(id, code));
                    worker.is_some()
                }
                Some(tenant) => {
                    tenant.end(id, code, &mut shard.workers.batch(worker.unwrap_or(WorkerKey::NOBODY)));
                    true
                }
            }
        };
        if !is_awaited {
            self.depart(shard, id);
        }
    }

    /// The worker `from` has told the handler the end.
    pub(super) fn end_told(&self, shard: &Shard, from: WorkerKey, id: StreamId) {
        let is_over = shard.streams.borrow_mut().push(id).is_some_and(|connection| {
            let is_there = |stage| matches!(stage, Stage::Settled | Stage::Refused);
            connection.gone().is_some()
                && connection.worker == Some(from)
                && connection.tenant.as_ref().is_some_and(|tenant| is_there(tenant.stage))
        });
        if is_over {
            self.depart(shard, id);
        }
    }

    /// The server stops. A connection without a socket, whose handler is on its way to no worker yet, does not wait for one.
    pub(super) fn hurry(&self, shard: &Shard, id: StreamId) {
        if !shard.draining.get() {
            return;
        }
        let on_its_way = shard.streams.borrow_mut().push(id).and_then(|connection| {
            let is_moving = |stage| matches!(stage, Stage::Leaving | Stage::Waiting);
            connection.gone().filter(|_| connection.tenant.as_ref().is_some_and(|tenant| is_moving(tenant.stage)))
        });
        if let Some(code) = on_its_way {
            self.tell_end(shard, id, code);
        }
    }

    /// While the server stops no handler begins to move: the old one is told, where there is one. Where the request is
    /// replayed already, the application may be at work with the connection. Who is to be told is known with its answer,
    /// and one is.
    fn stay_at_drain(&self, shard: &Shard, id: StreamId) {
        if !shard.draining.get() {
            return;
        }
        let former = {
            let mut streams = shard.streams.borrow_mut();
            let Some(tenant) = streams.push(id).and_then(|connection| connection.tenant.as_mut()) else { return };
            if matches!(tenant.stage, Stage::Settled | Stage::Replaying(_)) {
                return;
            }
            let former = tenant.stage;
            tenant.refuse();
            former
        };
        if former == Stage::Leaving {
            self.leaving_ended(shard);
        }
    }

    /// Nothing more is to be told: the connection is forgotten.
    pub(super) fn depart(&self, shard: &Shard, id: StreamId) {
        let Some(connection) = shard.remove(id) else { return };
        if connection.tenant.is_some()
            && let Some(worker) = connection.worker
        {
            self.handler_went(shard, worker);
        }
        shard.ended();
        shard.relieved();
    }
}
