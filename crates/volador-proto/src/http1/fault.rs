//! [`HeadFault`]: what is wrong with a request, and the status that tells the client so.

/// A request that is refused for its head, or for the framing of its body. The connection is closed after the answer:
/// where the next request would begin is no longer certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeadFault {
    /// The request target is longer than the limit.
    #[error("request target is longer than {max} bytes")]
    TargetTooLong {
        /// The limit in bytes.
        max: usize,
    },
    /// The head is longer than the limit.
    #[error("request head is longer than {max} bytes")]
    HeadTooLarge {
        /// The limit in bytes.
        max: usize,
    },
    /// The first line is not `method SP target SP HTTP/1.x` (RFC 9112 §3).
    #[error("request line is not \"method target HTTP/1.1\"")]
    RequestLine,
    /// A target with a fragment, which stays with the client (§3.2).
    #[error("request target has a fragment")]
    Fragment,
    /// A target in absolute form whose host is empty or not valid, or that has a userinfo (§3.2.2).
    #[error("host of the request target is not valid")]
    TargetHost,
    /// A line ends with LF alone (§2.2).
    #[error("line of the request head ends with LF instead of CR LF")]
    BareLf,
    /// A CR that no LF follows (§2.2).
    #[error("CR without LF in the request head")]
    BareCr,
    /// A line that begins with whitespace: the field before it would go on (§5.2).
    #[error("header field is folded over several lines")]
    Folded,
    /// Whitespace between a field's name and its colon (§5.1).
    #[error("whitespace before the colon of a header field")]
    SpaceBeforeColon,
    /// A line without a colon, or a name with characters that names can't have (RFC 9110 §5.1).
    #[error("header field name is not valid")]
    FieldName,
    /// No Host in HTTP/1.1 (RFC 9112 §3.2).
    #[error("Host header is missing")]
    HostMissing,
    /// More than one Host (§3.2).
    #[error("Host header is sent more than once")]
    HostRepeated,
    /// A Host that is not `host[:port]` (§3.2).
    #[error("Host header is not a valid host")]
    HostInvalid,
    /// Content-Length and Transfer-Encoding in one request (§6.3).
    #[error("Content-Length and Transfer-Encoding are sent together")]
    LengthWithEncoding,
    /// More than one Content-Length, be it the same (§6.3).
    #[error("Content-Length is sent more than once")]
    LengthRepeated,
    /// A Content-Length that is not a decimal number (RFC 9110 §8.6).
    #[error("Content-Length is not a decimal number")]
    LengthInvalid,
    /// A Transfer-Encoding other than one "chunked" (RFC 9112 §6.1).
    #[error("unknown transfer coding: only \"chunked\" is understood")]
    UnknownCoding,
    /// A Transfer-Encoding in HTTP/1.0, which does not have it (§6.1).
    #[error("Transfer-Encoding is sent with HTTP/1.0")]
    CodingInHttp10,
    /// The body of this request, or of the one before it, is not valid in its chunked framing (§7.1).
    #[error("chunked body is not valid")]
    Chunk,
    /// RFC 9113 §3.4: a client that speaks HTTP/2 without having asked for it.
    #[error("HTTP/2 is not spoken here: use HTTP/1.1, or a proxy in front")]
    Http2,
    /// The parser found a head where the raw bytes have none.
    #[error("request head is not valid")]
    Unseen,
}

impl HeadFault {
    /// The status of the response.
    pub fn status(self) -> u16 {
        match self {
            Self::TargetTooLong { .. } => 414,
            Self::HeadTooLarge { .. } => 431,
            Self::Http2 => 505,
            // RFC 9112 §6.1 would have 501 for a coding that is unknown. 400 tells apart less, and it is also the right
            // one for the codings that are known but stand where they must not.
            _ => 400,
        }
    }
}
