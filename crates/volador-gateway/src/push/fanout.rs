//! One message for many: [`Engine::broadcast`] by request path, [`Engine::publish`] by channel.
//!
//! The first one of a batch is held back until it is known whether another one comes. If none does, it goes from the list of
//! its receivers to their sockets. Else each is set aside for every receiver, which gets all of them by one send.

use std::os::fd::AsFd;

use bytes::Bytes;
use volador_hub::path::PathPattern;
use volador_proto::link::{Kind, ToGateway};
use volador_ring::{Ring, Send};

use super::{
    connection::PushConnection,
    engine::Engine,
    hub::Subscriber,
    message::{Content, Message},
    queue::Tag,
    writes::{LARGE_BYTES, send_all},
};
use crate::{
    log, panics,
    selector::RING_MIN,
    shard::Shard,
    stats::{add, count},
    streams::Stream,
};

/// A message for many that has come, and gone to nobody yet.
#[derive(Debug)]
pub(super) struct Publication {
    /// The slots of the streams that get it: push connections, and those that are about to be.
    slots: Vec<u32>,
    tag: Option<Tag>,
    kind: Kind,
    data: Bytes,
}

impl Publication {
    fn message<'a>(&'a self, engine: &'a Engine) -> Option<Message<'a>> {
        match Content::new(self.kind, &self.data) {
            Ok(content) => Some(Message::new(content, &engine.deflaters).conflated(self.tag)),
            Err(error) => {
                log::warn(format_args!("dropped a message: {error}"));
                None
            }
        }
    }
}

impl Engine {
    /// Sends a message to every push connection whose request path matches.
    pub(crate) fn broadcast(&self, shard: &Shard, pattern: &[u8], kind: Kind, data: &Bytes) {
        let pattern = match PathPattern::parse(pattern) {
            Ok(pattern) => pattern,
            Err(error) => return log::warn(format_args!("dropped a broadcast: {error}")),
        };
        let mut slots = self.slots.take();
        self.hub.borrow().on_paths(&pattern, |slot| slots.push(slot));
        self.fan_out(shard, Publication { slots, tag: None, kind, data: data.clone() });
    }

    /// Sends a message to every subscriber of a channel.
    pub(crate) fn publish(&self, shard: &Shard, channel: &[u8], kind: Kind, data: &Bytes) {
        count(&shard.counters.published);
        let (mut slots, mut listeners) = (self.slots.take(), Vec::new());
        self.hub.borrow().on_channel(channel, |who| match who {
            Subscriber::Stream(slot) => slots.push(slot),
            Subscriber::Listener(worker, id) => listeners.push((worker, id)),
        });
        let publication = Publication { slots, tag: self.conflation.tag(channel), kind, data: data.clone() };
        if !listeners.is_empty() {
            let Some(message) = publication.message(self) else { return self.let_go(publication) };
            let (payload, data) = message.payload();
            for (worker, id) in listeners {
                if !shard.workers.publish(worker, id, channel, payload, data) {
                    count(&shard.counters.dropped_block);
                }
            }
        }
        self.fan_out(shard, publication);
    }

    /// At the latest at the end of the batch; see [`Self::flush_writes`].
    fn fan_out(&self, shard: &Shard, publication: Publication) {
        if publication.slots.is_empty() {
            self.let_go(publication);
        } else if publication.data.len() >= LARGE_BYTES {
            self.flush_writes(shard);
            self.send_to_all(shard, publication);
        } else if self.publication.borrow().is_none() && self.aside.borrow().is_empty() {
            self.publication.replace(Some(publication));
        } else {
            self.set_publication_aside(shard);
            self.set_aside_for_all(shard, publication);
            self.flush_if_full(shard);
        }
    }

    /// Keeps the memory of the slots.
    fn let_go(&self, publication: Publication) {
        let mut slots = publication.slots;
        slots.clear();
        self.slots.replace(slots);
    }

    /// Whether a message for many is held back.
    pub(crate) fn holds_publication(&self) -> bool {
        self.publication.borrow().is_some()
    }

