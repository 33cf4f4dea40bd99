//! What goes to the client: to the socket at once as long as it takes everything, else through the queue.

use std::io;

use bytes::Bytes;

use super::{
    super::{
        aside::{Aside, SequenceId},
        message::{Form, Message},
        queue::{SendQueue, Tag},
        socket::PushSocket,
    },
    Now, Phase, PushConnection,
};
use crate::{
    Config, SlowClient,
    stats::{Counters, add, count},
};

impl PushConnection {
    /// What it takes messages in.
    pub(in crate::push) fn form(&self) -> Form {
        Form::new(self.transport, self.deflate)
    }

    /// Whether the socket has taken everything so far that it was given, and more may be written.
    pub(in crate::push) fn takes_all(&self) -> bool {
        self.is_open() && self.queue.is_none()
    }

    /// The messages that have been set aside, to be sent before anything else.
    pub(in crate::push) fn aside(&self) -> Option<SequenceId> {
        self.aside
    }

    /// Other ones have been, or none. Returns which there were.
    pub(in crate::push) fn set_aside(&mut self, aside: Option<SequenceId>) -> Option<SequenceId> {
        std::mem::replace(&mut self.aside, aside)
    }

    /// Gives the socket what was set aside; how much it has taken.
    pub(in crate::push) fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write_all(self.socket.as_mut(), bytes)
    }

    /// The socket has taken so many bytes of a message, or has failed.
    pub(in crate::push) fn message_sent(&mut self, message: &Message<'_>, sent: io::Result<usize>) -> Now {
        let bytes = message.bytes(self.form());
        self.bytes_sent(bytes.len(), message.tag(), sent, |sent| bytes.slice(sent..))
    }

    /// Of what was set aside, the same.
    pub(in crate::push) fn aside_sent(
        &mut self,
        aside: &Aside,
        sequence: SequenceId,
        sent: io::Result<usize>,
        config: &Config,
        counters: &Counters,
    ) -> Now {
        let mut sent = match taken(sent) {
            Ok(sent) => sent,
            Err(_) => {
                count(&counters.delivered);
                return Now::Ended(self.lost());
            }
        };
        if sent == aside.joined(sequence).len() {
            add(&counters.delivered, aside.messages(sequence));
            return Now::Alive;
        }
        for piece in aside.pieces(sequence) {
            // It may have been found too slow for the one before.
            if !self.is_open() {
                break;
            }
            count(&counters.delivered);
            let len = piece.bytes().len();
            if self.queue.is_some() {
                if let ended @ Now::Ended(_) = self.send_bytes(&piece.behind(0), piece.tag(), config, counters) {
                    return ended;
                }
            } else if sent < len {
                self.wait(piece.behind(sent), piece.tag(), sent > 0);
            } else {
                sent -= len;
            }
        }
        Now::Alive
    }

    /// Nothing has waited before it. `rest` of the bytes, behind those that were sent.
    fn bytes_sent(
        &mut self,
        len: usize,
        tag: Option<Tag>,
        sent: io::Result<usize>,
        rest: impl FnOnce(/* sent: */ usize) -> Bytes,
    ) -> Now {
        match taken(sent) {
            Ok(sent) if sent < len => self.wait(rest(sent), tag, sent > 0),
            Ok(_) => {}
            Err(_) => return Now::Ended(self.lost()),
        }
        Now::Alive
    }

    /// These bytes are the first that wait. `begun` says that the socket has taken those before them of the same message.
    fn wait(&mut self, bytes: Bytes, tag: Option<Tag>, begun: bool) {
        let mut queue = Box::<SendQueue>::default();
        queue.push(bytes, tag, begun);
        self.queue = Some(queue);
    }

    /// Writes a message, unless the connection is on its way to its end.
    pub(in crate::push) fn send_message(&mut self, message: &Message<'_>, config: &Config, counters: &Counters) -> Now {
        if !self.is_open() {
            return Now::Alive;
        }
        count(&counters.delivered);
        self.send_bytes(message.bytes(self.form()), message.tag(), config, counters)
    }

    /// Sends the bytes of a message, or has them wait as far as the send queue's limit allows.
    fn send_bytes(&mut self, bytes: &Bytes, tag: Option<Tag>, config: &Config, counters: &Counters) -> Now {
        let max = config.send_queue_max_bytes;
        if let Some(queue) = &mut self.queue {
            // What could never wait takes nothing's place.
            if config.slow_client == SlowClient::DropOldest && !SendQueue::could_have_room(bytes, max) {
                count(&counters.dropped_oldest);
                return Now::Alive;
            }
            if let Some(tag) = tag
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
        self.write_tagged(bytes, tag)
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

/// A socket that takes nothing now has not failed.
fn taken(sent: io::Result<usize>) -> io::Result<usize> {
    match sent {
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(0),
        other => other,
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
