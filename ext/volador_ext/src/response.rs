//! Reads and checks what the application answers: status, header fields, parts of the body.

use magnus::{
    Error, Integer, RArray, RHash, RString, Ruby, Value,
    prelude::*,
    r_hash::ForEach,
    rb_sys::{AsRawId, AsRawValue},
    value::LazyId,
};
use rb_sys::rb_method_boundp;

use crate::error::{self, class_of, quoted};

static CLOSE: LazyId = LazyId::new("close");

/// Bytes of all header fields together. No client takes as much; what gets here is a mistake.
const HEAD_MAX_BYTES: usize = 1 << 20;

/// Header fields. The gateway can't hold more than some 24,000.
const FIELDS_MAX: usize = 10_000;

/// The header fields of an answer as the link takes them. Reused from request to request, so that it allocates nothing.
#[derive(Debug, Default)]
pub(crate) struct Head {
    /// Names (in lower case) and values, one after the other.
    bytes: Vec<u8>,
    /// Start of a name, end of it (and start of its value), end of the value.
    spans: Vec<(usize, usize, usize)>,
    /// The declared length of the body.
    pub(crate) content_length: Option<u64>,
    /// Whether the application writes the body itself, by `rack.hijack`, or has framed it, by `Transfer-Encoding`, or wants
    /// to speak another protocol, by `rack.protocol`.
    pub(crate) is_special: bool,
}

impl Head {
    /// The fields, in the application's order.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.spans.iter().map(|(name, value, end)| (&self.bytes[*name..*value], &self.bytes[*value..*end]))
    }

    /// Reads a headers object: a Hash, or anything with `each` or `to_h` that gives names and values.
    ///
    /// # Errors
    /// `Volador::ResponseError` that says what is wrong; whatever the object's own methods raise.
    pub(crate) fn read(&mut self, ruby: &Ruby, headers: Value) -> Result<(), Error> {
        self.bytes.clear();
        self.spans.clear();
        self.content_length = None;
        self.is_special = false;
        let hash = match RHash::from_value(headers) {
            Some(hash) => hash,
            None => to_hash(ruby, headers)?,
        };
        // An Err of the closure would be raised while frames of ours are below it.
        let mut outcome = Ok(());
        hash.foreach(|name: Value, value: Value| {
            outcome = self.field(ruby, name, value);
            Ok(if outcome.is_ok() { ForEach::Continue } else { ForEach::Stop })
        })?;
        outcome
    }

    /// Declares the length of the body.
    pub(crate) fn set_content_length(&mut self, len: u64) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(b"content-length");
        let colon = self.bytes.len();
        self.bytes.extend_from_slice(len.to_string().as_bytes());
        self.spans.push((start, colon, self.bytes.len()));
        self.content_length = Some(len);
    }

    fn field(&mut self, ruby: &Ruby, name: Value, value: Value) -> Result<(), Error> {
        let Some(name) = RString::from_value(name) else {
            return Err(error::response(
                ruby,
                format!("the name of a header must be a String, got {}", class_of(name)),
            ));
        };
        // SAFETY: no Ruby code runs while the slice is in use.
        let bytes = unsafe { name.as_slice() };
        // Keys of Rack that are for the server, such as rack.hijack, whatever their value.
        if bytes.starts_with(b"rack.") {
            self.is_special |= matches!(bytes, b"rack.hijack" | b"rack.protocol");
            return Ok(());
        }
        // RFC 9110 §5.1: a field name is a token.
        if bytes.is_empty() || !bytes.iter().all(|byte| is_token(*byte)) {
            return Err(error::response(ruby, format!("header name {} is not a valid one", quoted(name))));
        }
        if let Some(value) = RString::from_value(value) {
            // Rack 2: a String with line ends in it is several fields. None of them is empty, of "a\n" say.
            // SAFETY: as above.
            let bytes = unsafe { value.as_slice() };
            let is_several = bytes.contains(&b'\n');
            for line in bytes.split(|byte| *byte == b'\n').filter(|line| !is_several || !line.is_empty()) {
                self.line(ruby, name, value, line)?;
            }
            return Ok(());
        }
        let Some(values) = RArray::from_value(value) else {
            let (name, class) = (quoted(name), class_of(value));
            let message = format!("header {name} must be a String or an Array of Strings, got {class}");
            return Err(error::response(ruby, message));
        };
        for at in 0..values.len() {
            let value: Value = values.entry(at as isize)?;
            let Some(value) = RString::from_value(value) else {
                let (name, class) = (quoted(name), class_of(value));
                let message = format!("header {name} must have Strings in its Array, got {class}");
                return Err(error::response(ruby, message));
            };
            // SAFETY: as above.
            self.line(ruby, name, value, unsafe { value.as_slice() })?;
        }
        Ok(())
    }

    /// One field.
    fn line(&mut self, ruby: &Ruby, name: RString, whole: RString, value: &[u8]) -> Result<(), Error> {
        // RFC 9110 §5.5: CR, LF and NUL end a field early or worse; other controls are not allowed either.
        if !value.iter().all(|byte| is_field_value(*byte)) {
            let (name, whole) = (quoted(name), quoted(whole));
            let message = format!("header {name} has a control character in its value: {whole}");
            return Err(error::response(ruby, message));
        }
        let start = self.bytes.len();
        // SAFETY: no Ruby code runs while the slice is in use.
        self.bytes.extend(unsafe { name.as_slice() }.iter().map(u8::to_ascii_lowercase));
        let colon = self.bytes.len();
        match &self.bytes[start..] {
            // RFC 9110 §7.6.1: these concern one hop, and that is the gateway's. It frames the body itself.
            b"transfer-encoding" | b"keep-alive" | b"trailer" => {
                self.is_special |= self.bytes.ends_with(b"transfer-encoding");
                self.bytes.truncate(start);
                return Ok(());
            }
            // But for what the application may wish: the end of the connection, or (RFC 9110 §7.8) to say what the client
            // could upgrade to.
            b"connection" => {
                for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|one| is_wish(one)) {
                    if self.bytes.len() > colon {
                        self.bytes.extend_from_slice(b", ");
                    }
                    self.bytes.extend_from_slice(option);
                }
                if self.bytes.len() == colon {
                    self.bytes.truncate(start);
                } else {
                    self.spans.push((start, colon, self.bytes.len()));
                }
                return Ok(());
            }
            b"content-length" => {
                let length = decimal(value);
                if length.is_none() || self.content_length.is_some_and(|other| Some(other) != length) {
                    let message = format!("header Content-Length is not one number: {}", quoted(whole));
                    return Err(error::response(ruby, message));
                }
                if self.content_length.is_some() {
                    self.bytes.truncate(start);
                    return Ok(());
                }
                self.content_length = length;
            }
            _ => {}
        }
        self.bytes.extend_from_slice(value.trim_ascii());
        self.spans.push((start, colon, self.bytes.len()));
        if self.bytes.len() > HEAD_MAX_BYTES || self.spans.len() > FIELDS_MAX {
            let message = format!("the header fields exceed {HEAD_MAX_BYTES} bytes, or a number of {FIELDS_MAX}");
            return Err(error::response(ruby, message));
        }
        Ok(())
    }
}

