//! How handlers move from worker to worker: one at a time for each connection, and few at once for all of them, so that
//! plain requests do not wait behind ten thousand replays. The stages of one handler are in [`super::tenant`].

use std::collections::VecDeque;

use bytes::Bytes;
use volador_proto::link::{Interest, StreamId};

use super::{
    connection::{GOING_AWAY, Now, PushConnection},
    engine::Engine,
    tenant::Stage,
};
use crate::{
    link::{Member, State, WorkerKey},
    log,
    shard::Shard,
    stats::{add, count},
};

/// Handlers that are asked at once what they leave. One that is slow to finish a callback holds one of these places.
const LEAVING_MAX: usize = 64;

/// Requests that are replayed at once while a worker retires. Each of them takes an application thread for as long as its
/// callbacks run, and CPU time that plain requests want as well, on top of what it takes to start the new code. Nobody waits
/// for a handler that is still where it was: there is time. Where that is more, it is half of the threads that there are.
const MOVING_MAX: usize = 4;

/// The same after a worker was lost: its handlers are nowhere. So many are what it takes for the next worker not to be done
/// before more of them come; the gateway may be busy with a publication meanwhile.
const RETURNING_MAX: usize = 64;

/// RFC 6455 §7.4.1 and the registry: "Service Restart".
const SERVICE_RESTART: u16 = 1012;

/// Handlers that have to move.
#[derive(Debug, Default)]
pub(super) struct Moves {
    /// Those whose worker retires.
    to_leave: VecDeque<StreamId>,
    /// Those whom their worker has let go of.
    to_move: VecDeque<StreamId>,
    /// Those whose worker was lost.
    to_return: VecDeque<StreamId>,
    leaving: usize,
    replaying: usize,
}

impl Moves {
    /// The next one to be replayed, if one may be with so many threads.
    fn next_replay(&mut self, threads: usize) -> Option<StreamId> {
        if threads == 0 {
            return None; // no worker takes requests
        }
        let returning = if self.replaying < RETURNING_MAX { self.to_return.pop_front() } else { None };
        let may_move = self.replaying < MOVING_MAX.max(threads / 2);
        returning.or_else(|| if may_move { self.to_move.pop_front() } else { None })
    }

    /// The next one to be asked what it leaves, if one may be. Who has been asked is nowhere until it is replayed, so none
    /// is while others wait for that.
    fn next_leaving(&mut self) -> Option<StreamId> {
        if self.leaving < LEAVING_MAX && self.to_move.is_empty() { self.to_leave.pop_front() } else { None }
    }
}

impl Engine {
    /// The workers have changed: some may retire, some may have come.
    pub(crate) fn rearrange(&self, shard: &Shard) {
        let mut retiring = Vec::new();
        shard.workers.each(|key, member| {
            if member.state() == State::Retiring {
                retiring.push(key);
            }
        });
        if !retiring.is_empty() {
            let mut streams = shard.streams.borrow_mut();
            let mut moves = self.moves.borrow_mut();
            moves.to_leave.clear();
            for slot in 0..streams.slots() {
                if let Some((id, connection)) = streams.push_in_slot(slot)
                    && connection.tenant.as_ref().is_some_and(|tenant| tenant.stage == Stage::Settled)
                    && connection.worker.is_some_and(|worker| retiring.contains(&worker))
                {
                    moves.to_leave.push_back(id);
                }
            }
        }
        self.move_on(shard);
    }

    /// Begins as many moves as may be under way.
    pub(crate) fn move_on(&self, shard: &Shard) {
        // While the server stops nobody leaves, and nobody comes.
        if shard.draining.get() {
            return;
        }
        let mut threads = 0;
        shard.workers.each(|_, member| {
            if member.state() == State::Serving {
                threads += member.threads();
            }
        });
        loop {
            let next = self.moves.borrow_mut().next_replay(threads);
            let Some(id) = next else { break };
            if !self.replay(shard, id) {
                self.moves.borrow_mut().to_return.push_front(id);
                break;
            }
        }
        loop {
            let next = self.moves.borrow_mut().next_leaving();
            let Some(id) = next else { break };
            self.leave(shard, id);
        }
    }

    /// The server stops: a handler that has been asked to leave, and wants to have last words, is not to go any more. (It may
    /// have, which [`Self::handed_over`] finds out.)
    pub(super) fn stay_for_last_words(&self, shard: &Shard, id: StreamId) {
        let mut streams = shard.streams.borrow_mut();
        let Some(connection) = streams.push(id).filter(|one| one.is_open() && one.interest.shutdown) else { return };
        let (Some(tenant), Some(worker)) = (&mut connection.tenant, connection.worker) else { return };
        if tenant.stage == Stage::Leaving {
            tenant.stay(id, &mut shard.workers.batch(worker));
            self.moves.borrow_mut().leaving -= 1;
        }
    }

