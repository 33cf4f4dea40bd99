//! [`Deadline`]: when a client has taken too long, by what its connection waits for.

use tokio::time::Instant;

use crate::Config;

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// For the rest of a head, or for the first request.
    Head,
    /// For the next request.
    Idle,
    /// For the application, or for a body (which has a deadline of its own).
    Answer,
}

/// A connection's time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    waiting: Waiting,
    /// When it began to wait for that; None until somebody wants to know. Within one turn what is waited for changes several
    /// times, and a clock costs more than all else here.
    since: Option<Instant>,
    /// When the client stopped to take bytes that are ready for it.
    blocked: Option<Instant>,
}

/// What to do about a client that has taken too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expired {
    /// Answer 408: a part of a head has arrived.
    Head,
    /// Close: nothing is under way.
    Idle,
    /// Cut: the client does not take what it asked for.
    Write,
}

impl Deadline {
    pub(crate) fn new(now: Instant) -> Self {
        Self { waiting: Waiting::Head, since: Some(now), blocked: None }
    }

    /// It waits for something else, or anew.
    pub(crate) fn wait_for(&mut self, waiting: Waiting) {
        self.waiting = waiting;
        self.since = None;
    }

    pub(crate) fn waiting(&self) -> Waiting {
        self.waiting
    }

    /// The socket took no byte, or (false) it took some.
    pub(crate) fn set_blocked(&mut self, blocked: bool) {
        match (blocked, self.blocked) {
            (true, None) => self.blocked = Some(Instant::now()),
            (false, Some(_)) => self.blocked = None,
            _ => {}
        }
    }

    /// When to look again, and what will have expired then; None for as long as the application may take its time. To be
    /// asked at the end of each turn: a wait begins at the first time.
    pub(crate) fn next(&mut self, config: &Config) -> Option<(Instant, Expired)> {
        if let Some(blocked) = self.blocked {
            return Some((blocked + config.write_timeout, Expired::Write));
        }
        let (timeout, expired) = match self.waiting {
            Waiting::Head => (config.head_timeout, Expired::Head),
            Waiting::Idle => (config.keep_alive_timeout, Expired::Idle),
            Waiting::Answer => return None,
        };
        Some((*self.since.get_or_insert_with(Instant::now) + timeout, expired))
    }
}
