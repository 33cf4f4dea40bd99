//! Compressed messages: the extension permessage-deflate ([RFC 7692]).
//!
//! | file          | does                                                                                       |
//! |---------------|--------------------------------------------------------------------------------------------|
//! | `negotiation` | takes one of a client's offers, or none (§7.1)                                             |
//! | `deflater`    | messages to compressed frames (§7.2.1)                                                     |
//! | `inflater`    | payloads of compressed messages to messages, up to a limit (§7.2.2)                        |
//!
//! No context is taken over from message to message, in either direction. That costs some compression and buys two
//! things: a message for many clients is compressed once, and a connection has no compressor and no window (some 300 KiB)
//! of its own. One [`Inflater`] and one [`Deflater`] per size of window serve all connections of a thread.
//!
//! [RFC 7692]: https://www.rfc-editor.org/rfc/rfc7692

mod deflater;
mod inflater;
mod negotiation;

pub use deflater::Deflater;
pub use inflater::Inflater;
pub use negotiation::{Agreement, WindowBits, negotiate};

/// What the last flush of every message comes to: an empty stored block without its three header bits. It is not sent
/// (RFC 7692 §7.2.1).
const FLUSH: [u8; 4] = [0, 0, 0xff, 0xff];

/// Bytes that a message of `len` bytes has at most when it is compressed: what zlib says for the worst of its settings.
pub(super) fn compressed_max(len: usize) -> usize {
    len.saturating_add(len / 8).saturating_add(len / 64).saturating_add(64)
}

/// Scratch memory that is kept from message to message, in bytes.
const SCRATCH_MAX: usize = 64 << 10;
