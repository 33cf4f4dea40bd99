//! Volador's Ruby extension.

#[magnus::init(name = "volador_ext")]
fn init() {}
