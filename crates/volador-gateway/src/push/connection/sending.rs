//! What goes to the client: to the socket at once as long as it takes everything, else through the queue.

use std::io;

use bytes::Bytes;

use super::{
    super::{
        message::Message,
        queue::{SendQueue, Tag},
        socket::PushSocket,
    },
    Now, Phase, PushConnection,
};
use crate::{
    Config, SlowClient,
    stats::{Counters, count},
};

impl PushConnection {
    /// Whether a message goes straight to the socket, with nothing to do before.
    pub(in crate::push) fn is_clear(&self) -> bool {
        self.is_open() && self.queue.is_none() && !self.has_aside
    }

    /// Whether a message has been set aside, to be sent before anything else.
    pub(in crate::push) fn has_aside(&self) -> bool {
        self.has_aside
    }

    pub(in crate::push) fn set_aside(&mut self, has_aside: bool) {
        self.has_aside = has_aside;
    }

    /// The socket has taken so many bytes of a message, or has failed.
    pub(in crate::push) fn message_sent(&mut self, message: &Message<'_>, sent: io::Result<usize>) -> Now {
        let bytes = message.bytes(self.transport, self.deflate);
        self.bytes_sent(bytes.len(), message.tag(), sent, |sent| bytes.slice(sent..))
    }

    /// Of a frame or an event that was set aside, the same. What has to wait gets memory of its own: else a client that reads
    /// slowly would keep that of the others.
    pub(in crate::push) fn aside_sent(&mut self, bytes: &[u8], sent: io::Result<usize>) -> Now {
        self.bytes_sent(bytes.len(), None, sent, |sent| Bytes::copy_from_slice(&bytes[sent..]))
    }

    /// Sends such a frame or event by itself.
    pub(in crate::push) fn send_aside(&mut self, bytes: &[u8]) -> Now {
        let sent = write_all(self.socket.as_mut(), bytes);
        self.aside_sent(bytes, sent)
    }

    /// Nothing has waited before it. `rest` of the bytes, behind those that were sent.
    fn bytes_sent(
        &mut self,
        len: usize,
        tag: Option<Tag>,
        sent: io::Result<usize>,
        rest: impl FnOnce(/* sent: */ usize) -> Bytes,
    ) -> Now {
        let sent = match sent {
            Ok(sent) => sent,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => 0,
            Err(_) => return Now::Ended(self.lost()),
        };
        if sent < len {
            let mut queue = Box::<SendQueue>::default();
            queue.push(rest(sent), tag, sent > 0);
            self.queue = Some(queue);
        }
        Now::Alive
    }

    /// Writes a message, unless the connection is on its way to its end.
    pub(in crate::push) fn send_message(&mut self, message: &Message<'_>, config: &Config, counters: &Counters) -> Now {
        if !self.is_open() {
            return Now::Alive;
        }
        count(&counters.delivered);
        let bytes = message.bytes(self.transport, self.deflate);
        let max = config.send_queue_max_bytes;
        if let Some(queue) = &mut self.queue {
            // What could never wait takes nothing's place.
            if config.slow_client == SlowClient::DropOldest && !SendQueue::could_have_room(bytes, max) {
                count(&counters.dropped_oldest);
                return Now::Alive;
            }
            if let Some(tag) = message.tag()
                && let Some(at) = queue.take_out(tag)
            {
                count(&counters.conflated);
                if queue.has_room(bytes, max) {
                    queue.insert(at, bytes.clone(), tag);
                    return Now::Alive;
                }
            }
            match config.slow_client {
                SlowClient::DropOldest => {
                    // What has begun stays, and must not be what keeps all newer messages out: it may be there beside one.
                    while !queue.has_room(bytes, max) && queue.drop_oldest() {
                        count(&counters.dropped_oldest);
                    }
                }
                SlowClient::Disconnect if !queue.has_room(bytes, max) => {
                    queue.drop_unsent();
                    count(&counters.closed_slow);
                    return self.close(1013, "too slow");
                }
                SlowClient::Disconnect => {}
            }
        }
        self.write_tagged(bytes, message.tag())
    }

