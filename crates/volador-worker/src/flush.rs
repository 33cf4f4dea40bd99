//! The policy: when are the frames of an outbox handed to the gateway?
//!
//! Each hand-over costs a wake-up of the gateway's thread and, on the same core, a change of threads, which is dearer
//! than a small request. So answers are gathered as long as there is more to answer, within bounds that a client does
//! not notice. What somebody waits for outside of that rhythm goes at once.

use std::{cell::Cell, time::Duration};

/// Answers in an outbox that are enough for a hand-over: the gateway sends them while the next ones are made.
const RESPONSES: u32 = 16;

/// The same where there is one core, on which nothing happens meanwhile.
const RESPONSES_ON_ONE_CORE: u32 = 64;

/// Age of the oldest frame at which the next answer takes all with it.
pub(crate) const RESPONSE_AGE: Duration = Duration::from_micros(300);

/// Age of the oldest frame at which the watcher hands it over: the seat is inside of a slow request.
pub(crate) const FRAME_AGE: Duration = Duration::from_millis(1);

/// How much haste a frame has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Haste {
    /// Somebody waits for it now: a chunk of a stream, a push from a thread that serves no request.
    Now,
    /// The end of an answer. `last` when no further job waits, so that nothing will be gathered with it.
    Answer {
        /// No further job waits.
        last: bool,
    },
    /// It may wait for the answer that the same thread is about to give.
    WithAnswer,
}

thread_local! {
    /// Whether this thread is inside of a job, so that an answer will take its pushes along. Only a matter of speed: the
    /// watcher sends what waits too long.
    static IN_JOB: Cell<bool> = const { Cell::new(false) };
}

/// Whether the calling thread is inside of a job from now on.
pub(crate) fn set_in_job(is_in_job: bool) {
    IN_JOB.set(is_in_job);
}

/// The haste of a push from the calling thread.
pub(crate) fn push_haste() -> Haste {
    if IN_JOB.get() { Haste::WithAnswer } else { Haste::Now }
}

/// Answers that are enough for a hand-over in a process that may use so many cores. The gateway of another process is taken
/// to have the same ones.
pub(crate) fn enough(cores: usize) -> u32 {
    if cores == 1 { RESPONSES_ON_ONE_CORE } else { RESPONSES }
}

/// Whether an outbox is to be handed over after a frame of this haste was added. `answers` counts that frame, `age` is
/// the oldest frame's.
pub(crate) fn is_due(haste: Haste, answers: u32, enough: u32, age: Duration) -> bool {
    match haste {
        Haste::Now | Haste::Answer { last: true } => true,
        Haste::Answer { last: false } => answers >= enough || age >= RESPONSE_AGE,
        Haste::WithAnswer => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn haste_decides() {
        let more = Haste::Answer { last: false };
        for (haste, answers, age_us, due) in [
            (Haste::Now, 0, 0, true),
            (Haste::Answer { last: true }, 1, 0, true),
            (more, 1, 0, false),
            (more, 15, 299, false),
            (more, 16, 0, true),
            (more, 1, 300, true),
            (Haste::WithAnswer, 15, 10_000, false),
        ] {
            assert_eq!(is_due(haste, answers, 16, Duration::from_micros(age_us)), due, "{haste:?} {answers} {age_us}");
        }
    }
}
