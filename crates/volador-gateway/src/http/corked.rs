//! [`Corked`]: the socket of a connection that speaks HTTP. What it sends is held to the end of the loop's turn, and leaves
//! with what other connections send, by one system call.
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

use std::{
    cell::{Cell, Ref, RefCell},
    future::poll_fn,
    io,
    os::fd::AsFd,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
    time::timeout,
};
use volador_ring::Send;

use super::ConnectionState;
use crate::{push::RING_MIN, shard::Shard, socket::Socket};

/// Bytes that are held for one connection at most. To copy more than this costs what it saves.
const HELD_MAX: usize = 4096;

/// Memory that a connection keeps between two answers.
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

/// A socket, and what it is to send.
#[derive(Debug)]
pub(crate) struct Corked {
    socket: RefCell<Socket>,
    held: RefCell<Vec<u8>>,
    phase: Cell<Phase>,
    /// Whether it is among the shard's [`Corks`], once.
    is_listed: Cell<bool>,
    /// How sending has failed; told with the next call.
    error: RefCell<Option<io::Error>>,
    state: Rc<ConnectionState>,
}

/// The corks of a shard that hold something.
#[derive(Debug, Default)]
pub(crate) struct Corks {
    listed: RefCell<Vec<Rc<Corked>>>,
    wake: Notify,
}

impl Corked {
    pub(super) fn new(socket: Socket, state: Rc<ConnectionState>) -> Rc<Self> {
        Rc::new(Self {
            socket: RefCell::new(socket),
            held: RefCell::default(),
            phase: Cell::new(Phase::Idle),
            is_listed: Cell::new(false),
            error: RefCell::new(None),
            state,
        })
    }

    pub(super) fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.socket.borrow_mut()).poll_read(cx, buf)
    }

    /// Holds or writes; how many bytes of `bufs` have been taken.
    pub(super) fn poll_write(
        self: &Rc<Self>,
        shard: &Shard,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(cx))?;
        let len = bufs.iter().map(|buf| buf.len()).sum::<usize>();
        if self.held.borrow().len() + len <= HELD_MAX && shard.engine.has_ring() {
            let mut held = self.held.borrow_mut();
            bufs.iter().for_each(|buf| held.extend_from_slice(buf));
            self.phase.set(Phase::Held);
            if !self.is_listed.replace(true) {
                shard.corks.list(self.clone());
            }
            return Poll::Ready(Ok(len));
        }
        ready!(self.poll_drain(cx))?;
        let written = Pin::new(&mut *self.socket.borrow_mut()).poll_write_vectored(cx, bufs);
        self.state.sent(written.is_pending());
        written
    }

    /// Waits for nothing that is only held: the end of the turn is near.
    pub(super) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(error) = self.error.take() {
            return Poll::Ready(Err(error));
        }
        if self.phase.get() == Phase::Blocked { self.poll_drain(cx) } else { Poll::Ready(Ok(())) }
    }

    /// Writes all that is held.
    pub(super) fn poll_drain(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.phase.get() == Phase::Idle {
            return Poll::Ready(Ok(()));
        }
        let mut held = self.held.borrow_mut();
        while !held.is_empty() {
            let written = Pin::new(&mut *self.socket.borrow_mut()).poll_write(cx, &held);
            self.state.sent(written.is_pending());
            if written.is_pending() {
                self.phase.set(Phase::Blocked);
            }
            let written = ready!(written)?;
            held.drain(..written);
        }
        self.phase.set(Phase::Idle);
        Poll::Ready(Ok(()))
    }

    /// The socket, once all has been sent that was held; None when it does not take that, and is cut off.
    pub(super) async fn into_socket(self: Rc<Self>, shard: &Shard) -> Option<Socket> {
        if self.is_listed.get() {
            shard.corks.flush(shard);
        }
        let drained = poll_fn(|cx| self.poll_drain(cx));
        if !matches!(timeout(shard.shared.config.write_timeout, drained).await, Ok(Ok(()))) {
            self.reset();
            return None;
        }
        Rc::into_inner(self).map(|corked| corked.socket.into_inner())
    }

    /// The client takes nothing.
    pub(super) fn reset(&self) {
        self.socket.borrow().reset();
    }

    /// The socket has taken so much of what is held, or has failed.
    fn sent(&self, sent: io::Result<usize>) {
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
                return self.state.wake();
            }
        }
        self.phase.set(Phase::Blocked);
        self.state.wake();
    }
}

impl Corks {
    fn list(&self, corked: Rc<Corked>) {
        let mut listed = self.listed.borrow_mut();
        if listed.is_empty() {
            self.wake.notify_one();
        }
        listed.push(corked);
    }

    /// Sends what is held, behind all tasks of a turn, for ever.
    pub(crate) async fn task(&self, shard: &Shard) {
        loop {
            self.wake.notified().await;
            self.flush(shard);
        }
    }

    fn flush(&self, shard: &Shard) {
        let mut listed = self.listed.take();
        listed.retain(|corked| {
            corked.is_listed.set(false);
            corked.phase.get() == Phase::Held
        });
        match &mut *shard.engine.ring() {
            Some(ring) if listed.len() >= RING_MIN => {
                let mut results = Vec::with_capacity(listed.len());
                {
                    let borrowed: Vec<(Ref<'_, Socket>, Ref<'_, Vec<u8>>)> =
                        listed.iter().map(|corked| (corked.socket.borrow(), corked.held.borrow())).collect();
                    let sends: Vec<_> =
                        borrowed.iter().map(|(socket, held)| Send { socket: socket.as_fd(), bytes: held }).collect();
                    ring.send_all(&sends, |n, sent| results.push((n, sent)));
                }
                results.into_iter().for_each(|(n, sent)| listed[n].sent(sent));
            }
            _ => {
                for corked in &listed {
                    let sent = corked.socket.borrow().try_write(&corked.held.borrow());
                    corked.sent(sent);
                }
            }
        }
        listed.clear();
        let mut now = self.listed.borrow_mut();
        if now.is_empty() {
            *now = listed;
        }
    }
}
