//! The gateway's log lines, in the form that the Ruby half uses too: one line to standard error.

use std::fmt;

use rustix::{io, stdio::stderr};

/// Something that an operator should know and may have to act on.
pub(crate) fn warn(message: fmt::Arguments<'_>) {
    let line = format!("[volador] WARN {message}\n");
    let mut rest = line.as_bytes();
    // Not by std, which locks: in a process that is forked while a thread waits for a full pipe, that lock is never opened.
    // A standard error that is closed must not stop the server.
    while let Ok(written @ 1..) = io::retry_on_intr(|| io::write(stderr(), rest)) {
        rest = &rest[written..];
    }
}
