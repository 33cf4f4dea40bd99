//! [`Lines`]: lines of the log of one kind, so few that they fill no disk.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::log;

/// Lines of a kind in a minute. More than one: the first ones may have different reasons.
const LINES_MAX: u64 = 5;
const MINUTE: Duration = Duration::from_secs(60);

/// Lines of one kind.
#[derive(Debug, Default)]
pub struct Lines(Mutex<Option<Minute>>);

#[derive(Debug)]
struct Minute {
    begun: Instant,
    /// What was to have a line since then.
    cases: u64,
}

/// What is to have a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// If it gets none, it is counted.
    New,
    /// One that got none and has been counted, and that a later line may be about.
    Counted,
}

impl Lines {
    /// There has been none.
    pub const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Writes a line, or counts that there is none.
    pub fn warn(&self, message: fmt::Arguments<'_>) {
        self.warn_of(Case::New, message);
    }

    /// As [`Self::warn`]. Returns whether there is a line.
    pub fn warn_of(&self, case: Case, message: fmt::Arguments<'_>) -> bool {
        let end = self.end(case);
        if let Some(end) = &end {
            log::warn(format_args!("{message}{end}"));
        }
        end.is_some()
    }

    /// How the next line is to end; None: there is none.
    pub(crate) fn end(&self, case: Case) -> Option<String> {
        self.count(Instant::now(), case)
    }

    fn count(&self, now: Instant, case: Case) -> Option<String> {
        // Whoever had the lock has panicked, between two whole states: there is nothing to be mended.
        let mut minute = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *minute {
            Some(Minute { begun, cases }) if now.saturating_duration_since(*begun) < MINUTE => {
                if case == Case::Counted && *cases >= LINES_MAX {
                    return None;
                }
                *cases += 1;
                match *cases {
                    ..LINES_MAX => Some(String::new()),
                    LINES_MAX => Some(". More like this are counted for a minute".into()),
                    _ => None,
                }
            }
            _ => match minute.replace(Minute { begun: now, cases: 1 }) {
                Some(Minute { cases, .. }) if cases > LINES_MAX => {
                    Some(format!(". {} more were like this since the last such line", cases - LINES_MAX))
                }
                _ => Some(String::new()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_lines_of_a_kind_in_a_minute_and_the_next_one_says_how_many_are_missing() {
        let (lines, start) = (Lines::default(), Instant::now());
        let at = |seconds| lines.count(start + Duration::from_secs(seconds), Case::New);
        let plain = Some(String::new());
        for seconds in [0, 0, 1, 2] {
            assert_eq!(at(seconds), plain);
        }
        assert!(at(3).unwrap().contains("are counted"));
        for seconds in [3, 30, 59] {
            assert_eq!(at(seconds), None);
        }
        assert!(at(60).unwrap().contains(". 3 more were"));
        assert_eq!(at(61), plain);
        assert_eq!(at(120), plain, "nothing was missing");
    }

    #[test]
    fn case_without_a_line_is_counted_once_however_often_it_is_tried_and_has_its_line_later() {
        let (lines, start) = (Lines::default(), Instant::now());
        let at = |seconds, case| lines.count(start + Duration::from_secs(seconds), case);
        assert_eq!(at(0, Case::Counted), Some(String::new()), "there is room");
        let written = (0..6).filter(|_| at(1, Case::New).is_some()).count();
        assert_eq!(written, 4);
        for seconds in [2, 3, 59] {
            assert_eq!(at(seconds, Case::Counted), None);
        }
        assert!(at(60, Case::Counted).unwrap().contains(". 2 more were"));
        assert_eq!(at(61, Case::Counted), Some(String::new()));
        assert_eq!(at(120, Case::New), Some(String::new()), "nothing was missing");
    }
}
