//! [`Counted`]: a connection in the figures, from its accept until another one counts it.

use std::sync::{Arc, atomic::AtomicU64};

use crate::stats::{Counters, count, uncount};

/// The figure that a connection is counted in.
type Kind = fn(&Counters) -> &AtomicU64;

/// A connection while it is counted as one that speaks HTTP, or that the application has taken.
#[derive(Debug)]
pub(crate) struct Counted {
    counters: Arc<Counters>,
    kind: Kind,
}

impl Counted {
    /// One that speaks HTTP.
    pub(crate) fn new(counters: Arc<Counters>) -> Self {
        let kind: Kind = |counters| &counters.http_connections;
        count(kind(&counters));
        Self { counters, kind }
    }

    /// The application takes it. At no moment is it not counted: its place would be another one's.
    pub(super) fn hijacked(mut self) -> Self {
        let kind: Kind = |counters| &counters.hijacked_connections;
        count(kind(&self.counters));
        uncount((self.kind)(&self.counters));
        self.kind = kind;
        self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        uncount((self.kind)(&self.counters));
    }
}
