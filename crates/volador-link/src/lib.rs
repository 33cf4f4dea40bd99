//! The link between processes: how batches of frames, with their file descriptors, cross a Unix stream socket.
//!
//! The gateway and the workers both sit on it. It knows neither of them, no event loop and no threads for the link: it
//! makes the system calls, and keeps what a socket does not take at once. Who waits, and how, is the caller's business. The
//! one other thing that both halves do alike is here as well: what they have to say to the operator. A thread that the log
//! starts, the only one of this crate, writes it.
//!
//! | module       | noun                                        |
//! |--------------|---------------------------------------------|
//! | [`outgoing`] | batches that the socket has not taken yet   |
//! | [`incoming`] | frames out of what the socket brings        |
//! | [`fault`]    | what the system's errors say of a link      |
//! | [`log`]      | the lines for the operator, of both halves  |
//! | [`lines`]    | lines of a kind, of which few are written   |
//! | [`spell`]    | refusals that follow each other, told once  |
//! | [`want`]     | a want of descriptors, and its line         |
#![forbid(unsafe_code)]

mod fault;
mod incoming;
mod lines;
pub mod log;
mod outgoing;
mod spell;
mod want;

pub use fault::{RETRY, is_peers_end};
pub use incoming::{Incoming, Received};
pub use lines::{Case, Lines};
pub use outgoing::{Outgoing, Sent};
pub use spell::Spell;
pub use want::Want;
