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
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::ConnectionState;
use crate::{shard::Shard, socket::Socket};

/// A socket that is watched while hyper drives it.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) socket: Socket,
    pub(crate) state: Rc<ConnectionState>,
    pub(crate) shard: Rc<Shard>,
}

impl Read for Watched {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, mut cursor: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let mut buf = this.shard.read_buf.borrow_mut();
        let len = buf.len().min(cursor.remaining());
        let mut read = ReadBuf::new(&mut buf[..len]);
        ready!(Pin::new(&mut this.socket).poll_read(cx, &mut read))?;
        this.state.received(read.filled(), &this.shard.shared.config)?;
        cursor.put_slice(read.filled());
        Poll::Ready(Ok(()))
    }
}

impl Watched {
    fn wrote(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.state.sent(result.is_pending());
        result
    }
}

impl Write for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.wrote(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        self.wrote(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    /// Left to the connection, which has to linger when the client is still sending.
    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
