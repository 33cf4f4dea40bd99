//! `Native::Worker`: the worker's half of the server.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use magnus::{
    DataTypeFunctions, Error, Module, Object, RHash, RModule, RString, Ruby, Symbol, TypedData, Value, function, gc,
    method, typed_data, value::Opaque,
};
use volador_proto::link::{Hello, Kind, ListenerId, Match};
use volador_worker::{End, Options as WorkerOptions, Remote};

use crate::{
    channel,
    error::{self, guarded},
    event, figures,
    fork::{Forked, NotInherited},
    gvl, journal,
    options::Options,
    payload::{check_len, keep_pace, payload_of},
    seat::Seat,
};

/// How long a worker that leaves may take to send what is left.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the gateway may take to tell its figures.
const STATS_TIMEOUT: Duration = Duration::from_secs(5);

/// The Ruby object of the worker.
#[derive(TypedData)]
#[magnus(class = "Volador::Native::Worker", free_immediately, size, mark)]
pub(crate) struct Worker {
    /// The links of `remote`. Before it, since fields are dropped in their order.
    links: Forked<OnceLock<NotInherited>>,
    worker: Forked<Arc<volador_worker::Worker>>,
    /// The gateway of another process, once it is joined.
    remote: Forked<OnceLock<Remote>>,
    /// A complete body that is longer is streamed, so that a slow client keeps a file busy and not memory.
    pub(crate) complete_max_bytes: u64,
    /// What each request's environment starts from; frozen.
    pub(crate) env: Opaque<RHash>,
    /// `rack.input` of a request without a body.
    pub(crate) empty_input: Opaque<Value>,
}

impl DataTypeFunctions for Worker {
    fn mark(&self, marker: &gc::Marker) {
        marker.mark(self.env);
        marker.mark(self.empty_input);
    }
}

impl Worker {
    fn new(ruby: &Ruby, options: RHash) -> Result<typed_data::Obj<Self>, Error> {
        guarded(ruby, || {
            let options = Options::new(ruby, options);
            let env: RHash = options.get("env")?;
            let window_bytes = options.get("response_window_bytes")?;
            let worker = volador_worker::Worker::new(WorkerOptions {
                window_bytes,
                spool_max_bytes: options.get("spool_max_bytes")?,
                tmpdir: options.get::<PathBuf>("tmpdir")?,
                block_queue_max_bytes: options.get("block_queue_max_bytes")?,
                ping_interval: options.duration("ping_interval")?,
                heartbeat_interval: options.duration("heartbeat_interval")?,
            });
            let empty_input: Value = options.get("empty_input")?;
            Ok(ruby.obj_wrap(Self {
                links: Forked::new(OnceLock::new()),
                worker: Forked::new(Arc::new(worker)),
                remote: Forked::new(OnceLock::new()),
                complete_max_bytes: window_bytes,
                env: env.into(),
                empty_input: empty_input.into(),
            }))
        })
    }

    pub(crate) fn get(&self, ruby: &Ruby) -> Result<&Arc<volador_worker::Worker>, Error> {
        self.worker.get(ruby)
    }

    fn remote(&self, ruby: &Ruby) -> Result<&Remote, Error> {
        self.remote.get(ruby)?.get().ok_or_else(|| error::volador(ruby, "no gateway of another process is joined"))
    }

    fn join(ruby: &Ruby, this: &Self, link: String, options: RHash) -> Result<(), Error> {
        guarded(ruby, || {
            let options = Options::new(ruby, options);
            let hello = Hello {
                shard: 0,
                number: options.get("number")?,
                generation: options.get("generation")?,
                threads: options.get("threads")?,
            };
            let worker = this.get(ruby)?.clone();
            let slot = this.remote.get(ruby)?;
            if slot.get().is_some() {
                return Err(error::volador(ruby, "the worker has joined a gateway before"));
            }
            let path = PathBuf::from(&link);
            let leave = |joined: io::Result<Remote>| drop(joined.map(|joined| joined.leave(Duration::ZERO)));
            let joined = gvl::aside(ruby, move || Remote::join(worker, &path, hello, journal::open), leave)?
                .flatten()
                .map_err(|error| error::io(ruby, &error, format!("can't join the gateway at {link}")))?;
            let descriptors = joined.descriptors().to_vec();
            match slot.set(joined) {
                Ok(()) => drop(this.links.get(ruby)?.set(NotInherited::new(&descriptors))),
                // Another thread has joined meanwhile.
                Err(joined) => gvl::finishing(ruby, || joined.leave(Duration::ZERO))?,
            }
            Ok(())
        })
    }

