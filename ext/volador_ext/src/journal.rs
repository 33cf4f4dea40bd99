//! A worker's notes of the jobs that have begun, in memory that it shares with the gateway: a note for each job is too
//! much for a system call each.

use std::{
    io,
    os::fd::OwnedFd,
    ptr::{self, NonNull},
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use volador_worker::Notes;

/// The gateway's file, mapped.
#[derive(Debug)]
struct Mapped {
    start: NonNull<AtomicU64>,
    slots: usize,
}

// SAFETY: the memory is atomics alone, which any thread may write to, and it is mapped until the value is dropped.
unsafe impl Send for Mapped {}
// SAFETY: as above.
unsafe impl Sync for Mapped {}

/// Maps a journal that the gateway has made, whole.
pub(crate) fn open(file: OwnedFd) -> io::Result<Box<dyn Notes>> {
    let slots = usize::try_from(rustix::fs::fstat(&file)?.st_size).map_err(io::Error::other)? / size_of::<AtomicU64>();
    let bytes = slots * size_of::<AtomicU64>();
    // SAFETY: a new mapping, where the system chooses, takes nobody's memory. The file is the gateway's, which gives it
    // its size once and never cuts it, so that no access is past its end.
    let start =
        unsafe { mmap(ptr::null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, &file, 0)? };
    let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
    // The mapping outlives the descriptor.
    Ok(Box::new(Mapped { start, slots }))
}

impl Notes for Mapped {
    fn note(&self, slot: u32, note: u64) {
        let slot = slot as usize;
        if slot + 1 < self.slots {
            // SAFETY: within the mapping, which is aligned to pages and lives as long as `self`. Whoever else has it (the
            // gateway) reads and writes the file.
            unsafe { self.start.add(slot).as_ref() }.store(note.to_le(), Ordering::SeqCst);
        }
    }

    fn is_open(&self) -> bool {
        let Some(last) = self.slots.checked_sub(1) else { return true };
        // SAFETY: as above.
        unsafe { self.start.add(last).as_ref() }.load(Ordering::SeqCst) == 0
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: what `open` has mapped, and nobody has a reference to it any more. It can't fail for a mapping that is
        // there; if it did, the memory would stay.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.slots * size_of::<AtomicU64>()) };
    }
}
