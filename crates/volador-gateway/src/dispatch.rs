//! [`Dispatch`]: which worker gets a request, and the requests that wait for one.
//!
//! ```text
//!             a worker has room                    its worker completes, is lost, recalled
//!   request ──────────────────▶ sent ─▶ answered   sent, not begun ──────────────────────┐
//!      │ none has                ▲                                                       │
//!      └──────▶ waiting ─────────┘ ◀──────────── (at the front) ─────────────────────────┘
//! ```
//!
//! A worker is sent a few requests more than it has threads (`link/lead.rs`), so that it finds the next one at
//! once when a thread is done. That must not keep a request waiting behind a slow one while another worker is free. So
//! when one has a free thread and another more than it runs, what the other has not begun is recalled after a moment.
//!
//! Embedded there is nothing to choose: the one worker has the queue, and the requests go there at once.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use tokio::sync::Notify;
use volador_link::Want;
use volador_proto::link::{StreamId, ToGateway};

use crate::{
    link::{Member, State, WorkerKey},
    log,
    shard::Shard,
    stats::{add, count},
    streams::Stream,
};

/// How long a request may wait in a worker while another one is free, before it is recalled.
const RECALL_AFTER: Duration = Duration::from_millis(1);

/// How soon the next look at the workers may follow on a recall.
const RECALL_REST: Duration = Duration::from_millis(4);

/// The requests of a shard that no worker has.
#[derive(Debug, Default)]
pub(crate) struct Dispatch {
    /// With the time since when, the oldest first. Some may have ended meanwhile.
    waiting: RefCell<VecDeque<(StreamId, Instant)>>,
    /// There may be something to recall.
    uneven: Notify,
    looks: Cell<bool>,
}

impl Dispatch {
    /// Requests that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.borrow().len()
    }
}

impl Shard {
    /// A request of a cluster, kept in its exchange, wants a worker.
    pub(crate) fn submit(&self, id: StreamId) {
        if self.dispatch.waiting() == 0 && self.assign(id, None) {
            return;
        }
        self.shared.waiting.fetch_add(1, Relaxed);
        self.dispatch.waiting.borrow_mut().push_back((id, Instant::now()));
    }

    /// Gives the request, which has waited since then, to the least busy worker. False when none has room.
    fn assign(&self, id: StreamId, since: Option<Instant>) -> bool {
        // Replays wait in a lane of their own.
        let has_room =
            |member: &Member| member.in_flight() < member.threads() + member.lead.requests() + member.replays();
        let Some((key, member)) = self.workers.least(Member::load, has_room) else { return false };
        let mut streams = self.streams.borrow_mut();
        let Some(exchange) = streams.exchange(id) else { return true };
        let waited = since.map_or(Duration::ZERO, |since| since.elapsed());
        add(&self.counters.queue_waits, exchange.is_new().into());
        add(&self.counters.queue_wait_micros, waited.as_micros() as usize);
        self.counters.queue_wait_micros_max.fetch_max(waited.as_micros() as u64, Relaxed);
        match exchange.send(id, key, &mut self.workers.batch(key)) {
            Ok(()) => member.sent(|| self.shared.roster.now()),
            Err(error) => match Want::of(&error) {
                Some(want) => {
                    want.gave_up();
                    exchange.refuse();
                }
                None => {
                    log::warn(format_args!("answered 502: can't hand a request body over: {error}"));
                    exchange.handle(ToGateway::Abort, 0);
                }
            },
        }
        true
    }

    /// Gives waiting requests to workers that have room.
    pub(crate) fn pump(&self) {
        loop {
            let first = self.dispatch.waiting.borrow().front().copied();
            let Some((id, since)) = first else { break };
            let is_wanted = self.streams.borrow_mut().exchange(id).is_some_and(|exchange| exchange.is_unsent());
            if is_wanted && !self.assign(id, Some(since)) {
                return;
            }
            self.dispatch.waiting.borrow_mut().pop_front();
            self.shared.waiting.fetch_sub(1, Relaxed);
        }
    }

