//! [`Deadline`]: when a client has taken too long, by what its connection waits for.

use std::time::Duration;

use tokio::time::Instant;

use crate::Config;

/// When a connection that waits for the application is looked at anyway.
const A_LONG_TIME: Duration = Duration::from_secs(3600);

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
    /// When it began to wait for that.
    since: Instant,
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
    /// Nothing: the application may take its time.
    Answer,
}

impl Deadline {
    pub(crate) fn new(now: Instant) -> Self {
        Self { waiting: Waiting::Head, since: now, blocked: None }
    }

    pub(crate) fn wait_for(&mut self, waiting: Waiting, now: Instant) {
        self.waiting = waiting;
        self.since = now;
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

    /// When to look again, and what will have expired then.
    pub(crate) fn next(&self, config: &Config) -> (Instant, Expired) {
        if let Some(blocked) = self.blocked {
            return (blocked + config.write_timeout, Expired::Write);
        }
        match self.waiting {
            Waiting::Head => (self.since + config.head_timeout, Expired::Head),
            Waiting::Idle => (self.since + config.keep_alive_timeout, Expired::Idle),
            Waiting::Answer => (self.since + A_LONG_TIME, Expired::Answer),
        }
    }
}
