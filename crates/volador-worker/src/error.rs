//! [`WriteError`]: why bytes of a streamed response were not taken.

use std::io;

/// Why a streamed response takes no more bytes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The client has left, or was cut off because it took nothing for too long. Stop writing.
    #[error("the client has gone away")]
    Gone,
    /// No streamed response has been started, or it has been finished.
    #[error("no streamed response is open: it has not been started, or is finished")]
    NotStreaming,
    /// Another thread is writing to it.
    #[error("another thread is writing to the response: take turns")]
    Busy,
    /// The spool file could not be made or written: `tmpdir` is missing, read-only or full. Abort the response.
    #[error("the response could not be spooled to the temporary directory: {0}")]
    Spool(#[from] io::Error),
}