    fn ready(ruby: &Ruby, this: &Self) -> Result<(), Error> {
        guarded(ruby, || {
            this.remote(ruby)?.ready();
            Ok(())
        })
    }

    fn beat(ruby: &Ruby, this: &Self) -> Result<(), Error> {
        guarded(ruby, || {
            this.remote(ruby)?.beat();
            Ok(())
        })
    }

    fn wait_end(ruby: &Ruby, this: &Self, seconds: f64) -> Result<Option<Symbol>, Error> {
        guarded(ruby, || {
            let remote = this.remote(ruby)?;
            let timeout = Duration::try_from_secs_f64(seconds.min(1e9)).unwrap_or_default();
            let wait = |until: Instant| remote.wait_end(until.saturating_duration_since(Instant::now()));
            let end = gvl::in_slices(ruby, Instant::now() + timeout, wait)?;
            Ok(end.map(|end| match end {
                End::Stop => ruby.to_symbol("stop"),
                End::Lost => ruby.to_symbol("lost"),
            }))
        })
    }

    fn leave(ruby: &Ruby, this: &Self) -> Result<(), Error> {
        guarded(ruby, || {
            let remote = this.remote(ruby)?;
            gvl::finishing(ruby, || remote.leave(LEAVE_TIMEOUT))
        })
    }

    fn gateway_stats(ruby: &Ruby, this: &Self) -> Result<RHash, Error> {
        guarded(ruby, || {
            let remote = this.remote(ruby)?;
            gvl::blocking(ruby, || remote.ask_figures())?;
            let until = Instant::now() + STATS_TIMEOUT;
            let lines = gvl::in_slices(ruby, until, |until| remote.wait_figures(until))?
                .unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
                .map_err(|error| error::volador(ruby, format!("the gateway did not tell its figures: {error}")))?;
            figures::parse(ruby, &lines)
        })
    }

    fn broadcast(ruby: &Ruby, this: &Self, pattern: RString, data: RString) -> Result<(), Error> {
        guarded(ruby, || {
            check_len(ruby, pattern.len() + data.len())?;
            let payload = payload_of(data);
            // SAFETY: both slices are copied before Ruby code can run again and change the strings.
            let (pattern, data) = unsafe { (pattern.as_slice(), data.as_slice()) };
            let worker = this.get(ruby)?;
            worker.broadcast(pattern, payload, data);
            keep_pace(ruby, worker)
        })
    }

    fn broadcast_event(
        ruby: &Ruby,
        this: &Self,
        pattern: RString,
        data: RString,
        event: Option<RString>,
        id: Option<RString>,
        retry_ms: Option<u64>,
    ) -> Result<(), Error> {
        guarded(ruby, || {
            let packed = event::pack(ruby, data, event, id, retry_ms)?;
            check_len(ruby, pattern.len() + packed.len())?;
            let worker = this.get(ruby)?;
            // SAFETY: the slice is copied before Ruby code can run again and change the string.
            worker.broadcast(unsafe { pattern.as_slice() }, Kind::Event, &packed);
            keep_pace(ruby, worker)
        })
    }

    fn publish(ruby: &Ruby, this: &Self, name: RString, data: RString) -> Result<bool, Error> {
        guarded(ruby, || {
            channel::check(ruby, name, Match::Exact)?;
            check_len(ruby, name.len() + data.len())?;
            let payload = payload_of(data);
            // SAFETY: both slices are copied before Ruby code can run again and change the strings.
            let (name, data) = unsafe { (name.as_slice(), data.as_slice()) };
            let worker = this.get(ruby)?;
            let published = worker.publish(name, payload, data);
            keep_pace(ruby, worker).map(|()| published)
        })
    }

    fn publish_event(
        ruby: &Ruby,
        this: &Self,
        name: RString,
        data: RString,
        event: Option<RString>,
        id: Option<RString>,
        retry_ms: Option<u64>,
    ) -> Result<bool, Error> {
        guarded(ruby, || {
            channel::check(ruby, name, Match::Exact)?;
            let packed = event::pack(ruby, data, event, id, retry_ms)?;
            check_len(ruby, name.len() + packed.len())?;
            let worker = this.get(ruby)?;
            // SAFETY: the slice is copied before Ruby code can run again and change the string.
            let published = worker.publish(unsafe { name.as_slice() }, Kind::Event, &packed);
            keep_pace(ruby, worker).map(|()| published)
        })
    }

