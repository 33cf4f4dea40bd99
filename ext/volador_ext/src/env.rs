//! The Rack environment of a request.
//!
//! It starts as a copy of a template that Ruby has made (`rack.errors`, `SERVER_SOFTWARE` and whatever else is the same
//! for all requests), then gets what the request says. Encodings are those of Puma: what comes from the client is
//! BINARY, which Rack::Lint demands as soon as there is a byte outside of ASCII in it.

use std::{cell::Cell, os::fd::IntoRawFd};

use magnus::{
    Error, RClass, RHash, RString, Ruby, Value, gc,
    prelude::*,
    rb_sys::{AsRawValue, FromRawValue, protect},
    value::{Lazy, Opaque, ReprValue},
};
use volador_proto::link::{Request, RequestBody};

use crate::header_names::{self, HeaderNames, interned};

/// Frozen strings that are made once.
macro_rules! strings {
    ($($name:ident = $text:literal;)+) => {
        $(static $name: Lazy<RString> = Lazy::new(|ruby| constant(ruby, $text));)+

        fn force_strings(ruby: &Ruby) {
            $(Lazy::force(&$name, ruby);)+
        }
    };
}

strings! {
    REQUEST_METHOD = "REQUEST_METHOD";
    PATH_INFO = "PATH_INFO";
    QUERY_STRING = "QUERY_STRING";
    REQUEST_PATH = "REQUEST_PATH";
    REQUEST_URI = "REQUEST_URI";
    SERVER_NAME = "SERVER_NAME";
    SERVER_PORT = "SERVER_PORT";
    SERVER_PROTOCOL = "SERVER_PROTOCOL";
    HTTP_VERSION = "HTTP_VERSION";
    REMOTE_ADDR = "REMOTE_ADDR";
    RACK_URL_SCHEME = "rack.url_scheme";
    RACK_INPUT = "rack.input";
    GET = "GET";
    HEAD = "HEAD";
    POST = "POST";
    PUT = "PUT";
    PATCH = "PATCH";
    DELETE = "DELETE";
    OPTIONS = "OPTIONS";
    HTTP_10 = "HTTP/1.0";
    HTTP_11 = "HTTP/1.1";
    SCHEME_HTTP = "http";
    SCHEME_HTTPS = "https";
    EMPTY = "";
}

static STRING_IO: Lazy<RClass> =
    Lazy::new(|ruby| ruby.class_object().const_get("StringIO").unwrap_or_else(|_| ruby.class_object()));
static FILE: Lazy<RClass> =
    Lazy::new(|ruby| ruby.class_object().const_get("File").unwrap_or_else(|_| ruby.class_object()));

fn constant(ruby: &Ruby, text: &str) -> RString {
    interned(ruby, text.as_bytes()).unwrap_or_else(|_| ruby.str_new(text))
}

/// Makes the constants; the extension is being loaded.
pub(crate) fn init(ruby: &Ruby) {
    force_strings(ruby);
    Lazy::force(&STRING_IO, ruby);
    Lazy::force(&FILE, ruby);
    header_names::init(ruby);
}

/// Pairs that are inserted together: one protected call and one look at the table's size for all of them.
const PAIRS: usize = 32;

/// Gathers pairs for a Hash. It lives on the stack, where Ruby's collector finds the values.
struct Pairs {
    env: RHash,
    values: [Value; 2 * PAIRS],
    /// Values in use; even, <= 2 * PAIRS.
    len: usize,
}

impl Pairs {
    fn add(&mut self, key: RString, value: impl ReprValue) -> Result<(), Error> {
        if self.len == self.values.len() {
            self.insert()?;
        }
        self.values[self.len] = key.as_value();
        self.values[self.len + 1] = value.as_value();
        self.len += 2;
        Ok(())
    }

    fn insert(&mut self) -> Result<(), Error> {
        let pairs = &self.values[..self.len];
        self.len = 0;
        self.env.bulk_insert(pairs)
    }
}

/// Values that are mostly those of the request before: an application has few names, and a proxy one address. They are
/// frozen, and belong to one seat, which marks them.
#[derive(Default)]
pub(crate) struct Recent {
    server_name: Cell<Option<Opaque<RString>>>,
    server_port: Cell<Option<Opaque<RString>>>,
    remote_addr: Cell<Option<Opaque<RString>>>,
}

impl Recent {
    pub(crate) fn mark(&self, marker: &gc::Marker) {
        for string in [&self.server_name, &self.server_port, &self.remote_addr] {
            if let Some(string) = string.get() {
                marker.mark(string);
            }
        }
    }
}

