//! Volador's Ruby extension: the only crate that knows Ruby.
//!
//! It gives Ruby `Volador::Native::{Gateway, Worker, Seat, Connection}`, the contract between this crate and
//! `lib/volador`, which is no public API. It holds no policy: what is served and when stands in `volador-gateway` and
//! `volador-worker`, what an application sees stands in Ruby.
//!
//! | module       | holds                                                                         |
//! |--------------|-------------------------------------------------------------------------------|
//! | `gateway`    | `Native::Gateway`, and the two adapters that join gateway and worker             |
//! | `worker`     | `Native::Worker`                                                              |
//! | `seat`       | `Native::Seat`: takes jobs, answers them; `job` what they are for Ruby          |
//! | `connection` | `Native::Connection`: one push connection                                      |
//! | `channel`    | reads and checks names of channels                                             |
//! | `event`      | server-sent events with fields of their own                                    |
//! | `payload`    | what a String is on the link, how long it may be, how fast such may come       |
//! | `env`        | the Rack environment of a request; `header_names` the keys of its fields        |
//! | `response`   | reads and checks what the application answers                                   |
//! | `options`    | reads the options Hash                                                         |
//! | `figures`    | the gateway's figures as a Hash                                                |
//! | `error`      | Ruby's exception classes, and panics as exceptions                              |
//! | `journal`    | a worker's notes of the jobs that have begun, in memory that the gateway reads  |
//! | `hijack`     | `Volador::Hijack`                                                              |
//! | `object`     | what an object is, asked without a call of Ruby's                              |
//! | `process`    | what Ruby has no call for                                                       |
//! | `gvl`        | **all rules about the global VM lock**                                         |
//! | `fork`       | objects that came over a fork                                                  |
//!
//! Rules for every `unsafe` and every line here:
//! - Ruby is called only with the GVL, which every method called by Ruby has. Threads of the gateway and the worker
//!   never call Ruby.
//! - What may raise goes through magnus, which catches it (`rb_protect`); no exception may jump over Rust frames. The one
//!   that still can is a lack of memory where magnus makes a String: nothing may depend on a destructor there.
//! - Every method that may fail runs in `error::guarded`, where its error becomes an exception.
//! - Ruby values live on the stack, or in a marked field, or are registered for good. Never in a `Vec`, `Box` or closure.

// Only the init function that magnus generates is public, and nothing can be written above that.
#![allow(missing_docs)]

mod channel;
mod connection;
mod env;
mod error;
mod event;
mod figures;
mod fork;
mod gateway;
mod gvl;
mod header_names;
mod hijack;
mod job;
mod journal;
mod object;
mod options;
mod payload;
mod process;
mod response;
mod seat;
mod worker;

use magnus::{Error, Ruby, TypedData, prelude::*};

/// Run by `require`.
#[magnus::init(name = "volador_ext")]
fn init(ruby: &Ruby) -> Result<(), Error> {
    fork::watch();
    volador_link::log::report_panics();
    ruby.require("stringio")?;
    let volador = ruby.define_module("Volador")?;
    error::init(ruby, volador)?;
    let native = volador.define_module("Native")?;
    process::init(native)?;
    gateway::init(ruby, native)?;
    worker::init(ruby, native)?;
    seat::init(ruby, native)?;
    connection::init(ruby, native)?;
    env::init(ruby);
    hijack::init(ruby, volador)?;
    response::init(ruby);
    // Magnus looks a class up when it is used first, and can't say that an interrupt has ended that.
    let _ = (
        <gateway::Gateway as TypedData>::class(ruby),
        <worker::Worker as TypedData>::class(ruby),
        <seat::Seat as TypedData>::class(ruby),
        <connection::Connection as TypedData>::class(ruby),
    );
    Ok(())
}
