//! The gateway: the half of Volador that owns every socket.
//!
//! It listens, speaks HTTP/1.1 (by hyper), turns connections into push connections, keeps those, fans broadcasts out to
//! them, and hands complete requests and messages to the worker over the link. It knows no Ruby: a worker is whatever
//! takes the frames ([`WorkerLink`]) and gives frames back ([`GatewayHandle`]).
//!
//! Each **shard** is one thread with its own event loop, connections, hub and table of streams. Nothing inside of a
//! shard is locked; what comes from outside enters through its [`inbox`].
//!
//! ```text
//!   accept ──▶ http::connection (hyper) ──▶ http::exchange ──▶ workers ══▶ worker
//!                   │ upgrade                     ▲                        ║
//!                   ▼                             └────────── inbox ◀══════╝
//!              push::engine (no task per connection) ◀──────────┘
//! ```
//!
//! | module       | noun                                                              |
//! |--------------|-------------------------------------------------------------------|
//! | [`config`]   | limits and timeouts, all checked by the caller                     |
//! | [`gateway`]  | starts, drains and stops the shards                                |
//! | [`shared`]   | what the shards have in common; [`drain`]: which of them have drained |
//! | [`shard`]    | one thread's state and main loop                                   |
//! | [`listener`] | bound addresses; [`socket`]: an accepted connection of either kind |
//! |              | [`socket_file`]: the file of a bound Unix socket                   |
//! |              | [`descriptors`]: how many files may be open; those kept from clients |
//! | [`selector`] | what the system reports about sockets                              |
//! | [`inbox`]    | frames and commands on their way into a shard                      |
//! | [`link`]     | the workers, and frames on their way to them                      |
//! | [`dispatch`] | which worker gets a request                                       |
//! | [`client_log`] | lines of the log that clients can cause                          |
//! | [`panics`]   | what a fault of this program ends, and what not                   |
//! | [`streams`]  | the table of requests and push connections of a shard              |
//! | [`http`]     | a connection while it speaks HTTP                                  |
//! | [`push`]     | a connection after its upgrade                                     |
#![forbid(unsafe_code)]

mod client_log;
mod config;
mod descriptors;
mod dispatch;
mod drain;
mod error;
mod gateway;
mod http;
mod inbox;
mod link;
mod listener;
mod panics;
mod push;
mod selector;
mod shard;
mod shared;
mod socket;
mod socket_file;
mod stats;
mod streams;

use volador_hub::channel::Filter;
pub(crate) use volador_link::log;
use volador_proto::link::Match;

// What tests/support calls it, which unit tests use as well.
#[cfg(test)]
extern crate self as volador_gateway;

pub use config::{BindAddress, Config, SlowClient};
pub use error::GatewayError;
pub use gateway::{Gateway, GatewayHandle, WorkerLink};
pub use link::WorkerReport;
pub use stats::Stats;

/// Whether a text can be the name of a channel, or a pattern for names, in a subscription. Frames with others are
/// dropped, so the application is to be told before.
///
/// # Errors
/// What is wrong, and what to write instead.
pub fn check_channel(name: &[u8], matching: Match) -> Result<(), String> {
    let filter = match matching {
        Match::Exact => Filter::exact(name),
        Match::Glob => Filter::glob(name),
        Match::Subject => Filter::subject(name),
    };
    filter.map(drop).map_err(|error| error.to_string())
}
