//! WebSocket, the server's side: opening handshake, frames from clients, frames to clients ([RFC 6455]).
//!
//! | file          | does                                                                                       |
//! |---------------|--------------------------------------------------------------------------------------------|
//! | `handshake`   | judges the opening handshake and computes `Sec-WebSocket-Accept` (§4.2)                    |
//! | `decoder`     | bytes of a client to messages, pings, pongs and the close (§5)                             |
//! | `frame`       | the head of a client's frame and its rules (§5.2)                                          |
//! | `mask`        | takes the mask off a payload (§5.3)                                                        |
//! | `deflate`     | compressed messages ([RFC 7692])                                                           |
//! | `utf8`        | UTF-8 that arrives in pieces (§8.1)                                                        |
//! | `close`       | what a Close frame may say (§7.4)                                                          |
//! | `encode`      | messages, pings, pongs and closes to frames (§5)                                           |
//!
//! [RFC 6455]: https://www.rfc-editor.org/rfc/rfc6455
//! [RFC 7692]: https://www.rfc-editor.org/rfc/rfc7692

mod close;
mod decoder;
pub mod deflate;
mod encode;
mod error;
mod frame;
mod handshake;
mod mask;
mod utf8;

pub use decoder::{Decoder, Event, Limits};
pub use encode::{close, message, ping, pong, put_message};
pub use error::ProtocolError;
pub use handshake::{Handshake, HandshakeError, is_upgrade, offers_protocol};
