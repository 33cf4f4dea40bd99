//! [`Joining`]: how a link begins.

use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::Path,
    thread,
    time::Duration,
};

use rustix::{
    net::sockopt::socket_peercred,
    process::{Uid, geteuid},
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
        Self::by(geteuid(), path, hello)
    }

    /// The same by this user.
    fn by(ours: Uid, path: &Path, hello: Hello) -> io::Result<(Self, u8)> {
        let socket = UnixStream::connect(path)?;
        check(socket_peercred(&socket)?.uid, ours)?;
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
                Ok(Received::Later) => {
                    thread::sleep(RETRY);
                    continue;
                }
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

/// Nothing is said to another user's process, nor taken from it: it would see what is published, and could shorten the
/// journal under our feet. Root could do so anyway.
fn check(peer: Uid, ours: Uid) -> io::Result<()> {
    if peer == ours || peer.is_root() {
        return Ok(());
    }
    let message = format!("it is a process of the user {peer}, and this one is the user {ours}'s: join as that user");
    Err(io::Error::other(message))
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

#[cfg(test)]
mod tests {
    use std::{io::Read, os::unix::net::UnixListener, sync::mpsc};

    use rustix::thread::set_thread_res_uid;

    use super::*;

    fn users() -> (Uid, Uid) {
        (Uid::from_raw(1000), Uid::from_raw(1001))
    }

    #[test]
    fn a_gateway_is_joined_that_is_of_the_same_user_or_of_root() {
        let (ours, another) = users();
        assert!(check(ours, ours).is_ok());
        assert!(check(Uid::ROOT, ours).is_ok());
        assert!(check(another, ours).is_err());
        assert!(check(another, Uid::ROOT).is_err());
    }

    #[test]
    fn another_users_gateway_is_told_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let mut theirs = geteuid();
        if theirs.is_root() {
            // Root would be trusted, but can be another user as well. Users are a thread's own here, and the system notes
            // who listens when they begin to.
            theirs = users().1;
            let listen = || {
                set_thread_res_uid(theirs, theirs, theirs).unwrap();
                rustix::net::listen(&listener, 1).unwrap();
            };
            thread::scope(|scope| scope.spawn(listen).join().unwrap());
        }
        let ours = if theirs == users().0 { users().1 } else { users().0 };
        let (sender, joined) = mpsc::channel();
        let hello = Hello { shard: 0, number: 1, generation: 1, threads: 1 };
        thread::spawn(move || sender.send(Joining::by(ours, &path, hello)));
        let (mut socket, _) = listener.accept().unwrap();
        let mut heard = Vec::new();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket.read_to_end(&mut heard).unwrap();
        assert_eq!(heard, []);
        let error = joined.recv_timeout(Duration::from_secs(5)).unwrap().err().expect("it has joined");
        assert!(error.to_string().contains(&format!("of the user {theirs},")), "{error}");
    }
}
