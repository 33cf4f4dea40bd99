//! [`Message`]: one payload in the forms that clients take, each encoded at most once and then shared.

use std::cell::{OnceCell, RefCell};

use bytes::Bytes;
use volador_proto::{
    link::{Payload, Transport},
    sse,
    ws::{
        self,
        deflate::{Deflater, WindowBits},
    },
};

/// A shard's compressors, one for each size of window that its clients allow. Each is made when it is first needed.
#[derive(Debug)]
pub(super) struct Deflaters {
    /// 1 to 9.
    level: u8,
    /// Shorter messages go out as they are.
    min_bytes: usize,
    by_bits: RefCell<[Option<Box<Deflater>>; SIZES]>,
}

/// Sizes of windows that are compressed for: 9 to 15 bits.
const SIZES: usize = 7;

impl Deflaters {
    pub(super) fn new(level: u8, min_bytes: usize) -> Self {
        Self { level, min_bytes, by_bits: RefCell::default() }
    }

    fn deflate(&self, bits: WindowBits, payload: Payload, data: &[u8]) -> Option<Bytes> {
        let mut by_bits = self.by_bits.borrow_mut();
        let slot = by_bits.get_mut(place(bits)?)?;
        if slot.is_none() {
            *slot = Deflater::new(self.level, bits).map(Box::new);
        }
        slot.as_mut()?.message(payload, data)
    }
}

/// None for 8 bits, which nothing is compressed for.
fn place(bits: WindowBits) -> Option<usize> {
    usize::from(bits.get()).checked_sub(9)
}

/// A payload on its way to one or many push connections.
#[derive(Debug)]
pub(super) struct Message<'a> {
    payload: Payload,
    data: &'a [u8],
    deflaters: &'a Deflaters,
    frame: OnceCell<Bytes>,
    /// By size of window; the plain frame where compressing it would not make it shorter.
    deflated: [OnceCell<Bytes>; SIZES],
    event: OnceCell<Bytes>,
}

impl<'a> Message<'a> {
    pub(super) fn new(payload: Payload, data: &'a [u8], deflaters: &'a Deflaters) -> Self {
        Self { payload, data, deflaters, frame: OnceCell::new(), deflated: Default::default(), event: OnceCell::new() }
    }

    /// What goes to the socket. The same memory for every connection. `deflate` is what a WebSocket's client has agreed
    /// to.
    pub(super) fn bytes(&self, transport: Transport, deflate: Option<WindowBits>) -> &Bytes {
        match (transport, deflate) {
            (Transport::Sse, _) => self.event.get_or_init(|| sse::data(self.data)),
            (Transport::WebSocket, Some(bits)) if self.data.len() >= self.deflaters.min_bytes => self.deflated(bits),
            (Transport::WebSocket, _) => self.frame(),
        }
    }

    fn frame(&self) -> &Bytes {
        self.frame.get_or_init(|| ws::message(self.payload, self.data))
    }

    fn deflated(&self, bits: WindowBits) -> &Bytes {
        let Some(cell) = place(bits).and_then(|place| self.deflated.get(place)) else { return self.frame() };
        cell.get_or_init(|| {
            let deflated = self.deflaters.deflate(bits, self.payload, self.data);
            deflated.unwrap_or_else(|| self.frame().clone())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_encoded_once_and_shared() {
        let deflaters = Deflaters::new(1, 100);
        let data = [b'x'; 1000];
        let message = Message::new(Payload::Text, &data, &deflaters);
        let bits = |n| WindowBits::new(n);
        for (transport, deflate, first) in [
            (Transport::Sse, None, b'd'),
            (Transport::WebSocket, None, 0x81),
            (Transport::WebSocket, bits(8), 0x81),
            (Transport::WebSocket, bits(9), 0xc1),
            (Transport::WebSocket, bits(15), 0xc1),
        ] {
            let (one, other) = (message.bytes(transport, deflate), message.bytes(transport, deflate));
            assert_eq!((one[0], one.as_ptr()), (first, other.as_ptr()), "{transport:?} {deflate:?}");
        }
    }

    #[test]
    fn what_is_short_or_does_not_shrink_goes_out_as_it_is() {
        let deflaters = Deflaters::new(1, 100);
        let mut state = 1u64;
        let noise = [(); 200].map(|()| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        });
        for data in [&[b'x'; 99][..], &noise] {
            let message = Message::new(Payload::Binary, data, &deflaters);
            let bytes = message.bytes(Transport::WebSocket, WindowBits::new(15));
            assert_eq!((bytes[0], bytes.as_ptr()), (0x82, message.bytes(Transport::WebSocket, None).as_ptr()));
        }
        assert!(deflaters.by_bits.borrow()[..6].iter().all(Option::is_none));
    }
}
