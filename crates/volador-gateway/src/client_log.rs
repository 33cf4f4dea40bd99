//! [`ClientLog`]: lines of the log that clients can cause, so few and so short that they fill no disk.

use std::{
    ascii, fmt,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::log;

/// Lines of a kind in a minute. More than one: the first ones may have different reasons.
const LINES_MAX: u64 = 5;
const MINUTE: Duration = Duration::from_secs(60);

/// Characters of what a client has sent, about.
const EXCERPT_MAX: usize = 100;

/// The kinds of lines, each with a limit of its own that the shards have in common.
#[derive(Debug, Default)]
pub(crate) struct ClientLog {
    /// WebSockets that were refused for their origin.
    pub(crate) origins: Lines,
    /// Subprotocols that their clients have not offered.
    pub(crate) subprotocols: Lines,
    /// Upgrades of requests that asked for none.
    pub(crate) upgrades: Lines,
    /// Bodies that could not be stored.
    pub(crate) bodies: Lines,
    /// Connections that were lost at their start.
    pub(crate) starts: Lines,
    /// Push connections that were.
    pub(crate) push_starts: Lines,
    /// Connections that were cut as the application took them.
    pub(crate) tunnels: Lines,
}

/// Lines of one kind.
#[derive(Debug, Default)]
pub(crate) struct Lines(Mutex<Option<Minute>>);

#[derive(Debug)]
struct Minute {
    begun: Instant,
    /// What was to have a line since then.
    cases: u64,
}

impl Lines {
    /// Writes a line, or counts that there is none.
    pub(crate) fn warn(&self, message: fmt::Arguments<'_>) {
        if let Some(end) = self.count(Instant::now()) {
            log::warn(format_args!("{message}{end}"));
        }
    }

    /// How the next line is to end; None: there is none.
    fn count(&self, now: Instant) -> Option<String> {
        let mut minute = self.0.lock();
        match &mut *minute {
            Some(Minute { begun, cases }) if now.saturating_duration_since(*begun) < MINUTE => {
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

/// The beginning of what a client has sent, in characters that are harmless in a log.
pub(crate) struct Excerpt<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut len = 0;
        for byte in self.0 {
            if len >= EXCERPT_MAX {
                return f.write_str("...");
            }
            let escaped = ascii::escape_default(*byte);
            len += escaped.len();
            write!(f, "{escaped}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_lines_of_a_kind_in_a_minute_and_the_next_one_says_how_many_are_missing() {
        let (lines, start) = (Lines::default(), Instant::now());
        let at = |seconds| lines.count(start + Duration::from_secs(seconds));
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
    fn an_excerpt_is_short_and_on_one_line() {
        for (sent, shown) in [
            (&b"http://a.example"[..], "http://a.example".to_owned()),
            (b"a\nvolador ERROR: \"b\"\x1b", "a\\nvolador ERROR: \\\"b\\\"\\x1b".to_owned()),
            (&[b'a'; 100], "a".repeat(100)),
            (&[b'a'; 101], format!("{}...", "a".repeat(100))),
            (&[0xff; 30_000], format!("{}...", "\\xff".repeat(25))),
        ] {
            assert_eq!(Excerpt(sent).to_string(), shown);
        }
    }
}