    /// Answers a ping. RFC 6455 §5.5.3: who "has not yet sent Pong frame(s) in response to previous Ping frame(s)" may
    /// "send a Pong frame for only the most recently processed Ping frame". So at most one waits whole, and needs no room
    /// in the queue: it never is what makes a client too slow.
    pub(super) fn pong(&mut self, pong: &Bytes) -> Now {
        if let Some(queue) = &mut self.queue
            && let Some(at) = queue.take_out(Tag::Pong)
        {
            queue.insert(at, pong.clone(), Tag::Pong);
            return Now::Alive;
        }
        self.write_tagged(pong, Some(Tag::Pong))
    }

    /// Writes, or queues, however much waits.
    pub(in crate::push) fn write(&mut self, bytes: &Bytes) -> Now {
        self.write_tagged(bytes, None)
    }

    fn write_tagged(&mut self, bytes: &Bytes, tag: Option<Tag>) -> Now {
        if let Some(queue) = &mut self.queue {
            queue.push(bytes.clone(), tag, false);
            return Now::Alive;
        }
        let sent = write_all(self.socket.as_mut(), bytes);
        self.bytes_sent(bytes.len(), tag, sent, |sent| bytes.slice(sent..))
    }

    /// How many messages wait for the client, when the worker is to be told so: not each time, but when the first one has
    /// to wait, when there are twice as many, and when none waits any more. Not when nothing more is taken: then what waited
    /// may have been dropped.
    pub(in crate::push) fn backlog_news(&mut self) -> Option<u32> {
        if !self.is_open() {
            return None;
        }
        let waiting = self.queue.as_ref().map_or(0, |queue| queue.messages());
        let is_news = waiting != self.told && (waiting == 0 || self.told == 0 || waiting.is_power_of_two());
        if !is_news || !(self.interest.messages || self.interest.drained) {
            return None;
        }
        self.told = waiting;
        Some(waiting)
    }

    /// The socket takes bytes again, or may do so: the system reports room only when about a third of its buffer is free,
    /// which takes a slow client longer than it may be without a sign of life.
    ///
    /// What it takes of the queue is a sign of life, of both transports: there is room only since the peer's system has
    /// acknowledged what lay before. It is the only one of an event stream; and a WebSocket's ping can't be answered before
    /// everything in front of it is taken, so that on a slow line the send queue's limit has to judge, not the time. A peer
    /// whose network is gone takes nothing, and one that hangs no more than its system has room for: they are found two
    /// rounds after that. What a socket takes at once, without a queue, is no sign: it may lie in our own system.
    pub(in crate::push) fn writable(&mut self) -> Now {
        let progress = !self.is_open(); // else the worker can add to it without end
        while let Some(queue) = &mut self.queue {
            let Some(first) = queue.first() else {
                self.queue = None;
                break;
            };
            match write_all(self.socket.as_mut(), first) {
                Ok(0) => return Now::Alive,
                Ok(written) => {
                    queue.advance(written);
                    self.progress = progress;
                    self.missed = 0;
                }
                Err(_) => return Now::Ended(self.lost()),
            }
        }
        match self.phase {
            Phase::Ending(code) => self.ended(code),
            Phase::Failed(_) => {
                self.shutdown_write();
                Now::Alive
            }
            _ => Now::Alive,
        }
    }
}

/// Writes what the socket takes; how many bytes those were.
fn write_all(socket: Option<&mut PushSocket>, bytes: &[u8]) -> io::Result<usize> {
    let Some(socket) = socket else { return Err(io::ErrorKind::NotConnected.into()) };
    let mut written = 0;
    while written < bytes.len() {
        match socket.write(&bytes[written..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => written += n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}
