//! [`Tenant`]: the handler of a push connection in a cluster, which may have to move to another worker.
//!
//! ```text
//!              its worker retires           what it leaves is here
//!   Settled ──────────────────▶ Leaving ───────────────────────────┐
//!     ▲  │ its worker is lost                                      ▼
//!     │  └───────────────────────────────────────────────────▶ Waiting ◀──┐ that worker is lost
//!     │                                                            │      │
//!     │ the worker accepts                   a worker has room     ▼      │
//!     └───────────────────────────────────────────────────────── Replaying
//!                                                                  │ the worker refuses
//!                                                                  ▼
//!                                                               Refused: closed with 1012
//! ```
//!
//! Messages are sent to the worker of a settled handler, and kept until it has handled them. In all other stages they
//! wait here; there are never more than the connection may have unhandled, since it is not read then. The end of the
//! connection is the last of them.

use std::{collections::VecDeque, rc::Rc, sync::Arc};

use bytes::Bytes;
use volador_proto::link::{Batch, Payload, SealedRequest, StreamId};

use crate::link::{Member, Occupied, WorkerKey};

/// Workers that may be lost over the replay of one request. It is most likely what kills them.
const CRASHES_MAX: u8 = 3;

/// Where the handler is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// In the connection's worker.
    Settled,
    /// There still; what it leaves for the next one is awaited.
    Leaving,
    /// Nowhere: a worker has to be found.
    Waiting,
    /// This worker has been sent the request that opened the connection.
    Replaying(WorkerKey),
    /// Nowhere for good.
    Refused,
}

/// What a handler is to be told.
#[derive(Debug)]
enum Kept {
    Message(Payload, Bytes),
    /// The connection has ended, with this close code.
    End(u16),
}

impl Kept {
    fn send(&self, id: StreamId, worker: &mut Batch) {
        match self {
            Self::Message(payload, data) => worker.message(id, *payload, data),
            Self::End(code) => worker.gone(id, *code),
        }
    }
}

/// What a connection needs to move.
#[derive(Debug)]
pub(super) struct Tenant {
    /// What opened the connection.
    pub(super) request: Rc<SealedRequest>,
    pub(super) stage: Stage,
    /// The worker, while it has the handler.
    member: Option<Arc<Member>>,
    /// What the worker was sent and has not handled, in order.
    unacked: VecDeque<Kept>,
    /// There is some of that.
    occupied: Option<Occupied>,
    /// What no worker was sent, in order.
    held: VecDeque<Kept>,
    /// How much the worker was sent.
    sent: u32,
    /// What the former handler left.
    pub(super) state: Option<Bytes>,
    /// Workers that were lost over a replay.
    crashes: u8,
}

impl Tenant {
    pub(super) fn new(request: Rc<SealedRequest>, member: Option<Arc<Member>>) -> Self {
        Self {
            request,
            stage: Stage::Settled,
            member,
            unacked: VecDeque::new(),
            occupied: None,
            held: VecDeque::new(),
            sent: 0,
            state: None,
            crashes: 0,
        }
    }

    /// The client has sent a message. `worker` takes frames for the connection's worker.
    pub(super) fn message(&mut self, id: StreamId, payload: Payload, data: &[u8], worker: &mut Batch) {
        self.tell(id, Kept::Message(payload, Bytes::copy_from_slice(data)), worker);
    }

    /// The connection has ended. `worker` as above.
    pub(super) fn end(&mut self, id: StreamId, code: u16, worker: &mut Batch) {
        self.tell(id, Kept::End(code), worker);
    }

    fn tell(&mut self, id: StreamId, kept: Kept, worker: &mut Batch) {
        if self.stage == Stage::Settled {
            kept.send(id, worker);
            if self.unacked.is_empty() {
                self.occupied = self.member.clone().map(Occupied::new);
            }
            self.unacked.push_back(kept);
            self.sent = self.sent.wrapping_add(1);
        } else {
            self.held.push_back(kept);
        }
    }

    /// The handler stays where it is, and what has come meanwhile is for nobody.
    pub(super) fn refuse(&mut self) {
        self.stage = Stage::Refused;
        self.held = VecDeque::new();
    }

    /// Whether a worker is to be told the end that has not begun to tell it.
    pub(super) fn has_end_to_tell(&self) -> bool {
        matches!(self.held.back(), Some(Kept::End(_)))
    }

    /// It was asked to leave, and stays: what has waited meanwhile goes to it.
    pub(super) fn stay(&mut self, id: StreamId, worker: &mut Batch) {
        self.stage = Stage::Settled;
        for kept in std::mem::take(&mut self.held) {
            self.tell(id, kept, worker);
        }
    }

    /// The worker has handled so many.
    pub(super) fn handled(&mut self, messages: u32) {
        self.unacked.drain(..(messages as usize).min(self.unacked.len()));
        if self.unacked.is_empty() {
            // Ten thousand quiet connections must not keep the memory of their liveliest moment.
            self.unacked = VecDeque::new();
            self.occupied = None;
        }
    }

