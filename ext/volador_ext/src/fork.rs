//! Objects that came over a fork.
//!
//! Only the forking thread lives on in the child: gateway, watcher and other seats are gone, and a lock that one of them
//! held stays locked. So in a child nothing of an object that was made before may be touched, not even to free it.

use std::{
    mem::ManuallyDrop,
    sync::atomic::{AtomicU32, Ordering},
};

use magnus::{Error, Ruby};

use crate::error;

/// How many forks lie between the process that loaded the extension and this one.
static GENERATION: AtomicU32 = AtomicU32::new(0);

// libc's, on every platform that forks; asking for the process id instead would be a system call for each request.
unsafe extern "C" {
    fn pthread_atfork(
        prepare: Option<unsafe extern "C" fn()>,
        parent: Option<unsafe extern "C" fn()>,
        child: Option<unsafe extern "C" fn()>,
    ) -> std::ffi::c_int;
}

/// Begins to count forks.
pub(crate) fn watch() {
    unsafe extern "C" fn child() {
        GENERATION.fetch_add(1, Ordering::Relaxed);
    }
    // SAFETY: the handler only changes an atomic, which is allowed between fork and exec, and as code of an extension it
    // is never unloaded. Its one failure is a lack of memory; forks are then not noticed, as in other extensions.
    unsafe { pthread_atfork(None, None, Some(child)) };
}

/// A value that is used and dropped only by the process that made it.
#[derive(Debug)]
pub(crate) struct Forked<T> {
    value: ManuallyDrop<T>,
    generation: u32,
}

impl<T> Forked<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { value: ManuallyDrop::new(value), generation: GENERATION.load(Ordering::Relaxed) }
    }

    fn is_ours(&self) -> bool {
        self.generation == GENERATION.load(Ordering::Relaxed)
    }

    /// # Errors
    /// `Volador::Error` in a process that was forked since.
    pub(crate) fn get(&self, ruby: &Ruby) -> Result<&T, Error> {
        if self.is_ours() {
            Ok(&self.value)
        } else {
            Err(error::volador(
                ruby,
                "the server was started before this process was forked: start the server after fork",
            ))
        }
    }
}

impl<T> Drop for Forked<T> {
    fn drop(&mut self) {
        if self.is_ours() {
            // SAFETY: the value is not used again: `self` is being dropped, and this is the only place that drops it.
            unsafe { ManuallyDrop::drop(&mut self.value) };
        }
    }
}
