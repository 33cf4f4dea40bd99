//! What must hold for any bytes. Each module has one `check`, which the fuzz target of the same name calls, and which
//! `tests/seeds.rs` of the crate it is for calls with the seeds so that a plain `cargo test` runs them too.
#![forbid(unsafe_code)]

pub mod http1_head_watch;
pub mod hub_filters;
pub mod link_frames;
pub mod sse_event;
pub mod ws_decoder;
pub mod ws_extensions;
