//! [`Journal`]: which jobs have begun, noted where the gateway can read it when this process is no more.
//!
//! The gateway makes one file in memory for each link (see `volador_proto::link::ToWorker::Welcome`) and keeps a
//! descriptor of it. The note is written before the application sees the job: whatever kills the process, nothing that
//! may have been begun is begun again elsewhere.

use std::{fmt, fs::File, io, os::fd::OwnedFd, os::unix::fs::FileExt};

use volador_proto::link::StreamId;

/// Bytes of a note.
const NOTE_BYTES: u64 = 8;

/// Where the notes of one link are written: the gateway's file, by whatever way is quick.
pub trait Notes: Send + Sync + fmt::Debug {
    /// Writes the note of a stream's slot: eight bytes, little-endian, at eight times the slot. It is in the file when
    /// this returns. What can't be written makes a crash that follows less exact; it is no reason to give up the job.
    fn note(&self, slot: u32, note: u64);
}

/// Opens the gateway's file.
pub type OpenNotes = fn(OwnedFd) -> io::Result<Box<dyn Notes>>;

/// One system call for each note.
impl Notes for File {
    fn note(&self, slot: u32, note: u64) {
        // See above: the one failure is a lack of memory.
        let _ = self.write_all_at(&note.to_le_bytes(), u64::from(slot) * NOTE_BYTES);
    }
}

/// The notes of all links, by shard.
#[derive(Debug)]
pub(crate) struct Journal {
    links: Vec<Box<dyn Notes>>,
}

impl Journal {
    pub(crate) fn new(links: Vec<Box<dyn Notes>>) -> Self {
        Self { links }
    }

    /// The job number `begun` of the stream begins.
    pub(crate) fn note(&self, stream: StreamId, begun: u32) {
        if let Some(notes) = self.links.get(usize::from(stream.shard())) {
            notes.note(stream.slot(), u64::from(stream.generation()) << 32 | u64::from(begun));
        }
    }
}
