//! [`Door`]: where workers join. It looks at who they are, and shows them to their shard.

use std::{
    io,
    os::unix::net as unix,
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};

use rustix::{net::sockopt::socket_peercred, process::geteuid};
use tokio::{io::Interest, net::UnixStream, time::timeout};
use volador_link::{Incoming, Lines, RETRY, Received};
use volador_proto::link::{Hello, ToGateway};

use crate::{GatewayError, log, panics, shard::Shard};

/// How long a worker may take to say who it is.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// Links that could not be let in. They are tried again and again.
static NOT_LET_IN: Lines = Lines::new();

/// A link that a worker has opened, on its way to its shard.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) stream: unix::UnixStream,
    pub(crate) hello: Hello,
    /// The process, as the system says.
    pub(crate) pid: u32,
}

/// A Unix socket for workers. Its folder is the supervisor's, and nobody else may enter that.
#[derive(Debug)]
pub(crate) struct Door {
    listener: unix::UnixListener,
    path: PathBuf,
}

impl Door {
    /// # Errors
    /// [`GatewayError::Bind`].
    pub(crate) fn bind(path: &Path) -> Result<Self, GatewayError> {
        let bound = unix::UnixListener::bind(path).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok(listener)
        });
        let listener =
            bound.map_err(|source| GatewayError::Bind { address: format!("unix://{}", path.display()), source })?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Lets workers in, for ever.
    pub(crate) async fn task(&self, shard: Rc<Shard>) {
        let listener = match self.listener.try_clone().and_then(tokio::net::UnixListener::from_std) {
            Ok(listener) => listener,
            Err(error) => return log::warn(format_args!("workers can't join: {error}")),
        };
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let shard = shard.clone();
                    panics::spawn(async move {
                        if let Err(error) = admit(&shard, stream).await {
                            NOT_LET_IN.warn(format_args!("refused a link of a worker: {error}"));
                        }
                    });
                }
                Err(error) => {
                    NOT_LET_IN.warn(format_args!("can't let a worker in, trying again in 0.1 s: {error}"));
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        // It may be gone already; there is nobody to tell.
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn admit(shard: &Shard, stream: UnixStream) -> io::Result<()> {
    let peer = socket_peercred(&stream)?;
    if peer.uid != geteuid() {
        return Err(io::Error::other("it is another user's process"));
    }
    let hello =
        timeout(HELLO_TIMEOUT, hello(&stream)).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let pid = peer.pid.as_raw_nonzero().get().unsigned_abs();
    let inbox = shard.shared.inboxes.get(usize::from(hello.shard));
    let inbox = inbox.ok_or_else(|| io::Error::other(format!("there is no shard {}", hello.shard)))?;
    inbox.arrive(Arrival { stream: stream.into_std()?, hello, pid });
    Ok(())
}

/// A worker sends nothing else before it is welcomed.
async fn hello(stream: &UnixStream) -> io::Result<Hello> {
    let mut incoming = Incoming::new();
    loop {
        stream.readable().await?;
        match stream.try_io(Interest::READABLE, || incoming.receive(stream, false)) {
            Ok(Received::Some) => {}
            Ok(Received::End) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(Received::Later) => {
                tokio::time::sleep(RETRY).await;
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        let mut hello = None;
        let taken = incoming.take(|frames| {
            if let Some(frame) = ToGateway::next(frames)
                && let (_, ToGateway::Hello(said)) = frame?
            {
                hello = Some(said);
            }
            Ok(())
        });
        taken.map_err(io::Error::other)?;
        if let Some(hello) = hello {
            return Ok(hello);
        }
    }
}
