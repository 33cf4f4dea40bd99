//! Push connections: sockets after their upgrade to WebSocket (RFC 6455) or SSE (WHATWG HTML §9.2).
//!
//! An idle push connection is an entry in the shard's table and a registration with the system: it has no task and no
//! buffer. One [`Engine`] per shard is told by the system which sockets are ready and reads them all into one buffer;
//! a publish writes to the sockets directly, and only what a socket does not take is queued on its connection.
//!
//! | module         | noun                                                          |
//! |----------------|---------------------------------------------------------------|
//! | [`engine`]     | all of a shard's: what the worker says, and their end         |
//! | [`arrival`]    | how a request becomes one                                     |
//! | [`socket`]     | a push connection's socket                                    |
//! | [`readiness`]  | what the system reports about sockets, and reading            |
//! | [`timers`]     | pings, heartbeats, deadlines of closing                       |
//! | [`timeouts`]   | connections with a time between pings of their own            |
//! | [`channels`]   | what the worker says about channels                           |
//! | [`fanout`]     | one message for many                                          |
//! | [`conflation`] | channels of which only the newest message counts              |
//! | [`hub`]        | who receives what, by path and by channel                     |
//! | [`connection`] | one push connection: its protocol's state and its socket      |
//! | [`queue`]      | what the socket has not taken yet                             |
//! | [`tenant`]     | the handler of a connection, which may move                   |
//! | [`aside`]      | messages that wait for the end of their batch                 |
//! | [`writes`]     | what is sent at the end of a batch                            |
//! | [`handover`]   | how handlers move from worker to worker                       |
//! | [`departure`]  | how handlers learn the end, whatever becomes of their worker  |
//! | [`message`]    | one payload in the forms of both transports                   |
//! | [`handshake`]  | the heads that turn a request into a push connection          |

mod arrival;
mod aside;
mod channels;
mod conflation;
mod connection;
mod departure;
mod engine;
mod fanout;
mod handover;
pub(crate) mod handshake;
mod hub;
mod message;
mod queue;
mod readiness;
mod socket;
mod tenant;
mod timeouts;
mod timers;
mod writes;

pub(crate) use arrival::Takeover;
pub(crate) use connection::PushConnection;
pub(crate) use engine::Engine;
pub(crate) use queue::MESSAGE_BYTES;
