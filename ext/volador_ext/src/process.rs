//! What Ruby has no call for: about this process.

use magnus::{Error, RString, Ruby, function, prelude::*};
use volador_link::log;

use crate::{error, gvl};

/// Children of children whose parent has ended become children of this process. False when the system refuses.
fn become_subreaper() -> bool {
    // Its argument is not used by the system, as long as there is one.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).is_ok()
}

/// The gateway's and the worker's lines are appended to this file from now on. False when it can't be opened.
fn log_to(ruby: &Ruby, path: RString) -> Result<bool, Error> {
    error::guarded(ruby, || Ok(log::append_to(path.to_string()?.as_ref()).is_ok()))
}

/// The gateway's and the worker's lines are written, unless that takes too long.
fn flush_log(ruby: &Ruby) -> Result<(), Error> {
    error::guarded(ruby, || gvl::finishing(ruby, || log::flush(log::LAST_LINES)))
}

pub(crate) fn init(native: magnus::RModule) -> Result<(), Error> {
    native.define_singleton_method("become_subreaper", function!(become_subreaper, 0))?;
    native.define_singleton_method("log_to", function!(log_to, 1))?;
    native.define_singleton_method("flush_log", function!(flush_log, 0))
}
