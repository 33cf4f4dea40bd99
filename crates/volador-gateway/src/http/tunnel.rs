//! A connection that the application has taken (Rack's hijack): its bytes go to and fro as they are.
//!
//! ```text
//!   client ◀──── socket ────▶ gateway ◀──── a pair of Unix sockets ────▶ application
//! ```
//!
//! The client's socket stays here. Each end of a direction is passed on, and each direction has 8 KiB on their way; behind
//! that the sender waits. No deadline applies as long as the application has its socket: only it knows what is spoken.

use std::{
    io,
    os::{fd::OwnedFd, unix::net},
    rc::Rc,
    time::Duration,
};

use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, WriteHalf, copy, split},
    net::{UnixStream, unix::ReadHalf},
    time::sleep,
};

use super::linger::linger;
use crate::{
    log,
    shard::Shard,
    socket::Socket,
    stats::{count, uncount},
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
    /// What goes to the client before anything that comes from the application.
    pub(super) first: Bytes,
}

impl Tunnel {
    /// Carries bytes until both directions have ended, or either side is gone. `early` has arrived from the client already.
    pub(super) async fn run(self, shard: Rc<Shard>, client: Socket, early: Vec<u8>) {
        count(&shard.counters.hijacked_connections);
        match stream(self.application) {
            Ok(application) => {
                carry(client, &early, application, self.first, shard.shared.config.write_timeout).await;
            }
            Err(error) => log::warn(format_args!("cut a connection that the application has taken: {error}")),
        }
        uncount(&shard.counters.hijacked_connections);
    }
}

fn stream(application: OwnedFd) -> io::Result<UnixStream> {
    let stream = net::UnixStream::from(application);
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

async fn carry(client: Socket, early: &[u8], mut application: UnixStream, first: Bytes, write_timeout: Duration) {
    let (mut from_client, mut to_client) = split(client);
    let (mut from_application, mut to_application) = application.split();
    let over = {
        let inward = async {
            let _ = to_application.write_all(early).await;
            let _ = copy(&mut from_client, &mut to_application).await;
            // However the client's direction has ended: the application reads an end, and has the last word.
            let _ = to_application.shutdown().await;
        };
        tokio::pin!(inward);
        let mut has_client_ended = false;
        let outward = {
            let outward = outward(&mut from_application, &mut to_client, &first, write_timeout);
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
    };
    // Else the client is gone. The application learns it by the end of its socket.
    if over {
        linger(from_client.unsplit(to_client)).await;
    }
}

/// Carries `first` and then what the application writes, to its end. A client that takes nothing is waited for as long as the
/// application has its socket, and for `write_timeout` after that, or twice as long.
async fn outward(
    application: &mut ReadHalf<'_>,
    client: &mut WriteHalf<Socket>,
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
        let len = application.read(&mut buf).await?;
        if len == 0 {
            return client.shutdown().await;
        }
        piece = &buf[..len];
    }
}

/// Whether the application has closed its socket altogether, and not only its own direction.
fn has_closed(application: &ReadHalf<'_>) -> bool {
    let mut socket = [PollFd::new(application.as_ref(), PollFlags::empty())];
    let no_time = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut socket, Some(&no_time)).is_err() || socket[0].revents().contains(PollFlags::HUP)
}
