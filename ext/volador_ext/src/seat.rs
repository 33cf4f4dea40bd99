//! `Native::Seat`: where one Ruby thread takes its jobs; it answers them by [`answers`], or gives their connection away by
//! [`hijacking`].

mod answers;
mod hijacking;

use std::cell::{Cell, RefCell, RefMut};

use magnus::{
    DataTypeFunctions, Error, Module, RArray, RHash, RModule, RString, Ruby, TypedData, Value, gc, method, prelude::*,
    typed_data, value::Opaque,
};
use volador_proto::link::{Interest, Request, Resumed};
use volador_worker::{Taken, Waiter};

use self::answers::StreamedBody;

use crate::{
    connection::Connection,
    env::{self, Env},
    error::{self, guarded},
    fork::Forked,
    gvl,
    job::{self, Kind, Slots},
    object::This,
    response::{self, Head},
    worker::Worker,
};

/// The Ruby object of a seat. One thread uses it, but another one must do no harm.
#[derive(TypedData)]
#[magnus(class = "Volador::Native::Seat", free_immediately, size, mark)]
pub(crate) struct Seat {
    /// The Worker, for its template and its life.
    worker: Opaque<typed_data::Obj<Worker>>,
    desk: Forked<RefCell<Desk>>,
    waiter: Forked<Waiter>,
    // Values are in cells beside the desk: marking must see them while the desk is in use.
    /// The current request's env, as it was given out.
    env: Cell<Option<Opaque<RHash>>>,
    /// The Hijack in it.
    hijack: Cell<Option<Opaque<Value>>>,
    /// The File of the current request's body.
    input: Cell<Option<Opaque<Value>>>,
    /// Where Ruby finds the current job.
    slots: Slots,
    /// The Connection of the current request, once it was asked for.
    connection: Cell<Option<Opaque<Value>>>,
    /// What an env begins with.
    usual: env::Usual,
    /// Whether somebody has given all Arrays a `close`. Asked when the thread begins and whenever it has nothing to do.
    arrays_close: Cell<bool>,
}

/// What a seat works on.
#[derive(Debug)]
struct Desk {
    seat: volador_worker::Seat,
    /// The current request asks for a push connection.
    is_push: bool,
    /// Of a request that has opened a push connection which is to go on here.
    resumed: Option<Resumed>,
    /// The application has taken the connection of the current request.
    is_hijacked: bool,
    /// The current request's method is HEAD.
    head_only: bool,
    /// Reused for every answer.
    head: Head,
    /// Of the streamed answer.
    body: StreamedBody,
}

impl DataTypeFunctions for Seat {
    fn mark(&self, marker: &gc::Marker) {
        marker.mark(self.worker);
        for value in [self.hijack.get(), self.input.get(), self.connection.get()].into_iter().flatten() {
            marker.mark(value);
        }
        if let Some(env) = self.env.get() {
            marker.mark(env);
        }
        marker.mark(self.slots.array());
        self.usual.mark(marker);
    }
}

impl Seat {
    pub(crate) fn wrap(ruby: &Ruby, worker: typed_data::Obj<Worker>) -> Result<typed_data::Obj<Self>, Error> {
        let usual = env::Usual::new(ruby, ruby.get_inner(worker.env), ruby.get_inner(worker.empty_input))?;
        let slots = Slots::new(ruby);
        let (usual_hash, slots_array) = (usual.hash(ruby), ruby.get_inner(slots.array()));
        let seat = worker.get(ruby)?.seat();
        let waiter = seat.waiter();
        let desk = Desk {
            seat,
            is_push: false,
            resumed: None,
            is_hijacked: false,
            head_only: false,
            head: Head::default(),
            body: StreamedBody::default(),
        };
        let seat = ruby.obj_wrap(Self {
            worker: worker.into(),
            desk: Forked::new(RefCell::new(desk)),
            waiter: Forked::new(waiter),
            env: Cell::new(None),
            hijack: Cell::new(None),
            input: Cell::new(None),
            slots,
            connection: Cell::new(None),
            usual,
            arrays_close: Cell::new(response::arrays_close(ruby)),
        });
        // Until here, where the seat marks it: the object was being allocated while its contents were on Rust's heap, which
        // is not looked at.
        std::hint::black_box((usual_hash, slots_array));
        Ok(seat)
    }

