//! Frames from the gateway to a worker.

use std::{io, os::fd::OwnedFd};

use bytes::{BufMut, Bytes};

use super::{
    Batch, LinkError, ListenerId, Payload, Request, RequestBody, RequestHead, Resumed, SealedRequest, StreamId,
    batch::Frames,
    codec::{Reader, put_str},
    request::{BODY_FILE, BODY_INLINE, BODY_NONE},
};

const REQUEST: u8 = 1;
const CANCEL: u8 = 2;
const CREDIT: u8 = 3;
const TEXT: u8 = 4;
const BINARY: u8 = 5;
const CLOSED: u8 = 6;
const PUBLISHED: u8 = 7;
const BACKLOG: u8 = 8;
const DRAINED: u8 = 9;
const SHUTDOWN: u8 = 10;
const REPLAY: u8 = 11;
const RECALL: u8 = 12;
const HAND_OVER: u8 = 13;
const RESUME: u8 = 14;
const RELEASE: u8 = 15;
const WELCOME: u8 = 16;
const STOP: u8 = 17;
const STATS: u8 = 18;
const GONE: u8 = 19;
const CLOSING: u8 = 20;

/// What the gateway tells a worker about one stream.
#[derive(Debug)]
pub enum ToWorker {
    /// A complete request wants an answer: a `Response` or an `Upgrade`. With `resumed` it is the one that has opened a
    /// push connection, which is to go on here: `Upgrade` takes it over, `Response` refuses.
    Request(Box<Request>),
    /// The client is gone, or had to be cut off: nothing that answers this request arrives any more.
    Cancel,
    /// The client has taken so many more bytes of a streamed response.
    Credit(u32),
    /// The client sent a message; to be acknowledged with `Handled`.
    Message(Payload, Bytes),
    /// A message was published to a channel that the worker listens to.
    Published {
        /// Which of its subscriptions.
        listener: ListenerId,
        /// The channel.
        channel: Bytes,
        /// Text or binary.
        payload: Payload,
        /// The message.
        data: Bytes,
    },
    /// So many messages wait for the client, after a change. Told while something waits, and when nothing does any more.
    Backlog(u32),
    /// Everything that waited for the client has been sent.
    Drained,
    /// The server stops: last words may be written, then the connection is to be closed.
    Shutdown,
    /// Nothing more is taken for the push connection, though the worker has not closed it: the client has, or breaks the
    /// protocol, or is too slow. Its end follows.
    Closing,
    /// The push connection has ended; no frame follows for it.
    Closed {
        /// The close code as the peers saw it (RFC 6455 §7.4); 1006 when there was no close handshake, and for SSE.
        code: u16,
    },
    /// As [`Self::Closed`], and `Ended` is to say when the handler has been told. The gateway keeps the stream until then, to
    /// have another worker tell it when this one is lost.
    Gone {
        /// The close code, as above.
        code: u16,
    },
    /// So many requests that have not begun are to be given back, the latest first, each by a `Returned`: another worker
    /// has time for them.
    Recall(u32),
    /// The push connection goes on in another worker: what its handler leaves for the next one is to be sent by a
    /// `HandedOver`, after everything that came before has been handled.
    HandOver,
    /// The push connection is this worker's now; its messages follow.
    Resume,
    /// The push connection is another worker's now. Its handler here is to be forgotten, and not told of an end.
    Release,
    /// The first frame of a link between processes.
    Welcome {
        /// Shards of the gateway; each has a link of its own.
        shards: u8,
        /// Where the worker notes which jobs have begun: for each slot of a stream eight bytes, little-endian, the
        /// stream's generation in the upper half and the number of its jobs in the lower one. The last eight are the
        /// gateway's: what is noted when they are no longer 0 is not to be begun.
        journal: OwnedFd,
    },
    /// Nothing more will come: the worker is to end.
    Stop,
    /// The answer to `AskStats`.
    Stats {
        /// The question's.
        token: u32,
        /// Lines of `name value`.
        figures: Bytes,
    },
    /// Never sent: what arrives of a [`Self::Request`] when its body's file was lost on the way. The answer is a `Refused`.
    Lost,
}

