//! One message for many: [`Engine::broadcast`] by request path, [`Engine::publish`] by channel.

use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;
use volador_hub::path::PathPattern;
use volador_proto::link::{Kind, ToGateway};

use super::{engine::Engine, hub::Subscriber, message::Message, queue::Tag};
use crate::{log, shard::Shard, stats::count, streams::Stream};

impl Engine {
    /// Sends a message to every push connection whose request path matches.
    pub(crate) fn broadcast(&self, shard: &Shard, pattern: &[u8], kind: Kind, data: &Bytes) {
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
        count(&shard.counters.published);
        let mut targets = self.targets.take();
        self.hub.borrow().on_channel(channel, |who| targets.push(who));
        self.fan_out(shard, &mut targets, channel, kind, data);
        self.targets.replace(targets);
    }

    /// Names a channel of which only the newest message is wanted.
    fn tag(&self, channel: &[u8]) -> Option<Tag> {
        self.conflate.iter().any(|filter| filter.matches(channel)).then(|| {
            let mut hasher = DefaultHasher::new();
            channel.hash(&mut hasher);
            Tag(hasher.finish())
        })
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
        let config = &shard.shared.config;
        let message = message.conflated(self.tag(channel));
        for target in targets.drain(..) {
            let slot = match target {
                Subscriber::Stream(slot) => slot,
                Subscriber::Listener(worker, id) => {
                    let (payload, data) = message.payload();
                    shard.workers.batch(worker).published(id, channel, payload, data);
                    continue;
                }
            };
            let (id, now, stays) = match shard.streams.borrow_mut().in_slot(slot) {
                Some((id, Stream::Push(connection))) if connection.is_open() => {
                    let was_closing = connection.is_closing();
                    let now = connection.send_message(&message, config, &shard.counters);
                    self.tell_backlog(shard, id, connection);
                    (id, now, was_closing || !connection.is_closing())
                }
                // Subscribed already, and not taken over from HTTP yet: it gets the message then.
                Some((_, Stream::Exchange(exchange))) => {
                    exchange.handle(ToGateway::Write(kind, data.clone()), config.send_queue_max_bytes);
                    continue;
                }
                _ => continue,
            };
            self.after(shard, id, now, stays);
        }
    }
}
