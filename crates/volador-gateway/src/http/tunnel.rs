//! A connection that the application has taken (Rack's hijack): its bytes go to and fro as they are.
//!
//! ```text
//!   client ◀──── socket ────▶ gateway ◀──── a pair of Unix sockets ────▶ application
//! ```
//!
//! The client's socket stays here. Each end of a direction is passed on, and each direction has 8 KiB on their way; behind
//! that the sender waits. No deadline applies as long as the application has its socket: only it knows what is spoken.

use std::{
    cell::{Cell, RefCell},
    io,
    os::{fd::OwnedFd, unix::net},
    rc::Rc,
    time::Duration,
};

use bytes::Bytes;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::Shutdown,
};
use slab::Slab;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, copy, split},
    net::{UnixStream, unix},
    sync::Notify,
    time::sleep,
};

use super::{counted::Counted, linger::linger};
use crate::{
    link::WorkerKey,
    shard::Shard,
    socket::{Socket, TaskSocket},
};

/// Bytes that are carried in one go.
const PIECE: usize = 8 << 10;

/// How soon it is seen that the application has left a connection of which it had ended its own direction before.
const LOOK: Duration = Duration::from_secs(1);

/// A connection that the application takes.
#[derive(Debug)]
pub(crate) struct Tunnel {
    /// The application has the other end.
    pub(super) application: OwnedFd,
    /// Whose application it is.
    pub(super) worker: Option<WorkerKey>,
    /// What goes to the client before anything that comes from the application.
    pub(super) first: Bytes,
}

/// The tunnels of a shard.
#[derive(Debug, Default)]
pub(crate) struct Tunnels {
    /// With what ends each of them.
    open: RefCell<Slab<(Option<WorkerKey>, Rc<Notify>)>>,
    /// There are to be none any more.
    closed: Cell<bool>,
}

impl Tunnels {
    /// Ends those of a worker that is lost: a process that it has forked may hold their other ends.
    pub(crate) fn cut(&self, worker: WorkerKey) {
        let open = self.open.borrow();
        open.iter().filter(|(_, (key, _))| *key == Some(worker)).for_each(|(_, (_, end))| end.notify_one());
    }

    /// Ends all, for good.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        self.open.borrow().iter().for_each(|(_, (_, end))| end.notify_one());
    }
}

impl Tunnel {
    /// Whether it carries an answer, which comes to its end, and not a protocol that is known to the application alone.
    pub(super) fn is_answer(&self) -> bool {
        !self.first.is_empty() && !self.first.starts_with(b"HTTP/1.1 101")
    }

    /// Carries bytes until both directions have ended, or either side is gone. `early` has arrived from the client already.
    /// The connection is counted until then.
    pub(super) async fn run(self, shard: Rc<Shard>, client: Socket, early: Vec<u8>, _counted: Option<Counted>) {
        let ends = stream(self.application).and_then(|application| Ok((application, client.into_task_socket()?)));
        let (mut application, mut client) = match ends {
            Ok(ends) => ends,
            Err(error) => {
                let lines = &shard.shared.client_log.tunnels;
                return lines.warn(format_args!("cut a connection that the application has taken: {error}"));
            }
        };
        let end = Rc::new(Notify::new());
        let key = shard.tunnels.open.borrow_mut().insert((self.worker, end.clone()));
        if shard.tunnels.closed.get() {
            end.notify_one();
        }
        let write_timeout = shard.shared.config.write_timeout;
        let is_over = tokio::select! {
            is_over = carry(&mut client, &early, &mut application, &self.first, write_timeout) => is_over,
            () = end.notified() => false,
        };
        // Not only closed: the application may have forked a process that holds it.
        let _ = rustix::net::shutdown(&application, Shutdown::Both);
        drop(application);
        if is_over {
            linger(client).await;
        } else {
            client.shutdown_both();
        }
        shard.tunnels.open.borrow_mut().remove(key);
    }
}

fn stream(application: OwnedFd) -> io::Result<UnixStream> {
    let stream = net::UnixStream::from(application);
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

/// Returns whether the client is still there to read what it was sent.
async fn carry(
    client: &mut TaskSocket,
    early: &[u8],
    application: &mut UnixStream,
    first: &[u8],
    write_timeout: Duration,
) -> bool {
    let (mut from_client, mut to_client) = split(client);
    let (mut from_application, mut to_application) = application.split();
    let inward = inward(&mut from_client, early, &mut to_application);
    tokio::pin!(inward);
    let mut has_client_ended = false;
    let outward = {
        let outward = outward(&mut from_application, &mut to_client, first, write_timeout);
        tokio::pin!(outward);
        loop {
            tokio::select! {
                () = &mut inward, if !has_client_ended => has_client_ended = true,
                ended = &mut outward => break ended,
            }
        }
    };
    if outward.is_ok() && !has_client_ended {
        let left = async {
            while !has_closed(&from_application) {
                sleep(LOOK).await;
            }
        };
        tokio::select! {
            () = &mut inward => {}
            () = left => {}
        }
    }
    outward.is_ok()
}

/// Carries what the client sends, to its end.
async fn inward(client: &mut ReadHalf<&mut TaskSocket>, early: &[u8], application: &mut unix::WriteHalf<'_>) {
    let _ = application.write_all(early).await;
    let _ = copy(client, application).await;
    // However the client's direction has ended: the application reads an end, and has the last word.
    let _ = application.shutdown().await;
}

/// Carries `first` and then what the application writes, to its end. A client that takes nothing is waited for as long as the
/// application has its socket, and for `write_timeout` after that, or twice as long.
///
/// # Errors
/// The client is gone.
async fn outward(
    application: &mut unix::ReadHalf<'_>,
    client: &mut WriteHalf<&mut TaskSocket>,
    first: &[u8],
    write_timeout: Duration,
) -> io::Result<()> {
    let mut buf = vec![0; PIECE].into_boxed_slice();
    let mut piece = first;
    loop {
        let abandoned = async {
            sleep(write_timeout).await;
            while !has_closed(application) {
                sleep(write_timeout).await;
            }
        };
        tokio::select! {
            biased;
            written = client.write_all(piece) => written?,
            () = abandoned => return Err(io::ErrorKind::TimedOut.into()),
        }
        // An application that closes its socket without having read all is told by an error, behind all that it wrote.
        let len = application.read(&mut buf).await.unwrap_or(0);
        if len == 0 {
            return client.shutdown().await;
        }
        piece = &buf[..len];
    }
}

/// Whether the application has closed its socket altogether, and not only its own direction.
fn has_closed(application: &unix::ReadHalf<'_>) -> bool {
    let mut socket = [PollFd::new(application.as_ref(), PollFlags::empty())];
    let no_time = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut socket, Some(&no_time)).is_err() || socket[0].revents().contains(PollFlags::HUP)
}
