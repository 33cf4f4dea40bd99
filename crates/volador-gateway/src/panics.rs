//! Panics, which are faults of this program. None is known. If there is one all the same, it ends what it was about, and not
//! what its shard does for everyone else. The message itself is in the log by then (see `log::report_panics`).

use std::{future::poll_fn, panic::resume_unwind, time::Duration};

use tokio::{
    task::{JoinHandle, spawn_local},
    time::sleep,
};
use volador_link::{Lines, log};

/// How long a task rests after a panic, so that one that comes again at once leaves time for everything else.
const REST: Duration = Duration::from_millis(100);

/// What has ended by a panic.
static FAILED: Lines = Lines::new();

/// What was begun anew after one.
static GOES_ON: Lines = Lines::new();

/// Does something that may fail for itself alone. None: it panicked, and `what` is named in the log.
///
/// Unwind safety: guards of cells are given back on the way. What was half done is the caller's to end.
pub(crate) fn contain<R>(what: &str, f: impl FnOnce() -> R) -> Option<R> {
    let result = log::catch(f);
    if result.is_err() {
        FAILED.warn(format_args!("internal error in Volador, please report it: {what} has failed by a panic"));
    }
    result.ok()
}

/// Spawns a task. Its panic ends it and nothing else, since the runtime catches that; so nobody waits for the log's line, as
/// all connections of the shard would.
#[expect(clippy::disallowed_methods, reason = "the one place where a task is marked as one whose panic is caught")]
pub(crate) fn spawn<F: Future<Output = ()> + 'static>(task: F) -> JoinHandle<()> {
    spawn_local(caught(task))
}

/// In a box: an `async` block would have room for what it is given and for what it pins, and each connection has such a task.
fn caught<F: Future<Output = ()> + 'static>(task: F) -> impl Future<Output = ()> {
    let mut task = Box::pin(task);
    poll_fn(move |cx| log::catch(|| task.as_mut().poll(cx)).unwrap_or_else(|panic| resume_unwind(panic)))
}

/// Spawns a task that its shard can't do without: after a panic it is begun anew.
pub(crate) fn spawn_lasting<F: Future<Output = ()> + 'static>(what: &'static str, begin: impl Fn() -> F + 'static) {
    spawn(async move {
        while let Err(end) = spawn(begin()).await {
            if !end.is_panic() {
                return; // the shard is being dropped
            }
            GOES_ON.warn(format_args!(
                "internal error in Volador, please report it: {what} has failed by a panic; it goes on"
            ));
            sleep(REST).await;
        }
    });
}

#[cfg(test)]
mod tests {
    use std::{
        cell::Cell,
        env,
        io::Write,
        os::{fd::OwnedFd, unix::net::UnixStream},
        process::Command,
        rc::Rc,
        time::Instant,
    };

    use tokio::{runtime::Builder, sync::Notify, task::LocalSet};

    use super::*;

    #[test]
    fn a_panic_is_contained() {
        assert_eq!(contain("a sum", || 1 + 1), Some(2));
        assert_eq!(contain("a test's own panic", || panic!("on purpose")), None::<()>);
    }

    #[test]
    fn a_lasting_task_goes_on_after_a_panic() {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let (begun, done) = (Rc::new(Cell::new(0)), Rc::new(Notify::new()));
        LocalSet::new().block_on(&runtime, async {
            let (count, signal) = (begun.clone(), done.clone());
            spawn_lasting("a test's task", move || {
                count.set(count.get() + 1);
                let (begun, signal) = (count.get(), signal.clone());
                async move {
                    assert!(begun >= 3, "on purpose");
                    signal.notify_one();
                }
            });
            done.notified().await;
        });
        assert_eq!(begun.get(), 3);
    }

    #[test]
    fn a_task_has_its_memory_once() {
        let memory = [0_u8; 4096];
        let task = async move {
            tokio::task::yield_now().await;
            assert_eq!(memory[0], 0);
        };
        assert!(size_of_val(&task) >= 4096 && size_of_val(&caught(task)) <= 16);
    }

    #[test]
    fn nobody_waits_for_the_line_of_a_panic_in_a_task() {
        const NAME: &str = "panics::tests::nobody_waits_for_the_line_of_a_panic_in_a_task";
        if env::var_os("VOLADOR_PANICS").is_some() {
            log::report_panics();
            let runtime = Builder::new_current_thread().build().unwrap();
            let begun = Instant::now();
            LocalSet::new().block_on(&runtime, async {
                for number in 0..20 {
                    assert!(spawn(async move { panic!("number {number}") }).await.unwrap_err().is_panic());
                }
            });
            assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
            return;
        }
        // The hook is the process's, and so is the log, which nobody reads here.
        let (mut log, _reader) = UnixStream::pair().unwrap();
        log.set_nonblocking(true).unwrap();
        while log.write(&[b'\n'; 4096]).is_ok() {}
        let mut child = Command::new(env::current_exe().unwrap());
        child.args(["--exact", NAME, "--nocapture"]).env("VOLADOR_PANICS", "1").stderr(OwnedFd::from(log));
        let output = child.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}
