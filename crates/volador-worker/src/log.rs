//! The worker's log lines, in the form of the gateway's: one line to standard error.

use std::{fmt, io::Write};

/// Something that an operator should know and may have to act on.
pub(crate) fn warn(message: fmt::Arguments<'_>) {
    // A standard error that is closed or full must not stop the server.
    let _ = writeln!(std::io::stderr().lock(), "[volador] WARN {message}");
}
