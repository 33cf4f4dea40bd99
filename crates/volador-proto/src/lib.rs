//! Volador's protocols without I/O: bytes in, events out.
//!
//! This crate knows wire formats and nothing else. It has no sockets, no clock, no threads, no async runtime and no
//! Ruby; everything in it is deterministic and can be tested and fuzzed from byte slices alone.
//!
//! | module    | speaks                                                              | specified by            |
//! |-----------|---------------------------------------------------------------------|-------------------------|
//! | [`http1`] | the checks on a raw request head that the HTTP parser does not make  | RFC 9110, RFC 9112      |
//! | [`link`]  | the stream between the gateway and one worker                        | this crate              |
//! | [`sse`]   | server-sent events                                                   | WHATWG HTML §9.2        |
//! | [`ws`]    | WebSocket: handshake, frames, messages, close                        | RFC 6455                |
#![forbid(unsafe_code)]

mod alphabet;
pub mod http1;
pub mod link;
pub mod sse;
pub mod ws;