/// The string in `recent`, or a new one that takes its place.
fn recall(ruby: &Ruby, recent: &Cell<Option<Opaque<RString>>>, bytes: &[u8]) -> RString {
    if let Some(string) = recent.get() {
        let string = ruby.get_inner(string);
        // SAFETY: the slice is compared before Ruby code runs again, and the string is frozen.
        if unsafe { string.as_slice() } == bytes {
            return string;
        }
    }
    let string = ruby.str_from_slice(bytes);
    string.freeze();
    recent.set(Some(string.into()));
    string
}

/// The environment of a request. With it comes the File of a body that is in a file, which is to be closed once the
/// request is answered.
pub(crate) fn build(
    ruby: &Ruby,
    request: Request,
    template: RHash,
    empty_input: Value,
    recent: &Recent,
) -> Result<(RHash, Option<Value>), Error> {
    let env = dup(ruby, template)?;
    let constant = |string: &'static Lazy<RString>| ruby.get_inner(string);
    let mut pairs = Pairs { env, values: [ruby.qnil().as_value(); 2 * PAIRS], len: 0 };

    pairs.add(constant(&REQUEST_METHOD), method(ruby, request.method()))?;
    let path = ruby.str_from_slice(request.path());
    pairs.add(constant(&REQUEST_PATH), path)?;
    // `OPTIONS *` asks the server as a whole, not a path of it, and the Rack 2 SPEC allows no "*" here.
    pairs.add(constant(&PATH_INFO), if request.path() == b"*" { constant(&EMPTY) } else { path })?;
    pairs.add(constant(&QUERY_STRING), either(ruby, request.query(), &[(b"", &EMPTY)]))?;
    let uri = ruby.str_from_slice(request.path());
    if !request.query().is_empty() {
        uri.cat(b"?");
        uri.cat(request.query());
    }
    pairs.add(constant(&REQUEST_URI), uri)?;
    pairs.add(constant(&SERVER_NAME), recall(ruby, &recent.server_name, request.server_name()))?;
    pairs.add(constant(&SERVER_PORT), recall(ruby, &recent.server_port, request.server_port()))?;
    let version = constant(if request.http_10 { &HTTP_10 } else { &HTTP_11 });
    pairs.add(constant(&SERVER_PROTOCOL), version)?;
    pairs.add(constant(&HTTP_VERSION), version)?;
    // A Unix socket's peer is on this machine; middleware that parses addresses expects one.
    let remote_addr = if request.remote_addr().is_empty() { b"127.0.0.1" } else { request.remote_addr() };
    pairs.add(constant(&REMOTE_ADDR), recall(ruby, &recent.remote_addr, remote_addr))?;
    pairs.add(constant(&RACK_URL_SCHEME), constant(if request.tls { &SCHEME_HTTPS } else { &SCHEME_HTTP }))?;

    {
        let mut names = HeaderNames::lock(ruby);
        for (name, value) in request.fields.iter() {
            pairs.add(names.key(name)?, ruby.str_from_slice(value))?;
        }
    }
    let (input, file) = match request.body {
        RequestBody::None => (empty_input, None),
        RequestBody::Inline(bytes) => {
            let bytes = ruby.str_from_slice(&bytes);
            (ruby.get_inner(&STRING_IO).new_instance((bytes,))?.as_value(), None)
        }
        RequestBody::File { fd, .. } => {
            // The File closes it from here on, also when an interrupt raises behind the call that has made it.
            let file: Value = ruby.get_inner(&FILE).funcall("for_fd", (fd.into_raw_fd(), "rb"))?;
            (file, Some(file))
        }
    };
    pairs.add(constant(&RACK_INPUT), input)?;
    pairs.insert()?;
    Ok((env, file))
}

/// A copy that is not frozen.
fn dup(ruby: &Ruby, template: RHash) -> Result<RHash, Error> {
    let template = template.as_raw();
    // SAFETY: the argument is a Hash, and so is the result; what it raises (lack of memory) is caught.
    let copy = unsafe { Value::from_raw(protect(|| rb_sys::rb_hash_dup(template))?) };
    Ok(RHash::from_value(copy).unwrap_or_else(|| ruby.hash_new()))
}

fn method(ruby: &Ruby, method: &[u8]) -> RString {
    let known: [(&[u8], _); 7] = [
        (b"GET", &GET),
        (b"POST", &POST),
        (b"HEAD", &HEAD),
        (b"PUT", &PUT),
        (b"PATCH", &PATCH),
        (b"DELETE", &DELETE),
        (b"OPTIONS", &OPTIONS),
    ];
    either(ruby, method, &known)
}

/// One of the known frozen strings, or a new one.
fn either(ruby: &Ruby, bytes: &[u8], known: &[(&[u8], &'static Lazy<RString>)]) -> RString {
    match known.iter().find(|(text, _)| *text == bytes) {
        Some((_, string)) => ruby.get_inner(*string),
        None => ruby.str_from_slice(bytes),
    }
}
