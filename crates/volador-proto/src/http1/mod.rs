//! HTTP/1: the checks on a raw request head that the HTTP parser does not make ([RFC 9112], [RFC 9110]).
//!
//! The parser accepts some heads that the RFCs refuse, and others look the same once they are parsed. What it reads
//! therefore passes through a [`HeadWatch`] as well, which sees the very bytes.
//!
//! [RFC 9110]: https://www.rfc-editor.org/rfc/rfc9110
//! [RFC 9112]: https://www.rfc-editor.org/rfc/rfc9112

mod fault;
mod watch;

pub use fault::HeadFault;
pub use watch::{HeadLimits, HeadWatch};
