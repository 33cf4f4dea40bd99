//! One message for many: [`Engine::broadcast`] by request path, [`Engine::publish`] by channel.

use std::os::fd::AsFd;

use bytes::Bytes;
use volador_hub::path::PathPattern;
use volador_proto::link::{Kind, ToGateway};
use volador_ring::{Ring, Send};

use super::{connection::PushConnection, engine::Engine, hub::Subscriber, message::Message};
use crate::{
    log,
    selector::RING_MIN,
    shard::Shard,
    stats::{add, count},
    streams::Stream,
};

impl Engine {
    /// Sends a message to every push connection whose request path matches.
    pub(crate) fn broadcast(&self, shard: &Shard, pattern: &[u8], kind: Kind, data: &Bytes) {
        self.flush_writes(shard);
        let pattern = match PathPattern::parse(pattern) {
            Ok(pattern) => pattern,
            Err(error) => return log::warn(format_args!("dropped a broadcast: {error}")),
        };
        let mut targets = self.targets.take();
        self.hub.borrow().on_paths(&pattern, |slot| targets.push(Subscriber::Stream(slot)));
        self.fan_out(shard, &mut targets, &[], kind, data);
        self.targets.replace(targets);
    }

    /// Sends a message to every subscriber of a channel.
    pub(crate) fn publish(&self, shard: &Shard, channel: &[u8], kind: Kind, data: &Bytes) {
        self.flush_writes(shard);
        count(&shard.counters.published);
        let mut targets = self.targets.take();
        self.hub.borrow().on_channel(channel, |who| targets.push(who));
        self.fan_out(shard, &mut targets, channel, kind, data);
        self.targets.replace(targets);
    }

    /// Empties `targets`.
    fn fan_out(&self, shard: &Shard, targets: &mut Vec<Subscriber>, channel: &[u8], kind: Kind, data: &Bytes) {
        let message = match Message::new(kind, data, &self.deflaters) {
            Ok(message) => message,
            Err(error) => {
                targets.clear();
                return log::warn(format_args!("dropped a message: {error}"));
            }
        };
        let message = message.conflated(self.conflation.tag(channel));
        let mut ring = shard.selector.ring();
        match &mut *ring {
            Some(ring) if targets.len() >= RING_MIN => {
                for part in targets.chunks(Ring::BATCH) {
                    self.send_at_once(shard, part, channel, kind, data, &message, ring);
                }
                targets.clear();
            }
            _ => targets.drain(..).for_each(|target| self.send_to(shard, target, channel, kind, data, &message)),
        }
    }

    /// Sends to all sockets that nothing waits for with one system call; the rest is done one by one.
    #[allow(clippy::too_many_arguments)] // one message and whom it is for
    fn send_at_once(
        &self,
        shard: &Shard,
        targets: &[Subscriber],
        channel: &[u8],
        kind: Kind,
        data: &Bytes,
        message: &Message<'_>,
        ring: &mut Ring,
    ) {
        let (mut others, mut unsent) = (Vec::new(), Vec::new());
        let mut bytes_sent = 0;
        let count_sent = {
            let streams = shard.streams.borrow();
            let (mut ids, mut sends) = (Vec::with_capacity(targets.len()), Vec::with_capacity(targets.len()));
            for target in targets {
                match target {
                    Subscriber::Stream(slot) => {
                        if let Some((id, connection)) = streams.look_at_push(*slot)
                            && connection.is_clear()
                            && let Some(socket) = &connection.socket
                        {
                            ids.push(id);
                            let bytes = message.bytes(connection.transport, connection.deflate);
                            sends.push(Send { socket: socket.as_fd(), bytes });
                        } else {
                            others.push(*target);
                        }
                    }
                    Subscriber::Listener(..) => others.push(*target),
                }
            }
            ring.send_all(&sends, |n, sent| match sent {
                // The usual case: nothing to do about the connection.
                Ok(sent) if sent == sends[n].bytes.len() => bytes_sent += sent,
                Ok(sent) => {
                    bytes_sent += sent;
                    unsent.push((ids[n], Ok(sent)));
                }
                Err(error) => unsent.push((ids[n], Err(error))),
            });
            sends.len()
        };
        add(&shard.counters.delivered, count_sent);
        add(&shard.counters.sent_bytes, bytes_sent);
        for (id, sent) in unsent {
            self.with(shard, id, |connection| connection.message_sent(message, sent));
        }
        for target in others {
            self.send_to(shard, target, channel, kind, data, message);
        }
    }

    fn send_to(
        &self,
        shard: &Shard,
        target: Subscriber,
        channel: &[u8],
        kind: Kind,
        data: &Bytes,
        message: &Message<'_>,
    ) {
        let config = &shard.shared.config;
        let slot = match target {
            Subscriber::Stream(slot) => slot,
            Subscriber::Listener(worker, id) => {
                let (payload, data) = message.payload();
                if !shard.workers.publish(worker, id, channel, payload, data) {
                    count(&shard.counters.dropped_block);
                }
                return;
            }
        };
        let (id, effect) = match shard.streams.borrow_mut().in_slot(slot) {
            Some((id, Stream::Push(connection))) if connection.is_open() => {
                let send = |connection: &mut PushConnection| connection.send_message(message, config, &shard.counters);
                (id, self.act(shard, id, connection, send))
            }
            // Subscribed already, and not taken over from HTTP yet: it gets the message then.
            Some((_, Stream::Exchange(exchange))) => {
                return exchange.handle(ToGateway::Write(kind, data.clone()), config.send_queue_max_bytes);
            }
            _ => return,
        };
        self.after(shard, id, effect);
    }
}
