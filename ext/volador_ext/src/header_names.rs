//! The environment keys of header fields, each made once: "accept-encoding" is HTTP_ACCEPT_ENCODING.
//!
//! Common names are there from the start. Others are remembered as they come, up to a limit, since a client can think
//! of any number; what is remembered lives as long as the process.

use std::{
    collections::HashMap,
    ffi::{c_char, c_long},
    hash::{BuildHasherDefault, Hasher},
};

use magnus::{
    Error, RString, Ruby,
    rb_sys::{FromRawValue, protect},
    value::Opaque,
};
use parking_lot::{Mutex, MutexGuard};

/// Names that are remembered beside the common ones.
const LEARNED_MAX: usize = 256;

/// Longer names are not remembered.
const LEARNED_LEN_MAX: usize = 64;

const COMMON: &[&str] = &[
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "access-control-request-headers",
    "access-control-request-method",
    "authorization",
    "cache-control",
    "cf-connecting-ip",
    "cf-ipcountry",
    "cf-ray",
    "cf-visitor",
    "client-ip",
    "connection",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "dnt",
    "early-data",
    "etag",
    "expect",
    "forwarded",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "last-event-id",
    "max-forwards",
    "origin",
    "pragma",
    "priority",
    "proxy-authorization",
    "purpose",
    "range",
    "referer",
    "save-data",
    "sec-ch-ua",
    "sec-ch-ua-mobile",
    "sec-ch-ua-platform",
    "sec-fetch-dest",
    "sec-fetch-mode",
    "sec-fetch-site",
    "sec-fetch-user",
    "sec-gpc",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "te",
    "traceparent",
    "tracestate",
    "true-client-ip",
    "upgrade",
    "upgrade-insecure-requests",
    "user-agent",
    "via",
    "warning",
    "x-amzn-trace-id",
    "x-correlation-id",
    "x-csrf-token",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-scheme",
    "x-forwarded-ssl",
    "x-http-method-override",
    "x-real-ip",
    "x-request-id",
    "x-request-start",
    "x-requested-with",
];

/// FNV-1a: quick on short names, and no client can make the table, which is bounded, slow enough to matter.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

type Table = HashMap<Box<[u8]>, Opaque<RString>, BuildHasherDefault<Fnv>>;

/// Used with the GVL only, so that its lock is free, unless a lack of memory has made Ruby jump over the guard.
static NAMES: Mutex<Option<Table>> = Mutex::new(None);

/// Fills the table with the common names.
pub(crate) fn init(ruby: &Ruby) {
    let mut table = Table::default();
    for name in COMMON {
        if let Ok(key) = make(ruby, name.as_bytes()) {
            ruby.gc_register_mark_object(key);
            table.insert(name.as_bytes().into(), key.into());
        }
    }
    *NAMES.lock() = Some(table);
}

/// The keys, for the fields of one request.
pub(crate) struct HeaderNames<'r> {
    ruby: &'r Ruby,
    /// None: all keys are made anew.
    table: Option<MutexGuard<'static, Option<Table>>>,
}

impl<'r> HeaderNames<'r> {
    pub(crate) fn lock(ruby: &'r Ruby) -> Self {
        Self { ruby, table: NAMES.try_lock() }
    }

    /// The frozen key of a lower-case field name.
    pub(crate) fn key(&mut self, name: &[u8]) -> Result<RString, Error> {
        let mut table = self.table.as_mut().and_then(|table| table.as_mut());
        if let Some(key) = table.as_ref().and_then(|table| table.get(name)) {
            return Ok(self.ruby.get_inner(*key));
        }
        let key = make(self.ruby, name)?;
        if let Some(table) = &mut table
            && name.len() <= LEARNED_LEN_MAX
            && table.len() < COMMON.len() + LEARNED_MAX
        {
            self.ruby.gc_register_mark_object(key);
            table.insert(name.into(), key.into());
        }
        Ok(key)
    }
}

fn make(ruby: &Ruby, name: &[u8]) -> Result<RString, Error> {
    let mut key = Vec::with_capacity(5 + name.len());
    // RFC 3875 §4.1.2 and §4.1.3: these two have variables of their own.
    if name != b"content-type" && name != b"content-length" {
        key.extend_from_slice(b"HTTP_");
    }
    key.extend(name.iter().map(|byte| if *byte == b'-' { b'_' } else { byte.to_ascii_uppercase() }));
    interned(ruby, &key)
}

/// The one frozen string of these bytes, the same object as an equal literal in Ruby code.
pub(crate) fn interned(ruby: &Ruby, bytes: &[u8]) -> Result<RString, Error> {
    // Ruby 3.1 looks at the bytes even of an empty string, and an empty slice may point to nowhere.
    let ptr = if bytes.is_empty() { c"".as_ptr() } else { bytes.as_ptr().cast::<c_char>() };
    // SAFETY: pointer and length are of one slice, which lives over the call and is copied; what it raises (lack of
    // memory) is caught. The result is a String.
    let string = unsafe {
        let value = protect(|| rb_sys::rb_enc_interned_str(ptr, bytes.len() as c_long, rb_sys::rb_utf8_encoding()))?;
        magnus::Value::from_raw(value)
    };
    Ok(RString::from_value(string).unwrap_or_else(|| ruby.str_from_slice(bytes)))
}
