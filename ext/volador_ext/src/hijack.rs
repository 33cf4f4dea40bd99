//! `Volador::Hijack`: the object behind `env["rack.hijack"]`, of which every request gets one. What it does is in
//! `lib/volador/hijack.rb`; here it is made, as cheaply as an object can be: it has its seat in the place of data, and
//! nothing to free.

use std::{ffi::c_void, mem::zeroed, ptr};

use magnus::{
    Error, Module, RClass, RModule, Ruby, Value, method,
    prelude::*,
    rb_sys::{AsRawValue, FromRawValue, protect},
    value::Lazy,
};
use rb_sys::{VALUE, rb_data_type_struct__bindgen_ty_1, rb_data_type_t, rbimpl_typeddata_flags::*};

static CLASS: Lazy<RClass> = Lazy::new(|ruby| {
    let class = ruby.class_object().const_get::<_, RModule>("Volador").and_then(|volador| volador.const_get("Hijack"));
    // Not reached: `init` has made sure of it.
    class.unwrap_or_else(|_| ruby.class_object())
});

/// How Ruby knows the objects of this module, and finds their seats.
struct Type(rb_data_type_t);

// SAFETY: nobody writes to it, and what it points to is constant.
unsafe impl Sync for Type {}

static TYPE: Type = Type(rb_data_type_t {
    wrap_struct_name: c"Volador::Hijack".as_ptr(),
    // SAFETY: what else there is, which depends on the version of Ruby, are pointers that may be null.
    function: unsafe { rb_data_type_struct__bindgen_ty_1 { dmark: Some(mark), ..zeroed() } },
    parent: ptr::null(),
    data: ptr::null_mut(),
    // The seat is the only reference, and never another one, so there is no write without a barrier.
    flags: RUBY_TYPED_FREE_IMMEDIATELY as VALUE | RUBY_TYPED_WB_PROTECTED as VALUE,
});

/// Ruby's collector has come to an object whose seat this is.
unsafe extern "C" fn mark(seat: *mut c_void) {
    // SAFETY: called by the collector with what `Maker` has put there: a value, which this call keeps alive and in its
    // place from one collection to the next.
    unsafe { rb_sys::rb_gc_mark(seat as VALUE) }
}

/// Defines the class; the extension is being loaded.
pub(crate) fn init(ruby: &Ruby, volador: RModule) -> Result<(), Error> {
    let class = volador.define_class("Hijack", ruby.class_object())?;
    // There is none without a seat.
    class.undef_default_alloc_func();
    class.define_singleton_method("new", method!(new, 1))?;
    class.define_private_method("seat", method!(seat, 0))?;
    Lazy::force(&CLASS, ruby);
    Ok(())
}

/// Makes the object by which the request that a seat has taken gives its connection away.
pub(crate) struct Maker {
    class: VALUE,
    seat: VALUE,
}

impl Maker {
    pub(crate) fn new(ruby: &Ruby, seat: Value) -> Self {
        Self { class: ruby.get_inner(&CLASS).as_raw(), seat: seat.as_raw() }
    }

    /// # Safety
    /// It may raise (lack of memory): to be called protected, with nothing of Rust's to drop on the way. The caller keeps the
    /// seat alive until the object marks it.
    pub(crate) unsafe fn make(&self) -> VALUE {
        // SAFETY: the class has no allocator of its own, and the seat is a value, as the type's `mark` wants it.
        unsafe { rb_sys::rb_data_typed_object_wrap(self.class, self.seat as *mut c_void, &TYPE.0) }
    }
}

/// `Volador::Hijack.new`, for tests.
fn new(ruby: &Ruby, _class: Value, seat: Value) -> Result<Value, Error> {
    let maker = Maker::new(ruby, seat);
    // SAFETY: protected, and `seat` is an argument of this method.
    unsafe { Ok(Value::from_raw(protect(|| maker.make())?)) }
}

fn seat(hijack: Value) -> Result<Value, Error> {
    let hijack = hijack.as_raw();
    // SAFETY: an object of another type is raised, and caught; one of this type has its seat there, which it has marked.
    unsafe {
        let seat = protect(|| rb_sys::rb_check_typeddata(hijack, &TYPE.0) as VALUE)?;
        Ok(Value::from_raw(seat))
    }
}
