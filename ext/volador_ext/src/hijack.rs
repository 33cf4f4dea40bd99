//! `Volador::Hijack`: the object behind `env["rack.hijack"]`, of which every request gets one. What it does is in
//! `lib/volador/hijack.rb`; here it is only made, since to make it in Ruby would cost a request more.

use magnus::{
    Error, RClass, RModule, Ruby, Value,
    prelude::*,
    rb_sys::{AsRawId, AsRawValue, FromRawValue, protect},
    value::{Lazy, LazyId},
};

static CLASS: Lazy<RClass> = Lazy::new(|ruby| {
    let class = ruby.class_object().const_get::<_, RModule>("Volador").and_then(|volador| volador.const_get("Hijack"));
    // Not reached: `init` has made sure of it.
    class.unwrap_or_else(|_| ruby.class_object())
});
static SEAT: LazyId = LazyId::new("@seat");

/// Defines the class; the extension is being loaded.
pub(crate) fn init(ruby: &Ruby, volador: RModule) -> Result<(), Error> {
    volador.define_class("Hijack", ruby.class_object())?;
    Lazy::force(&CLASS, ruby);
    LazyId::force(&SEAT, ruby);
    Ok(())
}

/// The object by which the request that `seat` has taken gives its connection away.
pub(crate) fn callable(ruby: &Ruby, seat: Value) -> Result<Value, Error> {
    let class = ruby.get_inner(&CLASS).as_raw();
    let (name, seat) = (LazyId::get_inner_with(&SEAT, ruby).as_raw(), seat.as_raw());
    // SAFETY: the arguments are a class with Object's allocator, the name of an instance variable and a value that the caller
    // keeps alive; what is raised (lack of memory) is caught, and nothing of Rust's is dropped on the way.
    unsafe {
        let object = protect(|| {
            let object = rb_sys::rb_obj_alloc(class);
            rb_sys::rb_ivar_set(object, name, seat);
            object
        })?;
        Ok(Value::from_raw(object))
    }
}
