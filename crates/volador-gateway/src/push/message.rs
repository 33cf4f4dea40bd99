//! [`Message`]: one payload in the forms of both transports, each encoded at most once and then shared.

use std::cell::OnceCell;

use bytes::Bytes;
use volador_proto::{
    link::{Payload, Transport},
    sse, ws,
};

/// A payload on its way to one or many push connections.
#[derive(Debug)]
pub(super) struct Message<'a> {
    payload: Payload,
    data: &'a [u8],
    frame: OnceCell<Bytes>,
    event: OnceCell<Bytes>,
}

impl<'a> Message<'a> {
    pub(super) fn new(payload: Payload, data: &'a [u8]) -> Self {
        Self { payload, data, frame: OnceCell::new(), event: OnceCell::new() }
    }

    /// What goes to the socket. The same memory for every connection.
    pub(super) fn bytes(&self, transport: Transport) -> &Bytes {
        match transport {
            Transport::WebSocket => self.frame.get_or_init(|| ws::message(self.payload, self.data)),
            Transport::Sse => self.event.get_or_init(|| sse::data(self.data)),
        }
    }
}
