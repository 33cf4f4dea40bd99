//! One connection from its accept to its end, or until another one takes the socket (RFC 9112 §9).

use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use http::StatusCode;
use hyper::{server::conn::http1, service::service_fn};
use tokio::{
    io::AsyncWriteExt,
    time::{Instant, Sleep, sleep_until, timeout},
};
use volador_proto::http1::{HeadFault, HeadLimits, HeadWatch};

use super::{
    answer,
    counted::Counted,
    deadline::{Deadline, Expired, Waiting},
    linger::{LINGER, linger},
    refusal::Refusal,
    socket::HttpSocket,
    tunnel::Tunnel,
    watched::Watched,
};
use crate::{Config, panics, push::Takeover, shard::Shard, socket::Socket, stats::count};

/// Bytes that hyper buffers for one connection at most, in each direction. Above the largest head, so that the limits
/// of the configuration speak first.
const MAX_BUF_SIZE: usize = 128 << 10;

/// RFC 9113 §3.4: what a client begins with that speaks HTTP/2 without asking. The parser ends the connection over it,
/// where it comes to it by itself: behind a request with which it was read.
const HTTP_2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// When the timer of a connection without a deadline fires. One comes closer as soon as there is one.
const A_LONG_TIME: Duration = Duration::from_secs(3600);

/// What the parts of one connection share: the parser's driver, the service and the response bodies.
#[derive(Debug)]
pub(crate) struct ConnectionState {
    /// The peer's address as text; empty on a Unix socket.
    pub(super) peer: String,
    /// Our own host and port, for requests that do not name a host.
    pub(super) local_name: (String, String),
    watch: RefCell<HeadWatch>,
    deadline: Cell<Deadline>,
    /// A head that went over a limit before it was complete.
    fault: Cell<Option<HeadFault>>,
    /// Whether the client may still be sending what nobody will read.
    lingers: Cell<bool>,
    /// The end of the connection is the end of the answer.
    pub(super) ends_answer: Cell<bool>,
    /// Who gets the socket, once it is to leave hyper.
    taker: RefCell<Option<Taker>>,
    /// The connection's task, for a drain.
    waker: RefCell<Option<Waker>>,
}

impl ConnectionState {
    fn new(peer: String, local_name: (String, String)) -> Self {
        Self {
            peer,
            local_name,
            watch: RefCell::new(HeadWatch::new()),
            deadline: Cell::new(Deadline::new(Instant::now())),
            fault: Cell::new(None),
            lingers: Cell::new(false),
            ends_answer: Cell::new(false),
            taker: RefCell::new(None),
            waker: RefCell::new(None),
        }
    }

    fn with_deadline<T>(&self, f: impl FnOnce(&mut Deadline) -> T) -> T {
        let mut deadline = self.deadline.get();
        let result = f(&mut deadline);
        self.deadline.set(deadline);
        result
    }

    /// Bytes have arrived. An error ends the connection, [`Self::fault`] says why.
    pub(super) fn received(&self, bytes: &[u8], config: &Config) -> io::Result<()> {
        let mut watch = self.watch.borrow_mut();
        watch.feed(bytes);
        match self.deadline.get().waiting() {
            // Whoever collects the body answers.
            Waiting::Answer => return watch.body_fault().map_or(Ok(()), |_| Err(io::ErrorKind::InvalidData.into())),
            Waiting::Idle if !watch.is_empty() => {
                self.with_deadline(|d| d.wait_for(Waiting::Head));
            }
            _ => {}
        }
        match watch.overflow(&limits(config)) {
            None => Ok(()),
            Some(fault) => {
                self.fault.set(Some(fault));
                Err(io::ErrorKind::InvalidData.into())
            }
        }
    }

    /// Bytes were taken by the socket, or it `is_blocked`.
    pub(super) fn sent(&self, is_blocked: bool) {
        self.with_deadline(|d| d.set_blocked(is_blocked));
    }

    /// The parser has handed out a head: checks it and begins the request.
    pub(super) fn begin_request(self: &Rc<Self>, config: &Config) -> Result<Requesting, HeadFault> {
        self.with_deadline(|d| d.wait_for(Waiting::Answer));
        {
            let mut watch = self.watch.borrow_mut();
            watch.take_head(&limits(config))?;
            watch.body_fault().map_or(Ok(()), Err)?;
        }
        Ok(Requesting(self.clone()))
    }

    /// Marks the request as one that has begun although its head is refused.
    pub(super) fn refuse_request(self: &Rc<Self>) -> Requesting {
        Requesting(self.clone())
    }

    /// A request was refused, and parts of it may be on their way.
    pub(super) fn linger(&self) {
        self.lingers.set(true);
    }

