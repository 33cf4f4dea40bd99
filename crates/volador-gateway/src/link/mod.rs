//! The gateway's ends of its links: who the workers are, what is on its way to them, and how they join.
//!
//! Embedded there is one worker for good, which is handed its frames in memory. In a cluster each worker is a process
//! that joins over a Unix socket, one link for each shard, and that may be lost at any moment.
//!
//! | module         | noun                                                          |
//! |----------------|---------------------------------------------------------------|
//! | [`member`]     | a worker as all shards see it: what it has in hand, how it is |
//! | [`lead`]       | how many requests it is sent beyond its threads               |
//! | [`roster`]     | all members, and which generation gets the requests           |
//! | [`workers`]    | a shard's ends of its links, and the frames that gather there |
//! | [`socket`]     | one link of one shard                                         |
//! | [`door`]       | where workers join                                            |
//! | [`journal`]    | which jobs a worker that was lost had begun                   |
//! | [`membership`] | how a shard comes to a worker, and loses it                   |

mod door;
mod journal;
mod lead;
mod member;
mod membership;
mod occupied;
mod roster;
mod socket;
mod workers;

pub(crate) use door::{Arrival, Door};
pub(crate) use journal::Journal;
pub(crate) use member::{Member, State};
pub(crate) use occupied::Occupied;
pub(crate) use roster::Roster;
pub use roster::WorkerReport;
pub(crate) use socket::LinkSocket;
pub(crate) use workers::{Way, WorkerKey, Workers};
