//! [`Engine`]: a shard's push connections together: what the worker says about them, what follows from it, and how they end.

use std::{cell::RefCell, collections::VecDeque, time::Duration};

use tokio::{sync::Notify, time::Instant};
use volador_proto::{
    link::{Kind, StreamId, ToGateway, Transport},
    ws::deflate::Inflater,
};

use super::{
    aside::Aside,
    conflation::Conflation,
    connection::{GOING_AWAY, Now, PushConnection},
    fanout::Publication,
    handover::Moves,
    hub::Hub,
    message::{Content, Deflaters, Message},
    tenant::Stage,
    timeouts::Timeouts,
};
use crate::{Config, link::WorkerKey, log, shard::Shard, stats::uncount};

/// How long a peer has for its part of the closing handshake. As long as it takes what was still queued, it begins anew.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// What was done with a connection has changed this about it.
#[must_use]
pub(super) struct Effect {
    now: Now,
    /// It has come a step nearer to its end.
    closes: bool,
    /// It was not read before, and is now.
    resumes: bool,
}

/// The push connections of a shard. The connections themselves are in the shard's table of streams.
#[derive(Debug)]
pub(crate) struct Engine {
    /// Of all connections that may send compressed messages.
    pub(super) inflater: RefCell<Inflater>,
    pub(super) deflaters: Deflaters,
    pub(super) hub: RefCell<Hub>,
    /// Channels of which a client that does not keep up gets the newest message only.
    pub(super) conflation: Conflation,
    /// Connections that have more to read, but had their turn.
    pub(super) unread: RefCell<Vec<StreamId>>,
    pub(super) unread_wake: Notify,
    /// Connections that are closing, with the deadline, which only grows from entry to entry, and its number: a connection
    /// that has been given another one since then has nothing to do with it.
    pub(super) closing: RefCell<VecDeque<(Instant, StreamId, u8)>>,
    /// Connections whose handlers have their last words, with the deadline for those and its number, likewise.
    pub(super) last_words: RefCell<VecDeque<(Instant, StreamId, u8)>>,
    /// One of these two queues has grown.
    pub(super) closing_wake: Notify,
    /// Handlers on their way to another worker.
    pub(super) moves: RefCell<Moves>,
    pub(super) timeouts: RefCell<Timeouts>,
    pub(super) timeouts_wake: Notify,
    /// A message for many: the only one so far of its batch.
    pub(super) publication: RefCell<Option<Publication>>,
    /// Messages that wait for the end of their batch.
    pub(super) aside: RefCell<Aside>,
    /// Handlers that wait to be told that nothing waits for their clients, with their workers.
    pub(super) asks: RefCell<Vec<(WorkerKey, StreamId)>>,
    /// Empty; for the memory, in which the next message for many has its receivers.
    pub(super) slots: RefCell<Vec<u32>>,
}

