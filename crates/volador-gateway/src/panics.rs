//! Panics, which are faults of this program. None is known. If there is one all the same, it ends what it was about, and not
//! what its shard does for everyone else. The message itself is in the log by then (see `log::report_panics`).

use std::time::Duration;

use tokio::{task::spawn_local, time::sleep};
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

/// Spawns a task that its shard can't do without: after a panic it is begun anew.
pub(crate) fn spawn_lasting<F: Future<Output = ()> + 'static>(what: &'static str, begin: impl Fn() -> F + 'static) {
    spawn_local(async move {
        while let Err(end) = spawn_local(begin()).await {
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
    use std::{cell::Cell, rc::Rc};

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
}
