use std::sync::Mutex;

use tokio::{
    runtime::Builder,
    task::{LocalSet, yield_now},
};
use volador_proto::link::StreamId;

use super::*;
use crate::panics;

/// Remembers how many bytes it was handed each time.
#[derive(Debug, Default)]
struct Link(Mutex<Vec<usize>>);

impl WorkerLink for Link {
    fn deliver(&self, batch: Batch) {
        self.0.lock().unwrap().push(batch.len());
    }
}

/// Appends a frame; all are of the same size.
fn append(batch: &mut Batch) {
    batch.cancel(StreamId::new(0, 0, 7));
}

/// What is handed over, in frames, after one was appended, when `ready` says how many sockets each look finds. Each of them
/// brings a frame, in its task's turn. Ends when there was so much.
fn delivered(cores: usize, first: usize, ready: impl IntoIterator<Item = usize> + 'static, all: usize) -> Vec<usize> {
    let frame = {
        let mut batch = Batch::new();
        append(&mut batch);
        batch.len()
    };
    let link = Arc::new(Link::default());
    let workers = Rc::new(Workers::new(Some(link.clone()), 0));
    let (runtime, sum) =
        (Builder::new_current_thread().build().unwrap(), || link.0.lock().unwrap().iter().sum::<usize>());
    LocalSet::new().block_on(&runtime, async {
        let task = panics::spawn({
            let (workers, mut ready) = (workers.clone(), ready.into_iter());
            let looking = workers.clone();
            let look = move || {
                let ready = ready.next().unwrap_or(0);
                for _ in 0..ready {
                    let workers = looking.clone();
                    panics::spawn(async move { append(&mut workers.batch(WorkerKey::EMBEDDED)) });
                }
                ready
            };
            async move { workers.flush_task(cores, look).await }
        });
        (0..first).for_each(|_| append(&mut workers.batch(WorkerKey::EMBEDDED)));
        while sum() < all * frame {
            yield_now().await;
        }
        task.abort();
    });
    let delivered = link.0.lock().unwrap();
    delivered.iter().map(|bytes| bytes / frame).collect()
}

#[test]
fn frames_of_a_turn_are_handed_over_together() {
    assert_eq!(delivered(1, 3, [], 3), [3]);
    assert_eq!(delivered(2, 3, [], 3), [3]);
}

#[test]
fn frames_of_those_who_are_ready_by_then_go_along() {
    assert_eq!(delivered(2, 1, [2], 3), [3]);
}

#[test]
fn on_one_core_frames_are_gathered_as_long_as_somebody_is_ready() {
    assert_eq!(delivered(1, 1, [2, 3, 0, 0, 4, 0], 6), [6]);
    assert_eq!(delivered(2, 1, [2, 0], 3), [3]);
}

#[test]
fn on_one_core_frames_are_handed_over_although_somebody_is_always_ready() {
    assert!(!delivered(1, 1, std::iter::repeat(1), 1).is_empty());
}
