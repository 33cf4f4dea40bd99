//! Frames from a worker to the gateway: what they say, and how they are read. How they are written is in [`encode`].

mod encode;

use std::os::fd::OwnedFd;

use bytes::Bytes;

use super::{
    Fields, Hello, Interest, Kind, LinkError, ListenerId, Match, Response, StreamId, batch::Frames, codec::Reader,
};

const RESPONSE: u8 = 1;
const CHUNK: u8 = 2;
const SPILL: u8 = 3;
const SPILLED: u8 = 4;
const END: u8 = 5;
const ABORT: u8 = 6;
const UPGRADE: u8 = 7;
pub(super) const WRITE: u8 = 8;
const CLOSE: u8 = 9;
const HANDLED: u8 = 10;
const BROADCAST: u8 = 11;
const SUBSCRIBE: u8 = 12;
const UNSUBSCRIBE: u8 = 13;
const LISTEN: u8 = 14;
const UNLISTEN: u8 = 15;
const PUBLISH: u8 = 16;
const TIMEOUT: u8 = 17;
const HELLO: u8 = 18;
const RETURNED: u8 = 19;
const HANDED_OVER: u8 = 20;
const BEAT: u8 = 21;
const ASK_STATS: u8 = 22;
const ENDED: u8 = 23;
const READY: u8 = 24;
const TUNNEL: u8 = 25;
const ASK_DRAINED: u8 = 26;
const REFUSED: u8 = 27;
pub(super) const REPLY: u8 = 28;

/// In the byte of an [`Interest`]: there is a handler, which wants to know of the end at least.
const HANDLER: u8 = 8;

/// What a worker counts, since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkerFigures {
    /// Publications that it has dropped, as the blocks of its subscriptions were too slow.
    pub dropped: u64,
    /// Microseconds that requests have waited in it for a thread, together.
    pub queue_wait_micros: u64,
    /// The longest of these waits.
    pub queue_wait_micros_max: u64,
}

/// The frames that carry a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// A [`ToGateway::Response`] of a file.
    Response,
    /// A [`ToGateway::Spill`].
    Spill,
    /// A [`ToGateway::Tunnel`].
    Tunnel,
}

/// What a worker tells the gateway, mostly about one stream.
#[derive(Debug)]
pub enum ToGateway {
    /// The answer to a request.
    Response(Response),
    /// The next bytes of a streamed response.
    Chunk(Bytes),
    /// From here on the bytes of a streamed response are in this file, from its offset 0: the client reads more slowly
    /// than the application writes. [`Self::Spilled`] tells how many.
    Spill(OwnedFd),
    /// The file of [`Self::Spill`] now has so many bytes in all.
    Spilled(u64),
    /// The streamed response is complete.
    End,
    /// The streamed response can't be completed: the client must see that it is cut short.
    Abort,
    /// The answer to a request with a transport: the connection becomes a push connection.
    Upgrade {
        /// Fields for the head that the client gets (cookies, for instance).
        fields: Fields,
        /// What the worker's handler wants to be told; None when there is no handler.
        interest: Option<Interest>,
    },
    /// The answer to a request whose connection the application takes: these bytes go to the client, and from there on the
    /// gateway carries bytes between the client and this socket, and does not look at them.
    Tunnel(OwnedFd, Bytes),
    /// A message for a push connection, or for one that is about to become one.
    Write(Kind, Bytes),
    /// Close the push connection once what was written before has been sent, WebSocket with this code (RFC 6455 §7.4).
    Close(u16),
    /// So many messages have been handled since the last of these: the gateway may send as many more.
    Handled(u32),
    /// [`Self::Write`] and [`Self::Handled`] of one message: the usual message is replied to with one.
    Reply(Kind, Bytes),
    /// Milliseconds after which a ping or a heartbeat goes to this push connection, instead of the gateway's own interval,
    /// which 0 brings back.
    Timeout(u32),
    /// The handler has written something: it is to be told [`ToWorker::Drained`](super::ToWorker::Drained) as soon as nothing
    /// waits for the client.
    AskDrained,
    /// The push connection gets what is published to these channels.
    Subscribe(Match, Bytes),
    /// It no longer does.
    Unsubscribe(Match, Bytes),
    /// The worker itself is told what is published to these channels, by [`ToWorker::Published`](super::ToWorker).
    Listen(ListenerId, Match, Bytes),
    /// It no longer is.
    Unlisten(ListenerId),
    /// A message for all subscribers of a channel.
    Publish {
        /// The channel.
        channel: Bytes,
        /// What it is.
        kind: Kind,
        /// The message.
        data: Bytes,
    },
    /// A message for every push connection whose request path matches the pattern.
    Broadcast {
        /// The pattern, as in `volador_hub::PathPattern`.
        pattern: Bytes,
        /// What it is.
        kind: Kind,
        /// The message.
        data: Bytes,
    },
    /// The first frame of a link between processes: who the worker is.
    Hello(Hello),
    /// All links of the worker are up, and everything that has to be there before its first request is: what it listens to
    /// has been said before this, on the same link. From now on it counts.
    Ready,
    /// The request has not begun and never will in this worker: it was recalled, or cancelled.
    Returned,
    /// The request has not begun and never will in this worker: its body's file was lost on the way
    /// ([`ToWorker::Lost`](super::ToWorker::Lost)). Unlike a `Returned` it is not tried elsewhere: its client may do that.
    Refused,
    /// The answer to [`ToWorker::Gone`](super::ToWorker::Gone): the handler has been told, or there is none.
    Ended,
    /// Everything that came for the push connection has been handled; this is what its handler leaves for the next one.
    HandedOver(Option<Bytes>),
    /// The worker is alive: Ruby code runs in it.
    Beat(WorkerFigures),
    /// The gateway's figures are wanted; to be answered with the same number.
    AskStats(u32),
    /// Never sent: what arrives of such a frame when its descriptor was lost on the way.
    Lost(Carrier),
}