    /// The socket is to leave hyper.
    pub(super) fn take(&self, taker: Taker) {
        *self.taker.borrow_mut() = Some(taker);
    }

    /// Has the connection's task look around.
    pub(crate) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// What the connection waits for.
    pub(super) fn waiting(&self) -> Waiting {
        self.deadline.get().waiting()
    }

    fn remember(&self, waker: &Waker) {
        let mut known = self.waker.borrow_mut();
        match &mut *known {
            Some(known) => known.clone_from(waker),
            None => *known = Some(waker.clone()),
        }
    }
}

fn limits(config: &Config) -> HeadLimits {
    HeadLimits { head_max_bytes: config.head_max_bytes, target_max_bytes: config.target_max_bytes }
}

/// A request that has no whole answer yet. Its end starts the wait for the next one.
#[derive(Debug)]
pub(crate) struct Requesting(Rc<ConnectionState>);

impl Drop for Requesting {
    fn drop(&mut self) {
        let next = if self.0.watch.borrow().is_empty() { Waiting::Idle } else { Waiting::Head };
        self.0.with_deadline(|d| d.wait_for(next));
    }
}

/// Who gets a socket that leaves hyper before its end.
#[derive(Debug)]
pub(super) enum Taker {
    /// The push engine.
    Push(Takeover),
    /// The application.
    Tunnel(Tunnel),
}

/// How a connection leaves hyper.
enum Outcome {
    /// It has ended in order, or by the peer.
    Done,
    /// The parser has refused a request by itself.
    Refused,
    /// It goes on as something else.
    Taken(Taker),
    /// An answer that ends with its connection can't be completed.
    Cut,
    /// The client has taken too long.
    Expired(Expired),
}

/// Serves one connection.
pub(crate) async fn serve(shard: Rc<Shard>, socket: Socket, peer: String, counted: Counted) {
    let state = Rc::new(ConnectionState::new(peer, socket.local_name()));
    let socket = HttpSocket::new(socket, state.clone());
    let mut place = Place::take(&shard, &socket, counted);
    if let Err(error) = socket.register(shard.selector.registry(), place.key) {
        return shard.shared.client_log.starts.warn(format_args!("lost a connection at its start: {error}"));
    }
    let (socket, read_buf, outcome) = drive(&shard, &state, socket).await;
    match (socket, outcome) {
        (Some(socket), outcome) => leave(&mut place, &state, socket, read_buf, outcome).await,
        (None, Outcome::Taken(Taker::Push(takeover))) => shard.engine.abandon(&shard, takeover.id),
        (None, _) => {}
    }
}

/// A connection's place among those of its shard. Dropping it gives it back: a drain must not wait for a task that has
/// ended by a panic.
struct Place {
    shard: Rc<Shard>,
    /// In `shard.connections`.
    key: usize,
    /// None once another one has the socket. One whose client may still be sending takes its place until it is closed.
    counted: Option<Counted>,
}

