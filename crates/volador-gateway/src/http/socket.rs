//! [`HttpSocket`]: the socket of a connection that speaks HTTP, as its task has it.
//!
//! The selector reports what the socket is ready for. A request that a client was waited for is read by the shard,
//! together with others, and lies ready when the task is woken. What is sent is held to the end of the loop's turn, and
//! leaves with what other connections send; both are done by one system call ([`Corks`]).
//!
//! ```text
//!            hold                      flush: the socket takes all
//!   Idle ───────────▶ Held ───────────────────────────────────────▶ Idle
//!                      │ it takes less                               ▲
//!                      └─────────────▶ Blocked ── poll_drain ────────┘
//! ```
//!
//! Only little is held: what is larger goes to the socket at once, behind what is held. Where the system has no ring,
//! nothing is.
//!
//! [`Corks`]: super::Corks

use std::{
    cell::{Cell, Ref, RefCell},
    future::poll_fn,
    io,
    rc::Rc,
    task::{Poll, ready},
};

use mio::{Registry, event::Event};
use tokio::time::timeout;

use super::{ConnectionState, deadline::Waiting};
use crate::{
    selector::{Owner, PIECE_BYTES},
    shard::Shard,
    socket::Socket,
};

/// Bytes that are held for one connection at most. To copy more than this costs what it saves.
const HELD_MAX: usize = 4096;

/// Memory that a connection keeps, in each direction, between two requests.
const KEPT_MAX: usize = 512;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing is held.
    Idle,
    /// What there is waits for the end of the turn.
    Held,
    /// The socket has not taken all of it.
    Blocked,
}

/// A socket, what it has received, and what it is to send. Whoever waits for it is the connection's task.
#[derive(Debug)]
pub(crate) struct HttpSocket {
    /// None once it has left for another life.
    socket: RefCell<Option<Socket>>,
    /// What the shard has read for the task.
    received: RefCell<Vec<u8>>,
    /// Whether there may be something to read: no read has come upon nothing since the system's last report.
    is_readable: Cell<bool>,
    /// Whether the client's end is reported: a read that does not fill its buffer may have more behind it then.
    is_ending: Cell<bool>,
    /// Whether the socket took nothing, and the task waits for its next report.
    is_full: Cell<bool>,
    held: RefCell<Vec<u8>>,
    phase: Cell<Phase>,
    /// Whether it is among the shard's corks, once.
    is_listed: Cell<bool>,
    /// How sending has failed; told with the next call.
    error: RefCell<Option<io::Error>>,
    pub(super) state: Rc<ConnectionState>,
}

impl HttpSocket {
    pub(super) fn new(socket: Socket, state: Rc<ConnectionState>) -> Rc<Self> {
        Rc::new(Self {
            socket: RefCell::new(Some(socket)),
            received: RefCell::default(),
            // What there is already is reported when the socket is registered.
            is_readable: Cell::new(false),
            is_ending: Cell::new(false),
            is_full: Cell::new(false),
            held: RefCell::default(),
            phase: Cell::new(Phase::Idle),
            is_listed: Cell::new(false),
            error: RefCell::new(None),
            state,
        })
    }

    pub(super) fn register(&self, registry: &Registry, key: usize) -> io::Result<()> {
        self.socket.borrow_mut().as_mut().map_or(Ok(()), |socket| socket.register(registry, Owner::Http(key).token()))
    }

    /// Ends it, if it has not left.
    pub(super) fn close(&self, registry: &Registry) {
        if let Some(mut socket) = self.socket.take() {
            socket.deregister(registry);
        }
    }

    /// Has the connection's task look around.
    pub(crate) fn wake(&self) {
        self.state.wake();
    }

    /// The system reports what the socket is ready for; whether the shard is to read it, and not its task.
    pub(crate) fn ready(&self, event: &Event) -> bool {
        if event.is_writable() && self.is_full.take() {
            self.wake();
        }
        if event.is_read_closed() || event.is_error() {
            self.is_ending.set(true);
        } else if !event.is_readable() {
            return false;
        } else if !self.is_readable.get() && self.state.waiting() == Waiting::Idle && self.received.borrow().is_empty()
        {
            return true;
        }
        self.is_readable.set(true);
        self.wake();
        false
    }

