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

/// What a client takes messages in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// An event of an event stream.
    Event,
    /// A WebSocket frame.
    Frame,
    /// A compressed one, for a client that allows this size of window.
    Deflated(WindowBits),
}

/// Sizes of windows that are compressed for: 9 to 15 bits.
const SIZES: usize = 7;

impl Form {
    /// How many there are.
    pub(super) const COUNT: usize = 2 + SIZES;

    /// `deflate` is what a WebSocket's client has agreed to.
    pub(super) fn new(transport: Transport, deflate: Option<WindowBits>) -> Self {
        match (transport, deflate) {
            (Transport::Sse, _) => Self::Event,
            // For 8 bits nothing is compressed.
            (Transport::WebSocket, Some(bits)) if bits.get() > 8 => Self::Deflated(bits),
            (Transport::WebSocket, _) => Self::Frame,
        }
    }

    /// Less than [`Self::COUNT`], and another one for each.
    pub(super) fn place(self) -> usize {
        match self {
            Self::Event => 0,
            Self::Frame => 1,
            Self::Deflated(bits) => usize::from(bits.get()).clamp(9, 15) - 7,
        }
    }
}

/// A shard's compressors, one for each size of window that its clients allow. Each is made when it is first needed.
#[derive(Debug)]
pub(super) struct Deflaters {
    /// 1 to 9.
    level: u8,
    /// Shorter messages go out as they are.
    min_bytes: usize,
    /// By the places of their forms.
    by_form: RefCell<[Option<Box<Deflater>>; Form::COUNT]>,
}

impl Deflaters {
    pub(super) fn new(level: u8, min_bytes: usize) -> Self {
        Self { level, min_bytes, by_form: RefCell::default() }
    }

    /// None where that would not make it shorter, or is not worth the trouble.
    fn deflate(&self, bits: WindowBits, content: &Content<'_>) -> Option<Bytes> {
        if content.data.len() < self.min_bytes {
            return None;
        }
        let slot = &mut self.by_form.borrow_mut()[Form::Deflated(bits).place()];
        if slot.is_none() {
            *slot = Deflater::new(self.level, bits).map(Box::new);
        }
        slot.as_mut()?.message(content.payload, content.data)
    }
}

/// A message that this program can't encode, as its own tests have it. No other one is known.
#[cfg(test)]
pub(super) const FAULT: &[u8] = b"a fault of ours";

/// A payload as a worker has sent it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Content<'a> {
    payload: Payload,
    data: &'a [u8],
    /// The fields of a server-sent event, of which `data` is the text.
    fields: Option<sse::Event<'a>>,
}

impl<'a> Content<'a> {
    /// # Errors
    /// For an event whose data is none.
    pub(super) fn new(kind: Kind, data: &'a [u8]) -> Result<Self, LinkError> {
        Ok(match kind {
            Kind::Message(payload) => Self { payload, data, fields: None },
            Kind::Event => {
                let event = unpack_event(data)?;
                Self { payload: Payload::Text, data: event.data.as_bytes(), fields: Some(event) }
            }
        })
    }

    /// Appends what the only connection gets that gets it: there is nothing to share.
    pub(super) fn put(&self, form: Form, deflaters: &Deflaters, out: &mut BytesMut) {
        #[cfg(test)]
        assert_ne!(self.data, FAULT);
        let other = match form {
            Form::Event => Some(self.event()),
            Form::Frame => None,
            Form::Deflated(bits) => deflaters.deflate(bits, self),
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
}

/// A payload on its way to one or many push connections.
#[derive(Debug)]
pub(super) struct Message<'a> {
    content: Content<'a>,
    /// The channel of which a client that does not keep up wants the newest message only.
    tag: Option<Tag>,
    deflaters: &'a Deflaters,
    /// Those forms that have been needed, by their places. The plain frame stands where compressing it would not make it shorter.
    forms: [OnceCell<Bytes>; Form::COUNT],
}

impl<'a> Message<'a> {
    pub(super) fn new(content: Content<'a>, deflaters: &'a Deflaters) -> Self {
        Self { content, tag: None, deflaters, forms: Default::default() }
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
        (self.content.payload, self.content.data)
    }

    /// What goes to the socket. The same memory for every connection.
    pub(super) fn bytes(&self, form: Form) -> &Bytes {
        #[cfg(test)]
        assert_ne!(self.content.data, FAULT);
        self.forms[form.place()].get_or_init(|| match form {
            Form::Event => self.content.event(),
            Form::Frame => ws::message(self.content.payload, self.content.data),
            Form::Deflated(bits) => {
                let deflated = self.deflaters.deflate(bits, &self.content);
                deflated.unwrap_or_else(|| self.bytes(Form::Frame).clone())
            }
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
        let content = Content::new(Payload::Text.into(), &data).unwrap();
        let message = Message::new(content, &deflaters);
        let bits = |n| WindowBits::new(n);
        for (transport, deflate, first) in [
            (Transport::Sse, None, b'd'),
            (Transport::WebSocket, None, 0x81),
            (Transport::WebSocket, bits(8), 0x81),
            (Transport::WebSocket, bits(9), 0xc1),
            (Transport::WebSocket, bits(15), 0xc1),
        ] {
            let form = Form::new(transport, deflate);
            let (one, other) = (message.bytes(form), message.bytes(form));
            assert_eq!((one[0], one.as_ptr()), (first, other.as_ptr()), "{transport:?} {deflate:?}");
            let mut out = BytesMut::from("before");
            content.put(form, &deflaters, &mut out);
            assert_eq!((&out[..6], &out[6..]), (&b"before"[..], &one[..]), "{transport:?} {deflate:?}");
        }
    }

    #[test]
    fn every_form_has_a_place_of_its_own() {
        let deflated = (9..=15).filter_map(|bits| WindowBits::new(bits).map(Form::Deflated));
        let forms: Vec<_> = [Form::Event, Form::Frame].into_iter().chain(deflated).collect();
        assert_eq!(forms.iter().map(|form| form.place()).collect::<Vec<_>>(), (0..Form::COUNT).collect::<Vec<_>>());
    }

    #[test]
    fn an_event_has_its_fields_for_an_event_stream_and_its_text_for_a_websocket() {
        let deflaters = Deflaters::new(1, 100);
        let event = sse::Event { data: "hi", event: Some("greeting"), id: Some("7"), retry_ms: Some(100) };
        let packed = volador_proto::link::pack_event(&event);
        let message = Message::new(Content::new(Kind::Event, &packed).unwrap(), &deflaters);
        let text = b"event: greeting\nid: 7\nretry: 100\ndata: hi\n\n";
        assert_eq!(message.bytes(Form::Event)[..], text[..]);
        assert_eq!(message.bytes(Form::Frame)[..], *b"\x81\x02hi");
        assert!(Content::new(Kind::Event, b"").is_err());
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
            let message = Message::new(Content::new(Payload::Binary.into(), data).unwrap(), &deflaters);
            let bytes = message.bytes(Form::Deflated(WindowBits::MAX));
            assert_eq!((bytes[0], bytes.as_ptr()), (0x82, message.bytes(Form::Frame).as_ptr()));
        }
        assert_eq!(deflaters.by_form.borrow().iter().flatten().count(), 1);
    }
}
