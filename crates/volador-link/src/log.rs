//! The log lines of both halves, in the form that Ruby's have: one line to standard error, or to a file.

use std::{fmt, fs::File, io, os::fd::AsFd, path::Path, sync::OnceLock};

use rustix::stdio::stderr;

/// Where lines go instead of standard error. Read without a lock: see [`warn`].
static FILE: OnceLock<File> = OnceLock::new();

/// From now on lines are appended to this file. There is one in a process: of several the first.
///
/// # Errors
/// The system's, when it can't be opened.
pub fn append_to(path: &Path) -> io::Result<()> {
    let file = File::options().append(true).create(true).open(path)?;
    let _ = FILE.set(file);
    Ok(())
}

/// Something that an operator should know and may have to act on.
pub fn warn(message: fmt::Arguments<'_>) {
    let line = format!("volador WARN: {message}\n");
    let mut rest = line.as_bytes();
    // Not by std's standard error, which locks: in a process that is forked while a thread waits for a full pipe, that lock is
    // never opened. One that is closed must not stop the server.
    let to = FILE.get().map_or_else(stderr, AsFd::as_fd);
    while let Ok(written @ 1..) = rustix::io::retry_on_intr(|| rustix::io::write(to, rest)) {
        rest = &rest[written..];
    }
}
