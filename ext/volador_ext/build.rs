//! Tells the compiler which Ruby this is: `cfg(ruby_gte_3_2)` and the like.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    rb_sys_env::activate()?;
    Ok(())
}
