//! `Native::Gateway`: the gateway's half of the server, and what joins it to the worker of the same process.

use std::{
    fmt,
    os::fd::{BorrowedFd, OwnedFd, RawFd},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use magnus::{Error, Module, Object, RArray, RHash, RModule, Ruby, TryConvert, Value, function, method, typed_data};
use parking_lot::RwLock;
use volador_gateway::{BindAddress, Config, GatewayHandle, SlowClient, WorkerLink};
use volador_link::log;
use volador_proto::link::Batch;
use volador_worker::Outlet;

use crate::{
    error::{self, guarded},
    figures,
    fork::Forked,
    gvl,
    options::Options,
    worker::Worker,
};

/// The Ruby object of the gateway.
#[derive(Debug)]
#[magnus::wrap(class = "Volador::Native::Gateway", free_immediately, size)]
pub(crate) struct Gateway {
    server: Forked<Server>,
    addresses: Vec<String>,
}

#[derive(Debug)]
struct Server {
    /// Written to start and to stop, read meanwhile. Waited for only without the GVL.
    gateway: RwLock<volador_gateway::Gateway>,
    is_cluster: bool,
    started: AtomicBool,
    /// Ends a drain, which reads.
    stopping: AtomicBool,
}

impl Server {
    /// Runs `start` the first time. To be called without the GVL: an interrupt that comes before leaves it to be started.
    fn start<R>(&self, start: impl FnOnce(&mut volador_gateway::Gateway) -> R) -> Option<R> {
        let mut gateway = self.gateway.write();
        (!self.started.swap(true, Ordering::Relaxed)).then(|| start(&mut gateway))
    }
}

impl Gateway {
    fn new(ruby: &Ruby, options: RHash) -> Result<typed_data::Obj<Self>, Error> {
        Self::bind(ruby, options, false)
    }

    fn new_cluster(ruby: &Ruby, options: RHash) -> Result<typed_data::Obj<Self>, Error> {
        Self::bind(ruby, options, true)
    }

    fn bind(ruby: &Ruby, options: RHash, is_cluster: bool) -> Result<typed_data::Obj<Self>, Error> {
        guarded(ruby, || {
            let config = config(&Options::new(ruby, options), ruby)?;
            let bind = match is_cluster {
                true => volador_gateway::Gateway::bind_cluster,
                false => volador_gateway::Gateway::bind,
            };
            // Looking up a host name may take its time.
            let gateway = gvl::aside(ruby, move || bind(config), drop)?
                .map_err(volador_gateway::GatewayError::Start)
                .flatten()
                .map_err(|error| error::gateway(ruby, &error))?;
            Ok(ruby.obj_wrap(Self {
                addresses: gateway.addresses().to_vec(),
                server: Forked::new(Server {
                    gateway: RwLock::new(gateway),
                    is_cluster,
                    started: AtomicBool::new(false),
                    stopping: AtomicBool::new(false),
                }),
            }))
        })
    }

    fn addresses(&self) -> Vec<String> {
        self.addresses.clone()
    }

    fn start(ruby: &Ruby, this: &Self, worker: &Worker) -> Result<(), Error> {
        guarded(ruby, || {
            let (server, worker) = (this.server.get(ruby)?, worker.get(ruby)?.clone());
            let link = Arc::new(Deliver(worker.clone()));
            let handle = gvl::blocking(ruby, || server.start(|gateway| gateway.start(link)))?
                .ok_or_else(|| error::volador(ruby, "the gateway has been started before"))?
                .map_err(|error| error::gateway(ruby, &error))?;
            // Jobs wait in the worker until it is joined, so none that has arrived meanwhile is lost.
            worker
                .join(Arc::new(Answer(handle)))
                .map_err(|error| error::io(ruby, &error, "can't start the worker's watcher thread".to_owned()))
        })
    }

    /// Returns the descriptor of the bell (see `volador_gateway::Gateway::bell`).
    fn start_cluster(ruby: &Ruby, this: &Self, link: String) -> Result<RawFd, Error> {
        guarded(ruby, || {
            let server = this.server.get(ruby)?;
            if !server.is_cluster {
                return Err(error::volador(ruby, "the gateway is no cluster's"));
            }
            let start = |gateway: &mut volador_gateway::Gateway| {
                gateway.start_cluster(Path::new(&link)).map(|()| gateway.bell())
            };
            gvl::blocking(ruby, || server.start(start))?
                .ok_or_else(|| error::volador(ruby, "the gateway has been started before"))?
                .map_err(|error| error::gateway(ruby, &error))
        })
    }

    fn workers(ruby: &Ruby, this: &Self) -> Result<RArray, Error> {
        guarded(ruby, || {
            let server = this.server.get(ruby)?;
            let reports = gvl::blocking(ruby, || server.gateway.read().workers())?;
            let array = ruby.ary_new_capa(reports.len());
            for report in reports {
                let hash = ruby.hash_new();
                let name = |name| ruby.to_symbol(name);
                hash.aset(name("number"), report.number)?;
                hash.aset(name("generation"), report.generation)?;
                hash.aset(name("pid"), report.pid)?;
                hash.aset(name("threads"), report.threads)?;
                hash.aset(name("in_flight"), report.in_flight)?;
                hash.aset(name("handlers"), report.handlers)?;
                hash.aset(name("state"), name(report.state))?;
                hash.aset(name("quiet"), report.quiet.as_secs_f64())?;
                hash.aset(name("stuck"), report.stuck.as_secs_f64())?;
                array.push(hash)?;
            }
            Ok(array)
        })
    }

    fn promote(ruby: &Ruby, this: &Self, generation: u32) -> Result<(), Error> {
        this.tell(ruby, |gateway| gateway.promote(generation))
    }

    fn retire(ruby: &Ruby, this: &Self, pid: u32) -> Result<(), Error> {
        this.tell(ruby, |gateway| gateway.retire(pid))
    }

    fn dismiss(ruby: &Ruby, this: &Self, pid: u32) -> Result<(), Error> {
        this.tell(ruby, |gateway| gateway.dismiss(pid))
    }

    fn dismiss_all(ruby: &Ruby, this: &Self) -> Result<(), Error> {
        this.tell(ruby, volador_gateway::Gateway::dismiss_all)
    }

    fn tell(&self, ruby: &Ruby, what: impl FnOnce(&volador_gateway::Gateway) + Send) -> Result<(), Error> {
        guarded(ruby, || {
            let server = self.server.get(ruby)?;
            gvl::blocking(ruby, || what(&server.gateway.read()))
        })
    }

    fn drain(ruby: &Ruby, this: &Self, seconds: f64) -> Result<bool, Error> {
        guarded(ruby, || {
            let server = this.server.get(ruby)?;
            let timeout = Duration::try_from_secs_f64(seconds)
                .map_err(|_| error::configuration(ruby, format!("can't drain for {seconds} seconds")))?;
            let until = Instant::now() + timeout.min(Duration::from_secs(1 << 30));
            gvl::blocking(ruby, || server.gateway.read().drain())?;
            let is_drained = gvl::in_slices(ruby, until, |until| {
                let is_drained = server.gateway.read().wait_drained(until);
                (is_drained || server.stopping.load(Ordering::Relaxed)).then_some(is_drained)
            })?;
            Ok(is_drained.unwrap_or(false))
        })
    }

    fn stop(ruby: &Ruby, this: &Self) -> Result<(), Error> {
        guarded(ruby, || {
            let server = this.server.get(ruby)?;
            server.stopping.store(true, Ordering::Relaxed);
            gvl::finishing(ruby, || server.gateway.write().stop())
        })
    }

    fn stats(ruby: &Ruby, this: &Self) -> Result<RHash, Error> {
        guarded(ruby, || {
            let server = this.server.get(ruby)?;
            if server.is_cluster {
                let stats = gvl::blocking(ruby, || server.gateway.read().cluster_stats())?;
                return figures::hash(ruby, stats);
            }
            let stats = gvl::blocking(ruby, || server.gateway.read().stats())?;
            figures::hash(ruby, stats.entries())
        })
    }
}

/// Gives the gateway's frames to the worker.
#[derive(Debug)]
struct Deliver(Arc<volador_worker::Worker>);

impl WorkerLink for Deliver {
    fn deliver(&self, batch: Batch) {
        if let Err(error) = self.0.deliver(batch) {
            // Both halves are of one build: only a fault of ours gets here, and this thread can't raise.
            log::warn(format_args!("the link is broken, please report it: {error}"));
        }
    }
}

/// Gives the worker's frames to the gateway.
struct Answer(GatewayHandle);

impl Outlet for Answer {
    fn deliver(&self, shard: u8, batch: Batch) {
        self.0.deliver(shard, batch);
    }

    fn backlog(&self) -> usize {
        self.0.backlog()
    }

    fn shards(&self) -> u8 {
        self.0.shards()
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer")
    }
}

fn config(options: &Options<'_>, ruby: &Ruby) -> Result<Config, Error> {
    let bind = options.get::<Vec<String>>("bind")?;
    let (inherited, bind): (Vec<_>, Vec<_>) = bind.iter().partition(|address| address.starts_with("fd://"));
    let bind = bind.into_iter().map(|address| address.parse()).collect::<Result<Vec<BindAddress>, _>>();
    let inherited = inherited.into_iter().map(|address| inherit(address)).collect::<std::io::Result<Vec<_>>>();
    let allowed_origins = options.get::<Value>("allowed_origins")?;
    Ok(Config {
        bind: bind.map_err(|error| error::gateway(ruby, &error))?,
        inherited: inherited
            .map_err(|error| error::io(ruby, &error, "can't take a socket that was handed over".to_owned()))?,
        shards: options.get("shards")?,
        connections_max: options.get("connections_max")?,
        threads: options.get("threads")?,
        queue_max: options.get("queue_max")?,
        head_max_bytes: options.get("head_max_bytes")?,
        header_fields_max: options.get("header_fields_max")?,
        target_max_bytes: options.get("target_max_bytes")?,
        body_max_bytes: options.get("body_max_bytes")?,
        body_memory_bytes: options.get("body_memory_bytes")?,
        body_memory_total_bytes: options.get("body_memory_total_bytes")?,
        tmpdir: options.get::<PathBuf>("tmpdir")?,
        head_timeout: options.duration("head_timeout")?,
        body_min_rate: u32::try_from(options.get::<u64>("body_min_rate")?).unwrap_or(u32::MAX),
        keep_alive_timeout: options.duration("keep_alive_timeout")?,
        write_timeout: options.duration("write_timeout")?,
        message_max_bytes: options.get("message_max_bytes")?,
        deflate_level: options.get("deflate_level")?,
        deflate_min_bytes: options.get("deflate_min_bytes")?,
        send_queue_max_bytes: options.get("send_queue_max_bytes")?,
        slow_client: if options.get::<bool>("drop_oldest")? { SlowClient::DropOldest } else { SlowClient::Disconnect },
        conflate: options.get("conflate")?,
        block_queue_max_bytes: options.get("block_queue_max_bytes")?,
        ping_interval: options.duration("ping_interval")?,
        heartbeat_interval: options.duration("heartbeat_interval")?,
        drain_timeout: options.duration("drain_timeout")?,
        allowed_origins: Option::<Vec<String>>::try_convert(allowed_origins)?,
    })
}

/// `fd://3`, of an `Address::Inherited`: a socket that this process was started with. The original stays open and is
/// nobody's.
fn inherit(address: &str) -> std::io::Result<Arc<OwnedFd>> {
    let number: RawFd = address["fd://".len()..].parse().map_err(std::io::Error::other)?;
    // SAFETY: the descriptor is only borrowed to be duplicated. One that is not open is an error of that call; a wrong one
    // is what the address named, and is not closed here.
    let fd = unsafe { BorrowedFd::borrow_raw(number) }.try_clone_to_owned()?;
    Ok(Arc::new(fd))
}

pub(crate) fn init(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    let class = native.define_class("Gateway", ruby.class_object())?;
    class.define_singleton_method("new", function!(Gateway::new, 1))?;
    class.define_method("addresses", method!(Gateway::addresses, 0))?;
    class.define_singleton_method("cluster", function!(Gateway::new_cluster, 1))?;
    class.define_method("start", method!(Gateway::start, 1))?;
    class.define_method("start_cluster", method!(Gateway::start_cluster, 1))?;
    class.define_method("workers", method!(Gateway::workers, 0))?;
    class.define_method("promote", method!(Gateway::promote, 1))?;
    class.define_method("retire", method!(Gateway::retire, 1))?;
    class.define_method("dismiss", method!(Gateway::dismiss, 1))?;
    class.define_method("dismiss_all", method!(Gateway::dismiss_all, 0))?;
    class.define_method("drain", method!(Gateway::drain, 1))?;
    class.define_method("stop", method!(Gateway::stop, 0))?;
    class.define_method("stats", method!(Gateway::stats, 0))
}