impl ToWorker {
    /// Decodes the next frame; None at the end of the batch.
    ///
    /// # Errors
    /// [`LinkError`] when the frame is not one of these. The link is then of no more use.
    pub fn next(frames: &mut Frames) -> Option<Result<(StreamId, Self), LinkError>> {
        Some(
            frames
                .next_raw()?
                .and_then(|(kind, stream, payload)| Self::decode(kind, payload, frames).map(|frame| (stream, frame))),
        )
    }

    fn decode(kind: u8, payload: Bytes, frames: &mut Frames) -> Result<Self, LinkError> {
        Ok(match kind {
            REQUEST => Request::decode(Reader::new(kind, payload), frames, kind)?.map_or(Self::Lost, Self::Request),
            REPLAY => {
                let mut reader = Reader::new(kind, payload);
                let timeout_ms = reader.u32()?;
                let has_state = reader.u8()? != 0;
                let state = reader.str()?;
                // It has no file that could be lost.
                let request = Request::decode(reader, frames, kind)?;
                let mut request = request.ok_or(LinkError::MissingDescriptor(kind))?;
                request.resumed = Some(Resumed { state: has_state.then_some(state), timeout_ms });
                Self::Request(request)
            }
            RECALL => Self::Recall(Reader::new(kind, payload).u32()?),
            HAND_OVER => Self::HandOver,
            RESUME => Self::Resume,
            RELEASE => Self::Release,
            WELCOME => Self::Welcome {
                shards: Reader::new(kind, payload).u8()?,
                // Without it there is no link.
                journal: frames.descriptor(kind)?.ok_or(LinkError::MissingDescriptor(kind))?,
            },
            STOP => Self::Stop,
            STATS => {
                let mut reader = Reader::new(kind, payload);
                Self::Stats { token: reader.u32()?, figures: reader.rest() }
            }
            CANCEL => Self::Cancel,
            CREDIT => Self::Credit(Reader::new(kind, payload).u32()?),
            TEXT => Self::Message(Payload::Text, payload),
            BINARY => Self::Message(Payload::Binary, payload),
            PUBLISHED => {
                let mut reader = Reader::new(kind, payload);
                Self::Published {
                    listener: ListenerId(reader.u64()?),
                    payload: read_payload(&mut reader)?,
                    channel: reader.str()?,
                    data: reader.rest(),
                }
            }
            BACKLOG => Self::Backlog(Reader::new(kind, payload).u32()?),
            DRAINED => Self::Drained,
            SHUTDOWN => Self::Shutdown,
            CLOSING => Self::Closing,
            CLOSED => Self::Closed { code: Reader::new(kind, payload).u16()? },
            GONE => Self::Gone { code: Reader::new(kind, payload).u16()? },
            _ => return Err(LinkError::UnknownKind(kind)),
        })
    }
}

fn payload_byte(payload: Payload) -> u8 {
    match payload {
        Payload::Text => 0,
        Payload::Binary => 1,
    }
}

fn read_payload(reader: &mut Reader) -> Result<Payload, LinkError> {
    match reader.u8()? {
        0 => Ok(Payload::Text),
        1 => Ok(Payload::Binary),
        _ => Err(reader.bad("payload type")),
    }
}

