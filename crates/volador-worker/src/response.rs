//! [`ResponseStream`]: the body of a streamed response on its way to a client that may be slow.
//!
//! ```text
//!             fits into the window                 does not fit
//!  direct ──────────────────────────▶ chunk   direct ─────────▶ spooling (rest to a new file)
//!  spooling ────────────────────────▶ file    spooling ──▶ direct, when the client has taken everything
//! ```
//!
//! Bytes keep their order: while there is a file, everything goes to the file. The gateway acknowledges each byte that
//! the client took, wherever it came from, so "everything taken" is one number. Only when the file has reached its
//! limit does the writer wait, until the client has taken it all.

use std::{os::fd::OwnedFd, path::Path};

use volador_link::Want;
use volador_proto::link::StreamId;

use crate::{error::WriteError, flush::Haste, outbox::Outboxes, spool::Spool, sync::Mutex};

/// What the client has not taken yet; shared with the threads that bring its acknowledgements.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) stream: StreamId,
    /// Bytes handed to the gateway that the client has not taken.
    pub(crate) outstanding: u64,
}

impl Flow {
    pub(crate) fn new(stream: StreamId) -> Self {
        Self { stream, outstanding: 0 }
    }

    /// The client took so many more bytes. Returns whether that was all there was.
    pub(crate) fn credit(&mut self, bytes: u64) -> bool {
        self.outstanding = self.outstanding.saturating_sub(bytes);
        self.outstanding == 0
    }
}

/// The limits, see [`Options`](crate::Options).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits<'a> {
    pub(crate) window_bytes: u64,
    pub(crate) spool_max_bytes: u64,
    pub(crate) tmpdir: &'a Path,
}

/// The writer's side.
#[derive(Debug)]
pub(crate) struct ResponseStream {
    stream: StreamId,
    /// While the client is behind.
    spool: Option<Spool>,
    /// Bytes of it are lost: it must not come to its end as if it were complete.
    is_cut: bool,
}

impl ResponseStream {
    pub(crate) fn new(stream: StreamId) -> Self {
        Self { stream, spool: None, is_cut: false }
    }

    pub(crate) fn stream(&self) -> StreamId {
        self.stream
    }

    /// Whether something of it was lost.
    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Hands over as much of `data` as there is room for and returns how much that was, and whether frames stay behind in
    /// the outbox. When it was not all, the caller waits until the client has taken everything.
    ///
    /// The flow's lock is never held over a write to the file: the gateway's threads want it. It tells when the response is
    /// over meanwhile, by the thread that it belongs to.
    pub(crate) fn write(
        &mut self,
        data: &[u8],
        flow: &Mutex<Flow>,
        outboxes: &Outboxes,
        limits: Limits<'_>,
    ) -> Result<(usize, bool), WriteError> {
        if self.is_cut {
            return Err(WriteError::Gone);
        }
        let written = self.write_on(data, flow, outboxes, limits);
        self.is_cut = matches!(written, Err(WriteError::Gone | WriteError::Spool(_)));
        written
    }

    fn write_on(
        &mut self,
        data: &[u8],
        flow: &Mutex<Flow>,
        outboxes: &Outboxes,
        limits: Limits<'_>,
    ) -> Result<(usize, bool), WriteError> {
        let direct = {
            let mut flow = flow.lock();
            if flow.stream != self.stream {
                return Err(WriteError::NotStreaming);
            }
            if flow.outstanding == 0 {
                self.spool = None;
            }
            let room = if self.spool.is_none() { limits.window_bytes.saturating_sub(flow.outstanding) } else { 0 };
            let direct = data.len().min(usize::try_from(room).unwrap_or(usize::MAX));
            flow.outstanding += direct as u64;
            direct
        };
        let shard = self.stream.shard();
        let mut staged = false;
        if direct > 0 {
            staged = outboxes.push(shard, Haste::Now, |batch| batch.chunk(self.stream, &data[..direct]));
        }
        let rest = &data[direct..];
        if rest.is_empty() {
            return Ok((direct, staged));
        }
        let spool = match &mut self.spool {
            Some(spool) => spool,
            None => {
                let (spool, reader) = opened(limits.tmpdir)?;
                staged = outboxes.push(shard, Haste::WithAnswer, |batch| batch.spill(self.stream, reader));
                self.spool.insert(spool)
            }
        };
        let room = limits.spool_max_bytes.saturating_sub(spool.len());
        let spooled = rest.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        if spooled > 0 {
            spool.append(&rest[..spooled])?;
            {
                let mut flow = flow.lock();
                if flow.stream != self.stream {
                    return Err(WriteError::NotStreaming);
                }
                flow.outstanding += spooled as u64;
            }
            let len = spool.len();
            // The client is behind anyway, so the gateway need not be woken for this.
            staged = outboxes.push(shard, Haste::WithAnswer, |batch| batch.spilled(self.stream, len));
        }
        Ok((direct + spooled, staged))
    }
}

