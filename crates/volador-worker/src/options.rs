//! [`Options`]: what a worker is told when it is made.

use std::{path::PathBuf, time::Duration};

/// How a worker treats slow clients of streamed responses and slow blocks, and what it should know of the gateway.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes of one response that are on their way before the rest goes to a file. More costs memory per slow client,
    /// less costs files and throughput.
    pub window_bytes: u64,
    /// Bytes of one response in its file before the writer has to wait, that is, before a slow client holds an
    /// application thread.
    pub spool_max_bytes: u64,
    /// Where the files are made.
    pub tmpdir: PathBuf,
    /// Bytes of publications that wait for the blocks of one push connection, or of one subscription of the process. Past
    /// it the oldest are dropped: a block that is too slow must not take all memory.
    pub block_queue_max_bytes: usize,
    /// The gateway's time between two pings of a WebSocket that has no timeout of its own.
    pub ping_interval: Duration,
    /// The same between two heartbeats of SSE.
    pub heartbeat_interval: Duration,
}
