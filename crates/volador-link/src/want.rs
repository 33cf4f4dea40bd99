//! A want of descriptors: this process may have no more files open. The log has one line for what is given up for it.

use std::{io, time::Instant};

use rustix::{
    io::Errno,
    process::{Resource, getrlimit},
};

use crate::{log, spell::Spell};

/// Of the process, as its limit is: in one process both halves give up for the same want.
static FILES: Spell = Spell::new();

/// An answer or a body is given up: it needs a descriptor that there is not, or that it may not keep.
pub fn gave_up() {
    if FILES.is_new(Instant::now()) {
        log::warn(format_args!(
            "answers and bodies that live in files are given up until others have gone: this process may have {} files \
             open. Raise that limit (ulimit -n, or LimitNOFILE= for systemd)",
            getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
        ));
    }
}

/// Whether it says that there are no more.
pub fn is_want(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::MFILE)
}
