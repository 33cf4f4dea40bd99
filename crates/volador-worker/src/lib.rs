//! The Ruby-free half of a worker.
#![forbid(unsafe_code)]