/// A spool, and its reader. Without a descriptor for one the answer is cut, as for a client that is gone.
fn opened(tmpdir: &Path) -> Result<(Spool, OwnedFd), WriteError> {
    let opened = Spool::new(tmpdir).and_then(|spool| spool.reader().map(|reader| (spool, reader)));
    opened.map_err(|error| {
        let Some(want) = Want::of(&error) else { return error.into() };
        want.gave_up();
        WriteError::Gone
    })
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::unix::fs::FileExt, sync::Arc};

    use volador_proto::link::ToGateway;

    use super::*;
    use crate::outbox::tests::Kept;

    const ID: StreamId = StreamId::NONE;

    struct Setup {
        kept: Arc<Kept>,
        outboxes: Outboxes,
        flow: Mutex<Flow>,
        response: ResponseStream,
        id: StreamId,
        tmpdir: std::path::PathBuf,
    }

    impl Setup {
        fn new() -> Self {
            let kept = Arc::new(Kept::default());
            let id = StreamId::new(1, 2, 3);
            assert_ne!(id, ID);
            Self {
                outboxes: Outboxes::new(kept.clone(), 2),
                kept,
                flow: Mutex::new(Flow::new(id)),
                response: ResponseStream::new(id),
                id,
                tmpdir: std::env::temp_dir(),
            }
        }

        fn write(&mut self, data: &[u8]) -> Result<usize, WriteError> {
            let limits = Limits { window_bytes: 10, spool_max_bytes: 20, tmpdir: &self.tmpdir };
            self.response.write(data, &self.flow, &self.outboxes, limits).map(|(n, _)| n)
        }

        /// What the client gets of the frames so far.
        fn frames(&self) -> Vec<ToGateway> {
            self.outboxes.flush();
            let frames = self.kept.frames();
            assert!(frames.iter().all(|(id, _)| *id == self.id));
            frames.into_iter().map(|(_, frame)| frame).collect()
        }
    }

    #[test]
    fn bytes_within_the_window_go_as_chunks() {
        let mut s = Setup::new();
        assert_eq!(s.write(b"12345").unwrap(), 5);
        assert_eq!(s.write(b"67890").unwrap(), 5);
        assert!(matches!(&s.frames()[..], [ToGateway::Chunk(a), ToGateway::Chunk(b)] if a == "12345" && b == "67890"));
    }

    #[test]
    fn what_exceeds_the_window_goes_to_a_file_until_everything_is_taken() {
        let mut s = Setup::new();
        assert_eq!(s.write(b"1234567890ab").unwrap(), 12);
        let frames = s.frames();
        let [ToGateway::Chunk(chunk), ToGateway::Spill(fd), ToGateway::Spilled(2)] = &frames[..] else {
            panic!("{frames:?}")
        };
        assert_eq!(&chunk[..], b"1234567890");
        let file = File::from(fd.try_clone().unwrap());

        // The window has room again, but the file is not read to its end.
        assert!(!s.flow.lock().credit(11));
        assert_eq!(s.write(b"cd").unwrap(), 2);
        assert!(matches!(&s.frames()[..], [ToGateway::Spilled(4)]));
        let mut bytes = [0; 4];
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"abcd");

        assert!(s.flow.lock().credit(3));
        assert_eq!(s.write(b"direct").unwrap(), 6);
        assert!(matches!(&s.frames()[..], [ToGateway::Chunk(data)] if data == "direct"));
        assert_eq!(s.write(b"123456").unwrap(), 6);
        let frames = s.frames();
        assert!(matches!(&frames[..], [ToGateway::Chunk(_), ToGateway::Spill(_), ToGateway::Spilled(2)]), "{frames:?}");
    }

    #[test]
    fn full_file_takes_no_more_until_everything_is_taken() {
        let mut s = Setup::new();
        assert_eq!(s.write(&[b'x'; 40]).unwrap(), 30);
        assert_eq!(s.write(b"x").unwrap(), 0);
        assert!(!s.flow.lock().credit(29));
        assert_eq!(s.write(b"x").unwrap(), 0);
        assert!(s.flow.lock().credit(1));
        assert_eq!(s.write(b"x").unwrap(), 1);
    }

    #[test]
    fn missing_tmpdir_is_told_and_nothing_of_it_is_sent() {
        let mut s = Setup::new();
        s.tmpdir = "/nonexistent".into();
        assert!(matches!(s.write(&[b'x'; 11]), Err(WriteError::Spool(_))));
        assert!(matches!(&s.frames()[..], [ToGateway::Chunk(data)] if data.len() == 10));
        // Nor what follows, when the client has taken the rest: there would be a hole.
        assert!(s.response.is_cut() && s.flow.lock().credit(10));
        assert!(matches!(s.write(b"x"), Err(WriteError::Gone)));
        assert!(s.frames().is_empty());
    }

    #[test]
    fn empty_write_sends_nothing() {
        let mut s = Setup::new();
        assert_eq!(s.write(b"").unwrap(), 0);
        assert!(s.frames().is_empty());
    }
}
