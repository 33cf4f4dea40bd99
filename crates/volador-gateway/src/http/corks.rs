//! [`Corks`]: HTTP connections that are served together, by one system call: what clients have sent that were waited for,
//! at the beginning of a turn of the loop, and what there is to send at its end.

use std::{cell::RefCell, os::fd::AsFd, rc::Rc};

use tokio::sync::Notify;
use volador_ring::{Receive, Send};

use super::HttpSocket;
use crate::{
    selector::{PIECE_BYTES, PIECES, RING_MIN},
    shard::Shard,
};

/// Reads `sockets`, and empties the list. Where that can't be done at once, each is left to its task.
pub(crate) fn read_together(shard: &Shard, sockets: &mut Vec<Rc<HttpSocket>>) {
    for sockets in sockets.chunks(PIECES) {
        match &mut *shard.selector.ring() {
            Some(ring) if sockets.len() >= RING_MIN => {
                let mut results = Vec::with_capacity(sockets.len());
                let mut buf = shard.selector.read_buf();
                {
                    let borrowed: Vec<_> = sockets.iter().map(|socket| socket.socket()).collect();
                    let (mut who, mut receives) = (Vec::new(), Vec::with_capacity(sockets.len()));
                    for (n, (socket, buf)) in borrowed.iter().zip(buf.chunks_mut(PIECE_BYTES)).enumerate() {
                        if let Some(socket) = socket {
                            who.push(n);
                            receives.push(Receive { socket: socket.as_fd(), buf });
                        }
                    }
                    ring.receive_all(&mut receives, |n, received| results.push((who[n], received)));
                }
                for (n, received) in results {
                    sockets[n].received(received.map(|len| &buf[n * PIECE_BYTES..][..len]));
                }
            }
            _ => sockets.iter().for_each(|socket| socket.leave_to_task()),
        }
    }
    sockets.clear();
}

/// The connections of a shard that hold something.
#[derive(Debug, Default)]
pub(crate) struct Corks {
    listed: RefCell<Vec<Rc<HttpSocket>>>,
    wake: Notify,
}

impl Corks {
    /// `socket` holds something from now on.
    pub(super) fn list(&self, socket: Rc<HttpSocket>) {
        let mut listed = self.listed.borrow_mut();
        if listed.is_empty() {
            self.wake.notify_one();
        }
        listed.push(socket);
    }

    /// Sends what is held, behind all tasks of a turn, for ever.
    pub(crate) async fn task(&self, shard: &Shard) {
        loop {
            self.wake.notified().await;
            self.flush(shard);
        }
    }

    /// Sends what is held.
    pub(super) fn flush(&self, shard: &Shard) {
        let mut listed = self.listed.take();
        listed.retain(|socket| socket.unlist());
        match &mut *shard.selector.ring() {
            Some(ring) if listed.len() >= RING_MIN => {
                let mut results = Vec::with_capacity(listed.len());
                {
                    let borrowed: Vec<_> = listed.iter().map(|socket| socket.held()).collect();
                    let (mut who, mut sends) = (Vec::with_capacity(listed.len()), Vec::with_capacity(listed.len()));
                    for (n, held) in borrowed.iter().enumerate() {
                        if let Some((socket, held)) = held {
                            who.push(n);
                            sends.push(Send { socket: socket.as_fd(), bytes: held });
                        }
                    }
                    ring.send_all(&sends, |n, sent| results.push((who[n], sent)));
                }
                results.into_iter().for_each(|(n, sent)| listed[n].sent(sent));
            }
            _ => listed.iter().for_each(|socket| socket.send_held()),
        }
        listed.clear();
        let mut now = self.listed.borrow_mut();
        if now.is_empty() {
            *now = listed;
        }
    }
}