/// Names and values of a headers object that is no Hash.
fn to_hash(ruby: &Ruby, headers: Value) -> Result<RHash, Error> {
    // nil has a to_h, but an answer without headers is a mistake and not an empty Hash.
    if !headers.is_nil() && headers.respond_to("to_h", false)? {
        let hash: Value = headers.funcall("to_h", ())?;
        if let Some(hash) = RHash::from_value(hash) {
            return Ok(hash);
        }
    }
    if !headers.respond_to("each", false)? {
        let message = format!("headers must be a Hash or respond to each, got {}", class_of(headers));
        return Err(error::response(ruby, message));
    }
    let pairs: RArray = headers.funcall::<_, _, Value>("to_enum", ())?.funcall("to_a", ())?;
    pairs.funcall("to_h", ())
}

/// The status as a number from 200 to 599.
///
/// # Errors
/// `Volador::ResponseError` for anything else. 1xx is not an answer but an announcement of one (RFC 9110 §15.2).
pub(crate) fn status(ruby: &Ruby, status: Value) -> Result<u16, Error> {
    let number = match magnus::value::Fixnum::from_value(status) {
        Some(number) => number.to_i64(),
        // Rack 2 takes whatever has a to_i.
        None if status.respond_to("to_i", false)? => {
            let number: Value = status.funcall("to_i", ())?;
            Integer::from_value(number).and_then(|number| number.to_i64().ok()).unwrap_or(0)
        }
        None => 0,
    };
    match u16::try_from(number) {
        Ok(number @ 200..=599) => Ok(number),
        _ => {
            let given = Integer::from_value(status).map_or_else(|| class_of(status), |_| number.to_string());
            Err(error::response(ruby, format!("status must be an Integer from 200 to 599, got {given}")))
        }
    }
}

/// Whether all Arrays respond to `close`.
pub(crate) fn arrays_close(ruby: &Ruby) -> bool {
    let (array, close) = (ruby.class_array().as_raw(), LazyId::get_inner_with(&CLOSE, ruby).as_raw());
    // SAFETY: a class and the name of a method. To look one up runs no Ruby code.
    unsafe { rb_method_boundp(array, close, 1) != 0 }
}

/// The number of bytes of all parts.
///
/// # Errors
/// `Volador::ResponseError` when one is no String.
pub(crate) fn parts_len(ruby: &Ruby, parts: RArray) -> Result<u64, Error> {
    let mut len = 0;
    for at in 0..parts.len() {
        let part: Value = parts.entry(at as isize)?;
        let Some(part) = RString::from_value(part) else {
            return Err(error::response(ruby, format!("the body must give Strings, got {}", class_of(part))));
        };
        len += part.len() as u64;
    }
    Ok(len)
}

/// The bytes of all parts, in order.
///
/// # Safety
/// No Ruby code may run and nothing may be allocated by Ruby until the iterator is dropped.
pub(crate) unsafe fn parts_bytes(parts: &RArray) -> impl Iterator<Item = &[u8]> {
    // SAFETY: by the caller's promise nobody changes the array meanwhile; `parts` keeps it and its strings alive.
    let parts = unsafe { parts.as_slice() };
    parts.iter().filter_map(|part| RString::from_value(*part)).map(|part| {
        // SAFETY: the bytes belong to the Ruby string, not to `part`, which only names it; the string is kept alive and
        // unchanged as above.
        unsafe {
            let bytes = part.as_slice();
            std::slice::from_raw_parts(bytes.as_ptr(), bytes.len())
        }
    })
}

/// Digits alone, and not too large.
fn decimal(value: &[u8]) -> Option<u64> {
    let value = value.trim_ascii();
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    if digits { std::str::from_utf8(value).ok()?.parse().ok() } else { None }
}

/// A connection option that an application may give.
fn is_wish(option: &[u8]) -> bool {
    [&b"close"[..], b"upgrade"].iter().any(|wish| option.eq_ignore_ascii_case(wish))
}

/// RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_field_value(byte: u8) -> bool {
    matches!(byte, b'\t' | 0x20..=0x7e | 0x80..)
}

/// Makes the constants; the extension is being loaded.
pub(crate) fn init(ruby: &Ruby) {
    LazyId::force(&CLOSE, ruby);
}