    fn listen(ruby: &Ruby, this: &Self, name: RString, matching: Value) -> Result<u64, Error> {
        guarded(ruby, || {
            let matching = channel::matching(ruby, matching)?;
            channel::check(ruby, name, matching)?;
            // SAFETY: the slice is copied before Ruby code can run again and change the string.
            let ListenerId(id) = this.get(ruby)?.listen(matching, unsafe { name.as_slice() });
            Ok(id)
        })
    }

    fn unlisten(ruby: &Ruby, this: &Self, id: u64) -> Result<(), Error> {
        guarded(ruby, || {
            this.get(ruby)?.unlisten(ListenerId(id));
            Ok(())
        })
    }

    fn flush(ruby: &Ruby, this: &Self) -> Result<(), Error> {
        guarded(ruby, || {
            this.get(ruby)?.flush();
            Ok(())
        })
    }

    fn finish(ruby: &Ruby, this: &Self) -> Result<(), Error> {
        guarded(ruby, || {
            this.get(ruby)?.finish();
            Ok(())
        })
    }

    fn stop(ruby: &Ruby, this: &Self) -> Result<(), Error> {
        guarded(ruby, || {
            this.get(ruby)?.stop();
            Ok(())
        })
    }

    fn drop_published(ruby: &Ruby, this: &Self) -> Result<usize, Error> {
        guarded(ruby, || Ok(this.get(ruby)?.drop_published()))
    }

    fn queued(ruby: &Ruby, this: &Self) -> Result<usize, Error> {
        guarded(ruby, || Ok(this.get(ruby)?.queued()))
    }

    /// What `Server#stats` adds to the gateway's figures.
    fn stats(ruby: &Ruby, this: &Self) -> Result<RHash, Error> {
        guarded(ruby, || {
            let worker = this.get(ruby)?;
            let waits = worker.waits();
            let hash = ruby.hash_new();
            hash.aset(ruby.to_symbol("queued"), worker.queued())?;
            hash.aset(ruby.to_symbol("queue_waits"), waits.requests)?;
            hash.aset(ruby.to_symbol("queue_wait_seconds"), waits.total.as_secs_f64())?;
            hash.aset(ruby.to_symbol("dropped_block"), worker.dropped_block())?;
            hash.aset(ruby.to_symbol("queue_wait_seconds_max"), waits.longest.as_secs_f64())?;
            Ok(hash)
        })
    }

    fn seat(ruby: &Ruby, this: typed_data::Obj<Self>) -> Result<typed_data::Obj<Seat>, Error> {
        guarded(ruby, || Seat::wrap(ruby, this))
    }
}

pub(crate) fn init(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    let class = native.define_class("Worker", ruby.class_object())?;
    class.define_singleton_method("new", function!(Worker::new, 1))?;
    class.define_method("join", method!(Worker::join, 2))?;
    class.define_method("ready", method!(Worker::ready, 0))?;
    class.define_method("beat", method!(Worker::beat, 0))?;
    class.define_method("wait_end", method!(Worker::wait_end, 1))?;
    class.define_method("leave", method!(Worker::leave, 0))?;
    class.define_method("gateway_stats", method!(Worker::gateway_stats, 0))?;
    class.define_method("broadcast", method!(Worker::broadcast, 2))?;
    class.define_method("broadcast_event", method!(Worker::broadcast_event, 5))?;
    class.define_method("publish", method!(Worker::publish, 2))?;
    class.define_method("publish_event", method!(Worker::publish_event, 5))?;
    class.define_method("listen", method!(Worker::listen, 2))?;
    class.define_method("unlisten", method!(Worker::unlisten, 1))?;
    class.define_method("flush", method!(Worker::flush, 0))?;
    class.define_method("finish", method!(Worker::finish, 0))?;
    class.define_method("stop", method!(Worker::stop, 0))?;
    class.define_method("drop_published", method!(Worker::drop_published, 0))?;
    class.define_method("queued", method!(Worker::queued, 0))?;
    class.define_method("stats", method!(Worker::stats, 0))?;
    class.define_method("seat", method!(Worker::seat, 0))
}