    fn desk(&self, ruby: &Ruby) -> Result<RefMut<'_, Desk>, Error> {
        let desk = self.desk.get(ruby)?;
        desk.try_borrow_mut().map_err(|_| error::volador(ruby, "a seat belongs to one thread, another is using it now"))
    }

    /// The desk with a request that has no answer yet.
    fn unanswered(&self, ruby: &Ruby) -> Result<RefMut<'_, Desk>, Error> {
        let desk = self.desk(ruby)?;
        if desk.seat.is_unanswered() {
            Ok(desk)
        } else {
            Err(error::volador(ruby, "there is no request to answer, or it has been answered"))
        }
    }

    /// The Array in which the current job is; see [`Kind`].
    fn job(ruby: &Ruby, this: &Self) -> RArray {
        ruby.get_inner(this.slots.array())
    }

    /// Waits for a job. None: there will be no more.
    fn take(ruby: &Ruby, this: This<'_, Self>) -> Result<Option<u8>, Error> {
        guarded(ruby, || {
            this.close_input(ruby)?;
            this.connection.set(None);
            this.env.set(None);
            this.hijack.set(None);
            let waiter = this.waiter.get(ruby)?;
            loop {
                // First with the GVL: while there is work, it is not given away.
                let taken = {
                    let mut desk = this.desk(ruby)?;
                    if desk.seat.is_unanswered() || desk.seat.is_streaming() {
                        return Err(error::volador(ruby, "the current request has no complete answer yet"));
                    }
                    desk.is_push = false;
                    desk.resumed = None;
                    desk.is_hijacked = false;
                    desk.seat.take()
                };
                match taken {
                    Taken::Request(request) => {
                        return this.open(ruby, this.object(), request).map(|kind| Some(kind as u8));
                    }
                    Taken::Event(stream, event) => return Ok(Some(this.slots.put_event(ruby, stream, &event) as u8)),
                    Taken::Stopped => {
                        this.slots.clear(ruby);
                        return Ok(None);
                    }
                    Taken::Empty => this.slots.clear(ruby),
                }
                this.arrays_close.set(response::arrays_close(ruby));
                waiter.prepare();
                // Err: not even begun, for an interrupt is pending.
                let _ = gvl::without_gvl(waiter, || waiter.park());
                if let Err(interrupt) = ruby.thread_check_ints() {
                    waiter.leave();
                    return Err(interrupt);
                }
            }
        })
    }

    /// The job of a request that was taken.
    fn open(&self, ruby: &Ruby, this: Value, request: Box<Request>) -> Result<Kind, Error> {
        {
            let mut desk = self.desk(ruby)?;
            desk.is_push = request.transport.is_some();
            desk.resumed = request.resumed.clone();
            desk.head_only = request.method() == b"HEAD";
        }
        let transport = request.transport;
        let Env { hash: env, hijack, file } = env::build(ruby, request, &self.usual, this)?;
        self.hijack.set(Some(hijack.into()));
        self.input.set(file.map(Opaque::from));
        self.env.set(Some(env.into()));
        Ok(self.slots.put_request(ruby, env, transport))
    }

    /// # Errors
    /// What ends the thread, while the file is being closed.
    fn close_input(&self, ruby: &Ruby) -> Result<(), Error> {
        let Some(input) = self.input.take() else { return Ok(()) };
        match ruby.get_inner(input).funcall::<_, _, Value>("close", ()) {
            // The application may have closed it, or done worse to it; the request is over either way. (Thread#kill is no
            // exception: who swallowed it would have a thread that can't be killed any more.)
            Err(error) if !error.is_kind_of(ruby.exception_standard_error()) => Err(error),
            _ => Ok(()),
        }
    }

    fn is_resumed(ruby: &Ruby, this: &Self) -> Result<bool, Error> {
        guarded(ruby, || Ok(this.desk(ruby)?.resumed.is_some()))
    }

    /// What the former handler of the resumed connection has left.
    fn state(ruby: &Ruby, this: &Self) -> Result<Option<RString>, Error> {
        guarded(ruby, || {
            // The desk is free again before a String is made: that may jump, for want of memory.
            let state = this.desk(ruby)?.resumed.as_ref().and_then(|resumed| resumed.state.clone());
            Ok(state.map(|state| job::text_if_valid(ruby, &state)))
        })
    }

    fn upgrade(ruby: &Ruby, this: &Self, headers: Value, interest: Option<u8>) -> Result<(), Error> {
        guarded(ruby, || {
            if !this.unanswered(ruby)?.is_push {
                return Err(error::volador(ruby, "the request asks for no push connection"));
            }
            let interest = interest.map(|bits| read_interest(ruby, bits)).transpose()?;
            let head = this.read_head(ruby, headers)?;
            let mut desk = this.unanswered(ruby)?;
            desk.seat.upgrade(interest, head.fields());
            desk.head = head;
            if interest.is_none() && this.connection.get().is_none() {
                // Nobody has the Connection, so nobody can ask whether it is open.
                if let (Some(push), worker) = (desk.seat.push_stream(), ruby.get_inner(this.worker)) {
                    worker.get(ruby)?.release(push);
                }
            }
            Ok(())
        })
    }

    fn is_answered(ruby: &Ruby, this: &Self) -> Result<bool, Error> {
        guarded(ruby, || Ok(!this.desk(ruby)?.seat.is_unanswered()))
    }

    fn is_streaming(ruby: &Ruby, this: &Self) -> Result<bool, Error> {
        guarded(ruby, || Ok(this.desk(ruby)?.seat.is_streaming()))
    }

    fn connection(ruby: &Ruby, this: &Self) -> Result<Option<Value>, Error> {
        guarded(ruby, || {
            if let Some(connection) = this.connection.get() {
                return Ok(Some(ruby.get_inner(connection)));
            }
            let Some(push) = this.desk(ruby)?.seat.push_stream().cloned() else { return Ok(None) };
            let worker = ruby.get_inner(this.worker).get(ruby)?.clone();
            let connection = Connection::wrap(ruby, worker, push).as_value();
            this.connection.set(Some(connection.into()));
            Ok(Some(connection))
        })
    }
}

