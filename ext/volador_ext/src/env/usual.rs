//! [`Usual`]: the pairs that a seat's requests mostly have, in a Hash that every env begins as a copy of. To copy a pair costs
//! next to nothing, to insert one means to hash its key.

use std::cell::Cell;

use magnus::{
    Error, RHash, RString, Ruby, Value, gc,
    prelude::*,
    rb_sys::{AsRawValue, FromRawValue, protect},
    value::Opaque,
};
use rb_sys::VALUE;

use super::strings::*;

/// A value that is mostly that of the request before: an application has few names, and a proxy one address. It is frozen,
/// and the Hash's as well, once there was one.
pub(super) type Kept = Cell<Option<Opaque<RString>>>;

/// What a seat's requests mostly have in common. It belongs to the seat, which marks it.
pub(crate) struct Usual {
    /// Never given out, only copied.
    hash: Opaque<RHash>,
    pub(super) server_name: Kept,
    pub(super) server_port: Kept,
    pub(super) remote_addr: Kept,
    pub(super) host: Kept,
}

impl Usual {
    /// `template`: what Ruby gives all requests; `empty_input`: of a request without a body.
    pub(crate) fn new(ruby: &Ruby, template: RHash, empty_input: Value) -> Result<Self, Error> {
        let hash = dup(ruby, template)?;
        for (key, value) in [
            (&REQUEST_METHOD, &GET),
            (&QUERY_STRING, &EMPTY),
            (&SERVER_PROTOCOL, &HTTP_11),
            (&HTTP_VERSION, &HTTP_11),
            (&RACK_URL_SCHEME, &SCHEME_HTTP),
        ] {
            hash.aset(ruby.get_inner(key), ruby.get_inner(value))?;
        }
        hash.aset(ruby.get_inner(&RACK_INPUT), empty_input)?;
        Ok(Self {
            hash: hash.into(),
            server_name: Kept::default(),
            server_port: Kept::default(),
            remote_addr: Kept::default(),
            host: Kept::default(),
        })
    }

    pub(crate) fn mark(&self, marker: &gc::Marker) {
        marker.mark(self.hash);
        for kept in [&self.server_name, &self.server_port, &self.remote_addr, &self.host] {
            if let Some(string) = kept.get() {
                marker.mark(string);
            }
        }
    }

    /// The Hash of which an env begins as a copy.
    pub(super) fn raw(&self, ruby: &Ruby) -> VALUE {
        ruby.get_inner(self.hash).as_raw()
    }

    /// What is to stand under `key`, one of `kept`, in this env, if that is not what the copy has. The next ones will have it.
    pub(super) fn replace(
        &self,
        ruby: &Ruby,
        kept: &Kept,
        key: RString,
        bytes: &[u8],
    ) -> Result<Option<RString>, Error> {
        if let Some(string) = kept.get() {
            let string = ruby.get_inner(string);
            // SAFETY: the slice is compared before Ruby code runs again, and the string is frozen.
            if unsafe { string.as_slice() } == bytes {
                return Ok(None);
            }
        }
        let string = ruby.str_from_slice(bytes);
        string.freeze();
        ruby.get_inner(self.hash).aset(key, string)?;
        kept.set(Some(string.into()));
        Ok(Some(string))
    }
}

/// A copy that is not frozen.
fn dup(ruby: &Ruby, template: RHash) -> Result<RHash, Error> {
    let template = template.as_raw();
    // SAFETY: the argument is a Hash, and so is the result; what it raises (lack of memory) is caught.
    let copy = unsafe { Value::from_raw(protect(|| rb_sys::rb_hash_dup(template))?) };
    Ok(RHash::from_value(copy).unwrap_or_else(|| ruby.hash_new()))
}
