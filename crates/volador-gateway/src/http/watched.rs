//! [`Watched`]: the socket as hyper sees it. Every byte that is read is shown to the [`HeadWatch`], which knows what
//! hyper does not tell.
//!
//! [`HeadWatch`]: volador_proto::http1::HeadWatch

use std::{
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use hyper::rt::{Read, ReadBufCursor, Write};

use super::HttpSocket;
use crate::shard::Shard;

/// Bytes that one read of an HTTP connection takes at most.
const READ_BYTES: usize = 16 << 10;

/// A socket that is watched while hyper drives it.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(super) socket: Rc<HttpSocket>,
    pub(super) shard: Rc<Shard>,
}

impl Read for Watched {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, mut cursor: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let mut buf = self.shard.selector.read_buf();
        let len = READ_BYTES.min(cursor.remaining());
        let len = ready!(self.socket.poll_read(&mut buf[..len]))?;
        self.socket.state.received(&buf[..len], &self.shard.shared.config)?;
        cursor.put_slice(&buf[..len]);
        Poll::Ready(Ok(()))
    }
}

impl Write for Watched {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.socket.poll_write(&self.shard, &[io::IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.socket.poll_write(&self.shard, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_flush()
    }

    /// All is sent. The end itself is left to the connection, which has to linger when the client is still sending.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.socket.poll_flush())?;
        self.socket.poll_drain()
    }
}
