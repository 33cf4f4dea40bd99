//! [`Selector`]: what the system reports about a shard's sockets, and what many of them are served by at once: one buffer
//! to read into, and one system call.

use std::{
    cell::{RefCell, RefMut},
    io,
    os::fd::{AsRawFd, RawFd},
    rc::Rc,
    time::Duration,
};

use mio::{Events, Poll, Registry, Token};
use tokio::io::{Interest, unix::AsyncFd};
use volador_proto::link::StreamId;
use volador_ring::Ring;

use crate::{
    http::{self, HttpSocket},
    log,
    shard::Shard,
};

/// Bytes that one read takes at most. All sockets of a shard are read into the same buffer.
const READ_BYTES: usize = 64 << 10;

/// Bytes of it for each of many that are read together: room for what most clients say at once.
pub(crate) const PIECE_BYTES: usize = 1 << 10;

/// Sockets that are read together.
pub(crate) const PIECES: usize = READ_BYTES / PIECE_BYTES;

/// Sockets from which on the ring is worth its trouble.
pub(crate) const RING_MIN: usize = 4;

/// Readiness events taken at once, before other tasks have their turn.
const EVENTS: usize = 512;

/// Who is told what a socket is ready for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The HTTP connection of this key.
    Http(usize),
    /// The push connection in this slot.
    Push(u32),
}

impl Owner {
    pub(crate) fn token(self) -> Token {
        match self {
            Self::Http(key) => Token(key << 1 | 1),
            Self::Push(slot) => Token((slot as usize) << 1),
        }
    }

    fn of(token: Token) -> Self {
        let key = token.0 >> 1;
        if token.0 & 1 == 1 { Self::Http(key) } else { Self::Push(key as u32) }
    }
}

/// The system's event queue for sockets, inside of the event loop's own.
#[derive(Debug)]
struct Queue {
    poll: RefCell<Poll>,
    registry: Registry,
}

impl AsRawFd for Queue {
    fn as_raw_fd(&self) -> RawFd {
        self.poll.borrow().as_raw_fd()
    }
}

/// A shard's sockets as the system has them.
#[derive(Debug)]
pub(crate) struct Selector {
    queue: AsyncFd<Queue>,
    read_buf: RefCell<Box<[u8]>>,
    reports: RefCell<Reports>,
    /// For many sockets at once; None where the system has none, or allows none.
    ring: RefCell<Option<Ring>>,
}

impl Selector {
    /// To be called in the shard's runtime.
    pub(crate) fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let registry = poll.registry().try_clone()?;
        let queue = Queue { poll: RefCell::new(poll), registry };
        // Deprecated for types whose descriptor may change or close while it is registered. `Queue` owns its own and
        // never replaces it, and the function that takes the place of this one is `unsafe`, which this crate forbids.
        #[allow(deprecated)]
        let queue = AsyncFd::with_interest(queue, Interest::READABLE)?;
        let reports = Reports { events: Events::with_capacity(EVENTS), requests: Vec::new(), messages: Vec::new() };
        Ok(Self {
            queue,
            read_buf: RefCell::new(vec![0; READ_BYTES].into()),
            reports: RefCell::new(reports),
            ring: RefCell::new(Ring::new().ok()),
        })
    }

    /// Where sockets are registered, each with the token of its [`Owner`].
    pub(crate) fn registry(&self) -> &Registry {
        &self.queue.get_ref().registry
    }

    /// Where what is read goes at first, for as long as nothing else is read.
    pub(crate) fn read_buf(&self) -> RefMut<'_, Box<[u8]>> {
        self.read_buf.borrow_mut()
    }

    /// Whether many sockets can be served by one system call.
    pub(crate) fn has_ring(&self) -> bool {
        self.ring.borrow().is_some()
    }

    pub(crate) fn ring(&self) -> RefMut<'_, Option<Ring>> {
        self.ring.borrow_mut()
    }

    /// Lets go of a ring that the system allows no more, and says so.
    fn look_at_ring(&self) {
        if self.ring.borrow().as_ref().is_some_and(|ring| !ring.is_open()) {
            *self.ring.borrow_mut() = None;
            log::warn(format_args!(
                "the system has taken io_uring away, for want of memory or by a rule of a sandbox: sockets are served by a \
                 call for each from now on, which takes more CPU time. A restart tries it again"
            ));
        }
    }

    /// Serves the sockets that the system reports as ready, for ever.
    pub(crate) async fn task(&self, shard: &Shard) {
        loop {
            tokio::select! {
                ready = self.queue.readable() => match ready {
                    // Forgotten before the look, so that what comes up after it is reported anew.
                    Ok(mut ready) => ready.clear_ready(),
                    Err(error) => return log::warn(format_args!("connections are no longer served: {error}")),
                },
                () = shard.engine.unread() => {}
            }
            loop {
                let reports = self.look(shard);
                // What comes after a look that has seen everything is reported anew.
                if !shard.engine.read_unread(shard) && reports < EVENTS {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
    }

    /// Serves the sockets that are ready now. Returns how many reports there were, at most [`EVENTS`].
    pub(crate) fn look(&self, shard: &Shard) -> usize {
        self.look_at_ring();
        let Reports { events, requests, messages } = &mut *self.reports.borrow_mut();
        let mut poll = self.queue.get_ref().poll.borrow_mut();
        while let Err(error) = poll.poll(events, Some(Duration::ZERO)) {
            if error.kind() != io::ErrorKind::Interrupted {
                log::warn(format_args!("can't tell which connections are ready: {error}"));
                return 0;
            }
        }
        drop(poll);
        let mut reports = 0;
        for event in &*events {
            reports += 1;
            match Owner::of(event.token()) {
                Owner::Http(key) => {
                    let connection = shard.connections.borrow().get(key).cloned();
                    requests.extend(connection.filter(|connection| connection.ready(event)));
                }
                Owner::Push(slot) => messages.extend(shard.engine.ready(shard, slot, event)),
            }
        }
        http::read_together(shard, requests);
        shard.engine.read_together(shard, messages);
        reports
    }
}

/// What a look sees; kept for its memory.
#[derive(Debug)]
struct Reports {
    events: Events,
    /// HTTP connections that are to be read together.
    requests: Vec<Rc<HttpSocket>>,
    /// Push connections that are.
    messages: Vec<StreamId>,
}
