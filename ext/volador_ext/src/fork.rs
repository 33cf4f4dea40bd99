//! Objects that came over a fork.
//!
//! Only the forking thread lives on in the child: gateway, watcher and other seats are gone, and a lock that one of them
//! held stays locked. So in a child nothing of an object that was made before may be touched, not even to free it; but
//! some descriptors have to be closed.

use std::{
    mem::ManuallyDrop,
    os::fd::RawFd,
    sync::atomic::{AtomicI32, AtomicU32, Ordering},
};

use magnus::{Error, Ruby};
use volador_link::log;

use crate::error;

/// How many forks lie between the process that loaded the extension and this one.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// No descriptor.
const NONE: RawFd = -1;

/// The descriptors of [`NotInherited`]. Of a fixed size, since the child's handler may neither lock nor allocate.
static NOT_INHERITED: [AtomicI32; 1024] = [const { AtomicI32::new(NONE) }; 1024];

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
        log::forked();
        for place in &NOT_INHERITED {
            let descriptor = place.swap(NONE, Ordering::Relaxed);
            if descriptor != NONE {
                // SAFETY: it is open, as whoever owns it keeps it open while it stands here. In this process nobody uses
                // it: the owner is a `Forked` value.
                unsafe { rustix::io::close(descriptor) };
            }
        }
    }
    // SAFETY: the handler only changes atomics and closes descriptors, which is allowed between fork and exec, and as
    // code of an extension it is never unloaded. Its one failure is a lack of memory; forks are then not noticed, as in
    // other extensions.
    unsafe { pthread_atfork(None, None, Some(child)) };
}

/// Descriptors that are closed in processes that are forked from this one: a link that such a process held would seem to
/// live on when this process has ended. (The other way, by exec, they are closed by the system.) To be dropped before
/// the descriptors are closed.
#[derive(Debug)]
pub(crate) struct NotInherited {
    places: Vec<&'static AtomicI32>,
}

impl NotInherited {
    /// Those for which there is no place any more are inherited.
    pub(crate) fn new(descriptors: &[RawFd]) -> Self {
        let mut free = NOT_INHERITED.iter();
        let take = |descriptor: &RawFd| {
            free.find(|place| place.compare_exchange(NONE, *descriptor, Ordering::Relaxed, Ordering::Relaxed).is_ok())
        };
        Self { places: descriptors.iter().map_while(take).collect() }
    }
}

impl Drop for NotInherited {
    fn drop(&mut self) {
        for place in &self.places {
            place.store(NONE, Ordering::Relaxed);
        }
    }
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