impl Engine {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            inflater: RefCell::default(),
            deflaters: Deflaters::new(config.deflate_level, config.deflate_min_bytes),
            hub: RefCell::default(),
            conflation: Conflation::new(&config.conflate),
            unread: RefCell::default(),
            unread_wake: Notify::new(),
            closing: RefCell::default(),
            last_words: RefCell::default(),
            closing_wake: Notify::new(),
            moves: RefCell::default(),
            publication: RefCell::default(),
            aside: RefCell::default(),
            asks: RefCell::default(),
            timeouts: RefCell::default(),
            timeouts_wake: Notify::new(),
            slots: RefCell::default(),
        }
    }

    /// What the worker says about a push connection.
    pub(crate) fn handle(&self, shard: &Shard, from: WorkerKey, id: StreamId, frame: ToGateway) {
        let (has_aside, is_closing) = match shard.streams.borrow_mut().push(id) {
            Some(connection) if connection.listens_to(from) => (connection.aside().is_some(), connection.is_closing()),
            _ => return, // it has gone on elsewhere
        };
        // What is written goes behind what has been set aside, and with it. An acknowledgement that changes nothing about the
        // socket is the usual company of an answer, and so is the question that is answered after all that is written with it.
        let goes_with_it = match frame {
            ToGateway::Write(..) | ToGateway::Reply(..) | ToGateway::Handled(_) | ToGateway::AskDrained => !is_closing,
            ToGateway::Subscribe(..) | ToGateway::Unsubscribe(..) => true,
            _ => false,
        };
        if (has_aside || self.holds_publication()) && !goes_with_it {
            self.flush_writes(shard);
        }
        // The client may have been found gone over that.
        let is_gone = match shard.streams.borrow_mut().push(id) {
            Some(connection) if connection.listens_to(from) => connection.gone().is_some(),
            _ => return,
        };
        match frame {
            ToGateway::HandedOver(state) => self.handed_over(shard, from, id, state),
            ToGateway::Upgrade { interest, .. } => self.settle(shard, from, id, interest),
            ToGateway::Response(_) | ToGateway::Tunnel(..) | ToGateway::Abort => self.refuse(shard, from, id),
            ToGateway::Returned => self.replay_returned(shard, from, id),
            ToGateway::Ended => self.end_told(shard, from, id),
            ToGateway::Handled(messages) => self.handled(shard, id, messages),
            ToGateway::Reply(kind, data) => {
                if !is_gone {
                    self.write_with_others(shard, id, kind, &data);
                }
                if is_closing {
                    // It may be what the close frame has waited for.
                    self.flush_writes(shard);
                }
                self.handled(shard, id, 1);
            }
            _ if is_gone => {} // for the client
            ToGateway::Write(kind, data) => self.write_with_others(shard, id, kind, &data),
            ToGateway::AskDrained => self.asks.borrow_mut().push((from, id)),
            ToGateway::Close(code) => self.with(shard, id, |connection| connection.close_by_worker(code)),
            ToGateway::Timeout(millis) => self.set_timeout(shard, id, millis),
            ToGateway::Subscribe(matching, name) => self.subscribe(shard, id, matching, &name),
            ToGateway::Unsubscribe(matching, name) => self.unsubscribe(shard, id, matching, &name),
            // Of an exchange, which this stream no longer is, or of none.
            ToGateway::Chunk(_)
            | ToGateway::Lost(_)
            | ToGateway::Refused
            | ToGateway::Spill(_)
            | ToGateway::Spilled(_)
            | ToGateway::End
            | ToGateway::Listen(..)
            | ToGateway::Unlisten(_)
            | ToGateway::Publish { .. }
            | ToGateway::Broadcast { .. }
            | ToGateway::Hello(_)
            | ToGateway::Ready
            | ToGateway::Beat(_)
            | ToGateway::AskStats(_) => {}
        }
    }

    fn handled(&self, shard: &Shard, id: StreamId, messages: u32) {
        self.with(shard, id, |connection| connection.handled(messages));
        shard.relieved();
    }

    /// Closes every push connection with 1001, "going away" (RFC 6455 §7.4.1), after its handler's last words if it wants
    /// to have some.
    pub(crate) fn close_all(&self, shard: &Shard) {
        Self::each(shard, |id| self.shut_down(shard, id));
    }

    /// Ends every push connection, whatever its client has not taken or said yet.
    pub(crate) fn end_all(&self, shard: &Shard) {
        Self::each(shard, |id| self.with(shard, id, |connection| Now::Ended(connection.lost())));
    }

    fn each(shard: &Shard, act: impl Fn(StreamId)) {
        let slots = shard.streams.borrow().slots();
        for slot in 0..slots {
            let id = shard.streams.borrow_mut().push_in_slot(slot).map(|(id, _)| id);
            id.into_iter().for_each(&act);
        }
    }

    pub(super) fn shut_down(&self, shard: &Shard, id: StreamId) {
        let is_gone = shard.streams.borrow_mut().push(id).is_some_and(|connection| connection.gone().is_some());
        if is_gone {
            return self.hurry(shard, id);
        }
        if shard.is_late.get() {
            self.close(shard, id, GOING_AWAY);
            return self.with(shard, id, |connection| Now::Ended(connection.lost()));
        }
        self.stay_for_last_words(shard, id);
        let asked = match shard.streams.borrow_mut().push(id) {
            // A handler that is on its way to another worker has no last words.
            Some(connection) if connection.tenant.as_ref().is_some_and(|one| one.stage != Stage::Settled) => None,
            Some(connection) => connection.worker.filter(|_| connection.interest.shutdown && connection.is_open()),
            None => return,
        };
        let Some(worker) = asked else { return self.close(shard, id, GOING_AWAY) };
        shard.workers.batch(worker).shutdown(id);
        // All handlers together have the worker's threads, and the drain its time, of which the closing handshake needs some.
        let whole = shard.shared.config.drain_timeout;
        let time = whole.saturating_sub(CLOSE_TIMEOUT).max(whole / 2);
        self.set_deadline(shard, id, time, &self.last_words);
    }

    pub(super) fn write(&self, shard: &Shard, id: StreamId, kind: Kind, data: &[u8]) {
        match Content::new(kind, data) {
            Ok(content) => self.write_content(shard, id, content),
            Err(error) => log::warn(format_args!("dropped a message: {error}")),
        }
    }

    pub(super) fn write_content(&self, shard: &Shard, id: StreamId, content: Content<'_>) {
        let message = Message::new(content, &self.deflaters);
        let config = &shard.shared.config;
        self.with(shard, id, |connection| connection.send_message(&message, config, &shard.counters));
    }

    pub(crate) fn close(&self, shard: &Shard, id: StreamId, code: u16) {
        self.with(shard, id, |connection| connection.close(code, ""));
    }

    /// Does something with a connection and what follows from it.
    pub(super) fn with(&self, shard: &Shard, id: StreamId, f: impl FnOnce(&mut PushConnection) -> Now) {
        let effect = match shard.streams.borrow_mut().push(id) {
            Some(connection) => self.act(shard, id, connection, f),
            None => return,
        };
        self.after(shard, id, effect);
    }

    /// Does something with a connection. What follows from it has to wait until the table of streams is free.
    pub(super) fn act(
        &self,
        shard: &Shard,
        id: StreamId,
        connection: &mut PushConnection,
        f: impl FnOnce(&mut PushConnection) -> Now,
    ) -> Effect {
        let (former, was_paused) = (connection.step(), connection.is_paused());
        let now = f(connection);
        self.tell_news(shard, id, connection, now);
        Effect { now, closes: connection.step() > former, resumes: was_paused && !connection.is_paused() }
    }

    /// Tells the worker about a queue that has changed, or that nothing more is taken. After the end there is no news.
    pub(super) fn tell_news(&self, shard: &Shard, id: StreamId, connection: &mut PushConnection, now: Now) {
        let Some(worker) = connection.worker.filter(|_| now == Now::Alive) else { return };
        if let Some(messages) = connection.backlog_news() {
            let mut worker = shard.workers.batch(worker);
            worker.backlog(id, messages);
            if messages == 0 && connection.interest.drained {
                worker.drained(id);
            }
        }
        if connection.end_is_news() {
            shard.workers.batch(worker).closing(id);
        }
    }

    pub(super) fn after(&self, shard: &Shard, id: StreamId, effect: Effect) {
        if let Now::Ended(code) = effect.now {
            return self.end(shard, id, code);
        }
        if effect.closes {
            self.expire_later(shard, id);
        }
        // What has arrived meanwhile was reported when nobody read, and is not reported again (epoll(7), on edges). The
        // peer's close frame may be in it: also a connection that closes is to be read.
        if effect.resumes {
            self.read_later(id);
        }
    }

    /// From now on the connection has its time for the next step to its end, whatever was left of the time for the last one.
    pub(super) fn expire_later(&self, shard: &Shard, id: StreamId) {
        self.set_deadline(shard, id, CLOSE_TIMEOUT, &self.closing);
    }

    /// `queue` has all deadlines that are so far away, so that they grow.
    fn set_deadline(
        &self,
        shard: &Shard,
        id: StreamId,
        time: Duration,
        queue: &RefCell<VecDeque<(Instant, StreamId, u8)>>,
    ) {
        let Some(number) = shard.streams.borrow_mut().push(id).map(PushConnection::begin_deadline) else { return };
        queue.borrow_mut().push_back((Instant::now() + time, id, number));
        self.closing_wake.notify_one();
    }

    /// The socket has ended: nothing reaches the client any more, and the handler is told.
    fn end(&self, shard: &Shard, id: StreamId, code: u16) {
        let (path_key, transport, has_timeout) = {
            let mut streams = shard.streams.borrow_mut();
            let Some(connection) = streams.push(id) else { return };
            let Some(mut socket) = connection.leave(code) else { return };
            socket.deregister(shard.selector.registry());
            (connection.path_key, connection.transport, connection.has_timeout)
        };
        self.leave_path(path_key);
        self.forget(shard, id);
        if has_timeout {
            self.timeouts.borrow_mut().forget(id);
        }
        uncount(match transport {
            Transport::WebSocket => &shard.counters.websocket_connections,
            Transport::Sse => &shard.counters.sse_connections,
        });
        self.tell_end(shard, id, code);
    }
}
