//! The jobs that `Native::Seat#take` gives to Ruby as Arrays. That of a plain request is its env alone, that of a client's
//! message the id of the stream: of these there are many, and an object less for each counts.

use std::cell::Cell;

use magnus::{IntoValue, RArray, RHash, RString, Ruby, Value, prelude::*, value::Opaque};
use volador_proto::link::{ListenerId, Payload, StreamId, Transport};
use volador_worker::Event;

/// A request that asks for a push connection: `[env, :websocket or :sse]`.
pub(crate) fn push_request(ruby: &Ruby, env: RHash, transport: Transport) -> RArray {
    let transport = match transport {
        Transport::WebSocket => "websocket",
        Transport::Sse => "sse",
    };
    ruby.ary_new_from_values(&[env.as_value(), ruby.to_symbol(transport).as_value()])
}

/// An event: `[stream id, name, ...]`, as `Push::Connections#dispatch` describes it. Of a message it is the id, and the message
/// is put into `aside`.
pub(crate) fn event(ruby: &Ruby, stream: StreamId, event: &Event, aside: &Cell<Option<Opaque<RString>>>) -> Value {
    let id = stream.to_bits().into_value_with(ruby);
    let array = match event {
        Event::Message(payload, data) => {
            aside.set(Some(message(ruby, *payload, data).into()));
            return id;
        }
        Event::Published { listener: ListenerId(listener), channel, payload, data } => {
            let (listener, channel) = (listener.into_value_with(ruby), text_if_valid(ruby, channel).as_value());
            let message = message(ruby, *payload, data).as_value();
            ruby.ary_new_from_values(&[id, symbol(ruby, "published"), listener, channel, message])
        }
        Event::Close(code) => ruby.ary_new_from_values(&[id, symbol(ruby, "close"), code.into_value_with(ruby)]),
        Event::HandOver => alone(ruby, id, "hand_over"),
        Event::Resumed => alone(ruby, id, "resumed"),
        Event::Released => alone(ruby, id, "released"),
        Event::Drained => alone(ruby, id, "drained"),
        Event::Shutdown => alone(ruby, id, "shutdown"),
    };
    array.as_value()
}

fn alone(ruby: &Ruby, id: Value, name: &str) -> RArray {
    ruby.ary_new_from_values(&[id, symbol(ruby, name)])
}

fn symbol(ruby: &Ruby, name: &str) -> Value {
    ruby.to_symbol(name).as_value()
}

/// A message: UTF-8 or BINARY.
fn message(ruby: &Ruby, payload: Payload, data: &[u8]) -> RString {
    match payload {
        Payload::Text => ruby.enc_str_new(data, ruby.utf8_encoding()),
        Payload::Binary => ruby.str_from_slice(data),
    }
}

/// Bytes of which nobody said what they are: UTF-8 as far as they are that. So the name of a channel equals what was
/// published to.
pub(crate) fn text_if_valid(ruby: &Ruby, bytes: &[u8]) -> RString {
    let payload = if std::str::from_utf8(bytes).is_ok() { Payload::Text } else { Payload::Binary };
    message(ruby, payload, bytes)
}
