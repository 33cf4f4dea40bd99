//! Volador's hub without I/O: who receives what.
//!
//! The hub answers one question: which push connections does this payload go to? It holds keys of connections, never
//! the connections. It has no sockets, no clock, no threads, no locks, no wire formats and no Ruby; everything in it is
//! deterministic. Each shard of the gateway owns one hub for its own connections and is the only one to touch it.
//!
//! | module      | finds                                                                                    |
//! |-------------|------------------------------------------------------------------------------------------|
//! | [`path`]    | the push connections whose request path matches a pattern (a *broadcast*)                |
//! | [`channel`] | the subscribers of a channel, who named it or a pattern that matches it (a *publish*)    |
#![forbid(unsafe_code)]

pub mod channel;
pub mod path;
