//! What an object is, asked without a call of Ruby's.

use std::{marker::PhantomData, ops::Deref, ptr};

use magnus::{DataType, Error, RClass, Ruby, TryConvert, TypedData, Value, rb_sys::AsRawValue};
use rb_sys::{RBasic, rb_data_type_t};

/// Whether an object is of exactly this class, and has no singleton class. Not to be asked of Integers, Symbols and the like.
pub(crate) fn is_exactly(object: impl AsRawValue, class: RClass) -> bool {
    let object = object.as_raw();
    // SAFETY: what is no immediate value is an object on the heap, and those begin with their class.
    !rb_sys::SPECIAL_CONST_P(object) && unsafe { (*(object as *const RBasic)).klass == class.as_raw() }
}

/// The receiver of a method, and only that; as `&T` is for magnus, which asks Ruby what the object is and catches what
/// that might raise: two hundred instructions for each call.
pub(crate) struct This<'a, T> {
    object: Value,
    rust: PhantomData<&'a T>,
}

impl<T: TypedData> TryConvert for This<'_, T> {
    fn try_convert(object: Value) -> Result<Self, Error> {
        let wanted = ptr::from_ref::<DataType>(T::data_type()).cast::<rb_data_type_t>();
        let raw = object.as_raw();
        // SAFETY: the type is asked of what is such an object.
        let is_ours = unsafe { rb_sys::RTYPEDDATA_P(raw) && rb_sys::RTYPEDDATA_TYPE(raw) == wanted };
        if is_ours {
            return Ok(Self { object, rust: PhantomData });
        }
        let ruby = Ruby::get_with(object);
        Err(Error::new(ruby.exception_type_error(), "the receiver is of another class"))
    }
}

impl<T> Deref for This<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the object was checked to hold a `T`, which stays where it is. It is the receiver of the method that
        // runs, so Ruby holds it.
        unsafe { &*rb_sys::RTYPEDDATA_GET_DATA(self.object.as_raw()).cast::<T>() }
    }
}

impl<T> This<'_, T> {
    pub(crate) fn object(&self) -> Value {
        self.object
    }
}
