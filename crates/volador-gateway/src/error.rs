//! What can go wrong when the gateway is started.

use std::io;

/// Why the gateway can't start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// A bind address that is not one.
    #[error("bind address {address:?} is not valid: {reason}")]
    BadAddress {
        /// As it was given.
        address: String,
        /// What is wrong and what to write instead.
        reason: &'static str,
    },
    /// A pattern of channels that is none.
    #[error("channel pattern {pattern:?} is not valid: {source}")]
    BadPattern {
        /// As it was given.
        pattern: String,
        /// What is wrong.
        source: volador_hub::channel::FilterError,
    },
    /// The system refuses the address.
    #[error("can't listen on {address}: {source}")]
    Bind {
        /// The address.
        address: String,
        /// The system's reason; `AddrInUse` and `PermissionDenied` are the usual ones.
        source: io::Error,
    },
    /// The system refuses a thread or an event queue.
    #[error("can't start a gateway thread: {0}")]
    Start(#[source] io::Error),
}
