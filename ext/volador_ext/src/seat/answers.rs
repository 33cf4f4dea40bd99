//! How a seat answers a request: at once, with a file, or piece by piece.

use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd, RawFd},
};

use magnus::{Error, RArray, RHash, RString, Ruby, Value, prelude::*, value::Fixnum};
use volador_link::Want;
use volador_proto::link::StreamId;
use volador_worker::WriteError;

use super::Seat;
use crate::{
    error::{self, guarded},
    gvl,
    object::{self, This},
    response::{self, Head},
};

/// A longer piece of a streamed response is handed over without the GVL: it may go to a file.
const WRITE_WITH_GVL_MAX: usize = 64 * 1024;

/// RFC 9110 §15.2.2: the only answer below 200, and none of the usual form.
pub(super) const SWITCHING_PROTOCOLS: i64 = 101;

/// What a streamed answer has declared and sent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StreamedBody {
    /// There is none, whatever the application writes: the request is a HEAD, or the status has no body.
    suppressed: bool,
    /// The Content-Length.
    declared: Option<u64>,
    /// Bytes so far.
    sent: u64,
}

impl Seat {
    pub(super) fn respond(ruby: &Ruby, this: &Self, status: Value, headers: Value, parts: RArray) -> Result<(), Error> {
        guarded(ruby, || {
            let status = response::status(ruby, status)?;
            let head = this.read_head(ruby, headers)?;
            this.respond_with(ruby, status, head, parts)
        })
    }

