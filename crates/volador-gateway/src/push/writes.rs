//! What is sent at the end of a batch: a worker hands its frames over in batches, and all that a batch has for a connection
//! leaves by one send, and the sends of many connections by one system call.
//!
//! A message is set aside only while the frames of one batch are read, and only if nothing waits in the connection's queue. It is
//! sent sooner when too much has been set aside, when a larger message comes, or anything that changes what the connection is
//! sent: its close, say, or that it goes to another worker. See [`Engine::handle`].

use std::{io, os::fd::AsFd};

use volador_proto::link::{Kind, StreamId};
use volador_ring::{Ring, Send};

use super::{
    aside::{Aside, SequenceId},
    connection::Now,
    engine::Engine,
    message::Content,
};
use crate::{log, panics, selector::RING_MIN, shard::Shard, stats::add};

/// Bytes of a message from which on it is sent by itself: a system call more is nothing beside it.
pub(super) const LARGE_BYTES: usize = 4 << 10;

impl Engine {
    /// Sends a message to a client, with those that follow it in the batch.
    pub(super) fn write_with_others(&self, shard: &Shard, id: StreamId, kind: Kind, data: &[u8]) {
        let content = match Content::new(kind, data) {
            Ok(content) => content,
            Err(error) => return log::warn(format_args!("dropped a message: {error}")),
        };
        self.set_publication_aside(shard);
        if data.len() >= LARGE_BYTES {
            self.flush_writes(shard);
        }
        let is_set_aside = match shard.streams.borrow_mut().push(id) {
            Some(connection) if connection.takes_all() && data.len() < LARGE_BYTES => {
                let (before, form) = (connection.aside(), connection.form());
                let sequence = self.aside.borrow_mut().own(id, before, |out| content.put(form, &self.deflaters, out));
                connection.set_aside(Some(sequence));
                true
            }
            _ => false,
        };
        if is_set_aside {
            self.flush_if_full(shard);
        } else {
            self.write_content(shard, id, content);
        }
    }

    /// Sends what has been set aside, and answers those who want to know when it is sent.
    pub(crate) fn flush_writes(&self, shard: &Shard) {
        self.send_publication(shard);
        if !self.aside.borrow().is_empty() {
            self.send_aside(shard);
        }
        self.tell_drained(shard);
    }

    pub(super) fn flush_if_full(&self, shard: &Shard) {
        if self.aside.borrow().is_full() {
            self.flush_writes(shard);
        }
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
                Some(connection) => connection.takes_all() && connection.worker == Some(worker),
                None => false,
            };
            if is_drained {
                shard.workers.batch(worker).drained(id);
            }
        }
        self.asks.replace(asks);
    }

    fn send_aside(&self, shard: &Shard) {
        let mut aside = self.aside.take();
        let mut due = aside.take_connections();
        {
            let mut streams = shard.streams.borrow_mut();
            due.retain_mut(|(id, sequence)| {
                let last = streams.push(*id).and_then(|connection| connection.set_aside(None));
                last.is_some_and(|last| {
                    *sequence = last;
                    true
                })
            });
        }
        let mut rest = due.as_slice();
        while !rest.is_empty() {
            let (part, later) = rest.split_at(aside.join(rest.iter().take(Ring::BATCH).map(|(_, sequence)| *sequence)));
            rest = later;
            if panics::contain("sending a batch's messages", || self.send_part(shard, part, &aside)).is_none() {
                // Who knows what they have missed.
                part.iter().for_each(|(id, _)| self.with(shard, *id, |connection| Now::Ended(connection.lost())));
            }
        }
        aside.clear(due);
        self.aside.replace(aside);
    }

    fn send_part(&self, shard: &Shard, part: &[(StreamId, SequenceId)], aside: &Aside) {
        match &mut *shard.selector.ring() {
            Some(ring) if part.len() >= RING_MIN => self.send_together(shard, part, aside, ring),
            _ => {
                let config = &shard.shared.config;
                for (id, sequence) in part {
                    self.with(shard, *id, |connection| {
                        let sent = connection.send(aside.joined(*sequence));
                        connection.aside_sent(aside, *sequence, sent, config, &shard.counters)
                    });
                }
            }
        }
    }

    fn send_together(&self, shard: &Shard, due: &[(StreamId, SequenceId)], aside: &Aside, ring: &mut Ring) {
        let (mut whose, mut delivered) = (Vec::with_capacity(due.len()), 0);
        let unsent = {
            let streams = shard.streams.borrow();
            let mut sends = Vec::with_capacity(due.len());
            for (id, sequence) in due {
                if let Some((current, connection)) = streams.look_at_push(id.slot())
                    && current == *id
                    && let Some(socket) = &connection.socket
                {
                    whose.push((*id, *sequence));
                    delivered += aside.messages(*sequence);
                    sends.push(Send { socket: socket.as_fd(), bytes: aside.joined(*sequence) });
                }
            }
            send_all(shard, ring, &sends)
        };
        let config = &shard.shared.config;
        for (n, sent) in unsent {
            let (id, sequence) = whose[n];
            delivered -= aside.messages(sequence);
            self.with(shard, id, |connection| connection.aside_sent(aside, sequence, sent, config, &shard.counters));
        }
        add(&shard.counters.delivered, delivered);
    }
}

/// Sends to many sockets at once. Returns those that have not taken everything, by their places among the sends.
pub(super) fn send_all(shard: &Shard, ring: &mut Ring, sends: &[Send<'_>]) -> Vec<(usize, io::Result<usize>)> {
    let (mut bytes_sent, mut unsent) = (0, Vec::new());
    ring.send_all(sends, |n, sent| {
        let taken = sent.as_ref().map_or(0, |taken| *taken);
        bytes_sent += taken;
        // The usual case: nothing to do about the connection.
        if taken != sends[n].bytes.len() {
            unsent.push((n, sent));
        }
    });
    add(&shard.counters.sent_bytes, bytes_sent);
    unsent
}
