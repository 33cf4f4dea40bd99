//! The Rack environment of a request.
//!
//! It starts as a copy of what the seat's requests mostly have ([`Usual`]), then gets what this one says. Encodings are those
//! of Puma: what comes from the client is BINARY, which Rack::Lint demands as soon as there is a byte outside of ASCII in it.

mod strings;
mod usual;

use std::{ffi::c_long, os::fd::IntoRawFd};

use magnus::{
    Error, RArray, RClass, RHash, RString, Ruby, Value,
    prelude::*,
    rb_sys::{AsRawValue, FromRawValue, protect},
    value::{Lazy, ReprValue},
};
use volador_proto::link::{Request, RequestBody};

use self::strings::*;
use crate::{
    header_names::{self, HeaderNames},
    hijack,
};

pub(crate) use usual::Usual;

static STRING_IO: Lazy<RClass> =
    Lazy::new(|ruby| ruby.class_object().const_get("StringIO").unwrap_or_else(|_| ruby.class_object()));
static FILE: Lazy<RClass> =
    Lazy::new(|ruby| ruby.class_object().const_get("File").unwrap_or_else(|_| ruby.class_object()));

/// Makes the constants; the extension is being loaded.
pub(crate) fn init(ruby: &Ruby) {
    strings::force(ruby);
    Lazy::force(&STRING_IO, ruby);
    Lazy::force(&FILE, ruby);
    header_names::init(ruby);
}

/// Pairs that are inserted together: one protected call for all of them.
const PAIRS: usize = 32;

/// So many are quicker inserted one by one than together, for which Ruby looks at all pairs that there are.
const FEW: usize = 6;

/// Gathers pairs for an env. It lives on the stack, where Ruby's collector finds the values.
struct Pairs<'u> {
    usual: &'u Usual,
    hijacks: hijack::Maker,
    /// The first three of [`usual::OWN`].
    own: [Value; 3],
    /// The env and the Hijack in it, once there is one.
    begun: Option<(RHash, Value)>,
    values: [Value; 2 * PAIRS],
    /// Values in use; even, <= 2 * PAIRS.
    len: usize,
}

impl Pairs<'_> {
    fn add(&mut self, ruby: &Ruby, key: RString, value: impl ReprValue) -> Result<(), Error> {
        if self.len == self.values.len() {
            self.insert(ruby)?;
        }
        self.values[self.len] = key.as_value();
        self.values[self.len + 1] = value.as_value();
        self.len += 2;
        Ok(())
    }

    /// The env with all pairs so far, and the Hijack in it.
    fn insert(&mut self, ruby: &Ruby) -> Result<(RHash, Value), Error> {
        let (usual, pairs) = (self.usual.hash(ruby).as_raw(), &self.values[..self.len]);
        let [path, path_info, uri] = self.own.map(|value| value.as_raw());
        let mut hijack = self.begun.map_or(ruby.qnil().as_value(), |(_, hijack)| hijack);
        let begun = self.begun.map(|(env, _)| env.as_raw());
        // SAFETY: what is given are values that are alive, on the stack or in the usual pairs, and Hashes where Hashes are
        // wanted; a `Value` is a VALUE in memory. What is raised (lack of memory) is caught, and nothing of Rust's is
        // dropped on the way.
        let env = unsafe {
            let env = protect(|| {
                let env = begun.unwrap_or_else(|| {
                    hijack = Value::from_raw(self.hijacks.make());
                    usual::begin(usual, [path, path_info, uri, hijack.as_raw()])
                });
                if pairs.len() <= 2 * FEW {
                    for pair in pairs.chunks_exact(2) {
                        rb_sys::rb_hash_aset(env, pair[0].as_raw(), pair[1].as_raw());
                    }
                } else {
                    rb_sys::rb_hash_bulk_insert(pairs.len() as c_long, pairs.as_ptr().cast(), env);
                }
                env
            })?;
            Value::from_raw(env)
        };
        self.len = 0;
        let begun = (RHash::from_value(env).unwrap_or_else(|| ruby.hash_new()), hijack);
        self.begun = Some(begun);
        Ok(begun)
    }
}

/// What a request is to the application.
pub(crate) struct Env {
    pub(crate) hash: RHash,
    /// The Hijack in it.
    pub(crate) hijack: Value,
    /// The File of a body that is in a file, which is to be closed once the request is answered.
    pub(crate) file: Option<Value>,
}

