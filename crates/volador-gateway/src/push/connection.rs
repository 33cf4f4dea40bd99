//! [`PushConnection`]: one socket after its upgrade. What it is is here; what it receives is in [`receiving`], what goes to the
//! client in [`sending`], how it ends in [`ending`].
//!
//! ```text
//!              close frame from the peer: echoed
//!   Open ─────────────────────────────────────────────▶ Ending ── all sent ──▶ ended
//!    │ │                                                  ▲
//!    │ │ ours: application, drain, full queue             │ SSE, or the peer's close frame
//!    │ └─────────────▶ Closing ───────────────────────────┘
//!    │
//!    │ the peer broke the protocol
//!    └─▶ Failing ── what came before is handled: close frame ──▶ Failed ── all sent: FIN ──▶ Failed
//!
//!   Closing, Ending, Failed ── deadline without progress, or the socket's end ──▶ ended
//!
//!   ended ── the handler has to be told, in a cluster ──▶ Gone ── a worker has told it ──▶ forgotten
//! ```

mod ending;
mod receiving;
mod sending;

use bytes::Bytes;
use volador_hub::path::PathKey;
use volador_proto::{
    link::{Interest, Transport},
    ws::{self, deflate::WindowBits},
};

pub(super) use self::receiving::{Reading, Undecoded};
use super::{
    aside::SequenceId,
    queue::SendQueue,
    socket::PushSocket,
    tenant::{Stage, Tenant},
};
use crate::{
    link::WorkerKey,
    stats::{Counters, count},
};

/// RFC 6455 §7.4.1: "an endpoint is "going away", such as a server going down".
pub(super) const GOING_AWAY: u16 = 1001;

/// Pings or heartbeats in a row without a sign of life, after which a peer is taken for dead.
const MISSED_MAX: u8 = 2;

/// How far a connection is in its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// The peer has broken the protocol. The worker still has messages in hand that came before; it may answer them.
    Failing(ws::ProtocolError),
    /// Our close frame that says how the protocol was broken is on its way, or has been sent and a FIN behind it. What
    /// the peer says is thrown away until it ends: closing a socket that has unread bytes is a reset, and the peer
    /// would lose the close frame.
    Failed(u16),
    /// Our close frame is on its way, with this code; the peer's is not here.
    Closing(u16),
    /// Nothing is said any more: ends as soon as everything is sent. The code is what the worker is told.
    Ending(u16),
    /// The socket has ended. The handler is told this code.
    Gone(u16),
}

/// What a call has led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Now {
    /// The connection goes on.
    Alive,
    /// The connection has ended, with this close code (RFC 6455 §7.1.5).
    Ended(u16),
}

/// A push connection: the protocol's state, the socket, and what waits for it.
#[derive(Debug)]
pub(crate) struct PushConnection {
    /// None once it has ended.
    pub(super) socket: Option<PushSocket>,
    pub(super) transport: Transport,
    /// The window of compressed messages to the client; None when it has not agreed to compressed messages.
    pub(super) deflate: Option<WindowBits>,
    /// Where the hub has the connection.
    pub(super) path_key: PathKey,
    /// What the worker wants to be told.
    pub(super) interest: Interest,
    /// The worker that is told, and that has accepted the connection; None when it is lost.
    pub(super) worker: Option<WorkerKey>,
    /// In a cluster, when there is a handler.
    pub(super) tenant: Option<Box<Tenant>>,
    phase: Phase,
    /// Signs of life that are overdue; see [`MISSED_MAX`].
    missed: u8,
    /// What waits for the end of a batch; see [`super::writes`].
    aside: Option<SequenceId>,
    /// Whether there was no round of pings or heartbeats since the connection's start.
    fresh: bool,
    /// Whether it has no part in those rounds, since its worker has chosen a time for it; see [`Timeouts`](super::timeouts).
    pub(super) has_timeout: bool,
    /// Whether the socket has taken bytes of the queue since nothing may be written any more, or since that was asked last.
    progress: bool,
    /// The number of the deadline that counts for its end: of those that it has been given, the last one. There are never so
    /// many under way that they meet again.
    deadline: u8,
    decoder: ws::Decoder,
    /// None while the socket takes everything at once, which is nearly always.
    queue: Option<Box<SendQueue>>,
    /// Messages that the worker has in hand.
    unhandled: u32,
    /// Bytes given to the worker since `unhandled` was 0; not more than fits.
    unhandled_bytes: u32,
    /// Whether the worker is behind.
    is_behind: bool,
    /// What the socket has given and the worker had no room for; None mostly.
    undecoded: Option<Box<Undecoded>>,
    /// Messages that the worker believes to wait for the client.
    told: u32,
    /// Whether the worker knows that nothing more is taken.
    knows_end: bool,
}

