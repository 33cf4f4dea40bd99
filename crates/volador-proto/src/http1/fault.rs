//! [`HeadFault`]: what is wrong with a request head, and the status that tells the client so.

/// A request head that is refused. The connection is closed after the answer: where the next request would begin is no
/// longer certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeadFault {
    /// The request target is longer than the limit.
    #[error("request target is longer than {max} bytes")]
    TargetTooLong {
        /// The limit in bytes.
        max: usize,
    },
    /// The head is longer than the limit.
    #[error("request head is longer than {max} bytes")]
    HeadTooLarge {
        /// The limit in bytes.
        max: usize,
    },
}

impl HeadFault {
    /// The status of the response.
    pub fn status(self) -> u16 {
        match self {
            Self::TargetTooLong { .. } => 414,
            Self::HeadTooLarge { .. } => 431,
        }
    }
}
