//! What the system reports about push sockets, and what they have received.
//!
//! The sockets of a look that have something to read are read by one system call, each into a piece of the shard's buffer.
//! Whoever has more than fits there is read by itself, into the whole of it.

use std::{io, os::fd::AsFd};

use mio::event::Event;
use volador_proto::link::StreamId;
use volador_ring::Receive;

use super::{
    connection::{Now, PushConnection, Reading, Undecoded},
    engine::Engine,
};
use crate::{
    link::WorkerKey,
    panics,
    selector::{PIECE_BYTES, PIECES, RING_MIN},
    shard::Shard,
    stats::add,
};

/// Reads of one connection before the others have their turn.
const READS_IN_A_ROW: usize = 4;

impl Engine {
    /// The system reports what a socket is ready for; who is to be read together with others.
    pub(crate) fn ready(&self, shard: &Shard, slot: u32, event: &Event) -> Option<StreamId> {
        let id = shard.streams.borrow_mut().push_in_slot(slot).map(|(id, _)| id)?;
        if event.is_writable() {
            self.with(shard, id, PushConnection::writable);
        }
        if event.is_read_closed() || event.is_error() {
            self.read(shard, id, true);
            return None;
        }
        event.is_readable().then_some(id)
    }

    /// Waits until connections are to be read that the system does not report.
    pub(crate) async fn unread(&self) {
        self.unread_wake.notified().await;
    }

    /// Reads those; whether there are more of them already.
    pub(crate) fn read_unread(&self, shard: &Shard) -> bool {
        for id in self.unread.take() {
            self.read(shard, id, true);
        }
        !self.unread.borrow().is_empty()
    }

    pub(super) fn read_later(&self, id: StreamId) {
        self.unread.borrow_mut().push(id);
        self.unread_wake.notify_one();
    }

    /// Reads the connections in `readable`, and empties it.
    pub(crate) fn read_together(&self, shard: &Shard, readable: &mut Vec<StreamId>) {
        for ids in readable.chunks(PIECES) {
            if ids.len() < RING_MIN || !shard.selector.has_ring() {
                ids.iter().for_each(|id| self.read(shard, *id, false));
            } else {
                self.read_at_once(shard, ids);
            }
        }
        readable.clear();
    }

    /// Reads up to as many as there are pieces of the buffer.
    fn read_at_once(&self, shard: &Shard, ids: &[StreamId]) {
        let mut results = Vec::with_capacity(ids.len());
        let mut buf = shard.selector.read_buf();
        {
            let streams = shard.streams.borrow();
            let (mut who, mut receives) = (Vec::with_capacity(ids.len()), Vec::with_capacity(ids.len()));
            for (id, (n, buf)) in ids.iter().zip(buf.chunks_mut(PIECE_BYTES).enumerate()) {
                if let Some((current, connection)) = streams.look_at_push(id.slot())
                    && current == *id
                    && !connection.is_paused()
                    // Else it is about to be read, what is left first.
                    && !connection.has_undecoded()
                    && let Some(socket) = &connection.socket
                {
                    who.push((*id, n));
                    receives.push(Receive { socket: socket.as_fd(), buf });
                }
            }
            if let Some(ring) = &mut *shard.selector.ring() {
                ring.receive_all(&mut receives, |index, received| results.push((who[index], received)));
            }
        }
        let mut rest = Vec::new();
        for ((id, n), received) in results {
            match received {
                Ok(len) if len > 0 => {
                    add(&shard.counters.received_bytes, len);
                    self.received(shard, id, &mut buf[n * PIECE_BYTES..][..len]);
                    if len == PIECE_BYTES {
                        rest.push(id);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => rest.push(id),
                Ok(_) => self.with(shard, id, PushConnection::peer_ended),
                Err(_) => self.with(shard, id, |connection| Now::Ended(connection.lost())),
            }
        }
        drop(buf);
        rest.into_iter().for_each(|id| self.read(shard, id, false));
    }

    /// Reads what has arrived, for a few reads. Whoever has more then is read again after the others.
    ///
    /// A read that does not fill the buffer has emptied the socket, and what comes later is reported anew (epoll(7), on
    /// edges). Only what was reported before may `hide` behind it: the end of the stream, or an event that came while the
    /// connection was not read.
    fn read(&self, shard: &Shard, id: StreamId, hides: bool) {
        if !self.decode_left(shard, id) {
            return;
        }
        let mut buf = shard.selector.read_buf();
        for _ in 0..READS_IN_A_ROW {
            let result = match shard.streams.borrow_mut().push(id) {
                Some(connection) if !connection.is_paused() => connection.socket.as_mut().map(|one| one.read(&mut buf)),
                _ => return,
            };
            let Some(result) = result else { return };
            match result {
                Ok(0) => return self.with(shard, id, PushConnection::peer_ended),
                Ok(len) => {
                    let emptied = len < buf.len() && !hides;
                    self.received(shard, id, &mut buf[..len]);
                    if emptied {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return self.with(shard, id, |connection| Now::Ended(connection.lost())),
            }
        }
        self.read_later(id);
    }

    /// Goes on with what was left when the worker had no room. False when it has none still, or the connection is gone.
    fn decode_left(&self, shard: &Shard, id: StreamId) -> bool {
        let left = match shard.streams.borrow_mut().push(id) {
            Some(connection) if !connection.is_paused() => connection.take_undecoded(),
            _ => return false,
        };
        let Some(mut undecoded) = left else { return true };
        let left = self.decode(shard, id, undecoded.bytes());
        match shard.streams.borrow_mut().push(id) {
            Some(connection) if left > 0 => {
                undecoded.left(left);
                connection.keep_undecoded(undecoded);
                false
            }
            Some(connection) => !connection.is_paused(),
            None => false,
        }
    }

    /// Bytes of a client, behind which nothing is left.
    pub(super) fn received(&self, shard: &Shard, id: StreamId, bytes: &mut [u8]) {
        let left = self.decode(shard, id, bytes);
        if left > 0
            && let Some(connection) = shard.streams.borrow_mut().push(id)
        {
            connection.keep_undecoded(Undecoded::new(&bytes[bytes.len() - left..]));
        }
    }

    /// Returns how many bytes are left, since the worker is behind.
    fn decode(&self, shard: &Shard, id: StreamId, bytes: &mut [u8]) -> usize {
        let (config, mut left) = (&shard.shared.config, 0);
        self.with(shard, id, |connection| {
            let worker = connection.worker.unwrap_or(WorkerKey::NOBODY);
            let received = panics::contain("what a client sent", || {
                connection.received(
                    bytes,
                    &mut Reading {
                        id,
                        worker: &mut shard.workers.batch(worker),
                        counters: &shard.counters,
                        inflater: &mut self.inflater.borrow_mut(),
                        message_max_bytes: config.message_max_bytes,
                    },
                )
            });
            // Others that were read together with it are to have theirs.
            let (now, undecoded) = received.unwrap_or_else(|| (Now::Ended(connection.lost()), 0));
            left = undecoded;
            now
        });
        left
    }
}
