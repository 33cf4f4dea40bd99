//! [`Joining`]: how a link begins.

use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::Path,
    thread,
    time::Duration,
};

use volador_link::{Incoming, Outgoing, RETRY, Received, Sent};
use volador_proto::link::{Batch, Hello, LinkError, ToWorker};

/// How long the gateway may take to welcome a worker.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(10);

/// A link on which the gateway has said hello.
pub(super) struct Joining {
    pub(super) socket: UnixStream,
    pub(super) incoming: Incoming,
    pub(super) journal: OwnedFd,
}

impl Joining {
    /// The link, and how many the gateway wants.
    pub(super) fn new(path: &Path, hello: Hello) -> io::Result<(Self, u8)> {
        let socket = UnixStream::connect(path)?;
        let (mut outgoing, mut batch) = (Outgoing::new(), Batch::new());
        batch.hello(&hello);
        outgoing.push(batch);
        while outgoing.send(&socket)? != Sent::All {
            thread::sleep(RETRY);
        }
        socket.set_read_timeout(Some(WELCOME_TIMEOUT))?;
        let mut incoming = Incoming::new();
        let welcome = loop {
            match incoming.receive(&socket, true) {
                Ok(Received::Some) => {}
                Ok(Received::End) => return Err(io::Error::other("the gateway does not accept this worker")),
                // By a signal: Ruby's own threads send them.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            if let Some(welcome) = welcome(&mut incoming).map_err(io::Error::other)? {
                break welcome;
            }
        };
        socket.set_read_timeout(None)?;
        let (shards, journal) = welcome;
        Ok((Self { socket, incoming, journal }, shards))
    }
}

/// The gateway's first frame. The others of its batch stay: what is to be said to all workers may come right behind.
fn welcome(incoming: &mut Incoming) -> Result<Option<(u8, OwnedFd)>, LinkError> {
    let mut found = None;
    incoming.take(|frames| {
        if let Some(frame) = ToWorker::next(frames)
            && let (_, ToWorker::Welcome { shards, journal }) = frame?
        {
            found = Some((shards, journal));
        }
        Ok(())
    })?;
    Ok(found)
}