    /// Sends the message that is held back: it was the only one.
    pub(super) fn send_publication(&self, shard: &Shard) {
        if let Some(publication) = self.publication.take() {
            self.send_to_all(shard, publication);
        }
    }

    /// Another message follows the one that is held back.
    pub(super) fn set_publication_aside(&self, shard: &Shard) {
        if let Some(publication) = self.publication.take() {
            self.set_aside_for_all(shard, publication);
        }
    }

    /// A fault of ours is this message's alone, whatever has led to its being sent now.
    fn set_aside_for_all(&self, shard: &Shard, publication: Publication) {
        panics::contain("setting a message for many aside", || {
            let Some(message) = publication.message(self) else { return };
            let mut others = Vec::new();
            {
                let (mut streams, mut aside) = (shard.streams.borrow_mut(), self.aside.borrow_mut());
                aside.begin_shared();
                for slot in &publication.slots {
                    match streams.push_in_slot(*slot) {
                        Some((id, connection)) if connection.takes_all() => {
                            let (before, form) = (connection.aside(), connection.form());
                            let bytes = || (message.bytes(form).clone(), message.tag());
                            connection.set_aside(Some(aside.share(id, before, form, bytes)));
                        }
                        _ => others.push(*slot),
                    }
                }
            }
            for slot in others {
                self.send_to(shard, slot, &publication, &message);
            }
        });
        self.let_go(publication);
    }

    /// Likewise.
    fn send_to_all(&self, shard: &Shard, publication: Publication) {
        panics::contain("sending a message to many", || {
            let Some(message) = publication.message(self) else { return };
            match &mut *shard.selector.ring() {
                Some(ring) if publication.slots.len() >= RING_MIN => {
                    for slots in publication.slots.chunks(Ring::BATCH) {
                        self.send_at_once(shard, slots, &publication, &message, ring);
                    }
                }
                _ => publication.slots.iter().for_each(|slot| self.send_to(shard, *slot, &publication, &message)),
            }
        });
        self.let_go(publication);
    }

    /// Sends to all sockets that nothing waits for with one system call; the rest is done one by one.
    fn send_at_once(
        &self,
        shard: &Shard,
        slots: &[u32],
        publication: &Publication,
        message: &Message<'_>,
        ring: &mut Ring,
    ) {
        let (mut others, mut ids) = (Vec::new(), Vec::with_capacity(slots.len()));
        let unsent = {
            let streams = shard.streams.borrow();
            let mut sends = Vec::with_capacity(slots.len());
            for slot in slots {
                if let Some((id, connection)) = streams.look_at_push(*slot)
                    && connection.takes_all()
                    && let Some(socket) = &connection.socket
                {
                    ids.push(id);
                    sends.push(Send { socket: socket.as_fd(), bytes: message.bytes(connection.form()) });
                } else {
                    others.push(*slot);
                }
            }
            send_all(shard, ring, &sends)
        };
        add(&shard.counters.delivered, ids.len());
        for (n, sent) in unsent {
            self.with(shard, ids[n], |connection| connection.message_sent(message, sent));
        }
        for slot in others {
            self.send_to(shard, slot, publication, message);
        }
    }

    fn send_to(&self, shard: &Shard, slot: u32, publication: &Publication, message: &Message<'_>) {
        let config = &shard.shared.config;
        let (id, effect) = match shard.streams.borrow_mut().in_slot(slot) {
            Some((id, Stream::Push(connection))) if connection.is_open() => {
                let send = |connection: &mut PushConnection| connection.send_message(message, config, &shard.counters);
                (id, self.act(shard, id, connection, send))
            }
            // Subscribed already, and not taken over from HTTP yet: it gets the message then.
            Some((_, Stream::Exchange(exchange))) => {
                let write = ToGateway::Write(publication.kind, publication.data.clone());
                return exchange.handle(write, config.send_queue_max_bytes);
            }
            _ => return,
        };
        self.after(shard, id, effect);
    }
}

#[cfg(test)]
mod tests;
