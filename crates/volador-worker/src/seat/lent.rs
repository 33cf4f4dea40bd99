//! [`Lent`]: a streamed response while it is written to without its seat.

use std::sync::Arc;

use crate::{core::Core, error::WriteError, queue::SeatState, response::ResponseStream};

/// A streamed response that its seat has lent. To be given back by [`Seat::give_back`](super::Seat::give_back).
#[derive(Debug)]
pub struct Lent {
    pub(super) core: Arc<Core>,
    pub(super) state: Arc<SeatState>,
    pub(super) response: ResponseStream,
}

impl Lent {
    /// As [`Seat::write`](super::Seat::write).
    ///
    /// # Errors
    /// [`WriteError`] when the response takes no more bytes.
    pub fn write(&mut self, data: &[u8]) -> Result<usize, WriteError> {
        write(&self.core, &self.state, &mut self.response, data)
    }
}

pub(super) fn write(
    core: &Core,
    state: &SeatState,
    response: &mut ResponseStream,
    data: &[u8],
) -> Result<usize, WriteError> {
    let Some(outboxes) = core.outboxes().filter(|_| !state.is_cancelled(response.stream())) else {
        return Err(WriteError::Gone);
    };
    let (written, staged) = response.write(data, &state.flow, outboxes, core.limits())?;
    if staged {
        core.watcher.call();
    }
    Ok(written)
}