    /// The socket, to be read by the shard.
    pub(super) fn socket(&self) -> Option<Ref<'_, Socket>> {
        Ref::filter_map(self.socket.borrow(), Option::as_ref).ok()
    }

    /// What is held, to be sent by the shard.
    pub(super) fn held(&self) -> Option<(Ref<'_, Socket>, Ref<'_, Vec<u8>>)> {
        self.socket().map(|socket| (socket, self.held.borrow()))
    }

    /// The shard has read the socket into a buffer of [`PIECE_BYTES`].
    pub(super) fn received(&self, received: io::Result<&[u8]>) {
        match received {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Ok(bytes) if !bytes.is_empty() => {
                self.received.borrow_mut().extend_from_slice(bytes);
                self.is_readable.set(bytes.len() == PIECE_BYTES);
            }
            // The end, which the task finds by itself.
            Ok(_) | Err(_) => self.is_readable.set(true),
        }
        self.wake();
    }

    /// The shard does not read it: the task does.
    pub(super) fn leave_to_task(&self) {
        self.is_readable.set(true);
        self.wake();
    }

    /// Reads what has arrived, at most `buf.len()` bytes; 0 is the end.
    pub(super) fn poll_read(&self, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut received = self.received.borrow_mut();
        if !received.is_empty() {
            let len = received.len().min(buf.len());
            buf[..len].copy_from_slice(&received[..len]);
            received.drain(..len);
            if received.is_empty() && received.capacity() > KEPT_MAX {
                *received = Vec::new();
            }
            return Poll::Ready(Ok(len));
        }
        while self.is_readable.get() {
            match self.with_socket(|socket| socket.read(buf)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.is_readable.set(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(len) => {
                    // epoll(7), on edges: a read that does not fill the buffer has emptied the socket.
                    self.is_readable.set(len == buf.len() || len == 0 || self.is_ending.get());
                    return Poll::Ready(Ok(len));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Pending
    }

    /// Holds or writes; how many bytes of `pieces` have been taken.
    pub(super) fn poll_write(self: &Rc<Self>, shard: &Shard, pieces: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush())?;
        let len = pieces.iter().map(|piece| piece.len()).sum::<usize>();
        if self.held.borrow().len() + len <= HELD_MAX && shard.selector.has_ring() {
            let mut held = self.held.borrow_mut();
            pieces.iter().for_each(|piece| held.extend_from_slice(piece));
            self.phase.set(Phase::Held);
            if !self.is_listed.replace(true) {
                shard.corks.list(self.clone());
            }
            return Poll::Ready(Ok(len));
        }
        ready!(self.poll_drain())?;
        self.poll_send(|socket| socket.write_vectored(pieces))
    }

    /// Waits for nothing that is only held: the end of the turn is near.
    pub(super) fn poll_flush(&self) -> Poll<io::Result<()>> {
        if let Some(error) = self.error.take() {
            return Poll::Ready(Err(error));
        }
        if self.phase.get() == Phase::Blocked { self.poll_drain() } else { Poll::Ready(Ok(())) }
    }

    /// Writes all that is held.
    pub(super) fn poll_drain(&self) -> Poll<io::Result<()>> {
        if self.phase.get() == Phase::Idle {
            return Poll::Ready(Ok(()));
        }
        let mut held = self.held.borrow_mut();
        while !held.is_empty() {
            let sent = self.poll_send(|socket| socket.write(&held));
            if sent.is_pending() {
                self.phase.set(Phase::Blocked);
            }
            let sent = ready!(sent)?;
            held.drain(..sent);
        }
        self.phase.set(Phase::Idle);
        Poll::Ready(Ok(()))
    }

    fn poll_send(&self, mut send: impl FnMut(&mut Socket) -> io::Result<usize>) -> Poll<io::Result<usize>> {
        let sent = loop {
            match self.with_socket(&mut send) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Poll::Pending,
                sent => break Poll::Ready(sent),
            }
        };
        self.is_full.set(sent.is_pending());
        self.state.sent(sent.is_pending());
        sent
    }

    fn with_socket<T>(&self, f: impl FnOnce(&mut Socket) -> io::Result<T>) -> io::Result<T> {
        self.socket.borrow_mut().as_mut().map_or_else(|| Err(io::ErrorKind::NotConnected.into()), f)
    }

    /// The socket, once all has been sent that was held, and what it has received and nobody has read; None when it does not
    /// take what was held, and is cut off.
    pub(super) async fn leave(&self, shard: &Shard) -> Option<(Socket, Vec<u8>)> {
        if self.is_listed.get() {
            shard.corks.flush(shard);
        }
        let drained = poll_fn(|_| self.poll_drain());
        if !matches!(timeout(shard.shared.config.write_timeout, drained).await, Ok(Ok(()))) {
            self.reset();
            return None;
        }
        self.socket.take().map(|socket| (socket, self.received.take()))
    }

    /// The client takes nothing.
    pub(super) fn reset(&self) {
        if let Some(socket) = self.socket() {
            socket.reset();
        }
    }

    /// Leaves the shard's list; whether something is held still.
    pub(super) fn unlist(&self) -> bool {
        self.is_listed.set(false);
        self.phase.get() == Phase::Held
    }

    /// Sends what is held, by itself.
    pub(super) fn send_held(&self) {
        let sent = self.with_socket(|socket| socket.write(&self.held.borrow()));
        self.sent(sent);
    }

    /// The shard has sent so much of what is held, or has failed to.
    pub(super) fn sent(&self, sent: io::Result<usize>) {
        let mut held = self.held.borrow_mut();
        if matches!(sent, Ok(1..)) {
            self.state.sent(false);
        }
        match sent {
            Ok(sent) if sent == held.len() => {
                self.phase.set(Phase::Idle);
                held.clear();
                if held.capacity() > KEPT_MAX {
                    *held = Vec::new();
                }
                return;
            }
            Ok(sent) => drop(held.drain(..sent)),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => {
                held.clear();
                self.phase.set(Phase::Idle);
                *self.error.borrow_mut() = Some(error);
                return self.wake();
            }
        }
        self.phase.set(Phase::Blocked);
        self.wake();
    }
}
