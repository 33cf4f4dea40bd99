//! What an application's String is on the link, how long it may be, and how fast such may come.

use std::time::Duration;

use magnus::{Error, Module, RModule, RString, Ruby, encoding::Coderange, prelude::*, rb_sys::AsRawValue};
use volador_proto::link::{DATA_MAX, Payload};

use crate::{error, gvl};

/// How long a thread that is ahead of the gateway sleeps at once.
const NAP: Duration = Duration::from_millis(1);

/// How often it does. A gateway that takes nothing for that long has stopped.
const NAPS_MAX: u32 = 1000;

/// # Errors
/// `Volador::Error` for a message that is too long for the link.
pub(crate) fn check_len(ruby: &Ruby, len: usize) -> Result<(), Error> {
    if len <= DATA_MAX {
        return Ok(());
    }
    Err(error::volador(ruby, format!("a message of {len} bytes is too long: send it in pieces, or a link to it")))
}

/// Whether the string says that it is text.
fn is_text(data: RString) -> bool {
    // SAFETY: a String, and constants.
    unsafe {
        let encoding = rb_sys::ENCODING_GET(data.as_raw());
        encoding == rb_sys::rb_utf8_encindex() || encoding == rb_sys::rb_usascii_encindex()
    }
}

/// Whether the encoding is one that says by itself whether the string is text.
fn is_known(data: RString) -> bool {
    // SAFETY: as above.
    is_text(data) || unsafe { rb_sys::ENCODING_GET(data.as_raw()) == rb_sys::rb_ascii8bit_encindex() }
}

/// The same string, or what `Volador::Push::Payload` makes of one in another encoding: it is rare, and Ruby's to convert.
pub(crate) fn in_known_encoding(ruby: &Ruby, data: RString) -> Result<RString, Error> {
    if is_known(data) {
        return Ok(data);
    }
    let volador: RModule = ruby.class_object().const_get("Volador")?;
    let push: RModule = volador.const_get("Push")?;
    push.const_get::<_, RModule>("Payload")?.funcall("of", (data,))
}

/// Text, if the string says that it is text and is right: a receiver closes the connection over invalid UTF-8.
pub(crate) fn payload_of(data: RString) -> Payload {
    match data.enc_coderange_scan() {
        Coderange::SevenBit | Coderange::Valid if is_text(data) => Payload::Text,
        _ => Payload::Binary,
    }
}

/// A thread that gives more than the gateway takes waits here, so that what is on its way has a bound.
pub(crate) fn keep_pace(ruby: &Ruby, worker: &volador_worker::Worker) -> Result<(), Error> {
    let mut naps = 0;
    while worker.is_ahead() && naps < NAPS_MAX {
        gvl::blocking(ruby, || std::thread::sleep(NAP))?;
        ruby.thread_check_ints()?;
        naps += 1;
    }
    Ok(())
}