    /// Asks a handler what it leaves.
    fn leave(&self, shard: &Shard, id: StreamId) {
        let mut streams = shard.streams.borrow_mut();
        let Some(connection) = streams.push(id) else { return };
        let is_closing = connection.is_closing();
        let (Some(tenant), Some(worker)) = (&mut connection.tenant, connection.worker) else { return };
        // While it has waited for its turn its worker may have been lost. Then it is in another one by now, and at home
        // there.
        let retires = shard.workers.member(worker).is_some_and(|member| member.state() == State::Retiring);
        // One that is about to end ends where it is.
        if tenant.stage == Stage::Settled && retires && !is_closing {
            tenant.stage = Stage::Leaving;
            self.moves.borrow_mut().leaving += 1;
            shard.workers.batch(worker).hand_over(id);
        }
    }

    /// Sends a request to a worker once more. False when none serves; as soon as one does, there is a [`Self::rearrange`].
    fn replay(&self, shard: &Shard, id: StreamId) -> bool {
        let mut streams = shard.streams.borrow_mut();
        let Some(tenant) = streams.push(id).and_then(|connection| connection.tenant.as_mut()) else { return true };
        if tenant.stage != Stage::Waiting {
            return true;
        }
        let load = |member: &Member| member.handlers() + member.in_flight();
        let Some((key, member)) = shard.workers.least(load, |_| true) else { return false };
        // It was given in milliseconds.
        let timeout_ms = self.timeouts.borrow().get(id).map_or(0, |timeout| timeout.as_millis() as u32);
        shard.workers.batch(key).replay(id, &tenant.request, tenant.state.as_deref(), timeout_ms);
        tenant.stage = Stage::Replaying(key);
        member.sent(|| shard.shared.roster.now());
        member.replay_began();
        self.moves.borrow_mut().replaying += 1;
        true
    }

    /// The worker `from` has let go of the handler.
    pub(super) fn handed_over(&self, shard: &Shard, from: WorkerKey, id: StreamId, state: Option<Bytes>) {
        {
            let mut streams = shard.streams.borrow_mut();
            let Some(connection) = streams.push(id).filter(|connection| connection.worker == Some(from)) else {
                return;
            };
            let Some(tenant) = connection.tenant.as_mut().filter(|tenant| tenant.stage == Stage::Leaving) else {
                drop(streams);
                // It was gone before it was to stay: nothing that it says reaches the client.
                if shard.draining.get() {
                    self.close(shard, id, GOING_AWAY);
                }
                return;
            };
            tenant.stage = Stage::Waiting;
            // Its memory would be that of everything that came along.
            tenant.state = state.map(|state| Bytes::copy_from_slice(&state));
            let mut moves = self.moves.borrow_mut();
            moves.leaving -= 1;
            moves.to_move.push_back(id);
        }
        self.move_on(shard);
    }

    /// The worker `new` accepts the connection.
    pub(super) fn settle(&self, shard: &Shard, new: WorkerKey, id: StreamId, interest: Option<Interest>) {
        let (resumes, is_over);
        let old = {
            let mut streams = shard.streams.borrow_mut();
            let Some(connection) = streams.push(id).filter(|connection| connection.is_replaying(new)) else { return };
            let paused = connection.is_paused();
            connection.interest = interest.unwrap_or(Interest::NONE);
            let old = connection.worker.replace(new);
            let member = shard.workers.member(new);
            let mut batch = shard.workers.batch(new);
            batch.resume(id);
            if let Some(tenant) = &mut connection.tenant {
                let dropped = tenant.settle(id, member, connection.interest.messages, &mut batch);
                connection.forget_unhandled(dropped);
            }
            if interest.is_none() {
                connection.tenant = None;
            }
            is_over = interest.is_none() && connection.gone().is_some();
            connection.untold();
            resumes = paused && !connection.is_paused();
            drop(batch);
            self.tell_news(shard, id, connection, Now::Alive);
            old
        };
        count(&shard.counters.resumed);
        if interest.is_some()
            && let Some(member) = shard.workers.member(new)
        {
            member.handler_came();
        }
        if let Some(old) = old {
            shard.workers.batch(old).release(id);
            self.handler_went(shard, old);
        }
        self.replayed(shard, new);
        if is_over {
            self.depart(shard, id);
        }
        if resumes {
            self.read_later(id);
        }
        // It may have been told to retire while it was asked.
        if interest.is_some() && shard.workers.member(new).is_some_and(|member| member.state() == State::Retiring) {
            self.moves.borrow_mut().to_leave.push_back(id);
        }
        if shard.draining.get() {
            self.shut_down(shard, id);
        }
        self.move_on(shard);
    }

