//! The link: the stream of frames between the gateway and one worker, in both directions.
//!
//! Both sides batch: they append frames to a [`Batch`] for as long as there is work and hand the whole batch over at
//! once. Embedded, the batch moves through memory to the worker's threads; between processes its bytes and descriptors
//! move through a Unix stream socket. The frames are the same, so there is one way through the house.
//!
//! # Frame
//!
//! ```text
//!  0        4      5                13
//! +--------+------+----------------+-------------------+
//! | length | kind | stream         | payload           |
//! | u32    | u8   | u64            | `length` bytes    |
//! +--------+------+----------------+-------------------+
//! ```
//!
//! Integers of the frame head are little-endian. Inside of a payload a string is a varint length (LEB128) and its
//! bytes. A frame that carries a file descriptor takes the next one of the batch: descriptors keep the frames' order. Where
//! one was lost on the way, its frame arrives as `Lost`; the highest bit of the kind tells which ones go together
//! (`descriptors.rs`).
//!
//! Who sends what: [`ToWorker`] and [`ToGateway`].

mod assembler;
mod batch;
mod codec;
mod descriptors;
mod hello;
mod kind;
mod pubsub;
mod request;
mod response;
mod stream;
mod to_gateway;
mod to_worker;

pub use assembler::Assembler;
pub use batch::{Batch, DATA_MAX, Frames};
pub use descriptors::{Carried, GROUP_MAX};
pub use hello::Hello;
pub use kind::{Kind, pack_event, unpack_event};
pub use pubsub::{Interest, ListenerId, Match};
pub use request::{Request, RequestBody, RequestHead, Resumed, SealedRequest, Transport};
pub use response::{Fields, Response, ResponseBody};
pub use stream::StreamId;
pub use to_gateway::{Carrier, ToGateway, WorkerFigures};
pub use to_worker::ToWorker;

/// The payload of one WebSocket message, or the text of one SSE event, with its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Text, valid UTF-8.
    Text,
    /// Any bytes.
    Binary,
}

/// The other half of the link sent bytes that are no frame. The two halves are of one release, so this is a fault of
/// ours or a peer that is not Volador; the link cannot be used any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The batch ends inside of a frame.
    #[error("a link batch ends inside of a frame")]
    Incomplete,
    /// A frame says that it is longer than any frame may be.
    #[error("a link frame of {0} bytes, which is more than any has")]
    TooLong(usize),
    /// A payload ends before its last field.
    #[error("link frame of kind {kind} is too short for its fields")]
    Truncated {
        /// The frame's kind byte.
        kind: u8,
    },
    /// A frame of a kind that this direction does not have.
    #[error("link frame of unknown kind {0}")]
    UnknownKind(u8),
    /// A field has a value outside of its range.
    #[error("link frame of kind {kind} has a bad {field}")]
    BadField {
        /// The frame's kind byte.
        kind: u8,
        /// The field's name.
        field: &'static str,
    },
    /// A frame needs a file descriptor and the batch has none left.
    #[error("link frame of kind {0} came without its file descriptor")]
    MissingDescriptor(u8),
}
