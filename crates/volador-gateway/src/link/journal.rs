//! [`Journal`]: which jobs a worker that was lost had begun.
//!
//! A file in memory that both processes have. The worker writes a note before each job (see
//! `volador_proto::link::ToWorker::Welcome`); the notes are there after it was killed. The gateway reads them then, and
//! only then. A worker may be lost and live, as when its link has failed: so it shuts the journal first.

use std::{
    io,
    os::fd::OwnedFd,
    sync::atomic::{Ordering, fence},
};

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use volador_proto::link::StreamId;

/// Bytes of a note: the stream's generation in the upper half, the number of its jobs in the lower one.
const NOTE_BYTES: u64 = 8;

/// Words of the file: slots that have a note, and behind them the gateway's own. Nothing but what is written takes memory.
const WORDS: u64 = 1 << 24;

/// One link's journal.
#[derive(Debug)]
pub(crate) struct Journal(OwnedFd);

impl Journal {
    /// # Errors
    /// When the system has no descriptor left.
    pub(crate) fn new() -> io::Result<Self> {
        let file = memfd_create("volador-journal", MemfdFlags::CLOEXEC)?;
        ftruncate(&file, WORDS * NOTE_BYTES)?;
        Ok(Self(file))
    }

    /// The worker's descriptor.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub(crate) fn for_worker(&self) -> io::Result<OwnedFd> {
        self.0.try_clone()
    }

    /// From now on the worker begins nothing: it looks at this word after each note. To be called before the notes are
    /// read; what is not noted by then will not be.
    pub(crate) fn shut(&self) {
        // It can only fail for want of memory. Then all is as it would be if the worker had died, as it mostly has.
        let _ = rustix::io::pwrite(&self.0, &1u64.to_le_bytes(), (WORDS - 1) * NOTE_BYTES);
        // The worker writes its note and then reads the word; here it is the other way round. One of them sees the other.
        fence(Ordering::SeqCst);
    }

    /// How many jobs of the stream the worker has begun. What can't be read counts as begun: better once too few than
    /// twice.
    pub(crate) fn begun(&self, stream: StreamId) -> u32 {
        if u64::from(stream.slot()) >= WORDS - 1 {
            return u32::MAX;
        }
        let mut note = [0; NOTE_BYTES as usize];
        match rustix::io::pread(&self.0, &mut note, u64::from(stream.slot()) * NOTE_BYTES) {
            Ok(read) if read == note.len() => {}
            _ => return u32::MAX,
        }
        let note = u64::from_le_bytes(note);
        let is_this = (note >> 32) as u32 == stream.generation();
        if is_this { note as u32 } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_counts_for_its_stream_only() {
        let journal = Journal::new().unwrap();
        let stream = StreamId::new(0, 7, 300);
        assert_eq!(journal.begun(stream), 0);
        let note = 7u64 << 32 | 2;
        rustix::io::pwrite(journal.for_worker().unwrap(), &note.to_le_bytes(), 300 * NOTE_BYTES).unwrap();
        assert_eq!(journal.begun(stream), 2);
        assert_eq!(journal.begun(StreamId::new(0, 8, 300)), 0);
        assert_eq!(journal.begun(StreamId::new(0, 7, 301)), 0);
        assert_eq!(journal.begun(StreamId::new(0, 7, 1 << 24)), u32::MAX);
        assert_eq!(journal.begun(StreamId::new(0, 7, (1 << 24) - 1)), u32::MAX, "that word is no note");
    }
}
