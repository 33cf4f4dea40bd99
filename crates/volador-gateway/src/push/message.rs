//! [`Message`]: one payload in the forms that clients take, each encoded at most once and then shared.

use std::cell::{OnceCell, RefCell};

use bytes::{Bytes, BytesMut};
use volador_proto::{
    link::{Kind, LinkError, Payload, Transport, unpack_event},
    sse,
    ws::{
        self,
        deflate::{Deflater, WindowBits},
    },
};

use super::queue::Tag;

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
    /// The fields of a server-sent event, of which `data` is the text.
    fields: Option<sse::Event<'a>>,
    /// The channel of which a client that does not keep up wants the newest message only.
    tag: Option<Tag>,
    deflaters: &'a Deflaters,
    frame: OnceCell<Bytes>,
    /// By size of window; the plain frame where compressing it would not make it shorter.
    deflated: [OnceCell<Bytes>; SIZES],
    event: OnceCell<Bytes>,
}

impl<'a> Message<'a> {
    /// # Errors
    /// For an event whose data is none.
    pub(super) fn new(kind: Kind, data: &'a [u8], deflaters: &'a Deflaters) -> Result<Self, LinkError> {
        let (payload, data, fields) = match kind {
            Kind::Message(payload) => (payload, data, None),
            Kind::Event => {
                let event = unpack_event(data)?;
                (Payload::Text, event.data.as_bytes(), Some(event))
            }
        };
        let (frame, deflated, event) = Default::default();
        Ok(Self { payload, data, fields, tag: None, deflaters, frame, deflated, event })
    }

    /// The message replaces the one before it of this channel, where that still waits.
    pub(super) fn conflated(self, tag: Option<Tag>) -> Self {
        Self { tag, ..self }
    }

    pub(super) fn tag(&self) -> Option<Tag> {
        self.tag
    }

    /// What a subscriber that is no client gets.
    pub(super) fn payload(&self) -> (Payload, &[u8]) {
        (self.payload, self.data)
    }

    /// What goes to the socket. The same memory for every connection. `deflate` is what a WebSocket's client has agreed
    /// to.
    pub(super) fn bytes(&self, transport: Transport, deflate: Option<WindowBits>) -> &Bytes {
        match (transport, deflate) {
            (Transport::Sse, _) => self.event.get_or_init(|| self.event()),
            (Transport::WebSocket, Some(bits)) if self.data.len() >= self.deflaters.min_bytes => self.deflated(bits),
            (Transport::WebSocket, _) => self.frame(),
        }
    }

    /// The same for the only connection that gets it, behind what is in `out`: there is nothing to share.
    pub(super) fn put(&self, transport: Transport, deflate: Option<WindowBits>, out: &mut BytesMut) {
        let other = match (transport, deflate) {
            (Transport::Sse, _) => Some(self.event()),
            (Transport::WebSocket, Some(bits)) if self.data.len() >= self.deflaters.min_bytes => {
                self.deflaters.deflate(bits, self.payload, self.data)
            }
            (Transport::WebSocket, _) => None,
        };
        match other {
            Some(bytes) => out.extend_from_slice(&bytes),
            None => ws::put_message(self.payload, self.data, out),
        }
    }

    fn event(&self) -> Bytes {
        // The worker has checked the fields. Should one ever not fit, its text still does.
        self.fields.and_then(|event| event.encode().ok()).unwrap_or_else(|| sse::data(self.data))
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
        let message = Message::new(Payload::Text.into(), &data, &deflaters).unwrap();
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
            let mut out = BytesMut::from("before");
            message.put(transport, deflate, &mut out);
            assert_eq!((&out[..6], &out[6..]), (&b"before"[..], &one[..]), "{transport:?} {deflate:?}");
        }
    }

    #[test]
    fn an_event_has_its_fields_for_an_event_stream_and_its_text_for_a_websocket() {
        let deflaters = Deflaters::new(1, 100);
        let event = sse::Event { data: "hi", event: Some("greeting"), id: Some("7"), retry_ms: Some(100) };
        let packed = volador_proto::link::pack_event(&event);
        let message = Message::new(Kind::Event, &packed, &deflaters).unwrap();
        let text = b"event: greeting\nid: 7\nretry: 100\ndata: hi\n\n";
        assert_eq!(message.bytes(Transport::Sse, None)[..], text[..]);
        assert_eq!(message.bytes(Transport::WebSocket, None)[..], *b"\x81\x02hi");
        assert!(Message::new(Kind::Event, b"", &deflaters).is_err());
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
            let message = Message::new(Payload::Binary.into(), data, &deflaters).unwrap();
            let bytes = message.bytes(Transport::WebSocket, WindowBits::new(15));
            assert_eq!((bytes[0], bytes.as_ptr()), (0x82, message.bytes(Transport::WebSocket, None).as_ptr()));
        }
        assert!(deflaters.by_bits.borrow()[..6].iter().all(Option::is_none));
    }
}
