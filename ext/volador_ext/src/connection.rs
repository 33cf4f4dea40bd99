//! `Native::Connection`: one push connection, or the request for one.

use std::sync::Arc;

use magnus::{Class, Error, Module, RModule, RString, Ruby, Value, method, typed_data};
use volador_proto::link::{Kind, ListenerId};
use volador_worker::{PushStream, Worker};

use crate::{
    channel,
    error::guarded,
    event,
    fork::Forked,
    object::{self, This},
    payload::{check_len, in_known_encoding, keep_pace, payload_of},
};

/// The Ruby object of a push connection. A connection whose object is gone needs none.
#[derive(Debug)]
#[magnus::wrap(class = "Volador::Native::Connection", free_immediately, size)]
pub(crate) struct Connection {
    ends: Forked<Ends>,
}

#[derive(Debug)]
struct Ends {
    worker: Arc<Worker>,
    push: Arc<PushStream>,
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.worker.release(&self.push);
    }
}

impl Connection {
    pub(crate) fn wrap(ruby: &Ruby, worker: Arc<Worker>, push: Arc<PushStream>) -> typed_data::Obj<Self> {
        ruby.obj_wrap(Self { ends: Forked::new(Ends { worker, push }) })
    }

    fn id(ruby: &Ruby, this: &Self) -> Result<u64, Error> {
        guarded(ruby, || Ok(this.ends.get(ruby)?.push.id().to_bits()))
    }

    /// None for anything but a mere String, which may mean something else by itself.
    fn write(ruby: &Ruby, this: This<'_, Self>, data: Value) -> Result<Option<bool>, Error> {
        guarded(ruby, || {
            let Ends { worker, push } = this.ends.get(ruby)?;
            let data = RString::from_value(data).filter(|data| object::is_exactly(*data, ruby.class_string()));
            let Some(data) = data else { return Ok(None) };
            let data = in_known_encoding(ruby, data)?;
            check_len(ruby, data.len())?;
            let payload = payload_of(data);
            // SAFETY: the slice is copied before Ruby code can run again and change the string.
            let written = worker.write(push, payload, unsafe { data.as_slice() });
            keep_pace(ruby, worker).map(|()| Some(written))
        })
    }

    fn write_event(
        ruby: &Ruby,
        this: &Self,
        data: RString,
        event: Option<RString>,
        id: Option<RString>,
        retry_ms: Option<u64>,
    ) -> Result<bool, Error> {
        guarded(ruby, || {
            let Ends { worker, push } = this.ends.get(ruby)?;
            let packed = event::pack(ruby, data, event, id, retry_ms)?;
            let written = worker.write(push, Kind::Event, &packed);
            keep_pace(ruby, worker).map(|()| written)
        })
    }

    fn subscribe(ruby: &Ruby, this: &Self, name: RString, matching: Value) -> Result<bool, Error> {
        guarded(ruby, || {
            let Ends { worker, push } = this.ends.get(ruby)?;
            let matching = channel::matching(ruby, matching)?;
            channel::check(ruby, name, matching)?;
            // SAFETY: the slice is copied before Ruby code can run again and change the string.
            Ok(worker.subscribe(push, matching, unsafe { name.as_slice() }))
        })
    }

    fn unsubscribe(ruby: &Ruby, this: &Self, name: RString, matching: Value) -> Result<bool, Error> {
        guarded(ruby, || {
            let Ends { worker, push } = this.ends.get(ruby)?;
            let matching = channel::matching(ruby, matching)?;
            channel::check(ruby, name, matching)?;
            // SAFETY: as in `subscribe`.
            Ok(worker.unsubscribe(push, matching, unsafe { name.as_slice() }))
        })
    }

    fn listen(ruby: &Ruby, this: &Self, name: RString, matching: Value) -> Result<Option<u64>, Error> {
        guarded(ruby, || {
            let Ends { worker, push } = this.ends.get(ruby)?;
            let matching = channel::matching(ruby, matching)?;
            channel::check(ruby, name, matching)?;
            // SAFETY: as in `subscribe`.
            let id = worker.listen_for(push, matching, unsafe { name.as_slice() });
            Ok(id.map(|ListenerId(id)| id))
        })
    }

    fn unlisten(ruby: &Ruby, this: &Self, id: u64) -> Result<(), Error> {
        guarded(ruby, || {
            let Ends { worker, push } = this.ends.get(ruby)?;
            worker.unlisten_for(push, ListenerId(id));
            Ok(())
        })
    }

    /// Messages that wait for the client; -1 once it is closed.
    fn pending(ruby: &Ruby, this: &Self) -> Result<i64, Error> {
        guarded(ruby, || Ok(this.ends.get(ruby)?.push.pending().map_or(-1, i64::from)))
    }

    /// Seconds between two pings or heartbeats.
    fn timeout(ruby: &Ruby, this: &Self) -> Result<f64, Error> {
        guarded(ruby, || {
            let Ends { worker, push } = this.ends.get(ruby)?;
            Ok(worker.timeout(push).as_secs_f64())
        })
    }

    /// 0: as all others.
    fn set_timeout(ruby: &Ruby, this: &Self, millis: u32) -> Result<(), Error> {
        guarded(ruby, || {
            let Ends { worker, push } = this.ends.get(ruby)?;
            worker.set_timeout(push, millis);
            Ok(())
        })
    }

    /// The handler wants to be told when nothing waits for the client.
    fn ask_drained(ruby: &Ruby, this: &Self) -> Result<(), Error> {
        guarded(ruby, || {
            let Ends { worker, push } = this.ends.get(ruby)?;
            worker.ask_drained(push);
            Ok(())
        })
    }

    fn close(ruby: &Ruby, this: &Self, code: u16) -> Result<(), Error> {
        guarded(ruby, || {
            let Ends { worker, push } = this.ends.get(ruby)?;
            worker.close(push, code);
            Ok(())
        })
    }

    /// The handler has been asked what it leaves for the next one, in another worker.
    fn hand_over(ruby: &Ruby, this: &Self, state: Option<RString>) -> Result<(), Error> {
        guarded(ruby, || {
            let Ends { worker, push } = this.ends.get(ruby)?;
            // SAFETY: the slice is copied before Ruby code can run again and change the string.
            worker.hand_over(push, state.as_ref().map(|state| unsafe { state.as_slice() }));
            Ok(())
        })
    }

    fn is_open(ruby: &Ruby, this: &Self) -> Result<bool, Error> {
        guarded(ruby, || Ok(this.ends.get(ruby)?.push.is_open()))
    }
}

pub(crate) fn init(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    let class = native.define_class("Connection", ruby.class_object())?;
    class.undef_default_alloc_func();
    class.define_method("id", method!(Connection::id, 0))?;
    class.define_method("write", method!(Connection::write, 1))?;
    class.define_method("write_event", method!(Connection::write_event, 4))?;
    class.define_method("subscribe", method!(Connection::subscribe, 2))?;
    class.define_method("unsubscribe", method!(Connection::unsubscribe, 2))?;
    class.define_method("listen", method!(Connection::listen, 2))?;
    class.define_method("unlisten", method!(Connection::unlisten, 1))?;
    class.define_method("pending", method!(Connection::pending, 0))?;
    class.define_method("timeout", method!(Connection::timeout, 0))?;
    class.define_method("timeout_millis=", method!(Connection::set_timeout, 1))?;
    class.define_method("ask_drained", method!(Connection::ask_drained, 0))?;
    class.define_method("close", method!(Connection::close, 1))?;
    class.define_method("hand_over", method!(Connection::hand_over, 1))?;
    class.define_method("open?", method!(Connection::is_open, 0))
}
