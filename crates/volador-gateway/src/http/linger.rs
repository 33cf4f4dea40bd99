//! The end of a connection whose client may still be sending (RFC 9112 §9.6): closing a socket with unread bytes makes the
//! system send a reset, at which the client throws away what it has received.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::socket::TaskSocket;

/// How long what the client sends is read and thrown away, so that it can read its answer first.
pub(super) const LINGER: Duration = Duration::from_secs(3);

/// Tells the client that nothing follows, and waits for its own end.
pub(super) async fn linger(mut socket: TaskSocket) {
    let rest = async {
        socket.shutdown().await?;
        let mut rest = [0; 4096];
        while socket.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    // Whether the peer closed, failed or went on sending: the connection ends here.
    let _ = timeout(LINGER, rest).await;
}
