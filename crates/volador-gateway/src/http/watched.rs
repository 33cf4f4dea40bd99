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
use tokio::io::ReadBuf;

use super::{ConnectionState, corked::Corked};
use crate::shard::Shard;

/// A socket that is watched while hyper drives it.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(super) corked: Rc<Corked>,
    pub(super) state: Rc<ConnectionState>,
    pub(super) shard: Rc<Shard>,
}

impl Read for Watched {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, mut cursor: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let mut buf = this.shard.read_buf.borrow_mut();
        let len = buf.len().min(cursor.remaining());
        let mut read = ReadBuf::new(&mut buf[..len]);
        ready!(this.corked.poll_read(cx, &mut read))?;
        this.state.received(read.filled(), &this.shard.shared.config)?;
        cursor.put_slice(read.filled());
        Poll::Ready(Ok(()))
    }
}

impl Write for Watched {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.corked.poll_write(&self.shard, cx, &[io::IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.corked.poll_write(&self.shard, cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.corked.poll_flush(cx)
    }

    /// All is sent. The end itself is left to the connection, which has to linger when the client is still sending.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.corked.poll_flush(cx))?;
        self.corked.poll_drain(cx)
    }
}
