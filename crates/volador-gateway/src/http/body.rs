//! [`Body`]: the body of a response, as hyper takes it: whole, from a file, or streamed by the application.

use std::{
    fs::File,
    future::Future,
    io,
    os::{fd::OwnedFd, unix::fs::FileExt},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::task::JoinHandle;

use super::{connection::Requesting, exchange::Part, ticket::Ticket};
use crate::log;

/// Bytes that one read of a file brings.
const READ_BYTES: u64 = 128 << 10;

/// A response body. It keeps its request open until it is dropped.
#[derive(Debug)]
pub(crate) struct Body {
    kind: Kind,
    _requesting: Option<Requesting>,
}

#[derive(Debug)]
enum Kind {
    Whole(Option<Bytes>),
    File(FileReader, u64),
    Stream(Box<Stream>),
    /// It can't go on, which hyper is to be told.
    Failed(Option<BodyError>),
}

/// Why a body can't be completed. The connection is then cut, so that the client sees it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the application ended its response early")]
    Aborted,
    #[error("the file of the response can't be read: {0}")]
    File(#[from] io::Error),
}

impl Body {
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self::of(Kind::Whole(non_empty(bytes)))
    }

    /// `len` bytes of a file.
    pub(super) fn file(reader: FileReader, len: u64) -> Self {
        Self::of(Kind::File(reader, len))
    }

    pub(super) fn stream(ticket: Ticket) -> Self {
        Self::of(Kind::Stream(Box::new(Stream { ticket, spill: None })))
    }

    fn of(kind: Kind) -> Self {
        Self { kind, _requesting: None }
    }

    pub(super) fn with(self, requesting: Requesting) -> Self {
        Self { _requesting: Some(requesting), ..self }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let next = match &mut self.kind {
            Kind::Whole(bytes) => Ok(bytes.take()),
            Kind::File(_, 0) => Ok(None),
            Kind::File(reader, left) => ready!(reader.poll_read(cx, *left)).map(|bytes| {
                *left -= bytes.len() as u64;
                Some(bytes)
            }),
            Kind::Stream(stream) => ready!(stream.poll_next(cx)),
            Kind::Failed(error) => return Poll::Ready(error.take().map(Err)),
        };
        match next {
            Ok(bytes) => Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes)))),
            Err(error) => {
                // At an error hyper drops what it has not written yet. One more turn, and the client gets what came before: it
                // can tell an answer that is cut short from none.
                self.kind = Kind::Failed(Some(error));
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.kind, Kind::Whole(None) | Kind::File(_, 0))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Kind::File(_, left) => SizeHint::with_exact(*left),
            Kind::Stream(_) | Kind::Failed(_) => SizeHint::default(),
        }
    }
}

/// A whole body, when there is one.
fn non_empty(bytes: Bytes) -> Option<Bytes> {
    (!bytes.is_empty()).then_some(bytes)
}

/// Reads a file piece by piece, on a thread that may block.
#[derive(Debug)]
pub(super) struct FileReader {
    file: Arc<File>,
    /// Where the next read begins.
    offset: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

impl FileReader {
    pub(super) fn new(fd: OwnedFd, offset: u64) -> Self {
        Self { offset, file: Arc::new(File::from(fd)), reading: None }
    }

    /// The next bytes, at most `left`; never none of them.
    fn poll_read(&mut self, cx: &mut Context<'_>, left: u64) -> Poll<Result<Bytes, BodyError>> {
        let offset = self.offset;
        let reading = self.reading.get_or_insert_with(|| {
            let file = self.file.clone();
            tokio::task::spawn_blocking(move || {
                let mut buf = vec![0; left.min(READ_BYTES) as usize];
                let read = file.read_at(&mut buf, offset)?;
                buf.truncate(read);
                Ok(Bytes::from(buf))
            })
        });
        let result = ready!(Pin::new(reading).poll(cx));
        self.reading = None;
        let bytes = match result.unwrap_or_else(|error| Err(io::Error::other(error))) {
            // Shorter than the application said, or cut meanwhile.
            Ok(bytes) if bytes.is_empty() => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            result => result,
        };
        let bytes = bytes.inspect_err(|error| {
            log::warn(format_args!("an answer is cut {left} bytes before its end, as its file can't be read: {error}"));
        })?;
        self.offset += bytes.len() as u64;
        Poll::Ready(Ok(bytes))
    }
}

/// A body that the application streams. What the client has been given is told to the worker, which in turn holds its
/// window; beyond that the worker writes to a file (see `volador_proto::link::ToGateway::Spill`).
#[derive(Debug)]
struct Stream {
    ticket: Ticket,
    /// The file that holds what comes next, and how long it is so far.
    spill: Option<(FileReader, u64)>,
}

impl Stream {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>> {
        loop {
            if let Some((reader, len)) = &mut self.spill {
                let left = *len - reader.offset.min(*len);
                if left > 0 {
                    let bytes = ready!(reader.poll_read(cx, left))?;
                    return Poll::Ready(Ok(Some(self.credited(bytes))));
                }
            }
            let part = match self.ticket.shard.streams.borrow_mut().exchange(self.ticket.id) {
                Some(exchange) => ready!(exchange.poll_part(cx)),
                None => return Poll::Ready(Err(BodyError::Aborted)),
            };
            match part {
                Part::Chunk(bytes) if bytes.is_empty() => {}
                Part::Chunk(bytes) => {
                    self.spill = None;
                    return Poll::Ready(Ok(Some(self.credited(bytes))));
                }
                Part::Spill(fd) => self.spill = Some((FileReader::new(fd, 0), 0)),
                Part::Spilled(total) => {
                    if let Some((_, len)) = &mut self.spill {
                        *len = total;
                    }
                }
                Part::End => {
                    self.ticket.complete();
                    return Poll::Ready(Ok(None));
                }
                Part::Abort => {
                    self.ticket.complete();
                    return Poll::Ready(Err(BodyError::Aborted));
                }
            }
        }
    }

    fn credited(&self, bytes: Bytes) -> Bytes {
        if let Some(worker) = self.ticket.worker() {
            self.ticket.shard.workers.batch(worker).credit(self.ticket.id, bytes.len() as u32);
        }
        bytes
    }
}