    /// There is room, and other shards may have requests that wait for it. They look for themselves, and tell nobody.
    fn tell_others_of_room(&self) {
        if self.shared.waiting.load(Relaxed) > self.dispatch.waiting() {
            let others = self.shared.inboxes.iter().enumerate().filter(|(number, _)| *number != self.number());
            others.for_each(|(_, inbox)| inbox.look());
        }
    }

    /// The client of a request that waits has left.
    pub(crate) fn leave_queue(&self, id: StreamId) {
        let mut waiting = self.dispatch.waiting.borrow_mut();
        let before = waiting.len();
        waiting.retain(|(waiting, _)| *waiting != id);
        self.shared.waiting.fetch_sub(before - waiting.len(), Relaxed);
    }

    /// What the workers have may have become uneven.
    pub(crate) fn look_for_uneven(&self) {
        if !self.dispatch.looks.replace(true) {
            self.dispatch.uneven.notify_one();
        }
    }

    /// The worker has completed a request, or (`is_answer` false) given it back.
    pub(crate) fn completed(&self, member: &Member, is_answer: bool) {
        member.completed(is_answer.then(|| self.read_at.get()));
        self.pump();
        self.tell_others_of_room();
        if member.is_idle() {
            self.shared.roster.ring();
        }
        if self.dispatch.waiting() == 0 && member.free() > 0 {
            self.look_for_uneven();
        }
    }

    /// A worker has finished something other than a request. That happens very often, and mostly among workers that have no
    /// requests.
    pub(crate) fn relieved(&self) {
        if self.workers.are_uneven() {
            self.look_for_uneven();
        }
    }

    /// The request is not with that worker any more, and has not begun there.
    pub(crate) fn take_back(&self, id: StreamId, from: WorkerKey) {
        let is_wanted = match self.streams.borrow_mut().get(id) {
            Some(Stream::Exchange(exchange)) => exchange.take_back(from),
            _ => false,
        };
        if is_wanted {
            count(&self.counters.redispatched);
            self.shared.waiting.fetch_add(1, Relaxed);
            self.dispatch.waiting.borrow_mut().push_front((id, Instant::now()));
        }
    }

    /// The worker retires: what it has not begun goes to others.
    pub(crate) fn recall_all(&self, key: WorkerKey) {
        self.workers.batch(key).recall(u32::MAX);
    }

    /// Evens out what the workers have, for ever.
    pub(crate) async fn recall_task(&self) {
        loop {
            self.dispatch.uneven.notified().await;
            tokio::time::sleep(RECALL_AFTER).await;
            let recalled = self.recall();
            self.dispatch.looks.set(false);
            if recalled {
                tokio::time::sleep(RECALL_REST).await;
            }
        }
    }

    /// Each worker is asked for as much as would find a thread: which of them has what has not begun is not known here, it
    /// may be callbacks that wait. What comes back too much goes to the one that has least to do, as it would have.
    fn recall(&self) -> bool {
        let mut free = 0;
        self.workers.each(|_, member| {
            if member.state() == State::Serving {
                free += member.free();
            }
        });
        let mut recalled = false;
        self.workers.each(|key, member| {
            let wanted = member.behind().min(free);
            if wanted > 0 && member.state() == State::Serving {
                member.recalled();
                self.workers.batch(key).recall(wanted as u32);
                recalled = true;
            }
        });
        recalled
    }
}

/// Whether the frame is a worker's last one for a request: each request that it was sent has exactly one. (Behind a Tunnel
/// comes an End, when the thread is free again.)
pub(crate) fn completes(frame: &ToGateway) -> bool {
    use volador_proto::link::{Carrier, ResponseBody};
    match frame {
        ToGateway::Response(response) => !matches!(response.body, ResponseBody::Stream),
        ToGateway::Lost(carrier) => *carrier == Carrier::Response,
        ToGateway::End | ToGateway::Abort | ToGateway::Upgrade { .. } | ToGateway::Returned | ToGateway::Refused => {
            true
        }
        _ => false,
    }
}
