//! How a connection ends: closed by us, failed over a fault of the peer, overdue, or lost.

use volador_proto::{link::Transport, ws};

use super::{GOING_AWAY, Now, Phase, PushConnection};

impl PushConnection {
    /// Begins to close: WebSocket with a close frame, SSE by its end.
    pub(in crate::push) fn close(&mut self, code: u16, reason: &str) -> Now {
        match self.phase {
            Phase::Open => {}
            Phase::Failing(error) => return self.fail(error),
            _ => return Now::Alive,
        }
        match self.transport {
            Transport::WebSocket => {
                self.phase = Phase::Closing(code);
                self.write(&ws::close(Some(code), reason))
            }
            Transport::Sse => self.end_after(Now::Alive, code),
        }
    }

    /// The same by the worker's wish.
    pub(in crate::push) fn close_by_worker(&mut self, code: u16) -> Now {
        self.knows_end = true;
        self.close(code, "")
    }

    /// Whether the worker is to be told that nothing more is taken, before it is told the end.
    pub(in crate::push) fn end_is_news(&mut self) -> bool {
        !self.is_open() && self.gone().is_none() && !std::mem::replace(&mut self.knows_end, true)
    }

    /// RFC 6455 §7.1.7: fails the connection. No answer to the close frame is waited for.
    pub(super) fn fail(&mut self, error: ws::ProtocolError) -> Now {
        self.phase = Phase::Failed(error.close_code());
        let now = self.write(&ws::close(Some(error.close_code()), &error.to_string()));
        if now == Now::Alive && self.queue.is_none() {
            self.shutdown_write();
        }
        now
    }

    /// Whether the time to close begins anew: the client takes what waits for it, only slowly.
    pub(in crate::push) fn takes_more(&mut self) -> bool {
        std::mem::take(&mut self.progress)
    }

    /// How near the end is. Each step has time of its own: a peer that is waited for does not pay for a handler that was.
    pub(in crate::push) fn step(&self) -> u8 {
        match self.phase {
            Phase::Open => 0,
            Phase::Failing(_) => 1,
            Phase::Failed(_) | Phase::Closing(_) | Phase::Ending(_) | Phase::Gone(_) => 2,
        }
    }

    /// A new deadline counts from now on, and no former one. Returns its number.
    pub(in crate::push) fn begin_deadline(&mut self) -> u8 {
        self.deadline = self.deadline.wrapping_add(1);
        self.deadline
    }

    /// Whether the deadline of this number counts.
    pub(in crate::push) fn has_deadline(&self, number: u8) -> bool {
        self.deadline == number
    }

    /// The time for a step is over.
    pub(in crate::push) fn overdue(&mut self) -> Now {
        match self.phase {
            // The handler has had its time for last words.
            Phase::Open => self.close(GOING_AWAY, ""),
            // The worker has had its time for what came before the fault.
            Phase::Failing(error) => self.fail(error),
            _ => Now::Ended(self.lost()),
        }
    }

    /// The socket has ended, or failed: the code that the worker is told.
    pub(in crate::push) fn lost(&self) -> u16 {
        match self.phase {
            Phase::Open => 1006, // RFC 6455 §7.1.5: no close frame was received
            Phase::Failing(error) => error.close_code(),
            Phase::Failed(code) | Phase::Closing(code) | Phase::Ending(code) | Phase::Gone(code) => code,
        }
    }

    /// The peer has shut down its side. Most have left by that, and when one has, sending finds it out. A WebSocket is over in any
    /// case; an event stream has one direction, and what waits is sent still.
    pub(in crate::push) fn peer_ended(&mut self) -> Now {
        match (self.transport, self.phase) {
            (Transport::Sse, Phase::Open) => self.end_after(Now::Alive, self.lost()),
            (Transport::Sse, Phase::Ending(_)) if self.queue.is_some() => Now::Alive,
            _ => Now::Ended(self.lost()),
        }
    }

    pub(super) fn end_after(&mut self, now: Now, code: u16) -> Now {
        self.phase = Phase::Ending(code);
        match now {
            Now::Alive if self.queue.is_some() => Now::Alive,
            Now::Alive => self.ended(code),
            ended => ended,
        }
    }

    pub(super) fn ended(&mut self, code: u16) -> Now {
        // RFC 6455 §7.1.1: the server closes the TCP connection, and is the one to go first.
        self.shutdown_write();
        Now::Ended(code)
    }

    pub(super) fn shutdown_write(&mut self) {
        if let Some(socket) = &mut self.socket {
            socket.shutdown_write();
        }
    }
}
