//! How a shard comes to a worker, and loses it.

use std::{io, rc::Rc};

use super::{Arrival, LinkSocket, State, Way, WorkerKey};
use crate::{inbox::Order, panics, shard::Shard, stats::count, streams::Stream};

impl Shard {
    /// Takes a link of a worker.
    pub(crate) fn welcome(self: &Rc<Self>, arrival: Arrival) -> io::Result<()> {
        let socket = Rc::new(LinkSocket::new(arrival.stream)?);
        let shards = self.shared.inboxes.len() as u8;
        let journal = socket.journal.for_worker()?;
        let member = self.shared.roster.link_came(arrival.hello, arrival.pid);
        let key = self.workers.add(Some(member.clone()), Way::Socket(socket.clone()));
        self.workers.batch(key).welcome(shards, journal);
        panics::spawn(socket.clone().write_task());
        let shard = self.clone();
        panics::spawn(async move {
            socket.read(&shard, key).await;
            shard.shared.roster.lost(&member);
            shard.lose(key, &socket);
            socket.end();
        });
        Ok(())
    }

    pub(crate) fn obey(&self, order: Order) {
        match order {
            Order::Rearrange => {
                self.workers.each(|key, member| {
                    if member.state() == State::Retiring && member.in_flight() > 0 {
                        self.recall_all(key);
                    }
                });
                self.pump();
                self.look_for_uneven();
                self.engine.rearrange(self);
            }
            Order::Dismiss(_) | Order::DismissAll => self.workers.each(|key, member| {
                if order == Order::DismissAll || order == Order::Dismiss(member.pid) {
                    self.workers.batch(key).stop();
                }
            }),
        }
    }

    /// A worker is lost: what it had in hand goes elsewhere, or comes to its end.
    fn lose(&self, key: WorkerKey, socket: &LinkSocket) {
        socket.journal.shut();
        let listeners = self.workers.remove(key);
        for listener in listeners {
            self.engine.unlisten(self, key, listener);
        }
        let (slots, mut unbegun) = (self.streams.borrow().slots(), Vec::new());
        for slot in 0..slots {
            let id = match self.streams.borrow_mut().in_slot(slot) {
                Some((id, Stream::Exchange(exchange))) => {
                    if exchange.worker() == Some(key) && exchange.is_complete() {
                        // Its key may be another one's soon.
                        exchange.forget_worker();
                    } else if exchange.worker() == Some(key) {
                        if socket.journal.begun(id) == 0 {
                            unbegun.push(id);
                        } else {
                            count(&self.counters.lost_requests);
                            exchange.lose();
                        }
                    }
                    continue;
                }
                Some((id, Stream::Push(_))) => id,
                None => continue,
            };
            self.engine.lost_worker(self, Some(key), id, || socket.journal.begun(id));
        }
        self.tunnels.cut(key);
        // The oldest one to the front.
        unbegun.into_iter().rev().for_each(|id| self.take_back(id, key));
        self.pump();
        self.engine.move_on(self);
    }
}
