//! Messages of handlers to their clients, sent together: a worker hands its answers over in batches, and one system call
//! sends all of a batch.
//!
//! A message is set aside only while the frames of one batch are read, and only if its connection has nothing else to
//! send. Whatever else concerns the connection finds it sent: see [`Engine::flush_writes`].

use std::{ops::Range, os::fd::AsFd};

use bytes::BytesMut;
use volador_proto::link::{Kind, StreamId};
use volador_ring::Send;

use super::{engine::Engine, message::Message};
use crate::{
    log,
    selector::RING_MIN,
    shard::Shard,
    stats::{add, count},
};

/// Bytes of a message from which on it is sent by itself: a system call more is nothing beside it.
const LARGE_BYTES: usize = 4 << 10;

/// Bytes that wait together, after which they are sent before anything is added to them.
const TOGETHER_BYTES: usize = 64 << 10;

/// The messages that have been set aside. What a client gets stands in one piece of memory for all of them, which is kept:
/// memory of its own for each would be more work than the frame.
#[derive(Debug, Default)]
pub(super) struct Writes {
    /// Each message's connection, and where in `bytes` it is.
    messages: Vec<(StreamId, Range<usize>)>,
    bytes: BytesMut,
}

impl Writes {
    fn clear(&mut self) {
        self.messages.clear();
        self.bytes.clear();
    }
}

impl Engine {
    /// Sends a message to a client, now or with those that follow it in the batch.
    pub(super) fn write_with_others(&self, shard: &Shard, id: StreamId, kind: Kind, data: &[u8]) {
        if !shard.selector.has_ring() {
            return self.write(shard, id, kind, data);
        }
        let message = match Message::new(kind, data, &self.deflaters) {
            Ok(message) => message,
            Err(error) => return log::warn(format_args!("dropped a message: {error}")),
        };
        let set_aside = match shard.streams.borrow_mut().push(id) {
            Some(connection) if connection.is_clear() && data.len() < LARGE_BYTES => {
                connection.set_aside(true);
                Some((connection.transport, connection.deflate))
            }
            _ => None,
        };
        match set_aside {
            Some((transport, deflate)) => {
                count(&shard.counters.delivered);
                let Writes { messages, bytes } = &mut *self.writes.borrow_mut();
                let start = bytes.len();
                message.put(transport, deflate, bytes);
                messages.push((id, start..bytes.len()));
            }
            None => {
                self.flush_writes(shard);
                let config = &shard.shared.config;
                self.with(shard, id, |connection| connection.send_message(&message, config, &shard.counters));
            }
        }
        if self.writes.borrow().bytes.len() >= TOGETHER_BYTES {
            self.flush_writes(shard);
        }
    }

    /// Sends what has been set aside, and answers those who want to know when it is sent.
    pub(crate) fn flush_writes(&self, shard: &Shard) {
        if !self.writes.borrow().messages.is_empty() {
            self.send_aside(shard);
        }
        self.tell_drained(shard);
    }

    /// Handlers that have asked are told, of those connections for which nothing waits. The others will be when it is so: see
    /// [`Engine::tell_news`].
    pub(super) fn tell_drained(&self, shard: &Shard) {
        if self.asks.borrow().is_empty() {
            return;
        }
        let mut asks = self.asks.take();
        for (worker, id) in asks.drain(..) {
            let is_drained = match shard.streams.borrow_mut().push(id) {
                Some(connection) => connection.is_clear() && connection.worker == Some(worker),
                None => false,
            };
            if is_drained {
                shard.workers.batch(worker).drained(id);
            }
        }
        self.asks.replace(asks);
    }

    fn send_aside(&self, shard: &Shard) {
        let mut writes = self.writes.take();
        let Writes { messages, bytes } = &writes;
        for (id, _) in messages {
            if let Some(connection) = shard.streams.borrow_mut().push(*id) {
                connection.set_aside(false);
            }
        }
        let mut unsent = Vec::new();
        let is_together = match &mut *shard.selector.ring() {
            Some(ring) if messages.len() >= RING_MIN => {
                let streams = shard.streams.borrow();
                let (mut indices, mut sends) = (Vec::with_capacity(messages.len()), Vec::with_capacity(messages.len()));
                for (index, (id, range)) in messages.iter().enumerate() {
                    if let Some((current, connection)) = streams.look_at_push(id.slot())
                        && current == *id
                        && let Some(socket) = &connection.socket
                    {
                        indices.push(index);
                        sends.push(Send { socket: socket.as_fd(), bytes: &bytes[range.clone()] });
                    }
                }
                let mut bytes_sent = 0;
                ring.send_all(&sends, |n, sent| match sent {
                    Ok(sent) if sent == sends[n].bytes.len() => bytes_sent += sent,
                    Ok(sent) => {
                        bytes_sent += sent;
                        unsent.push((indices[n], Ok(sent)));
                    }
                    Err(error) => unsent.push((indices[n], Err(error))),
                });
                add(&shard.counters.sent_bytes, bytes_sent);
                true
            }
            _ => false,
        };
        if !is_together {
            for (id, range) in messages {
                self.with(shard, *id, |connection| connection.send_aside(&bytes[range.clone()]));
            }
        }
        for (index, sent) in unsent {
            let (id, range) = &messages[index];
            self.with(shard, *id, |connection| connection.aside_sent(&bytes[range.clone()], sent));
        }
        writes.clear();
        self.writes.replace(writes);
    }
}
