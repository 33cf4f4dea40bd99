//! A request body, collected before the application sees the request: a slow client never holds an application thread.

use std::{
    fs::File,
    future::{Future, poll_fn},
    io::{self, Seek, Write},
    num::NonZero,
    path::Path,
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body::Body;
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};
use volador_link::Want;
use volador_proto::link::RequestBody;

use super::{bodies::Held, refusal::Refusal};
use crate::{Config, descriptors, shared::Shared};

const TOO_LARGE: Refusal =
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "The request body is larger than the server accepts.");
const TOO_SLOW: Refusal = Refusal::new(StatusCode::REQUEST_TIMEOUT, "The request body took too long to arrive.");
const MALFORMED: Refusal = Refusal::new(StatusCode::BAD_REQUEST, "The request body is not well-formed.");
const NOT_STORED: Refusal =
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "The server could not store the request body.");

/// Reads the whole body: into memory up to `body_memory_bytes`, and while all of them together take no more than
/// `body_memory_total_bytes`; else into a file. What it takes of the memory is to be held until there is an answer.
///
/// # Errors
/// 413, 408 and 400 for bodies that are too large, too slow and malformed; 500 when the file can't be written, and 503 when
/// too many files are open.
pub(super) async fn collect(mut body: Incoming, shared: &Shared) -> Result<(RequestBody, Held<'_>), Refusal> {
    let config = &shared.config;
    let hint = body.size_hint();
    // Refused before a byte of it is read: a client that asked with `Expect: 100-continue` need not send it.
    if hint.lower() > config.body_max_bytes {
        return Err(TOO_LARGE);
    }
    let mut received = 0;
    let mut pace = Pace::new(config);
    let (mut store, mut held) = (Store::Empty, shared.bodies.hold());
    while let Some(bytes) = pace.next_bytes(&mut body, received).await? {
        received += bytes.len() as u64;
        if received > config.body_max_bytes {
            return Err(TOO_LARGE);
        }
        store = store.append(bytes, config, &mut held).await.map_err(|error| not_stored(&error, shared))?;
    }
    let body = store.finish(received).await.map_err(|error| not_stored(&error, shared))?;
    Ok((body, held))
}

fn not_stored(error: &io::Error, shared: &Shared) -> Refusal {
    if let Some(want) = Want::of(error) {
        want.gave_up();
        return Refusal::busy();
    }
    shared.client_log.bodies.warn(format_args!(
        "answered 500: can't store a request body in {}: {error}. Free some space, or choose another tmpdir",
        shared.config.tmpdir.display()
    ));
    NOT_STORED
}

/// Watches that a body keeps its pace.
struct Pace {
    started: Instant,
    grace: Duration,
    /// Bytes per second; None: any.
    rate: Option<NonZero<u32>>,
    /// Made when the body lets us wait for the first time: most are there with their head.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Pace {
    fn new(config: &Config) -> Self {
        let rate = NonZero::new(config.body_min_rate);
        Self { started: Instant::now(), grace: config.head_timeout, rate, timer: None }
    }

    /// When more than so many bytes must have arrived, if ever.
    fn deadline(&self, received: u64) -> Option<Instant> {
        let rate = u64::from(self.rate?.get());
        Some(self.started + self.grace + Duration::from_millis(received.saturating_mul(1000) / rate))
    }

    /// The body's next bytes; None at its end.
    async fn next_bytes(&mut self, body: &mut Incoming, received: u64) -> Result<Option<Bytes>, Refusal> {
        let deadline = self.deadline(received);
        poll_fn(|cx| {
            while let Poll::Ready(frame) = pin!(&mut *body).poll_frame(cx) {
                match frame {
                    None => return Poll::Ready(Ok(None)),
                    Some(Ok(frame)) => {
                        // Trailers have no place in a Rack environment.
                        if let Ok(bytes) = frame.into_data() {
                            return Poll::Ready(Ok(Some(bytes)));
                        }
                    }
                    Some(Err(_)) => return Poll::Ready(Err(MALFORMED)),
                }
            }
            let Some(deadline) = deadline else { return Poll::Pending };
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            if timer.deadline() != deadline {
                timer.as_mut().reset(deadline);
            }
            timer.as_mut().poll(cx).map(|()| Err(TOO_SLOW))
        })
        .await
    }
}

/// The bytes that have arrived.
enum Store {
    Empty,
    /// The usual body: one piece, as hyper read it.
    One(Bytes),
    Memory(BytesMut),
    File(Spool),
}

/// A body that is too large for the memory.
struct Spool {
    /// Unlinked, so that it vanishes with its last descriptor.
    file: File,
    /// What comes behind it, of less than [`WRITTEN_BYTES`]. It is not counted as memory of bodies: the buffer that the
    /// connection reads into is larger.
    rest: BytesMut,
}

/// Bytes that are worth a call to another thread: a client may send its body in chunks of one byte.
const WRITTEN_BYTES: usize = 16 << 10;

impl Spool {
    /// With what there was in memory.
    fn start(tmpdir: &Path, start: &[u8]) -> io::Result<Self> {
        let mut file = tempfile::tempfile_in(tmpdir)?;
        // Here and not later: hundreds may be started at once.
        if !descriptors::may_be_kept(&file) {
            return Err(Want::OfProcess.into());
        }
        file.write_all(start)?;
        Ok(Self { file, rest: BytesMut::new() })
    }

    /// Writes all that has come.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(&std::mem::take(&mut self.rest))?;
        self.file.write_all(bytes)
    }
}

impl Store {
    async fn append(mut self, bytes: Bytes, config: &Config, held: &mut Held<'_>) -> io::Result<Self> {
        if let Self::File(spool) = &mut self
            && spool.rest.len() + bytes.len() < WRITTEN_BYTES
        {
            spool.rest.extend_from_slice(&bytes);
            return Ok(self);
        }
        let is_file = matches!(self, Self::File(_));
        let fits = held.bytes().saturating_add(bytes.len()) <= config.body_memory_bytes;
        if !is_file && fits && held.grow(bytes.len()) {
            return Ok(match self {
                Self::Empty | Self::File(_) => Self::One(bytes),
                Self::One(one) => {
                    let mut memory = BytesMut::from(one);
                    memory.extend_from_slice(&bytes);
                    Self::Memory(memory)
                }
                Self::Memory(mut memory) => {
                    memory.extend_from_slice(&bytes);
                    Self::Memory(memory)
                }
            });
        }
        let tmpdir = config.tmpdir.clone();
        let store = blocking(move || {
            let mut spool = match self {
                Self::File(spool) => spool,
                Self::Empty => Spool::start(&tmpdir, &[])?,
                Self::One(start) => Spool::start(&tmpdir, &start)?,
                Self::Memory(start) => Spool::start(&tmpdir, &start)?,
            };
            spool.write(&bytes)?;
            Ok(Self::File(spool))
        });
        store.await.inspect(|_| held.release())
    }

    async fn finish(self, len: u64) -> io::Result<RequestBody> {
        Ok(match self {
            Self::Empty => RequestBody::None,
            Self::One(bytes) => RequestBody::Inline(bytes),
            Self::Memory(memory) => RequestBody::Inline(memory.freeze()),
            Self::File(mut spool) => {
                if !spool.rest.is_empty() {
                    spool = blocking(move || spool.write(&[]).map(|()| spool)).await?;
                }
                spool.file.rewind()?;
                RequestBody::File { fd: spool.file.into(), len }
            }
        })
    }
}

/// Files block, and the shard must not: its other connections go on meanwhile.
async fn blocking<T: Send + 'static>(act: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(act).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}