impl Place {
    fn take(shard: &Rc<Shard>, socket: &Rc<HttpSocket>, counted: Counted) -> Self {
        let key = shard.connections.borrow_mut().insert(socket.clone());
        Self { shard: shard.clone(), key, counted: Some(counted) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.counted = None;
        let socket = self.shard.connections.borrow_mut().remove(self.key);
        socket.close(self.shard.selector.registry());
        self.shard.ended();
    }
}

/// What becomes of a socket that hyper does not serve any more.
async fn leave(
    place: &mut Place,
    state: &ConnectionState,
    mut socket: Socket,
    mut read_buf: Vec<u8>,
    outcome: Outcome,
) {
    let shard = &place.shard;
    if !matches!(outcome, Outcome::Taken(Taker::Push(_))) {
        socket.deregister(shard.selector.registry());
    }
    match outcome {
        Outcome::Taken(Taker::Push(takeover)) => {
            shard.engine.adopt(shard, socket, &mut read_buf, takeover, place.counted.take());
        }
        // A drain waits for an answer. What else the application does with it, and for how long, is not known here.
        Outcome::Taken(Taker::Tunnel(tunnel)) if tunnel.is_answer() => {
            let counted = place.counted.take().map(Counted::hijacked);
            tunnel.run(shard.clone(), socket, read_buf, counted).await;
        }
        Outcome::Taken(Taker::Tunnel(tunnel)) => {
            let counted = place.counted.take().map(Counted::hijacked);
            panics::spawn(tunnel.run(shard.clone(), socket, read_buf, counted));
        }
        Outcome::Expired(Expired::Head) if !state.watch.borrow().is_empty() => {
            let refusal = Refusal::new(StatusCode::REQUEST_TIMEOUT, "The request head took too long to arrive.");
            refuse(shard, socket, Some(&refusal)).await;
        }
        // RFC 9112 §8: such an answer is complete when the connection "is closed cleanly", so it must not be.
        Outcome::Cut => socket.reset(),
        Outcome::Expired(_) => socket.shutdown_write(),
        Outcome::Done | Outcome::Refused => match state.fault.take() {
            Some(fault) => refuse(shard, socket, Some(&fault.into())).await,
            None if read_buf.starts_with(HTTP_2_PREFACE) => {
                refuse(shard, socket, Some(&HeadFault::Http2.into())).await;
            }
            None if matches!(outcome, Outcome::Refused) => {
                count(&shard.counters.refused_bad);
                refuse(shard, socket, None).await;
            }
            // More has arrived than was answered, or may arrive.
            None if state.lingers.get() || !state.watch.borrow().is_empty() => refuse(shard, socket, None).await,
            None => socket.shutdown_write(),
        },
    }
}

/// Has hyper serve the connection until it ends or leaves. Without a socket when the client does not take what it was sent.
async fn drive(
    shard: &Rc<Shard>,
    state: &Rc<ConnectionState>,
    socket: Rc<HttpSocket>,
) -> (Option<Socket>, Vec<u8>, Outcome) {
    let config = &shard.shared.config;
    let io = Watched { socket: socket.clone(), shard: shard.clone() };
    let service = service_fn(|request| answer::answer(shard.clone(), state.clone(), request));
    let mut connection = http1::Builder::new()
        .max_headers(config.header_fields_max)
        .max_buf_size(MAX_BUF_SIZE.max(2 * config.head_max_bytes))
        // The deadlines are ours.
        .header_read_timeout(None)
        // A client that has shut down its sending side still gets its answer.
        .half_close(true)
        .serve_connection(io, service);
    let mut timer = pin!(sleep_until(Instant::now() + config.head_timeout));
    let mut draining = false;
    let outcome = poll_fn(|cx| {
        state.remember(cx.waker());
        if shard.draining.get() && !draining {
            draining = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        let polled = Pin::new(&mut connection).poll(cx);
        // First: the worker counts on it, also when the connection has failed meanwhile.
        if let Some(taker) = state.taker.borrow_mut().take() {
            return Poll::Ready(Outcome::Taken(taker));
        }
        if let Poll::Ready(result) = polled {
            return Poll::Ready(match result {
                Err(error) if error.is_parse() => Outcome::Refused,
                Err(error) if error.is_user() && state.ends_answer.get() => Outcome::Cut,
                _ => Outcome::Done,
            });
        }
        poll_deadline(state, config, timer.as_mut(), cx).map(Outcome::Expired)
    })
    .await;
    let mut read_buf = connection.into_parts().read_buf.to_vec();
    if let Outcome::Expired(Expired::Write) = outcome {
        socket.reset();
        return (None, read_buf, outcome);
    }
    let socket = socket.leave(shard).await.map(|(socket, unread)| {
        read_buf.extend(unread);
        socket
    });
    (socket, read_buf, outcome)
}

/// Ready when the client has taken too long. The timer is set again only when a deadline comes closer, or when it has
/// fired: a deadline that moved on costs nothing until then.
fn poll_deadline(
    state: &ConnectionState,
    config: &Config,
    mut timer: Pin<&mut Sleep>,
    cx: &mut Context<'_>,
) -> Poll<Expired> {
    let next = state.with_deadline(|deadline| deadline.next(config));
    if let Some((at, _)) = next.filter(|(at, _)| *at < timer.deadline()) {
        timer.as_mut().reset(at);
    }
    while timer.as_mut().poll(cx).is_ready() {
        let now = Instant::now();
        match next {
            Some((at, expired)) if at <= now => return Poll::Ready(expired),
            Some((at, _)) => timer.as_mut().reset(at),
            None => timer.as_mut().reset(now + A_LONG_TIME),
        }
    }
    Poll::Pending
}

/// Sends what the parser could not say, then closes so that the client can read it.
async fn refuse(shard: &Shard, socket: Socket, refusal: Option<&Refusal>) {
    let Ok(mut socket) = socket.into_task_socket() else { return };
    if let Some(refusal) = refusal {
        count(&shard.counters.refused_bad);
        let answer = refusal.to_bytes();
        // A peer that is gone needs no answer.
        if !matches!(timeout(LINGER, socket.write_all(&answer)).await, Ok(Ok(()))) {
            return;
        }
    }
    linger(socket).await;
}
