//! [`Journal`]: which jobs have begun, noted where the gateway can read it when this process is no more.
//!
//! The gateway makes one file in memory for each link (see `volador_proto::link::ToWorker::Welcome`) and keeps a
//! descriptor of it. The note is written before the application sees the job: whatever kills the process, nothing that
//! may have been begun is begun again elsewhere.

use std::os::fd::OwnedFd;

use volador_proto::link::StreamId;

/// Bytes of a note.
const NOTE_BYTES: u64 = 8;

/// The files, by shard.
#[derive(Debug)]
pub(crate) struct Journal {
    files: Vec<OwnedFd>,
}

impl Journal {
    pub(crate) fn new(files: Vec<OwnedFd>) -> Self {
        Self { files }
    }

    /// The job number `begun` of the stream begins.
    pub(crate) fn note(&self, stream: StreamId, begun: u32) {
        let Some(file) = self.files.get(usize::from(stream.shard())) else { return };
        let note = u64::from(stream.generation()) << 32 | u64::from(begun);
        // A note that can't be written (there is no memory left) makes a crash that follows less exact. It is no reason
        // to give up the job.
        let _ = rustix::io::pwrite(file, &note.to_le_bytes(), u64::from(stream.slot()) * NOTE_BYTES);
    }
}
