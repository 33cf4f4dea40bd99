//! The jobs that `Native::Seat#take` gives to Ruby: it returns a [`Kind`], and what belongs to the job is in the [`Slots`]
//! of the seat, which are reused. Of requests and messages there are many, and an object less for each counts, as does a
//! call less.

use magnus::{
    IntoValue, RArray, RHash, RString, Ruby, Value,
    prelude::*,
    rb_sys::AsRawValue,
    value::{LazyId, Opaque},
};
use rb_sys::{RBasic, VALUE, ruby_coderange_type, ruby_encoding_consts};
use volador_proto::link::{ListenerId, Payload, StreamId, Transport};
use volador_worker::Event;

/// A Symbol whose name is interned at its first use: to intern one takes a String.
macro_rules! symbol {
    ($ruby:expr, $name:literal) => {{
        static NAME: LazyId = LazyId::new($name);
        LazyId::get_inner_with(&NAME, $ruby).into_value_with($ruby)
    }};
}

/// What a job is, as `Native::Seat`'s constants number it, and what is in the slots then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A plain request: its env.
    Request = 0,
    /// A message of a client: the id of the stream, and the String.
    Message = 1,
    /// Another event: the Array that `Push::Connections#dispatch` describes.
    Event = 2,
    /// A request that asks for a push connection: its env, and `:websocket` or `:sse`.
    PushRequest = 3,
}

/// What belongs to the current job of a seat: an Array of two, frozen for everybody but [`Slots::put`]. Ruby's half of the
/// extension only reads it, but an application can find it, by ObjectSpace, and could make it share another's memory.
pub(crate) struct Slots(Opaque<RArray>);

impl Slots {
    /// Of the Array the caller keeps hold until it is marked.
    pub(crate) fn new(ruby: &Ruby) -> Self {
        let nil = ruby.qnil().as_value();
        let array = ruby.ary_new_from_values(&[nil, nil]);
        array.freeze();
        Self(array.into())
    }

    pub(crate) fn array(&self) -> Opaque<RArray> {
        self.0
    }

    pub(crate) fn put(&self, ruby: &Ruby, first: Value, second: Value) {
        let array = ruby.get_inner(self.0).as_raw();
        // SAFETY: it has been frozen since it was made, so it still has two elements, and they are where Ruby keeps so few:
        // in the object itself, which a copy or a slice does not share. To write one this way does not look at the frozen
        // flag, neither raises nor allocates, and tells the collector. The values are on the stack meanwhile.
        unsafe {
            rb_sys::RARRAY_ASET(array, 0, first.as_raw());
            rb_sys::RARRAY_ASET(array, 1, second.as_raw());
        }
    }

    /// An idle seat keeps nothing alive.
    pub(crate) fn clear(&self, ruby: &Ruby) {
        let nil = ruby.qnil().as_value();
        self.put(ruby, nil, nil);
    }

    pub(crate) fn put_request(&self, ruby: &Ruby, env: RHash, transport: Option<Transport>) -> Kind {
        let (transport, kind) = match transport {
            None => (ruby.qnil().as_value(), Kind::Request),
            Some(Transport::WebSocket) => (symbol!(ruby, "websocket"), Kind::PushRequest),
            Some(Transport::Sse) => (symbol!(ruby, "sse"), Kind::PushRequest),
        };
        self.put(ruby, env.as_value(), transport);
        kind
    }

    pub(crate) fn put_event(&self, ruby: &Ruby, stream: StreamId, event: &Event) -> Kind {
        let id = stream.to_bits().into_value_with(ruby);
        let array = match event {
            Event::Message(payload, data) => {
                self.put(ruby, id, message(ruby, *payload, data).as_value());
                return Kind::Message;
            }
            Event::Published { listener: ListenerId(listener), channel, payload, data } => {
                let (listener, channel) = (listener.into_value_with(ruby), text_if_valid(ruby, channel).as_value());
                let message = message(ruby, *payload, data).as_value();
                ruby.ary_new_from_values(&[id, symbol!(ruby, "published"), listener, channel, message])
            }
            Event::Close(code) => ruby.ary_new_from_values(&[id, symbol!(ruby, "close"), code.into_value_with(ruby)]),
            Event::HandOver => alone(ruby, id, symbol!(ruby, "hand_over")),
            Event::Resumed => alone(ruby, id, symbol!(ruby, "resumed")),
            Event::Released => alone(ruby, id, symbol!(ruby, "released")),
            Event::Drained => alone(ruby, id, symbol!(ruby, "drained")),
            Event::Shutdown => alone(ruby, id, symbol!(ruby, "shutdown")),
        };
        self.put(ruby, array.as_value(), ruby.qnil().as_value());
        Kind::Event
    }
}

fn alone(ruby: &Ruby, id: Value, name: Value) -> RArray {
    ruby.ary_new_from_values(&[id, name])
}

/// A message: UTF-8 or BINARY.
fn message(ruby: &Ruby, payload: Payload, data: &[u8]) -> RString {
    let string = ruby.str_from_slice(data);
    if payload == Payload::Text {
        mark_text(string, data);
    }
    string
}

/// Makes a new String, which is BINARY, one of UTF-8; and notes of ASCII that it is, which Ruby would look for when it first
/// needs to know. (That other text is valid is left to Ruby, whose functions rely on it.)
fn mark_text(string: RString, data: &[u8]) {
    // SAFETY: asks for a constant.
    let utf8 = unsafe { rb_sys::rb_utf8_encindex() } as VALUE;
    let ascii = if data.is_ascii() { ruby_coderange_type::RUBY_ENC_CODERANGE_7BIT as VALUE } else { 0 };
    // SAFETY: a String, and nobody else has it. The bits of encoding (BINARY has the index 0, UTF-8 one of the small ones
    // that stand in the flags) and coderange (unknown) are 0 in it. So do Ruby's own ENCODING_SET_INLINED and
    // ENC_CODERANGE_SET.
    unsafe {
        (*(string.as_raw() as *mut RBasic)).flags |= utf8 << ruby_encoding_consts::RUBY_ENCODING_SHIFT as u32 | ascii;
    }
}

/// Bytes of which nobody said what they are: UTF-8 as far as they are that. So the name of a channel equals what was
/// published to.
pub(crate) fn text_if_valid(ruby: &Ruby, bytes: &[u8]) -> RString {
    let payload = if std::str::from_utf8(bytes).is_ok() { Payload::Text } else { Payload::Binary };
    message(ruby, payload, bytes)
}
