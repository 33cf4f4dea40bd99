//! [`Usual`]: the pairs that a seat's requests mostly have, in a Hash that every env begins as a copy of. To copy a pair
//! costs next to nothing, to insert one means to hash its key. So the pairs of which each request has a value of its own
//! are there as well, and get it before the copy.

use std::cell::Cell;
#[cfg(ruby_lte_3_3)]
use std::ffi::c_int;

use magnus::{
    Error, RHash, RString, Ruby, Value, gc,
    prelude::*,
    rb_sys::{AsRawValue, FromRawValue, protect},
    value::{Lazy, Opaque},
};
use rb_sys::VALUE;
#[cfg(ruby_lte_3_3)]
use rb_sys::{st_data_t, st_retval};

use super::strings::*;

/// The keys of these pairs, which are the first ones of the Hash. Each gets a value by [`begin`].
pub(super) const OWN: [&Lazy<RString>; 4] = [&REQUEST_PATH, &PATH_INFO, &REQUEST_URI, &RACK_HIJACK];

/// A value that is mostly that of the request before: an application has few names, and a proxy one address. It is frozen,
/// and the Hash's as well, once there was one.
pub(super) type Kept = Cell<Option<Opaque<RString>>>;

/// What a seat's requests mostly have in common. It belongs to the seat, which marks it.
pub(crate) struct Usual {
    /// Never given out, only copied.
    hash: Opaque<RHash>,
    /// PATH_INFO of `OPTIONS *`.
    asterisk: Opaque<RString>,
    /// Whether each request has an Array for what is to be called at its end.
    pub(super) has_finished: bool,
    pub(super) server_name: Kept,
    pub(super) server_port: Kept,
    pub(super) remote_addr: Kept,
    pub(super) host: Kept,
}

impl Usual {
    /// `template`: what Ruby gives all requests, with the PATH_INFO of `OPTIONS *`; `empty_input`: of a request without a body.
    pub(crate) fn new(ruby: &Ruby, template: RHash, empty_input: Value) -> Result<Self, Error> {
        let asterisk: RString = template.fetch(ruby.get_inner(&PATH_INFO))?;
        let hash = dup(ruby, template)?;
        // What is cleared keeps its memory, in which there is room.
        hash.clear()?;
        for key in OWN {
            hash.aset(ruby.get_inner(key), ruby.qnil())?;
        }
        hash.update(template)?;
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
        let has_finished = template.get(ruby.get_inner(&RACK_RESPONSE_FINISHED)).is_some();
        Ok(Self {
            hash: hash.into(),
            asterisk: asterisk.into(),
            has_finished,
            server_name: Kept::default(),
            server_port: Kept::default(),
            remote_addr: Kept::default(),
            host: Kept::default(),
        })
    }

    pub(crate) fn mark(&self, marker: &gc::Marker) {
        marker.mark(self.hash);
        marker.mark(self.asterisk);
        for kept in [&self.server_name, &self.server_port, &self.remote_addr, &self.host] {
            if let Some(string) = kept.get() {
                marker.mark(string);
            }
        }
    }

    /// The Hash of which an env begins as a copy.
    pub(crate) fn hash(&self, ruby: &Ruby) -> RHash {
        ruby.get_inner(self.hash)
    }

    /// The path that a request is for which asks for the server as a whole.
    pub(super) fn asterisk(&self, ruby: &Ruby) -> RString {
        ruby.get_inner(self.asterisk)
    }

    /// What is to stand under `key`, one of `kept`, in this env, if that is not what the copy has. The next ones will have
    /// it.
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

/// An env with the values of a request for [`OWN`], and all usual pairs.
///
/// # Safety
/// `usual` is that of [`Usual::hash`], and `own` are values, all of them kept alive by the caller. It may raise (lack of
/// memory): to be called protected, with nothing of Rust's to drop on the way.
pub(super) unsafe fn begin(usual: VALUE, own: [VALUE; 4]) -> VALUE {
    // SAFETY: by the caller's promise.
    unsafe {
        set_own(usual, own);
        rb_sys::rb_hash_dup(usual)
    }
}

/// Without hashing a key: the values are written where they stand.
#[cfg(ruby_lte_3_3)]
unsafe fn set_own(usual: VALUE, own: [VALUE; 4]) {
    /// Values and how many of them have been written.
    type Writing = ([VALUE; 4], usize);

    unsafe extern "C" fn choose(_key: st_data_t, _value: st_data_t, _writing: st_data_t, _error: c_int) -> c_int {
        st_retval::ST_REPLACE as c_int
    }

    unsafe extern "C" fn write(_key: *mut st_data_t, value: *mut st_data_t, writing: st_data_t, _: c_int) -> c_int {
        // SAFETY: the address given below, of what nobody else uses until the walk has ended.
        let (own, written) = unsafe { &mut *(writing as *mut Writing) };
        // SAFETY: where the value of the entry goes.
        unsafe { *value = own[*written] };
        *written += 1;
        (if *written == own.len() { st_retval::ST_STOP } else { st_retval::ST_CONTINUE }) as c_int
    }

    let mut writing: Writing = (own, 0);
    // SAFETY: a Hash of more than eight pairs has a table, of which the first four entries are those of `OWN`: they were
    // inserted first, and nothing is ever deleted. To ask for the table tells the collector to look at the Hash whenever it
    // looks at others, so that what is written needs no barrier.
    unsafe {
        let table = rb_sys::rb_hash_tbl(usual, c"usual.rs".as_ptr(), 0);
        rb_sys::rb_st_foreach_with_replace(table, Some(choose), Some(write), &raw mut writing as st_data_t);
    }
}

/// By what every Ruby has.
#[cfg(not(ruby_lte_3_3))]
unsafe fn set_own(usual: VALUE, own: [VALUE; 4]) {
    // SAFETY: the interpreter lock is held: this is called by Ruby.
    let ruby = unsafe { Ruby::get_unchecked() };
    for (key, value) in OWN.into_iter().zip(own) {
        // SAFETY: values and a Hash, by the caller's promise.
        unsafe { rb_sys::rb_hash_aset(usual, ruby.get_inner(key).as_raw(), value) };
    }
}

/// A copy that is not frozen.
fn dup(ruby: &Ruby, template: RHash) -> Result<RHash, Error> {
    let template = template.as_raw();
    // SAFETY: the argument is a Hash, and so is the result; what it raises (lack of memory) is caught.
    let copy = unsafe { Value::from_raw(protect(|| rb_sys::rb_hash_dup(template))?) };
    Ok(RHash::from_value(copy).unwrap_or_else(|| ruby.hash_new()))
}