impl Batch {
    /// Appends [`ToWorker::Request`]. `fields` are lower-case names with their values; each name stands once.
    pub fn request<'a>(
        &mut self,
        stream: StreamId,
        head: &RequestHead<'_>,
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        body: RequestBody,
    ) {
        match body {
            RequestBody::None => {
                self.frame(REQUEST, stream, |out| head.encode(fields, BODY_NONE, 0, out));
            }
            RequestBody::Inline(bytes) => self.frame(REQUEST, stream, |out| {
                head.encode(fields, BODY_INLINE, 0, out);
                out.put_slice(&bytes);
            }),
            RequestBody::File { fd, len } => {
                let at = self.len();
                self.frame(REQUEST, stream, |out| head.encode(fields, BODY_FILE, len, out));
                self.descriptor(at, fd);
            }
        }
    }

    /// Appends [`ToWorker::Request`], which may be sent again.
    ///
    /// # Errors
    /// The system's, when there is no descriptor for the body's file; nothing is appended then.
    pub fn sealed_request(&mut self, stream: StreamId, request: &SealedRequest) -> io::Result<()> {
        let (fd, at) = (request.descriptor()?, self.len());
        self.frame(REQUEST, stream, |out| out.put_slice(&request.payload));
        fd.into_iter().for_each(|fd| self.descriptor(at, fd));
        Ok(())
    }

    /// Appends [`ToWorker::Request`] with [`Resumed`]. The request has opened a push connection, so it has no body, and
    /// nothing that the system could refuse to send.
    pub fn replay(&mut self, stream: StreamId, request: &SealedRequest, state: Option<&[u8]>, timeout_ms: u32) {
        debug_assert!(!request.has_file());
        self.frame(REPLAY, stream, |out| {
            out.put_u32_le(timeout_ms);
            out.put_u8(state.is_some().into());
            put_str(out, state.unwrap_or_default());
            out.put_slice(&request.payload);
        });
    }

    /// Appends [`ToWorker::Cancel`].
    pub fn cancel(&mut self, stream: StreamId) {
        self.frame(CANCEL, stream, |_| ());
    }

    /// Appends [`ToWorker::Credit`].
    pub fn credit(&mut self, stream: StreamId, bytes: u32) {
        self.frame(CREDIT, stream, |out| out.put_u32_le(bytes));
    }

    /// Appends [`ToWorker::Message`].
    pub fn message(&mut self, stream: StreamId, payload: Payload, data: &[u8]) {
        let kind = match payload {
            Payload::Text => TEXT,
            Payload::Binary => BINARY,
        };
        self.frame(kind, stream, |out| out.put_slice(data));
    }

    /// Appends [`ToWorker::Published`].
    pub fn published(&mut self, listener: ListenerId, channel: &[u8], payload: Payload, data: &[u8]) {
        let start = self.len();
        self.frame(PUBLISHED, StreamId::NONE, |out| {
            out.put_u64_le(listener.0);
            out.put_u8(payload_byte(payload));
            put_str(out, channel);
            out.put_slice(data);
        });
        self.published += self.len() - start;
    }

    /// Appends [`ToWorker::Backlog`].
    pub fn backlog(&mut self, stream: StreamId, messages: u32) {
        self.frame(BACKLOG, stream, |out| out.put_u32_le(messages));
    }

    /// Appends [`ToWorker::Drained`].
    pub fn drained(&mut self, stream: StreamId) {
        self.frame(DRAINED, stream, |_| ());
    }

    /// Appends [`ToWorker::Shutdown`].
    pub fn shutdown(&mut self, stream: StreamId) {
        self.frame(SHUTDOWN, stream, |_| ());
    }

    /// Appends [`ToWorker::Closing`].
    pub fn closing(&mut self, stream: StreamId) {
        self.frame(CLOSING, stream, |_| ());
    }

    /// Appends [`ToWorker::Closed`].
    pub fn closed(&mut self, stream: StreamId, code: u16) {
        self.frame(CLOSED, stream, |out| out.put_u16_le(code));
    }

    /// Appends [`ToWorker::Gone`].
    pub fn gone(&mut self, stream: StreamId, code: u16) {
        self.frame(GONE, stream, |out| out.put_u16_le(code));
    }

    /// Appends [`ToWorker::Recall`].
    pub fn recall(&mut self, requests: u32) {
        self.frame(RECALL, StreamId::NONE, |out| out.put_u32_le(requests));
    }

    /// Appends [`ToWorker::HandOver`].
    pub fn hand_over(&mut self, stream: StreamId) {
        self.frame(HAND_OVER, stream, |_| ());
    }

    /// Appends [`ToWorker::Resume`].
    pub fn resume(&mut self, stream: StreamId) {
        self.frame(RESUME, stream, |_| ());
    }

    /// Appends [`ToWorker::Release`].
    pub fn release(&mut self, stream: StreamId) {
        self.frame(RELEASE, stream, |_| ());
    }

    /// Appends [`ToWorker::Welcome`].
    pub fn welcome(&mut self, shards: u8, journal: OwnedFd) {
        let at = self.len();
        self.frame(WELCOME, StreamId::NONE, |out| out.put_u8(shards));
        self.descriptor(at, journal);
    }

    /// Appends [`ToWorker::Stop`].
    pub fn stop(&mut self) {
        self.frame(STOP, StreamId::NONE, |_| ());
    }

    /// Appends [`ToWorker::Stats`].
    pub fn stats(&mut self, token: u32, figures: &[u8]) {
        self.frame(STATS, StreamId::NONE, |out| {
            out.put_u32_le(token);
            out.put_slice(figures);
        });
    }
}

#[cfg(test)]
mod tests;