    /// The worker `new` does not accept the connection: it is closed, and the former handler is told so.
    pub(super) fn refuse(&self, shard: &Shard, new: WorkerKey, id: StreamId) {
        {
            let mut streams = shard.streams.borrow_mut();
            let Some(connection) = streams.push(id).filter(|connection| connection.is_replaying(new)) else { return };
            if let Some(tenant) = &mut connection.tenant {
                tenant.refuse();
            }
        }
        // The answer may be one that goes on.
        shard.workers.batch(new).cancel(id);
        self.replayed(shard, new);
        self.close_refused(shard, id);
        self.move_on(shard);
    }

    /// No worker takes the handler.
    fn close_refused(&self, shard: &Shard, id: StreamId) {
        let gone = shard.streams.borrow_mut().push(id).and_then(|connection| connection.gone());
        match gone {
            Some(code) => self.tell_end(shard, id, code),
            None => self.close(shard, id, SERVICE_RESTART),
        }
    }

    /// The worker `new` gives the request back that it was sent.
    pub(super) fn replay_returned(&self, shard: &Shard, new: WorkerKey, id: StreamId) {
        {
            let mut streams = shard.streams.borrow_mut();
            let Some(connection) = streams.push(id).filter(|connection| connection.is_replaying(new)) else { return };
            if let Some(tenant) = &mut connection.tenant {
                tenant.stage = Stage::Waiting;
            }
        }
        self.replayed(shard, new);
        self.moves.borrow_mut().to_return.push_back(id);
        self.hurry(shard, id);
        self.move_on(shard);
    }

    /// The worker `new` has one replay less.
    fn replayed(&self, shard: &Shard, new: WorkerKey) {
        self.moves.borrow_mut().replaying -= 1;
        if let Some(member) = shard.workers.member(new) {
            member.replay_ended();
        }
    }

    /// A connection that was asked to leave moves no more, and gives its place up.
    pub(super) fn leaving_ended(&self, shard: &Shard) {
        self.moves.borrow_mut().leaving -= 1;
        self.move_on(shard);
    }

    /// A worker is lost that may have had the connection, or was about to get it.
    /// None: one that is not known any more.
    pub(crate) fn lost_worker(
        &self,
        shard: &Shard,
        lost: Option<WorkerKey>,
        id: StreamId,
        begun: impl FnOnce() -> u32,
    ) {
        let (mut resumes, mut is_over, mut waits) = (false, false, false);
        let given_up = {
            let mut streams = shard.streams.borrow_mut();
            let Some(connection) = streams.push(id) else { return };
            let (paused, gone) = (connection.is_paused(), connection.gone());
            let was_its = connection.worker == lost;
            if was_its {
                connection.worker = None;
            }
            let PushConnection { tenant: Some(tenant), .. } = connection else { return };
            let mut moves = self.moves.borrow_mut();
            match tenant.stage {
                Stage::Settled | Stage::Leaving if was_its => {
                    if tenant.stage == Stage::Leaving {
                        moves.leaving -= 1;
                    }
                    let messages = tenant.lost_worker(begun());
                    // While the server stops, nobody comes after the lost one.
                    is_over = gone.is_some() && (shard.draining.get() || !tenant.has_end_to_tell());
                    add(&shard.counters.lost_messages, messages as usize);
                    connection.forget_unhandled(messages);
                    resumes = paused && !connection.is_paused();
                    if !is_over {
                        moves.to_return.push_back(id);
                    }
                    false
                }
                Stage::Replaying(new) if Some(new) == lost => {
                    moves.replaying -= 1;
                    let again = tenant.lost_candidate();
                    if again {
                        moves.to_return.push_back(id);
                    }
                    waits = again;
                    !again
                }
                Stage::Refused if was_its => {
                    is_over = gone.is_some();
                    false
                }
                _ => false,
            }
        };
        if is_over {
            self.depart(shard, id);
        }
        if waits {
            self.hurry(shard, id);
        }
        if resumes {
            self.read_later(id);
        }
        if given_up {
            log::warn(format_args!("a push connection is closed: its handler's request ends one worker after another"));
            self.close_refused(shard, id);
        }
    }

    /// A worker has one handler less.
    pub(super) fn handler_went(&self, shard: &Shard, worker: WorkerKey) {
        if let Some(member) = shard.workers.member(worker) {
            member.handler_went();
            if member.is_idle() {
                shard.shared.roster.ring();
            }
        }
    }
}
