//! A connection while it speaks HTTP/1.1 (RFC 9110, RFC 9112). hyper parses heads and frames bodies; around it stand the
//! strict checks, the limits, the deadlines and the way to the worker and back.
//!
//! | module         | noun                                                              |
//! |----------------|-------------------------------------------------------------------|
//! | [`connection`] | one connection from accept to its end, or until it is taken        |
//! | [`counted`]    | a connection in the figures                                        |
//! | [`watched`]    | the socket as hyper sees it: every byte is watched                 |
//! | [`socket`]     | the socket as the connection's task has it                         |
//! | [`corks`]      | sockets that are read, and sent to, together                       |
//! | [`deadline`]   | when a client has taken too long                                   |
//! | [`answer`]     | one request on its way to the worker, and its answer               |
//! | [`ticket`]     | a request's place in the table of streams and in the queue         |
//! | [`request`]    | a request head in the form of the link                             |
//! | [`upload`]     | a request body, collected                                          |
//! | [`bodies`]     | the memory that request bodies take together                       |
//! | [`exchange`]   | what the worker has said about one request                         |
//! | [`body`]       | a response body: whole, streamed, or from a file                   |
//! | [`linger`]     | the end of a connection whose client may still be sending          |
//! | [`tunnel`]     | a connection that the application has taken: bytes to and fro      |
//! | [`origin`]     | who may open a WebSocket                                           |
//! | [`refusal`]    | an answer that the gateway gives by itself                         |

mod answer;
mod bodies;
mod body;
mod connection;
mod corks;
mod counted;
mod deadline;
mod exchange;
mod linger;
mod origin;
mod refusal;
mod request;
mod socket;
mod ticket;
mod tunnel;
mod upload;
mod watched;

pub(crate) use bodies::Bodies;
use connection::ConnectionState;
pub(crate) use connection::serve;
pub(crate) use corks::{Corks, read_together};
pub(crate) use counted::Counted;
pub(crate) use exchange::{Exchange, Former};
pub(crate) use socket::HttpSocket;
pub(crate) use tunnel::Tunnels;