impl ToGateway {
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
            RESPONSE => Response::decode(kind, payload, frames)?.map_or(Self::Lost(Carrier::Response), Self::Response),
            CHUNK => Self::Chunk(payload),
            SPILL => frames.descriptor(kind)?.map_or(Self::Lost(Carrier::Spill), Self::Spill),
            SPILLED => Self::Spilled(Reader::new(kind, payload).u64()?),
            END => Self::End,
            ABORT => Self::Abort,
            UPGRADE => {
                let mut reader = Reader::new(kind, payload);
                let byte = reader.u8()?;
                let interest = (byte & HANDLER != 0).then(|| Interest::from_byte(byte));
                Self::Upgrade { interest, fields: Fields::decode(&mut reader)? }
            }
            TUNNEL => match frames.descriptor(kind)? {
                Some(socket) => Self::Tunnel(socket, payload),
                None => Self::Lost(Carrier::Tunnel),
            },
            WRITE => {
                let mut reader = Reader::new(kind, payload);
                Self::Write(Kind::read(&mut reader)?, reader.rest())
            }
            REPLY => {
                let mut reader = Reader::new(kind, payload);
                Self::Reply(Kind::read(&mut reader)?, reader.rest())
            }
            CLOSE => Self::Close(Reader::new(kind, payload).u16()?),
            HANDLED => Self::Handled(Reader::new(kind, payload).u32()?),
            TIMEOUT => Self::Timeout(Reader::new(kind, payload).u32()?),
            ASK_DRAINED => Self::AskDrained,
            BROADCAST => {
                let mut reader = Reader::new(kind, payload);
                Self::Broadcast { kind: Kind::read(&mut reader)?, pattern: reader.str()?, data: reader.rest() }
            }
            SUBSCRIBE => {
                let (matching, name) = Match::decode(&mut Reader::new(kind, payload))?;
                Self::Subscribe(matching, name)
            }
            UNSUBSCRIBE => {
                let (matching, name) = Match::decode(&mut Reader::new(kind, payload))?;
                Self::Unsubscribe(matching, name)
            }
            LISTEN => {
                let mut reader = Reader::new(kind, payload);
                let id = ListenerId(reader.u64()?);
                let (matching, name) = Match::decode(&mut reader)?;
                Self::Listen(id, matching, name)
            }
            UNLISTEN => Self::Unlisten(ListenerId(Reader::new(kind, payload).u64()?)),
            PUBLISH => {
                let mut reader = Reader::new(kind, payload);
                Self::Publish { kind: Kind::read(&mut reader)?, channel: reader.str()?, data: reader.rest() }
            }
            HELLO => Self::Hello(Hello::decode(&mut Reader::new(kind, payload))?),
            READY => Self::Ready,
            RETURNED => Self::Returned,
            REFUSED => Self::Refused,
            ENDED => Self::Ended,
            HANDED_OVER => {
                let mut reader = Reader::new(kind, payload);
                Self::HandedOver(if reader.u8()? == 0 { None } else { Some(reader.rest()) })
            }
            BEAT => {
                let mut reader = Reader::new(kind, payload);
                let (dropped, queue_wait_micros) = (reader.u64()?, reader.u64()?);
                Self::Beat(WorkerFigures { dropped, queue_wait_micros, queue_wait_micros_max: reader.u64()? })
            }
            ASK_STATS => Self::AskStats(Reader::new(kind, payload).u32()?),
            _ => return Err(LinkError::UnknownKind(kind)),
        })
    }
}

#[cfg(test)]
mod tests;