/// What a handler wants to be told, as bits: 1 messages, 2 drained, 4 shutdown.
fn read_interest(ruby: &Ruby, bits: u8) -> Result<Interest, Error> {
    if bits > 7 {
        let message = format!("interest is a sum of 1 (messages), 2 (drained) and 4 (shutdown), or nil, not {bits}");
        return Err(Error::new(ruby.exception_arg_error(), message));
    }
    Ok(Interest { messages: bits & 1 != 0, drained: bits & 2 != 0, shutdown: bits & 4 != 0 })
}

pub(crate) fn init(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    let class = native.define_class("Seat", ruby.class_object())?;
    class.undef_default_alloc_func();
    for (name, kind) in [
        ("REQUEST", Kind::Request),
        ("MESSAGE", Kind::Message),
        ("EVENT", Kind::Event),
        ("PUSH_REQUEST", Kind::PushRequest),
    ] {
        class.const_set(name, kind as u8)?;
    }
    class.define_method("take", method!(Seat::take, 0))?;
    class.define_method("job", method!(Seat::job, 0))?;
    class.define_method("resumed?", method!(Seat::is_resumed, 0))?;
    class.define_method("state", method!(Seat::state, 0))?;
    class.define_method("respond", method!(Seat::respond, 3))?;
    class.define_method("respond_plainly", method!(Seat::respond_plainly, 1))?;
    class.define_method("respond_file", method!(Seat::respond_file, 4))?;
    class.define_method("start", method!(Seat::start, 2))?;
    class.define_method("write", method!(Seat::write, 2))?;
    class.define_method("finish", method!(Seat::finish, 0))?;
    class.define_method("abort", method!(Seat::abort, 0))?;
    class.define_method("give_up", method!(Seat::give_up, 1))?;
    class.define_method("upgrade", method!(Seat::upgrade, 2))?;
    class.define_method("env", method!(Seat::env, 0))?;
    class.define_method("hijack", method!(Seat::hijack, 1))?;
    class.define_method("hijack_after", method!(Seat::hijack_after, 3))?;
    class.define_method("hijacked?", method!(Seat::is_hijacked, 0))?;
    class.define_method("answered?", method!(Seat::is_answered, 0))?;
    class.define_method("streaming?", method!(Seat::is_streaming, 0))?;
    class.define_method("connection", method!(Seat::connection, 0))
}
