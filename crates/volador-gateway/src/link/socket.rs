//! [`LinkSocket`]: one link of one shard, to a worker in another process.

use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
};

use tokio::{io::Interest, net::UnixStream, sync::Notify};
use volador_link::{Incoming, Outgoing, RETRY, Received, Sent, is_peers_end};
use volador_proto::link::{Batch, ToGateway};

use super::{Journal, WorkerKey};
use crate::{log, shard::Shard};

/// The socket, and what it has not taken yet. That has no bound here: work is bounded where it is given out, and publications
/// by [`Workers::publish`](super::Workers::publish). The figures that a guest asks for are all that it gets else.
#[derive(Debug)]
pub(crate) struct LinkSocket {
    stream: UnixStream,
    outgoing: RefCell<Outgoing>,
    /// There is something that the socket has not taken.
    waits: Notify,
    pub(crate) journal: Journal,
    /// Nothing goes over it any more.
    closed: Cell<bool>,
}

impl LinkSocket {
    /// To be called in the shard's runtime.
    pub(crate) fn new(stream: std::os::unix::net::UnixStream) -> io::Result<Self> {
        Ok(Self {
            stream: UnixStream::from_std(stream)?,
            outgoing: RefCell::default(),
            waits: Notify::new(),
            journal: Journal::new()?,
            closed: Cell::new(false),
        })
    }

    /// Hands frames over, at once as far as the socket takes them.
    pub(crate) fn deliver(&self, batch: Batch) {
        if self.closed.get() {
            return;
        }
        let mut outgoing = self.outgoing.borrow_mut();
        let waits = !outgoing.is_empty();
        outgoing.push(batch);
        if waits {
            return; // the writer is at it
        }
        match outgoing.send(&self.stream) {
            Ok(Sent::All) => {}
            Ok(Sent::Full | Sent::Later) => self.waits.notify_one(),
            Err(error) => self.fail(&mut outgoing, &error),
        }
    }

    /// Bytes of publications for listeners that wait.
    pub(crate) fn published_len(&self) -> usize {
        self.outgoing.borrow().published_len()
    }

    /// The link is no more: ends the write task as well, and with it the last use of the descriptors.
    pub(crate) fn end(&self) {
        self.close(&mut self.outgoing.borrow_mut());
        self.waits.notify_one();
    }

    /// What was to be sent is lost, and with it the worker, which must not go on as if it were not.
    fn fail(&self, outgoing: &mut Outgoing, error: &io::Error) {
        if !is_peers_end(error) {
            log::warn(format_args!("can't send to a worker, its link is closed: {error}"));
        }
        self.close(outgoing);
    }

    /// The worker sees the end, and so does whatever waits for the socket here: the reader, and with it all that is kept
    /// for the worker ends by [`Shard::welcome`].
    fn close(&self, outgoing: &mut Outgoing) {
        self.closed.set(true);
        *outgoing = Outgoing::new();
        // It fails only when the socket is of no use any more.
        let _ = rustix::net::shutdown(&self.stream, rustix::net::Shutdown::Both);
    }

    /// Sends what the socket did not take at once, until the link ends.
    pub(crate) async fn write_task(self: Rc<Self>) {
        while !self.closed.get() {
            self.waits.notified().await;
            loop {
                if self.stream.writable().await.is_err() {
                    return;
                }
                let sent =
                    self.stream.try_io(Interest::WRITABLE, || match self.outgoing.borrow_mut().send(&self.stream) {
                        Ok(Sent::Full) => Err(io::ErrorKind::WouldBlock.into()),
                        other => other,
                    });
                match sent {
                    // No readiness comes of it.
                    Ok(Sent::Later) => tokio::time::sleep(RETRY).await,
                    Ok(_) => break,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return self.fail(&mut self.outgoing.borrow_mut(), &error),
                }
            }
        }
    }

    /// Does what the worker's frames say, until the link ends.
    pub(crate) async fn read(&self, shard: &Rc<Shard>, key: WorkerKey) {
        let mut incoming = Incoming::new();
        loop {
            if self.stream.readable().await.is_err() {
                return;
            }
            match self.stream.try_io(Interest::READABLE, || incoming.receive(&self.stream, false)) {
                Ok(Received::Some) => {}
                Ok(Received::End) => return,
                Ok(Received::Later) => {
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                    continue;
                }
                Err(error) => {
                    if !is_peers_end(&error) {
                        log::warn(format_args!("can't read what a worker sends, its link is closed: {error}"));
                    }
                    return;
                }
            }
            shard.read_at.set(shard.shared.roster.now());
            let taken = incoming.take(|frames| {
                while let Some(frame) = ToGateway::next(frames) {
                    let (id, frame) = frame?;
                    shard.dispatch(key, id, frame);
                }
                Ok(())
            });
            shard.engine.flush_writes(shard);
            // A worker that publishes without a pause is not to keep everything else from its turn.
            tokio::task::yield_now().await;
            if let Err(error) = taken {
                return log::warn(format_args!("a worker's frames can't be read, its link is closed: {error}"));
            }
        }
    }
}

impl Drop for LinkSocket {
    fn drop(&mut self) {
        // What the worker is told of last (to stop) may be all that is left: one more try, without waiting.
        let _ = self.outgoing.borrow_mut().send(&self.stream);
    }
}

#[cfg(test)]
mod tests;
