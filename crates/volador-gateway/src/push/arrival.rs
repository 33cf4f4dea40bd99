//! How a request that the application has accepted becomes a push connection: its socket is taken over from HTTP, and what
//! has come for it meanwhile, from either side, reaches it.

use bytes::Bytes;
use volador_hub::path::PathKey;
use volador_proto::{
    link::{Interest, StreamId, Transport},
    ws::deflate::Agreement,
};

use super::{connection::PushConnection, engine::Engine, socket::PushSocket, tenant::Tenant};
use crate::{
    http::{Counted, Former},
    link::{State, WorkerKey},
    selector::Owner,
    shard::Shard,
    socket::Socket,
    stats::{add, count},
    streams::Stream,
};

/// A connection that is about to become a push connection.
#[derive(Debug)]
pub(crate) struct Takeover {
    pub(crate) id: StreamId,
    pub(crate) transport: Transport,
    /// What was agreed on about compressed messages.
    pub(crate) deflate: Option<Agreement>,
    /// What the client gets before anything else.
    pub(crate) head: Bytes,
    /// What the worker's handler wants to be told; None without a handler.
    pub(crate) interest: Option<Interest>,
}

impl Engine {
    /// Takes over a socket whose request the application has accepted. `read_buf` is what the client sent after it. As
    /// `counted` it is counted until it is so as a push connection.
    pub(crate) fn adopt(
        &self,
        shard: &Shard,
        mut socket: Socket,
        read_buf: &mut [u8],
        takeover: Takeover,
        counted: Option<Counted>,
    ) {
        let Takeover { id, transport, deflate, head, interest } = takeover;
        let former = shard.streams.borrow_mut().exchange(id).map(std::mem::take);
        let Former { worker, request, early, path_key } = former.unwrap_or_default().into_former();
        let registered = socket.reregister(shard.selector.registry(), Owner::Push(id.slot()).token());
        let path_key = match (path_key, registered) {
            (Some(path_key), Ok(())) => path_key,
            (path_key, registered) => {
                if let Err(error) = registered {
                    let lines = &shard.shared.client_log.push_starts;
                    lines.warn(format_args!("lost a push connection at its start: {error}"));
                }
                socket.deregister(shard.selector.registry());
                path_key.into_iter().for_each(|key| self.leave_path(key));
                return self.forsake(shard, id, worker);
            }
        };
        let socket = PushSocket::new(socket, shard.counters.clone());
        // Only a handler has to move when its worker ends.
        let member = worker.and_then(|worker| shard.workers.member(worker));
        let tenant =
            request.filter(|_| interest.is_some()).map(|request| Box::new(Tenant::new(request, member.clone())));
        if let (Some(_), Some(member)) = (&tenant, member) {
            member.handler_came();
        }
        let window = deflate.map(Agreement::window_bits);
        let interest = interest.unwrap_or(Interest::NONE);
        let connection = PushConnection::new(socket, transport, window, path_key, interest, worker, tenant);
        shard.streams.borrow_mut().replace(id, Stream::Push(Box::new(connection)));
        count(match transport {
            Transport::WebSocket => &shard.counters.websocket_connections,
            Transport::Sse => &shard.counters.sse_connections,
        });
        drop(counted);
        self.with(shard, id, |connection| connection.write(&head));
        if early.timeout > 0 {
            self.set_timeout(shard, id, early.timeout);
        }
        for (kind, data) in early.messages {
            self.write(shard, id, kind, &data);
        }
        if let (Some(worker), true) = (worker, early.asks_drained) {
            self.asks.borrow_mut().push((worker, id));
            self.tell_drained(shard);
        }
        if !read_buf.is_empty() {
            add(&shard.counters.received_bytes, read_buf.len());
            self.received(shard, id, read_buf);
        }
        if early.overflowed {
            count(&shard.counters.closed_slow);
            self.close(shard, id, 1013);
        } else if let Some(code) = early.closed {
            self.close(shard, id, code);
        } else if shard.draining.get() {
            self.shut_down(shard, id);
        }
        // It was lost, or told to retire, after it had answered.
        match worker.map(|worker| shard.workers.member(worker)) {
            None => {
                self.lost_worker(shard, None, id, || 1);
                self.move_on(shard);
            }
            Some(Some(member)) if member.state() == State::Retiring => self.rearrange(shard),
            Some(_) => {}
        }
    }

    /// A connection that the application has accepted has ended before it was taken over.
    pub(crate) fn abandon(&self, shard: &Shard, id: StreamId) {
        let former = shard.streams.borrow_mut().exchange(id).map(std::mem::take);
        let Former { worker, path_key, .. } = former.unwrap_or_default().into_former();
        path_key.into_iter().for_each(|key| self.leave_path(key));
        self.forsake(shard, id, worker);
    }

    /// A request is accepted as a push connection.
    pub(crate) fn join_path(&self, path: &[u8], id: StreamId) -> PathKey {
        self.hub.borrow_mut().join(path, id.slot())
    }

    /// It has come to nothing, or to its end.
    pub(crate) fn leave_path(&self, key: PathKey) {
        self.hub.borrow_mut().leave(key);
    }

    fn forsake(&self, shard: &Shard, id: StreamId, worker: Option<WorkerKey>) {
        shard.remove(id);
        if let Some(worker) = worker {
            shard.workers.batch(worker).closed(id, 1006);
        }
        shard.ended();
    }
}
