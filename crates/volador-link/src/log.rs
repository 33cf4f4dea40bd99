//! The log lines of both halves, in the form that Ruby's have: one line to standard error, or to a file.
//!
//! Whoever reads them may be slow, or not read at all, and a shard that waited for that would serve nobody meanwhile. So
//! lines are queued, and a thread of the process writes them.

mod panics;
mod queue;

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    cell::Cell,
    fmt,
    fs::File,
    io,
    os::{fd::AsFd, unix::fs::OpenOptionsExt},
    panic::{self, AssertUnwindSafe},
    path::Path,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::OFlags,
    io::{Errno, retry_on_intr},
    stdio::stderr,
};

use panics::Panics;
use queue::Queue;

/// How long to [`flush`] at the end of the process: who has not read its lines by then may never do so.
pub const LAST_LINES: Duration = Duration::from_secs(1);

/// How long whoever has panicked waits for its line, if it may be the last one.
const PANIC: Duration = Duration::from_millis(100);

/// Where lines go instead of standard error. Read without a lock: see [`write_out`].
static FILE: OnceLock<File> = OnceLock::new();

/// One for each process of a row in which each was forked from the one before. Another thread may have held its parent's as
/// a process was forked, and nobody opens that in the child; nor is there a thread any more that writes what is in it.
static QUEUES: [Queue; 64] = [const { Queue::new() }; 64];

static PANICS: Panics = Panics::new();

/// How many forks lie between the process that loaded this code and this one.
static FORKS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The next panic of this thread is one that [`catch`] takes.
    static IS_CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// From now on lines are appended to this file. There is one in a process: of several the first.
///
/// # Errors
/// The system's, when it can't be opened, or is a FIFO that nobody reads.
pub fn append_to(path: &Path) -> io::Result<()> {
    // One that waits opens a FIFO only when there is somebody who reads it.
    let no_wait = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().append(true).create(true).custom_flags(no_wait).open(path)?;
    let _ = FILE.set(file);
    Ok(())
}

/// Something that an operator should know and may have to act on. Returns at once.
pub fn warn(message: fmt::Arguments<'_>) {
    let line = format!("volador WARN: {message}\n");
    match queue() {
        Some(queue) => queue.put(&line, write_out),
        None => write_out(line.as_bytes()),
    }
}

/// From now on a panic's message is a line as others are. By itself it would be written with standard error locked, by the
/// thread that has panicked, and not into the file.
///
/// The backtrace follows where `RUST_BACKTRACE` asks for one. Those of one place have five entries in a minute, as
/// [`Lines`](crate::Lines) have.
pub fn report_panics() {
    panic::set_hook(Box::new(|panic| {
        if let Some(end) = PANICS.end(panic.location()) {
            let thread = thread::current();
            let name = thread.name().unwrap_or("a thread without a name");
            let backtrace = Backtrace::capture();
            let mut text = format!("internal error in Volador, please report it: {name} {panic}{end}");
            if backtrace.status() == BacktraceStatus::Captured {
                text = format!("{text}\n{backtrace}");
            }
            warn(format_args!("{}", text.trim_end().replace('\n', "\n\t")));
        }
        // One more before it is caught, a destructor's say, ends the process.
        if !IS_CAUGHT.replace(false) {
            flush(PANIC);
        }
    }));
}

/// Runs `f`, and catches its panic. Nobody waits for the line of that: the process lives on, and whoever panics may have
/// what others wait for.
pub fn catch<R>(f: impl FnOnce() -> R) -> thread::Result<R> {
    let outer = IS_CAUGHT.replace(true);
    // Unwind safety: the caller's to see to.
    let result = panic::catch_unwind(AssertUnwindSafe(f));
    IS_CAUGHT.set(outer);
    result
}

/// Waits until the lines are written, for `timeout` at most. To be called before the process ends.
pub fn flush(timeout: Duration) {
    if let Some(queue) = queue() {
        queue.flush(timeout, write_out);
    }
}

/// This process has been forked from the one that it was. To be called before anything else of this module, in the child's
/// handler of the fork: it does nothing that is not allowed there.
pub fn forked() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// None after more forks in a row than there are queues: there lines are written by whoever has them.
fn queue() -> Option<&'static Queue> {
    QUEUES.get(FORKS.load(Ordering::Relaxed))
}

/// Writes whole lines.
fn write_out(lines: &[u8]) {
    // Not by std's standard error, which locks: in a process that is forked while a thread waits for a full pipe, that
    // lock is never opened. One that is closed must not stop the server.
    let to = FILE.get().map_or_else(stderr, AsFd::as_fd);
    // One by one: what goes into a pipe by one call, and is not too long, is not mixed with other processes' lines.
    for mut rest in lines.split_inclusive(|byte| *byte == b'\n') {
        while !rest.is_empty() {
            match retry_on_intr(|| rustix::io::write(to, rest)) {
                Ok(written @ 1..) => rest = &rest[written..],
                // The file is a FIFO, or another program, which has the same pipe, has made it so that writing does not wait.
                Err(Errno::AGAIN) => drop(poll(&mut [PollFd::new(&to, PollFlags::OUT)], None)),
                _ => break,
            }
        }
    }
}
