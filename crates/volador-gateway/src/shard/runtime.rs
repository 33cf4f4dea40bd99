//! The event loop of a shard, and the threads that work on its files: files block, and the loop must not.

use std::{io, thread, time::Duration};

use tokio::runtime::{Builder, Runtime};

/// Threads for files, at most. More connections take turns: what they wait for is a disk, of which there are few.
const FILE_THREADS_MAX: usize = 16;

/// Makes both. There is a thread for files from the start, and those that have been started stay: with none of them, and
/// none to be had from the system, tokio would panic; with one, what finds no other waits for it.
pub(super) fn build(shard: u8) -> io::Result<Runtime> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .thread_name(format!("volador-file-{shard}"))
        .max_blocking_threads(FILE_THREADS_MAX)
        .thread_keep_alive(Duration::MAX)
        .build()?;
    // Asked of the system first, which has an error where tokio has a panic.
    drop(thread::Builder::new().spawn(|| ())?.join());
    runtime.spawn_blocking(|| ());
    Ok(runtime)
}
