//! [`ProtocolError`]: how a client breaks the framing, and the close code that tells it so.

/// The client sent what RFC 6455 forbids. The connection is failed (§7.1.7): send a Close frame with
/// [`close_code`](Self::close_code) and the error's text, then close the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A reserved bit is set where no negotiated extension gives it a meaning (§5.2, RFC 7692 §6).
    #[error("reserved bit set where no extension in use gives it a meaning")]
    ReservedBit,
    /// An opcode that RFC 6455 reserves (§5.2).
    #[error("opcode {0} is reserved")]
    ReservedOpcode(u8),
    /// A frame without a mask (§5.1).
    #[error("frames of a client must be masked")]
    Unmasked,
    /// A payload length in more bytes than it needs, or above 2^63 - 1 (§5.2).
    #[error("payload length is not in its shortest form")]
    BadLength,
    /// A control frame in more than one frame (§5.5).
    #[error("control frames must not be fragmented")]
    FragmentedControl,
    /// A control frame of more than 125 bytes (§5.5).
    #[error("control frames must not exceed 125 bytes")]
    LongControl,
    /// A continuation frame where no message is partial (§5.4).
    #[error("continuation frame without a message to continue")]
    NothingToContinue,
    /// A new message inside of a fragmented one (§5.4).
    #[error("new message before the fragmented one is complete")]
    Interleaved,
    /// A Close frame with a payload of one byte, or with a code that must not be sent (§5.5.1, §7.4).
    #[error("close frame with an invalid status code")]
    BadCloseCode,
    /// A text message or a close reason that is not UTF-8 (§8.1).
    #[error("text is not valid UTF-8")]
    BadUtf8,
    /// A compressed message whose data is not DEFLATE, or breaks off (RFC 7692 §7.2.2).
    #[error("compressed data is not valid")]
    BadDeflate,
    /// A message above [`Limits::message_max_bytes`](super::Limits::message_max_bytes).
    #[error("message is larger than {max} bytes")]
    TooBig {
        /// The limit in bytes.
        max: usize,
    },
}

impl ProtocolError {
    /// The code of the Close frame that answers it (§7.4.1).
    pub fn close_code(self) -> u16 {
        match self {
            // §7.4.1: 1007 is for "data within a message that was not consistent with the type of the message".
            Self::BadUtf8 | Self::BadDeflate => 1007,
            Self::TooBig { .. } => 1009,
            _ => 1002,
        }
    }
}
