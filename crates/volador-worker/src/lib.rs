//! The half of a worker that knows no Ruby: it takes the gateway's frames apart into jobs for the application's threads
//! and gathers what they answer into batches for the gateway.
//!
//! ```text
//!  gateway ──deliver──▶ Worker ──▶ JobQueue ──take──▶ Seat (one per application thread)
//!     ▲                   │ Mailbox                      │
//!     └──Outlet──────── Outboxes ◀── frames ─────────────┘
//! ```
//!
//! | module     | holds                                                                     |
//! |------------|---------------------------------------------------------------------------|
//! | `options`  | what a worker is told when it is made                                     |
//! | `worker`   | [`Worker`]: the link's end, the push streams, the seats                    |
//! | `core`     | what all of these share, and what the gateway's frames do to it            |
//! | `seat`     | [`Seat`]: takes jobs, answers them                                        |
//! | `response` | a streamed response: what goes as chunks, what into the spool file        |
//! | `spool`    | the unlinked file for what a slow client has not taken yet                |
//! | `push`     | [`PushStream`]: one push connection                                       |
//! | `streams`  | all push streams, until their last event is taken                         |
//! | `listeners`| the worker's own subscriptions to channels, and who is told               |
//! | `mailbox`  | the events of a push connection or a listener, told one after the other   |
//! | `events`   | what waits in a mailbox                                                   |
//! | `jobs`     | what waits for a seat: requests and events, and replays beside them       |
//! | `queue`    | the jobs, and the seats that are parked for them                          |
//! | `wake`     | the policy: which delivery wakes a parked seat                            |
//! | `outbox`   | frames on their way to the gateway, per shard                             |
//! | `remote`   | [`Remote`]: the gateway of another process                                |
//! | `journal`  | which jobs have begun, for the gateway that outlives this process         |
//! | `flush`    | the policy: when an outbox is handed over                                 |
//! | `watcher`  | the thread that sees to the two policies when everybody else is busy      |
//! | `sync`     | locks that survive a fork of other threads                                |
//! | `signal`   | how a waiting seat is woken                                               |
//! | `log`      | lines for an operator                                                     |
//!
//! Threads: the gateway's call [`Worker::deliver`], the application's own one [`Seat`] each, any thread may write to a
//! [`PushStream`], broadcast, publish or listen. The only calls that wait for another thread's or process's doing are
//! [`Waiter::park`], those of [`CreditWait`], and of a [`Remote`] `join`, `wait_end`, `wait_figures` and `leave`.
//!
//! The crate may not know Ruby, the gateway, clients' sockets or an async runtime.
#![forbid(unsafe_code)]

mod core;
mod error;
mod events;
#[cfg(test)]
mod fixtures;
mod flush;
mod jobs;
mod journal;
mod listeners;
mod mailbox;
mod options;
mod outbox;
mod push;
mod queue;
mod remote;
mod response;
mod seat;
mod signal;
mod spool;
mod streams;
mod sync;
mod wake;
mod watcher;
mod worker;

pub use error::WriteError;
pub use journal::{Notes, OpenNotes};
pub use mailbox::Event;
pub use options::Options;
pub use outbox::Outlet;
pub use push::PushStream;
pub use queue::Waits;
pub use remote::{End, Remote};
pub use seat::{CreditWait, Lent, Seat, Taken, Waiter};
pub(crate) use volador_link::log;
pub use worker::Worker;
