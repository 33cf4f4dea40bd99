//! [`HeadWatch`]: finds the heads in the bytes of a connection.

use super::HeadFault;

/// What a head may have.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// The largest head in bytes, from the request line to the empty line.
    pub head_max_bytes: usize,
    /// The longest request target in bytes.
    pub target_max_bytes: usize,
}

/// Watches the bytes of one HTTP connection.
#[derive(Debug, Default)]
pub struct HeadWatch {
    buffer: Vec<u8>,
}

impl HeadWatch {
    /// At the start of a connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes that were read from the socket.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether no byte of a next head has arrived.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// A fault that shows before the head at the front is complete.
    pub fn overflow(&self, limits: &HeadLimits) -> Option<HeadFault> {
        (self.buffer.len() > limits.head_max_bytes).then_some(HeadFault::HeadTooLarge { max: limits.head_max_bytes })
    }

    /// Checks the head at the front, which the parser has just handed out, and forgets it.
    ///
    /// # Errors
    /// [`HeadFault`] when it is to be refused; the watch is of no more use then.
    pub fn take_head(&mut self, limits: &HeadLimits) -> Result<(), HeadFault> {
        let fault = self.overflow(limits);
        self.buffer = Vec::new();
        fault.map_or(Ok(()), Err)
    }
}
