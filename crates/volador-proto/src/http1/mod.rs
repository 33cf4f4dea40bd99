//! HTTP/1: the checks on a raw request head that the HTTP parser does not make ([RFC 9112], [RFC 9110]).
//!
//! The parser accepts some heads that the RFCs refuse, and others look the same once they are parsed. What it reads
//! therefore passes through a [`HeadWatch`] as well, which sees the very bytes.
//!
//! | file      | does                                                                                           |
//! |-----------|------------------------------------------------------------------------------------------------|
//! | `watch`   | follows a connection: where heads begin and end, what the parser has taken                     |
//! | `head`    | judges one complete head and tells how its body is framed                                      |
//! | `host`    | what a Host field may be                                                                       |
//! | `chunked` | follows a chunked body to its end                                                              |
//! | `fault`   | what may be wrong, and the status for it                                                       |
//!
//! [RFC 9110]: https://www.rfc-editor.org/rfc/rfc9110
//! [RFC 9112]: https://www.rfc-editor.org/rfc/rfc9112

mod chunked;
mod fault;
mod head;
mod host;
mod watch;

pub use fault::HeadFault;
pub use watch::{HeadLimits, HeadWatch};
