//! `Native::Seat`: where one Ruby thread takes its jobs and answers them.

use std::{
    cell::{Cell, RefCell, RefMut},
    os::fd::{BorrowedFd, OwnedFd, RawFd},
};

use magnus::{
    DataTypeFunctions, Error, Module, RArray, RHash, RModule, RString, Ruby, TypedData, Value, gc, method,
    prelude::*,
    typed_data,
    value::{Fixnum, Opaque},
};
use volador_proto::link::{Interest, Request, Resumed};
use volador_worker::{Taken, Waiter, WriteError};

use crate::{
    connection::Connection,
    env,
    error::{self, guarded},
    fork::Forked,
    gvl, job,
    response::{self, Head},
    worker::Worker,
};

/// A longer piece of a streamed response is handed over without the GVL: it may go to a file.
const WRITE_WITH_GVL_MAX: usize = 64 * 1024;

/// The Ruby object of a seat. One thread uses it, but another one must do no harm.
#[derive(TypedData)]
#[magnus(class = "Volador::Native::Seat", free_immediately, size, mark)]
pub(crate) struct Seat {
    /// The Worker, for its template and its life.
    worker: Opaque<typed_data::Obj<Worker>>,
    desk: Forked<RefCell<Desk>>,
    waiter: Forked<Waiter>,
    // Values are in cells beside the desk: marking must see them while the desk is in use.
    /// The File of the current request's body.
    input: Cell<Option<Opaque<Value>>>,
    /// The Connection of the current request, once it was asked for.
    connection: Cell<Option<Opaque<Value>>>,
    /// Of the requests so far.
    recent: env::Recent,
}

/// What a seat works on.
#[derive(Debug)]
struct Desk {
    seat: volador_worker::Seat,
    /// The current request asks for a push connection.
    is_push: bool,
    /// Of a request that has opened a push connection which is to go on here.
    resumed: Option<Resumed>,
    /// The current request's method is HEAD.
    head_only: bool,
    /// Reused for every answer.
    head: Head,
    /// Of the streamed answer.
    body: StreamedBody,
}

/// What a streamed answer has declared and sent.
#[derive(Clone, Copy, Debug, Default)]
struct StreamedBody {
    /// There is none, whatever the application writes: the request is a HEAD, or the status has no body.
    suppressed: bool,
    /// The Content-Length.
    declared: Option<u64>,
    /// Bytes so far.
    sent: u64,
}

impl DataTypeFunctions for Seat {
    fn mark(&self, marker: &gc::Marker) {
        marker.mark(self.worker);
        for value in [self.input.get(), self.connection.get()].into_iter().flatten() {
            marker.mark(value);
        }
        self.recent.mark(marker);
    }
}

