//! [`ClientLog`]: lines of the log that clients can cause, so few and so short that they fill no disk.

use std::{ascii, fmt};

use volador_link::Lines;

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