/// The environment of a request that `seat` has taken.
pub(crate) fn build(ruby: &Ruby, request: Box<Request>, usual: &Usual, seat: Value) -> Result<Env, Error> {
    let constant = |string: &'static Lazy<RString>| ruby.get_inner(string);
    let path = ruby.str_from_slice(request.path());
    let path_info = if request.path() == b"*" { usual.asterisk(ruby) } else { path };
    let uri = ruby.str_from_slice(request.path());
    let mut pairs = Pairs {
        usual,
        hijacks: hijack::Maker::new(ruby, seat),
        own: [path, path_info, uri].map(|string| string.as_value()),
        begun: None,
        values: [ruby.qnil().as_value(); 2 * PAIRS],
        len: 0,
    };
    if request.method() != b"GET" {
        pairs.add(ruby, constant(&REQUEST_METHOD), method(ruby, request.method()))?;
    }
    if !request.query().is_empty() {
        pairs.add(ruby, constant(&QUERY_STRING), ruby.str_from_slice(request.query()))?;
        uri.cat(b"?");
        uri.cat(request.query());
    }
    if request.http_10 {
        pairs.add(ruby, constant(&SERVER_PROTOCOL), constant(&HTTP_10))?;
        pairs.add(ruby, constant(&HTTP_VERSION), constant(&HTTP_10))?;
    }
    if request.tls {
        pairs.add(ruby, constant(&RACK_URL_SCHEME), constant(&SCHEME_HTTPS))?;
    }
    // A Unix socket's peer is on this machine; middleware that parses addresses expects one.
    let remote_addr = if request.remote_addr().is_empty() { b"127.0.0.1" } else { request.remote_addr() };
    for (kept, key, value) in [
        (&usual.server_name, &SERVER_NAME, request.server_name()),
        (&usual.server_port, &SERVER_PORT, request.server_port()),
        (&usual.remote_addr, &REMOTE_ADDR, remote_addr),
    ] {
        if let Some(string) = usual.replace(ruby, kept, constant(key), value)? {
            pairs.add(ruby, constant(key), string)?;
        }
    }

    let (mut has_host, mut upgrade) = (false, false);
    {
        let mut names = HeaderNames::lock(ruby);
        for (name, value) in request.fields.iter() {
            if name == b"host" {
                has_host = true;
                if let Some(string) = usual.replace(ruby, &usual.host, constant(&HTTP_HOST), value)? {
                    pairs.add(ruby, constant(&HTTP_HOST), string)?;
                }
                continue;
            }
            pairs.add(ruby, names.key(name)?, ruby.str_from_slice(value))?;
            upgrade |= name == b"upgrade";
        }
    }
    if usual.has_finished {
        pairs.add(ruby, constant(&RACK_RESPONSE_FINISHED), ruby.ary_new())?;
    }
    if upgrade && let Some(protocols) = protocols(ruby, &request)? {
        pairs.add(ruby, constant(&RACK_PROTOCOL), protocols)?;
    }
    let file = match request.body {
        RequestBody::None => None,
        RequestBody::Inline(bytes) => {
            let bytes = ruby.str_from_slice(&bytes);
            pairs.add(ruby, constant(&RACK_INPUT), ruby.get_inner(&STRING_IO).new_instance((bytes,))?)?;
            None
        }
        RequestBody::File { fd, .. } => {
            // The File closes it from here on, also when an interrupt raises behind the call that has made it.
            let file: Value = ruby.get_inner(&FILE).funcall("for_fd", (fd.into_raw_fd(), "rb"))?;
            pairs.add(ruby, constant(&RACK_INPUT), file)?;
            Some(file)
        }
    };
    let (hash, hijack) = pairs.insert(ruby)?;
    if !has_host && usual.host.get().is_some() {
        hash.delete::<_, Value>(constant(&HTTP_HOST))?;
    }
    Ok(Env { hash, hijack, file })
}

/// The protocols that the client would change to, in its order; None when it does not ask for it. RFC 9110 §7.8: the field
/// has to be named by Connection, and "a server MUST ignore an Upgrade header field that is received in an HTTP/1.0 request".
fn protocols(ruby: &Ruby, request: &Request) -> Result<Option<RArray>, Error> {
    let elements = |wanted: &'static [u8]| {
        let values = request.fields.iter().filter(move |(name, _)| *name == wanted);
        values.flat_map(|(_, value)| value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
    };
    if request.http_10 || !elements(b"connection").any(|one| one.eq_ignore_ascii_case(b"upgrade")) {
        return Ok(None);
    }
    let protocols = ruby.ary_new();
    for protocol in elements(b"upgrade").filter(|one| !one.is_empty()) {
        protocols.push(ruby.str_from_slice(protocol))?;
    }
    Ok(Some(protocols))
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
