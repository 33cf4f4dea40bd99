//! The rules about the global VM lock (GVL). All code that releases it is in this file.
//!
//! - Whatever waits, waits without the GVL. Whatever is quick (a lock that is held for microseconds, handing frames to
//!   the gateway) is done with it: releasing and getting it back costs more.
//! - Without the GVL no Ruby function may be called. The closures here are `Send`, which keeps `Value` and `Ruby` out of
//!   them at compile time, since those are not.
//! - `rb_nogvl` is called with RB_NOGVL_INTR_FAIL. With flags 0 it would check for interrupts after the closure has run,
//!   and jump over our frames. With it, interrupts are the caller's to check: first keep what the closure brought, then
//!   call `Ruby::thread_check_ints`, which catches the jump.
//! - The unblock function is called by another thread, which holds a lock of the interrupted one: it calls no Ruby and
//!   does not wait. It is called once per interrupt, so its effect must last until the wait has seen it.
//! - The main thread does not park here: while all threads do, Ruby (up to 3.2 at least) notices no signal. What the main
//!   thread waits for, it waits for in slices. Nor does it give an unblock function: for a main thread that is alone, 3.1
//!   starts a thread which would call it, and joins that behind the closure, whatever the flags say. That checks for
//!   interrupts, and jumps.

use std::{
    ffi::c_void,
    io,
    panic::resume_unwind,
    ptr,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use magnus::{Error, Ruby, rb_sys::AsRawValue};
use volador_link::log;

/// How long the main thread waits at once. A signal for it does not call its unblock function while all other threads are
/// parked: Ruby notices it when the main thread comes back.
const SLICE: Duration = Duration::from_millis(50);

/// What ends the wait of a thread that is interrupted.
pub(crate) trait Unblock: Sync {
    /// Ends the wait, also one that begins later. From any thread.
    fn unblock(&self);
}

impl Unblock for volador_worker::Waiter {
    fn unblock(&self) {
        self.interrupt();
    }
}

impl Unblock for volador_worker::CreditWait {
    fn unblock(&self) {
        self.interrupt();
    }
}

/// Runs `f`, whose wait `unblock` ends, without the GVL. Gives `f` back when it was not run because an interrupt is pending.
/// Not for the main thread: see [`is_main`].
pub(crate) fn without_gvl<F, R, U>(unblock: &U, f: F) -> Result<R, F>
where
    F: FnOnce() -> R + Send,
    R: Send,
    U: Unblock,
{
    unsafe extern "C" fn unblock_by<U: Unblock>(unblock: *mut c_void) {
        // SAFETY: points to the `unblock` that the caller borrows for the whole call; U is Sync.
        let unblock = unsafe { &*unblock.cast::<U>() };
        let _ = log::catch(|| unblock.unblock());
    }
    // SAFETY: the function takes what the pointer points to, which is borrowed for the whole call.
    unsafe { nogvl(f, Some(unblock_by::<U>), ptr::from_ref(unblock).cast_mut().cast()) }
}

/// # Safety
/// `unblock` may be called with `data`, from any thread, until this returns.
unsafe fn nogvl<F, R>(f: F, unblock: rb_sys::rb_unblock_function_t, data: *mut c_void) -> Result<R, F>
where
    F: FnOnce() -> R + Send,
    R: Send,
{
    struct Call<F, R> {
        f: Option<F>,
        result: Option<std::thread::Result<R>>,
    }
    unsafe extern "C" fn run<F: FnOnce() -> R, R>(call: *mut c_void) -> *mut c_void {
        // SAFETY: `call` points to the Call on the frame below, which waits for this function and does not touch it.
        let call = unsafe { &mut *call.cast::<Call<F, R>>() };
        if let Some(f) = call.f.take() {
            // A panic must not unwind through Ruby's frames.
            call.result = Some(log::catch(f));
        }
        ptr::null_mut()
    }
    let mut call = Call { f: Some(f), result: None };
    // SAFETY: this thread has the GVL (only methods called by Ruby come here). Both pointers outlive the call. With
    // INTR_FAIL rb_nogvl neither raises nor jumps, but for the main thread when it is alone and gives an unblock function:
    // see the rules. The closure calls no Ruby, as it can hold nothing to call it with.
    unsafe {
        rb_sys::rb_nogvl(Some(run::<F, R>), (&raw mut call).cast(), unblock, data, rb_sys::RB_NOGVL_INTR_FAIL as i32);
    }
    match (call.result, call.f) {
        (Some(Ok(result)), _) => Ok(result),
        (Some(Err(panic)), _) => resume_unwind(panic),
        (None, Some(f)) => Err(f),
        (None, None) => unreachable!("the closure leaves its place only to give a result"),
    }
}

/// Runs `f`, which takes no long time, without the GVL. Pending interrupts come first.
///
/// # Errors
/// What an interrupt raises; `f` has then not been run.
pub(crate) fn blocking<R: Send>(ruby: &Ruby, f: impl FnOnce() -> R + Send) -> Result<R, Error> {
    let mut f = f;
    loop {
        match uninterrupted(f) {
            Ok(result) => return Ok(result),
            Err(again) => f = again,
        }
        ruby.thread_check_ints()?;
    }
}

/// Runs `f`, which takes no long time and must be run, without the GVL.
///
/// # Errors
/// What an interrupt raises; `f` has been run all the same.
pub(crate) fn finishing<R: Send>(ruby: &Ruby, f: impl FnOnce() -> R + Send) -> Result<R, Error> {
    let (mut f, mut interrupt) = (f, None);
    loop {
        match uninterrupted(f) {
            Ok(result) => return interrupt.map_or(Ok(result), Err),
            Err(again) => f = again,
        }
        // The first one counts. It has to be taken, for nothing is begun without the GVL while one is pending.
        let raised = ruby.thread_check_ints().err();
        interrupt = interrupt.or(raised);
    }
}

/// Whether this is the main thread, which does not park.
pub(crate) fn is_main(ruby: &Ruby) -> bool {
    ruby.thread_current().as_raw() == ruby.thread_main().as_raw()
}

/// Waits until `wait`, which is given the end of each slice, has something, or until then; None: as long as it takes.
/// Interrupts come between slices.
///
/// # Errors
/// What an interrupt raises.
pub(crate) fn in_slices<R: Send>(
    ruby: &Ruby,
    until: impl Into<Option<Instant>>,
    mut wait: impl FnMut(Instant) -> Option<R> + Send,
) -> Result<Option<R>, Error> {
    let until = until.into();
    loop {
        let slice = Instant::now() + SLICE;
        if let Some(result) = blocking(ruby, || wait(until.map_or(slice, |until| until.min(slice))))? {
            return Ok(Some(result));
        }
        if until.is_some_and(|until| Instant::now() >= until) {
            return Ok(None);
        }
        ruby.thread_check_ints()?;
    }
}

/// Runs `f`, which may take its time and can't be stopped, in a thread of its own. What it brings after an interrupt is given
/// to `undo`.
///
/// # Errors
/// What an interrupt raises.
pub(crate) fn aside<R: Send + 'static>(
    ruby: &Ruby,
    f: impl FnOnce() -> R + Send + 'static,
    undo: impl FnOnce(R) + Send + 'static,
) -> Result<io::Result<R>, Error> {
    let (sender, receiver) = mpsc::sync_channel(0);
    let run = move || {
        // No one takes it any more.
        if let Err(mpsc::SendError(late)) = sender.send(f()) {
            undo(late);
        }
    };
    if let Err(error) = thread::Builder::new().name("volador-aside".to_owned()).spawn(run) {
        return Ok(Err(error));
    }
    let mut receiver = receiver;
    loop {
        let (back, result) = blocking(ruby, move || {
            let result = receiver.recv_timeout(SLICE);
            (receiver, result)
        })?;
        match result {
            Ok(result) => return Ok(Ok(result)),
            Err(RecvTimeoutError::Disconnected) => return Ok(Err(io::Error::other("its thread has panicked"))),
            Err(RecvTimeoutError::Timeout) => receiver = back,
        }
        ruby.thread_check_ints()?;
    }
}

/// As [`without_gvl`], for what can't be interrupted and takes no long time; also for the main thread.
fn uninterrupted<F, R>(f: F) -> Result<R, F>
where
    F: FnOnce() -> R + Send,
    R: Send,
{
    // SAFETY: there is nothing to be called.
    unsafe { nogvl(f, None, ptr::null_mut()) }
}