impl Seat {
    pub(crate) fn wrap(ruby: &Ruby, worker: typed_data::Obj<Worker>) -> Result<typed_data::Obj<Self>, Error> {
        let seat = worker.get(ruby)?.seat();
        let waiter = seat.waiter();
        let desk = Desk {
            seat,
            is_push: false,
            resumed: None,
            head_only: false,
            head: Head::default(),
            body: StreamedBody::default(),
        };
        Ok(ruby.obj_wrap(Self {
            worker: worker.into(),
            desk: Forked::new(RefCell::new(desk)),
            waiter: Forked::new(waiter),
            input: Cell::new(None),
            connection: Cell::new(None),
            recent: env::Recent::default(),
        }))
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

    fn take(ruby: &Ruby, this: &Self) -> Result<Value, Error> {
        guarded(ruby, || {
            this.close_input(ruby);
            this.connection.set(None);
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
                    desk.seat.take()
                };
                match taken {
                    Taken::Request(request) => return this.open(ruby, *request),
                    Taken::Event(stream, event) => return Ok(job::event(ruby, stream, &event).as_value()),
                    Taken::Stopped => return Ok(ruby.qnil().as_value()),
                    Taken::Empty => {}
                }
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
    fn open(&self, ruby: &Ruby, request: Request) -> Result<Value, Error> {
        {
            let mut desk = self.desk(ruby)?;
            desk.is_push = request.transport.is_some();
            desk.resumed = request.resumed.clone();
            desk.head_only = &request.method[..] == b"HEAD";
        }
        let worker = ruby.get_inner(self.worker);
        let transport = request.transport;
        let (template, empty) = (ruby.get_inner(worker.env), ruby.get_inner(worker.empty_input));
        let (env, input) = env::build(ruby, request, template, empty, &self.recent)?;
        self.input.set(input.map(Opaque::from));
        Ok(match transport {
            None => env.as_value(),
            Some(transport) => job::push_request(ruby, env, transport).as_value(),
        })
    }

    fn close_input(&self, ruby: &Ruby) {
        if let Some(input) = self.input.take() {
            // The application may have closed it, or done worse to it; the request is over either way.
            let _ = ruby.get_inner(input).funcall::<_, _, Value>("close", ());
        }
    }

    fn is_resumed(ruby: &Ruby, this: &Self) -> Result<bool, Error> {
        Ok(this.desk(ruby)?.resumed.is_some())
    }

    /// What the former handler of the resumed connection has left.
    fn state(ruby: &Ruby, this: &Self) -> Result<Option<RString>, Error> {
        guarded(ruby, || {
            let desk = this.desk(ruby)?;
            let state = desk.resumed.as_ref().and_then(|resumed| resumed.state.as_ref());
            Ok(state.map(|state| job::text_if_valid(ruby, state)))
        })
    }

    fn respond(ruby: &Ruby, this: &Self, status: Value, headers: Value, parts: RArray) -> Result<(), Error> {
        guarded(ruby, || {
            let status = response::status(ruby, status)?;
            let head = this.read_head(ruby, headers)?;
            this.respond_with(ruby, status, head, parts)
        })
    }

    /// Gives an answer of the usual form, `[Integer, Hash, Array]`. False for any other, with which nothing has been done.
    fn respond_plainly(ruby: &Ruby, this: &Self, answer: Value) -> Result<bool, Error> {
        guarded(ruby, || {
            let Some(answer) = RArray::from_value(answer).filter(|answer| answer.len() == 3) else { return Ok(false) };
            let (status, headers, body): (Value, Value, Value) = (answer.entry(0)?, answer.entry(1)?, answer.entry(2)?);
            let (Some(_), Some(headers)) = (Fixnum::from_value(status), RHash::from_value(headers)) else {
                return Ok(false);
            };
            // One with methods of its own may want more than that its parts are sent.
            let Some(parts) = RArray::from_value(body).filter(|body| response::is_plain(ruby, *body)) else {
                return Ok(false);
            };
            let status = response::status(ruby, status)?;
            let head = this.read_head(ruby, headers.as_value())?;
            if head.hijacks {
                return Ok(false);
            }
            this.respond_with(ruby, status, head, parts).map(|()| true)
        })
    }

    fn respond_with(&self, ruby: &Ruby, status: u16, mut head: Head, parts: RArray) -> Result<(), Error> {
        let len = response::parts_len(ruby, parts)?;
        let mut desk = self.unanswered(ruby)?;
        let suppressed = desk.head_only || has_no_body(status);
        if let Some(declared) = head.content_length.filter(|declared| !suppressed && *declared != len) {
            let message = format!("Content-Length is {declared}, but the body has {len} bytes");
            return Err(error::response(ruby, message));
        }
        let complete = len <= ruby.get_inner(self.worker).complete_max_bytes;
        if complete || suppressed {
            if !complete && head.content_length.is_none() && !has_no_body(status) {
                // A HEAD request: the length is all that the client is to know.
                head.set_content_length(len);
            }
            // SAFETY: from here to the end of the iterator only Rust code runs. The strings were checked above, and
            // no Ruby code ran in between: taking the desk calls none.
            let parts = unsafe { response::parts_bytes(&parts) }.filter(|_| complete && !has_no_body(status));
            desk.seat.respond(status, head.fields(), parts);
            desk.head = head;
            return Ok(());
        }
        if head.content_length.is_none() {
            head.set_content_length(len);
        }
        desk.body = StreamedBody { suppressed, declared: Some(len), sent: 0 };
        desk.seat.start(status, head.fields());
        desk.head = head;
        drop(desk);
        for at in 0..parts.len() {
            Self::write(ruby, self, parts.entry(at as isize)?)?;
        }
        Self::finish(ruby, self)
    }

    fn respond_file(
        ruby: &Ruby,
        this: &Self,
        status: Value,
        headers: Value,
        io: Value,
        length: u64,
    ) -> Result<(), Error> {
        guarded(ruby, || {
            let status = response::status(ruby, status)?;
            let head = this.read_head(ruby, headers)?;
            let (fd, offset) = duplicate(ruby, io)?;
            let mut desk = this.unanswered(ruby)?;
            let suppressed = desk.head_only || has_no_body(status);
            if let Some(declared) = head.content_length.filter(|declared| !suppressed && *declared != length) {
                let message = format!("Content-Length is {declared}, but the file has {length} bytes");
                return Err(error::response(ruby, message));
            }
            if has_no_body(status) {
                desk.seat.respond(status, head.fields(), []);
            } else {
                desk.seat.respond_file(status, head.fields(), fd, offset, length);
            }
            desk.head = head;
            Ok(())
        })
    }

    fn start(ruby: &Ruby, this: &Self, status: Value, headers: Value) -> Result<(), Error> {
        guarded(ruby, || {
            let status = response::status(ruby, status)?;
            let head = this.read_head(ruby, headers)?;
            let mut desk = this.unanswered(ruby)?;
            let suppressed = desk.head_only || has_no_body(status);
            desk.body = StreamedBody { suppressed, declared: head.content_length, sent: 0 };
            desk.seat.start(status, head.fields());
            desk.head = head;
            Ok(())
        })
    }

    /// Reads headers into the buffer of the desk, which must not be in use meanwhile: their methods may be Ruby code.
    fn read_head(&self, ruby: &Ruby, headers: Value) -> Result<Head, Error> {
        let mut head = std::mem::take(&mut self.unanswered(ruby)?.head);
        head.read(ruby, headers)?;
        Ok(head)
    }

    fn write(ruby: &Ruby, this: &Self, data: RString) -> Result<(), Error> {
        guarded(ruby, || {
            {
                let mut desk = this.desk(ruby)?;
                if !desk.seat.is_streaming() {
                    return Err(error::write(ruby, &WriteError::NotStreaming));
                }
                let body = &mut desk.body;
                let sent = body.sent + data.len() as u64;
                if let Some(declared) = body.declared.filter(|declared| !body.suppressed && sent > *declared) {
                    let message = format!("Content-Length is {declared}, but the body has at least {sent} bytes");
                    return Err(error::response(ruby, message));
                }
                body.sent = sent;
                if body.suppressed {
                    return Ok(());
                }
            }
            // A frozen copy that shares the bytes: whoever changes the string meanwhile gets bytes of its own.
            let data = RString::new_frozen(data);
            let waiter = this.waiter.get(ruby)?;
            let mut at = 0;
            while at < data.len() {
                {
                    let mut desk = this.desk(ruby)?;
                    // SAFETY: the string is frozen and on this stack, so the bytes stay where they are, also while the
                    // GVL is released.
                    let rest = &unsafe { data.as_slice() }[at..];
                    let seat = &mut desk.seat;
                    let written = if rest.len() <= WRITE_WITH_GVL_MAX {
                        seat.write(rest)
                    } else {
                        gvl::blocking(ruby, || seat.write(rest))?
                    };
                    at += written.map_err(|error| error::write(ruby, &error))?;
                }
                if at < data.len() {
                    waiter.prepare();
                    let _ = gvl::without_gvl(waiter, || waiter.wait_credit());
                    ruby.thread_check_ints()?;
                }
            }
            // Keeps `data` on the stack until here.
            std::hint::black_box(&data);
            Ok(())
        })
    }

    fn finish(ruby: &Ruby, this: &Self) -> Result<(), Error> {
        guarded(ruby, || {
            let mut desk = this.desk(ruby)?;
            let StreamedBody { suppressed, declared, sent } = desk.body;
            match declared.filter(|declared| desk.seat.is_streaming() && !suppressed && *declared != sent) {
                None => {
                    desk.seat.finish();
                    Ok(())
                }
                Some(declared) => {
                    desk.seat.abort();
                    let message = format!("Content-Length is {declared}, but the body has {sent} bytes");
                    Err(error::response(ruby, message))
                }
            }
        })
    }

    fn abort(ruby: &Ruby, this: &Self) -> Result<(), Error> {
        guarded(ruby, || {
            this.desk(ruby)?.seat.abort();
            Ok(())
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
        Ok(!this.desk(ruby)?.seat.is_unanswered())
    }

    fn is_streaming(ruby: &Ruby, this: &Self) -> Result<bool, Error> {
        Ok(this.desk(ruby)?.seat.is_streaming())
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

/// RFC 9110 §6.4.1: answers that never have content. 1xx is no answer at all here.
fn has_no_body(status: u16) -> bool {
    matches!(status, 204 | 304)
}

/// A descriptor of the IO's file, and the IO's position. The gateway reads from there without moving the position, which
/// all duplicates share, so one File can be the body of several answers at once.
fn duplicate(ruby: &Ruby, io: Value) -> Result<(OwnedFd, u64), Error> {
    // Not the descriptor's own position: the IO may have read ahead.
    let position: u64 = io.funcall("pos", ())?;
    let number: RawFd = io.funcall("fileno", ())?;
    // SAFETY: `io` has just said that this is its descriptor, it is on this stack, and no Ruby code that could close it
    // runs while the borrow is used.
    let fd = unsafe { BorrowedFd::borrow_raw(number) }.try_clone_to_owned();
    Ok((fd.map_err(|error| error::io(ruby, &error, "can't send the file".to_owned()))?, position))
}

pub(crate) fn init(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    let class = native.define_class("Seat", ruby.class_object())?;
    class.undef_default_alloc_func();
    class.define_method("take", method!(Seat::take, 0))?;
    class.define_method("resumed?", method!(Seat::is_resumed, 0))?;
    class.define_method("state", method!(Seat::state, 0))?;
    class.define_method("respond", method!(Seat::respond, 3))?;
    class.define_method("respond_plainly", method!(Seat::respond_plainly, 1))?;
    class.define_method("respond_file", method!(Seat::respond_file, 4))?;
    class.define_method("start", method!(Seat::start, 2))?;
    class.define_method("write", method!(Seat::write, 1))?;
    class.define_method("finish", method!(Seat::finish, 0))?;
    class.define_method("abort", method!(Seat::abort, 0))?;
    class.define_method("upgrade", method!(Seat::upgrade, 2))?;
    class.define_method("answered?", method!(Seat::is_answered, 0))?;
    class.define_method("streaming?", method!(Seat::is_streaming, 0))?;
    class.define_method("connection", method!(Seat::connection, 0))
}