    /// The worker is lost, which has begun so many jobs of this connection: one was the request, the others are messages,
    /// or the end. What it had begun is not begun again; how many messages those are that it has not said to have handled.
    pub(super) fn lost_worker(&mut self, begun: u32) -> u32 {
        let handled = self.sent.wrapping_sub(self.unacked.len() as u32);
        let begun = begun.saturating_sub(1).saturating_sub(handled);
        let lost = (begun as usize).min(self.unacked.len());
        let lost = self.unacked.drain(..lost).filter(|kept| matches!(kept, Kept::Message(..))).count();
        while let Some(message) = self.unacked.pop_back() {
            self.held.push_front(message);
        }
        (self.member, self.occupied) = (None, None);
        self.stage = Stage::Waiting;
        lost as u32
    }

    /// The worker that was sent the request is lost. Whether another one is to be tried.
    pub(super) fn lost_candidate(&mut self) -> bool {
        self.crashes += 1;
        let again = self.crashes < CRASHES_MAX;
        if again {
            self.stage = Stage::Waiting;
        } else {
            self.refuse();
        }
        again
    }

    /// The worker that was sent the request accepts: it gets the messages that wait, if it wants messages. Returns how
    /// many it does not get.
    pub(super) fn settle(
        &mut self,
        id: StreamId,
        member: Option<Arc<Member>>,
        wants_messages: bool,
        worker: &mut Batch,
    ) -> u32 {
        self.stage = Stage::Settled;
        self.member = member;
        self.state = None;
        self.sent = 0;
        self.crashes = 0;
        let mut unwanted = 0;
        for kept in std::mem::take(&mut self.held) {
            if !wants_messages && matches!(kept, Kept::Message(..)) {
                unwanted += 1;
            } else {
                self.tell(id, kept, worker);
            }
        }
        unwanted
    }
}

#[cfg(test)]
mod tests {
    use volador_proto::link::{RequestBody, RequestHead, ToWorker};

    use super::*;

    const ID: StreamId = StreamId::NONE;

    fn tenant() -> Tenant {
        let head = RequestHead {
            transport: None,
            tls: false,
            http_10: false,
            method: b"GET",
            path: b"/",
            query: b"",
            remote_addr: b"",
            server_name: b"",
            server_port: b"",
        };
        Tenant::new(Rc::new(SealedRequest::new(&head, [], RequestBody::None)), None)
    }

    fn messages(batch: Batch) -> Vec<String> {
        let mut frames = batch.into_frames();
        std::iter::from_fn(|| ToWorker::next(&mut frames))
            .map(|frame| match frame.unwrap() {
                (_, ToWorker::Message(_, data)) => String::from_utf8(data.to_vec()).unwrap(),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    /// Sends "0", "1" … to a settled worker, of which it handles some and has begun some more when it is lost.
    fn resent(sent: u32, handled: u32, begun: u32) -> (u32, Vec<String>) {
        let (mut tenant, mut batch) = (tenant(), Batch::new());
        for n in 0..sent {
            tenant.message(ID, Payload::Text, n.to_string().as_bytes(), &mut batch);
        }
        tenant.handled(handled);
        let lost = tenant.lost_worker(begun);
        tenant.message(ID, Payload::Text, b"later", &mut batch);
        assert_eq!(tenant.stage, Stage::Waiting);
        assert_eq!(messages(batch).len() as u32, sent);
        tenant.stage = Stage::Replaying(WorkerKey(1));
        let mut batch = Batch::new();
        assert_eq!(tenant.settle(ID, None, true, &mut batch), 0);
        (lost, messages(batch))
    }

    #[test]
    fn a_message_that_was_begun_is_not_sent_again_and_the_others_are_in_order() {
        for (sent, handled, begun, lost, again) in [
            (0, 0, 1, 0, "later"),
            (3, 0, 1, 0, "0 1 2 later"),
            (3, 0, 2, 1, "1 2 later"),
            (3, 1, 2, 0, "1 2 later"),
            (3, 1, 3, 1, "2 later"),
            (3, 3, 4, 0, "later"),
            (3, 1, u32::MAX, 2, "later"),
            (3, 0, 0, 0, "0 1 2 later"),
        ] {
            let (n, sent_again) = resent(sent, handled, begun);
            assert_eq!((n, sent_again.join(" ").as_str()), (lost, again), "{sent} {handled} {begun}");
        }
    }

    #[test]
    fn a_request_that_kills_workers_is_given_up() {
        let mut tenant = tenant();
        assert!(tenant.lost_candidate() && tenant.lost_candidate() && !tenant.lost_candidate());
        assert_eq!(tenant.stage, Stage::Refused);
    }
}
