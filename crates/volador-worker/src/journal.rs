//! [`Journal`]: which jobs have begun, noted where the gateway can read it when this process is no more.
//!
//! The gateway makes one file in memory for each link (see `volador_proto::link::ToWorker::Welcome`) and keeps a
//! descriptor of it. The note is written before the application sees the job: whatever kills the process, nothing that
//! may have been begun is begun again elsewhere. A process that lives, but has been given up, learns that by the journal as
//! well: the gateway sets its last word before it reads the notes, and what is noted after that is not begun here.

use std::{
    fmt,
    fs::File,
    io,
    os::fd::OwnedFd,
    os::unix::fs::FileExt,
    sync::atomic::{Ordering, fence},
};

use volador_proto::link::StreamId;

/// Bytes of a note.
const NOTE_BYTES: u64 = 8;

/// Where the notes of one link are written: the gateway's file, by whatever way is quick.
pub trait Notes: Send + Sync + fmt::Debug {
    /// Writes the note of a stream's slot: eight bytes, little-endian, at eight times the slot. It is in the file when
    /// this returns. What can't be written makes a crash that follows less exact; it is no reason to give up the job.
    /// The slot whose note would be the last word of the file has none.
    fn note(&self, slot: u32, note: u64);

    /// Whether the gateway still counts on what is noted: the last eight bytes of the file are 0. Not to be looked at before
    /// the notes that were written, whatever the processor would like.
    fn is_open(&self) -> bool;
}

/// Opens the gateway's file.
pub type OpenNotes = fn(OwnedFd) -> io::Result<Box<dyn Notes>>;

/// A few system calls for each note.
impl Notes for File {
    fn note(&self, slot: u32, note: u64) {
        let at = u64::from(slot) * NOTE_BYTES;
        if last_word(self).is_some_and(|last| at < last) {
            // See above: the one failure is a lack of memory.
            let _ = self.write_all_at(&note.to_le_bytes(), at);
        }
    }

    fn is_open(&self) -> bool {
        fence(Ordering::SeqCst);
        let mut word = [0; NOTE_BYTES as usize];
        let read = last_word(self).map(|last| self.read_exact_at(&mut word, last));
        !matches!(read, Some(Ok(()))) || word == [0; NOTE_BYTES as usize]
    }
}

/// Where the last word of a file is.
fn last_word(file: &File) -> Option<u64> {
    file.metadata().ok()?.len().checked_sub(NOTE_BYTES)
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

    /// The job number `begun` of the stream begins, if this returns true.
    pub(crate) fn note(&self, stream: StreamId, begun: u32) -> bool {
        let Some(notes) = self.links.get(usize::from(stream.shard())) else { return true };
        notes.note(stream.slot(), u64::from(stream.generation()) << 32 | u64::from(begun));
        notes.is_open()
    }

    /// Whether the gateway counts on all of them.
    pub(crate) fn is_open(&self) -> bool {
        self.links.iter().all(|notes| notes.is_open())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::sync::Mutex;

    /// Keeps what is noted.
    #[derive(Clone, Debug, Default)]
    struct Kept(Arc<Mutex<Vec<(u32, u64)>>>);

    impl Notes for Kept {
        fn note(&self, slot: u32, note: u64) {
            self.0.lock().push((slot, note));
        }

        fn is_open(&self) -> bool {
            true
        }
    }

    #[test]
    fn a_note_is_for_the_link_of_its_stream_and_tells_the_streams_of_a_slot_apart() {
        let links = [Kept::default(), Kept::default()];
        let journal = Journal::new(links.iter().map(|kept| Box::new(kept.clone()) as Box<dyn Notes>).collect());
        for (generation, begun) in [(0, 1), (7, 1), (7, 2), (0xabcdef, u32::MAX)] {
            assert!(journal.note(StreamId::new(1, generation, 3), begun));
        }
        assert_eq!(*links[1].0.lock(), [1, 0x7_0000_0001, 0x7_0000_0002, 0xabcdef_ffffffff].map(|note| (3, note)));
        assert!(links[0].0.lock().is_empty());
    }

    #[test]
    fn a_file_has_the_notes_and_says_when_it_is_shut() {
        let file =
            crate::spool::Spool::new(&std::env::temp_dir()).and_then(|spool| spool.reader()).map(File::from).unwrap();
        file.write_all_at(&[0; 32], 0).unwrap();
        let words = || {
            let mut bytes = [0; 32];
            file.read_exact_at(&mut bytes, 0).unwrap();
            bytes.chunks(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect::<Vec<_>>()
        };
        let notes: &dyn Notes = &file;
        (1..=3).for_each(|slot| notes.note(slot, 70 + u64::from(slot)));
        assert_eq!(words(), [0, 71, 72, 0], "the last word is the gateway's");
        assert!(notes.is_open());
        file.write_all_at(&[1], 24).unwrap();
        assert!(!notes.is_open());
    }
}