    /// Gives an answer of the usual form, `[Integer, Hash, Array]`. False for any other, with which nothing has been done.
    pub(super) fn respond_plainly(ruby: &Ruby, this: This<'_, Self>, answer: Value) -> Result<bool, Error> {
        guarded(ruby, || {
            if this.desk(ruby)?.is_hijacked {
                return Ok(false);
            }
            let Some(answer) = RArray::from_value(answer).filter(|answer| answer.len() == 3) else { return Ok(false) };
            let (status, headers, body): (Value, Value, Value) = (answer.entry(0)?, answer.entry(1)?, answer.entry(2)?);
            let (Some(number), Some(headers)) = (Fixnum::from_value(status), RHash::from_value(headers)) else {
                return Ok(false);
            };
            if number.to_i64() == SWITCHING_PROTOCOLS {
                return Ok(false);
            }
            let Some(parts) = RArray::from_value(body) else { return Ok(false) };
            // One with methods of its own may want more than that its parts are sent.
            if this.arrays_close.get() || !object::is_exactly(parts, ruby.class_array()) {
                return Ok(false);
            }
            let status = response::status(ruby, status)?;
            let head = this.read_head(ruby, headers.as_value())?;
            if head.is_special {
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
        let response = desk.seat.streaming().unwrap_or(StreamId::NONE);
        desk.head = head;
        drop(desk);
        for at in 0..parts.len() {
            self.write_all(ruby, parts.entry(at as isize)?, response)?;
        }
        Self::finish(ruby, self)
    }

    pub(super) fn respond_file(
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
            // The file may have grown since the application looked: a log, say. What is more was not promised.
            let sent = head.content_length.unwrap_or(length);
            if sent > length && !suppressed {
                let message = format!("Content-Length is {sent}, but the file has {length} bytes");
                return Err(error::response(ruby, message));
            }
            if has_no_body(status) {
                desk.seat.respond(status, head.fields(), []);
            } else {
                desk.seat.respond_file(status, head.fields(), fd, offset, sent.min(length));
            }
            desk.head = head;
            Ok(())
        })
    }

    /// Begins a streamed answer. Returns what its writes name it by.
    pub(super) fn start(ruby: &Ruby, this: &Self, status: Value, headers: Value) -> Result<u64, Error> {
        guarded(ruby, || {
            let status = response::status(ruby, status)?;
            let head = this.read_head(ruby, headers)?;
            let mut desk = this.unanswered(ruby)?;
            let suppressed = desk.head_only || has_no_body(status);
            desk.body = StreamedBody { suppressed, declared: head.content_length, sent: 0 };
            desk.seat.start(status, head.fields());
            desk.head = head;
            Ok(desk.seat.streaming().unwrap_or(StreamId::NONE).to_bits())
        })
    }

    /// Reads headers into the buffer of the desk, which must not be in use meanwhile: their methods may be Ruby code.
    pub(super) fn read_head(&self, ruby: &Ruby, headers: Value) -> Result<Head, Error> {
        let mut head = std::mem::take(&mut self.unanswered(ruby)?.head);
        head.read(ruby, headers)?;
        Ok(head)
    }

    /// Writes to the streamed answer that `response` names, be it the current one: an application may still write when its
    /// response is over, and then the seat has another client's.
    pub(super) fn write(ruby: &Ruby, this: &Self, data: RString, response: u64) -> Result<(), Error> {
        guarded(ruby, || this.write_all(ruby, data, StreamId::from_bits(response)))
    }

    fn write_all(&self, ruby: &Ruby, data: RString, response: StreamId) -> Result<(), Error> {
        {
            let mut desk = self.desk(ruby)?;
            if desk.seat.streaming() != Some(response) {
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
        let mut at = 0;
        while at < data.len() {
            // SAFETY: the string is frozen and on this stack, so the bytes stay where they are, also while the GVL is
            // released.
            let rest = &unsafe { data.as_slice() }[at..];
            let written = if rest.len() <= WRITE_WITH_GVL_MAX {
                self.desk(ruby)?.seat.write(response, rest)
            } else {
                self.write_long(ruby, rest, response)?
            };
            at += written.map_err(|error| error::write(ruby, &error))?;
            if at < data.len() {
                self.wait_for_client(ruby, response)?;
            }
        }
        // Keeps `data` on the stack until here.
        std::hint::black_box(&data);
        Ok(())
    }

    /// Until there is room for more, or nobody for whom to write it; it may also return without a reason. Any thread may
    /// write, so may the main one.
    fn wait_for_client(&self, ruby: &Ruby, response: StreamId) -> Result<(), Error> {
        let wait = self.desk(ruby)?.seat.credit_wait(response);
        if gvl::is_main(ruby) {
            gvl::in_slices(ruby, None, |until| wait.wait_until(until).then_some(()))?;
        } else {
            let _ = gvl::without_gvl(&wait, || wait.wait());
        }
        ruby.thread_check_ints()
    }

    /// The desk is not in use while the GVL is released: the seat's own thread may come back to it.
    fn write_long(&self, ruby: &Ruby, rest: &[u8], response: StreamId) -> Result<Result<usize, WriteError>, Error> {
        let mut lent = match self.desk(ruby)?.seat.lend(response) {
            Ok(lent) => lent,
            Err(error) => return Ok(Err(error)),
        };
        let written = gvl::blocking(ruby, || lent.write(rest));
        self.desk(ruby)?.seat.give_back(lent);
        written
    }

    pub(super) fn finish(ruby: &Ruby, this: &Self) -> Result<(), Error> {
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

    pub(super) fn abort(ruby: &Ruby, this: &Self) -> Result<(), Error> {
        guarded(ruby, || {
            this.desk(ruby)?.seat.abort();
            Ok(())
        })
    }

    /// `errno`: of the error by which the system has refused a file.
    pub(super) fn give_up(ruby: &Ruby, this: &Self, errno: i32) -> Result<(), Error> {
        guarded(ruby, || {
            let want = Want::of(&io::Error::from_raw_os_error(errno)).unwrap_or(Want::OfProcess);
            this.desk(ruby)?.seat.give_up(want);
            Ok(())
        })
    }
}

/// RFC 9110 §6.4.1 and §15.3.6: answers that never have content. 1xx is no answer at all here.
fn has_no_body(status: u16) -> bool {
    matches!(status, 204 | 205 | 304)
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
