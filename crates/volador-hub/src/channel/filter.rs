//! [`Filter`]: the channels that a subscription is meant for.

use super::subjects::{self, TAIL};
use super::{NAME_BYTES_MAX, SUBJECT_TOKENS_MAX, glob, is_name};

/// Why a text is not a filter. The application chose it, or took it from a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FilterError {
    /// The name or pattern has no bytes.
    #[error("the name of the channel is empty: name a channel, or use the glob pattern \"*\" for every channel")]
    Empty,
    /// The name or pattern is longer than [`NAME_BYTES_MAX`].
    #[error("the name or pattern of a channel has at most {NAME_BYTES_MAX} bytes, this one has {length}: shorten it")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// The subject pattern has more than [`SUBJECT_TOKENS_MAX`] tokens.
    #[error(
        "a subject pattern has at most {SUBJECT_TOKENS_MAX} tokens between its dots, this one has {tokens}: \
         end it earlier with \">\", which stands for any tail"
    )]
    TooManyTokens {
        /// Their number.
        tokens: usize,
    },
    /// A `>` token is followed by another token.
    #[error(
        "\">\" stands for any tail and is only possible as the last token of a subject pattern (\"rooms.>\"): \
         write \"*\" for exactly one token in the middle"
    )]
    TailNotLast,
}

/// What a subscription matches.
///
/// | filter              | matches                               | does not match                          |
/// |---------------------|---------------------------------------|-----------------------------------------|
/// | exact `rooms.*`     | `rooms.*`                             | `rooms.7`                               |
/// | glob `rooms*`       | `rooms`, `rooms.7.chat`               | `room`                                  |
/// | glob `room?`        | `rooms`                               | `room`                                  |
/// | glob `[a-cx]`       | `a`, `c`, `x`                         | `d`, `-`                                |
/// | glob `[^a]`         | `b`, `^`                              | `a`                                     |
/// | glob `a\*`          | `a*`                                  | `ab`                                    |
/// | subject `rooms.*`   | `rooms.7`                             | `rooms.` (no empty token), `rooms.7.chat` |
/// | subject `*.chat`    | `7.chat`                              | `.chat`, `chat`                         |
/// | subject `rooms.>`   | `rooms.7`, `rooms.7.chat`, `rooms.`   | `rooms`                                 |
/// | subject `ro*`       | `ro*`: a plain byte beside others     | `rooms`                                 |
///
/// Globs follow Redis' `stringmatchlen` to the letter, also where a pattern is odd: an unclosed `[` reaches to the end
/// of the pattern, `[z-a]` is `[a-z]`, `[]` matches nothing, `[^]` any byte, `-` before the `]` still makes a range
/// (`[a-]` is the unclosed range from `]` to `a`), a `\` at the very end is a plain byte. Bytes in a range compare as
/// numbers from 0 to 255, which Redis leaves to the machine.
///
/// Two filters are equal when they are of one sort and have the same text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Filter {
    kind: Kind,
    /// 1..=NAME_BYTES_MAX bytes, as given.
    text: Box<[u8]>,
}

/// How the text of a filter is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Exact,
    Glob,
    /// At most SUBJECT_TOKENS_MAX tokens, `>` only as the last one.
    Subject,
}

impl Filter {
    /// The one channel of this name.
    ///
    /// # Errors
    ///
    /// When the name is empty or longer than [`NAME_BYTES_MAX`].
    pub fn exact(channel: &[u8]) -> Result<Self, FilterError> {
        Self::new(Kind::Exact, channel)
    }

    /// The channels that match a pattern by the rules of Redis: `*` any run of bytes, `?` one byte, `[abc]`, `[^abc]`
    /// and `[a-c]` one byte of (not of) a set, `\` takes the next byte as it is.
    ///
    /// # Errors
    ///
    /// When the pattern is empty or longer than [`NAME_BYTES_MAX`]. Any other text is a pattern.
    pub fn glob(pattern: &[u8]) -> Result<Self, FilterError> {
        Self::new(Kind::Glob, pattern)
    }

    /// The channels that match a pattern by tokens, which are separated by `.`: `*` is any one token that is not empty,
    /// `>` as the last token is one token or more, be they empty.
    ///
    /// # Errors
    ///
    /// When the pattern is empty, longer than [`NAME_BYTES_MAX`], has more than [`SUBJECT_TOKENS_MAX`] tokens, or a `>`
    /// before its last token. The message says what to write instead.
    pub fn subject(pattern: &[u8]) -> Result<Self, FilterError> {
        let filter = Self::new(Kind::Subject, pattern)?;
        let tokens = subjects::tokens(pattern).count();
        if tokens > SUBJECT_TOKENS_MAX {
            return Err(FilterError::TooManyTokens { tokens });
        }
        if subjects::tokens(pattern).take(tokens - 1).any(|token| token == TAIL) {
            return Err(FilterError::TailNotLast);
        }
        Ok(filter)
    }

    fn new(kind: Kind, text: &[u8]) -> Result<Self, FilterError> {
        match text.len() {
            0 => Err(FilterError::Empty),
            length if length > NAME_BYTES_MAX => Err(FilterError::TooLong { length }),
            _ => Ok(Self { kind, text: text.into() }),
        }
    }

    /// Whether `channel` is one of the channels that the filter stands for. Never true for what is not a name: nothing,
    /// or more than [`NAME_BYTES_MAX`] bytes.
    pub fn matches(&self, channel: &[u8]) -> bool {
        is_name(channel)
            && match self.kind {
                Kind::Exact => *self.text == *channel,
                Kind::Glob => glob::matches(&self.text, channel),
                Kind::Subject => subjects::matches(&self.text, channel),
            }
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }
}
