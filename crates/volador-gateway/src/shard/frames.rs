//! What a [`Shard`] does with the frames of workers.

use std::sync::atomic::Ordering;

use volador_link::Want;
use volador_proto::link::{Carrier, Response, ResponseBody, StreamId, ToGateway};

use super::Shard;
use crate::{descriptors, dispatch, inbox::Order, link::WorkerKey, panics, stats::add, streams::Stream};

impl Shard {
    /// Does what one frame of a worker says. Frames for streams that have ended are late, not wrong.
    pub(crate) fn dispatch(&self, from: WorkerKey, id: StreamId, frame: ToGateway) {
        if !self.shared.is_cluster {
            let frame = self.kept(from, id, frame);
            return self.dispatch_contained(from, id, frame);
        }
        let Some(member) = self.workers.member(from) else { return };
        let completes = dispatch::completes(&frame);
        let is_answer = !matches!(frame, ToGateway::Returned | ToGateway::Refused);
        match frame {
            ToGateway::Ready => {
                self.shared.roster.ready(&member);
                // It may serve from now on, and requests may have waited for it.
                self.shared.inboxes.iter().for_each(|inbox| inbox.order(Order::Rearrange));
            }
            ToGateway::Beat(figures) => {
                let more = member.beat(self.read_at.get(), figures);
                add(&self.counters.dropped_block, more.dropped as usize);
                add(&self.counters.queue_wait_micros, more.queue_wait_micros as usize);
                self.counters.queue_wait_micros_max.fetch_max(figures.queue_wait_micros_max, Ordering::Relaxed);
            }
            ToGateway::AskStats(token) => {
                let figures = self.shared.figures();
                self.workers.batch(from).stats(token, figures.as_bytes());
            }
            frame => {
                let frame = self.kept(from, id, frame);
                self.dispatch_contained(from, id, frame);
            }
        }
        if completes {
            self.completed(&member, is_answer);
        }
    }

    /// The frame, unless it has come with a descriptor that can't be kept, or has lost it on the way: then its answer
    /// comes to an end. Looked at here and not where the descriptor is used, since it may wait there for a slow client.
    fn kept(&self, from: WorkerKey, id: StreamId, frame: ToGateway) -> ToGateway {
        let (carrier, descriptor) = match &frame {
            ToGateway::Response(Response { body: ResponseBody::File { fd, .. }, .. }) => (Carrier::Response, Some(fd)),
            ToGateway::Spill(fd) => (Carrier::Spill, Some(fd)),
            ToGateway::Tunnel(fd, _) => (Carrier::Tunnel, Some(fd)),
            ToGateway::Lost(carrier) => (*carrier, None),
            _ => return frame,
        };
        if descriptor.is_some_and(descriptors::may_be_kept) {
            return frame;
        }
        Want::OfProcess.gave_up();
        if carrier == Carrier::Spill {
            // The application is writing still. The other frames are the last ones of theirs.
            self.workers.batch(from).cancel(id);
        }
        ToGateway::Abort
    }

    fn dispatch_contained(&self, from: WorkerKey, id: StreamId, frame: ToGateway) {
        if panics::contain("a frame of a worker", || self.dispatch_from(from, id, frame)).is_none() {
            panics::contain("giving a stream up", || self.give_up(id));
        }
    }

    /// A stream is in a state that nobody has thought of.
    fn give_up(&self, id: StreamId) {
        if let Some(exchange) = self.streams.borrow_mut().exchange(id) {
            return exchange.handle(ToGateway::Abort, 0);
        }
        self.engine.flush_writes(self);
        self.engine.close(self, id, 1011);
    }

    fn dispatch_from(&self, from: WorkerKey, id: StreamId, frame: ToGateway) {
        match frame {
            ToGateway::Broadcast { pattern, kind, data } => self.engine.broadcast(self, &pattern, kind, &data),
            ToGateway::Publish { channel, kind, data } => self.engine.publish(self, &channel, kind, &data),
            ToGateway::Listen(listener, matching, name) => self.engine.listen(self, from, listener, matching, &name),
            ToGateway::Unlisten(listener) => self.engine.unlisten(self, from, listener),
            frame => self.dispatch_to(from, id, frame),
        }
    }

    fn dispatch_to(&self, from: WorkerKey, id: StreamId, frame: ToGateway) {
        let mut streams = self.streams.borrow_mut();
        match (streams.get(id), frame) {
            (Some(Stream::Push(_)), frame) => {
                drop(streams);
                self.engine.handle(self, from, id, frame);
            }
            // Another worker has it, or none.
            (Some(Stream::Exchange(exchange)), _) if exchange.worker() != Some(from) => {}
            (Some(Stream::Exchange(_)), frame) => {
                drop(streams);
                self.dispatch_to_exchange(from, id, frame);
            }
            // The client left before its handshake was answered: the worker learns it by the answer's answer.
            (None, ToGateway::Upgrade { .. }) => self.workers.batch(from).closed(id, 1006),
            (None, _) => {}
        }
    }

    fn dispatch_to_exchange(&self, from: WorkerKey, id: StreamId, frame: ToGateway) {
        match frame {
            ToGateway::Returned => return self.take_back(id, from),
            // It gets what is published from now on, though it is not a push connection yet.
            ToGateway::Subscribe(matching, name) => return self.engine.subscribe(self, id, matching, &name),
            ToGateway::Unsubscribe(matching, name) => return self.engine.unsubscribe(self, id, matching, &name),
            _ => {}
        }
        if self.engine.holds_publication() && is_of_push(&frame) {
            // It may be one of those who get that, and this comes after it.
            self.engine.flush_writes(self);
        }
        if let Some(exchange) = self.streams.borrow_mut().exchange(id) {
            let is_accepted = matches!(frame, ToGateway::Upgrade { .. });
            exchange.handle(frame, self.shared.config.send_queue_max_bytes);
            if is_accepted {
                exchange.join(|path| self.engine.join_path(path, id));
            }
        }
    }
}

/// Whether the frame is about the push connection that a request becomes.
fn is_of_push(frame: &ToGateway) -> bool {
    matches!(
        frame,
        ToGateway::Upgrade { .. }
            | ToGateway::Write(..)
            | ToGateway::Reply(..)
            | ToGateway::Close(_)
            | ToGateway::Timeout(_)
            | ToGateway::AskDrained
    )
}