impl PushConnection {
    pub(super) fn new(
        socket: PushSocket,
        transport: Transport,
        deflate: Option<WindowBits>,
        path_key: PathKey,
        interest: Interest,
        worker: Option<WorkerKey>,
        tenant: Option<Box<Tenant>>,
    ) -> Self {
        Self {
            socket: Some(socket),
            transport,
            deflate,
            path_key,
            interest,
            worker,
            tenant,
            phase: Phase::Open,
            missed: 0,
            aside: None,
            fresh: true,
            has_timeout: false,
            progress: false,
            deadline: 0,
            decoder: ws::Decoder::new(),
            queue: None,
            unhandled: 0,
            unhandled_bytes: 0,
            is_behind: false,
            undecoded: None,
            told: 0,
            knows_end: false,
        }
    }

    /// Whether messages may be written.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Failing(_))
    }

    /// Whether the end has begun, for which there is a deadline.
    pub(super) fn is_closing(&self) -> bool {
        self.phase != Phase::Open
    }

    /// The close code, once the socket has ended.
    pub(super) fn gone(&self) -> Option<u16> {
        match self.phase {
            Phase::Gone(code) => Some(code),
            _ => None,
        }
    }

    /// Gives the socket up, which has ended, and all that waits for it.
    pub(super) fn leave(&mut self, code: u16) -> Option<PushSocket> {
        self.phase = Phase::Gone(code);
        (self.queue, self.undecoded, self.aside) = (None, None, None);
        self.told = 0;
        self.socket.take()
    }

    /// Whether this worker has been sent the request that opened the connection.
    pub(super) fn is_replaying(&self, worker: WorkerKey) -> bool {
        self.tenant.as_ref().is_some_and(|tenant| tenant.stage == Stage::Replaying(worker))
    }

    /// Whether what this worker says about the connection counts.
    pub(super) fn listens_to(&self, worker: WorkerKey) -> bool {
        self.worker == Some(worker) || self.is_replaying(worker)
    }

    /// Another worker has the connection, which has been told nothing of what waits for the client, nor of an end.
    pub(super) fn untold(&mut self) {
        self.told = 0;
        self.knows_end = false;
    }

    /// The time for a ping or a heartbeat. The first round is left out, so that a connection is at least one round old
    /// when it gets its first.
    pub(super) fn beat(&mut self, bytes: &Bytes, counters: &Counters) -> Now {
        // An end has a deadline of its own, and no pings.
        if std::mem::take(&mut self.fresh) || self.is_closing() {
            return Now::Alive;
        }
        // There may be room that the system has not reported, so that it takes something: that is a sign of life.
        if self.queue.is_some()
            && let ended @ Now::Ended(_) = self.writable()
        {
            return ended;
        }
        let waits = match self.transport {
            // RFC 6455 §5.5.2: a ping "may serve either as a keepalive or as a means to verify that the remote endpoint is
            // still responsive". It verifies nothing while pongs lie unread because our worker is behind. Whoever is paused
            // has just been read, so it comes out of that with no miss, and has two rounds for its pongs again.
            Transport::WebSocket => !self.is_paused(),
            Transport::Sse => self.queue.is_some(),
        };
        if waits {
            if self.missed >= MISSED_MAX {
                count(&counters.closed_dead);
                return Now::Ended(1006);
            }
            self.missed += 1;
        }
        // Behind what waits it would say nothing that the peer does not say by taking that, and only fill the queue.
        if self.queue.is_none() { self.write(bytes) } else { Now::Alive }
    }

    /// Leaves the rounds of pings or heartbeats for a time of its own, or comes back to them. Whoever has its part in them
    /// keeps its turn: to say so again and again must not put that off for ever.
    pub(super) fn set_has_timeout(&mut self, has_timeout: bool) {
        if std::mem::replace(&mut self.has_timeout, has_timeout) != has_timeout {
            self.fresh = !has_timeout;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_small() {
        assert!(size_of::<PushConnection>() <= 128);
    }
}
