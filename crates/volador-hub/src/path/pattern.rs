//! [`PathPattern`]: the paths that a broadcast is meant for.

use super::{relative, split_first_segment};

/// Why a text is not a pattern. All of these are the application's doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// The pattern has no bytes.
    #[error("the path pattern is empty: write \"/**\" for every connection, \"/\" for the root path alone")]
    Empty,
    /// The pattern does not start with `/`.
    #[error("a path pattern starts with \"/\", as the request paths that it stands for do: put a \"/\" in front of it")]
    NoLeadingSlash,
    /// A `**` segment is followed by another segment.
    #[error(
        "\"**\" stands for any tail and is only possible as the last segment of a path pattern (\"/rooms/**\"): \
         write \"*\" for exactly one segment in the middle"
    )]
    TailNotLast,
}

/// A parsed pattern over request paths.
///
/// | pattern        | matches                                          | does not match                       |
/// |----------------|--------------------------------------------------|--------------------------------------|
/// | `/rooms/7`     | `/rooms/7`                                       | `/rooms/7/`, `/rooms`                |
/// | `/rooms/*`     | `/rooms/7`                                       | `/rooms/` (no empty), `/rooms/7/chat` |
/// | `/*/chat`      | `/7/chat`                                        | `//chat`, `/chat`                    |
/// | `/rooms/**`    | `/rooms/`, `/rooms/7`, `/rooms/7/chat`           | `/rooms`                             |
/// | `/**`          | every path                                       |                                      |
/// | `/a*`          | `/a*`: a `*` beside other bytes is a plain byte  | `/ab`                                |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// No wildcard: the one path, without its leading `/`.
    Exact(Box<[u8]>),
    Wildcard(Segments),
}

/// The segments of a pattern with a wildcard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segments {
    /// Without the last one when that is `**`.
    pub(super) head: Vec<Segment>,
    /// Whether the last segment is `**`: at least one more segment follows `head`, be it empty.
    pub(super) any_tail: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    Literal(Box<[u8]>),
    /// `*`: any one segment that is not empty.
    AnyOne,
}

impl PathPattern {
    /// Parses a pattern such as `/rooms/7`, `/rooms/*` or `/rooms/**`.
    ///
    /// # Errors
    ///
    /// When the pattern is empty, does not start with `/`, or has a `**` before its last segment. The message says what
    /// to write instead; it is meant for the application's developer.
    pub fn parse(pattern: &[u8]) -> Result<Self, PatternError> {
        if pattern.is_empty() {
            return Err(PatternError::Empty);
        }
        let path = pattern.strip_prefix(b"/").ok_or(PatternError::NoLeadingSlash)?;
        let mut segments: Vec<&[u8]> = path.split(|&byte| byte == b'/').collect();
        let any_tail = segments.last() == Some(&b"**".as_slice());
        if any_tail {
            segments.pop();
        }
        if segments.contains(&b"**".as_slice()) {
            return Err(PatternError::TailNotLast);
        }
        if !any_tail && !segments.contains(&b"*".as_slice()) {
            return Ok(Self(Kind::Exact(path.into())));
        }
        let head = segments.into_iter().map(Segment::parse).collect();
        Ok(Self(Kind::Wildcard(Segments { head, any_tail })))
    }

    /// Whether `path` is one of the paths that the pattern stands for.
    pub fn matches(&self, path: &[u8]) -> bool {
        let path = relative(path);
        match &self.0 {
            Kind::Exact(exact) => **exact == *path,
            Kind::Wildcard(segments) => segments.match_from(0, Some(path)),
        }
    }

    pub(super) fn kind(&self) -> &Kind {
        &self.0
    }
}

impl Segments {
    /// Whether the pattern's segments from the one at `next` on stand for `rest`, which is `None` when the path has no
    /// segment left.
    pub(super) fn match_from(&self, next: usize, mut rest: Option<&[u8]>) -> bool {
        for expected in &self.head[next..] {
            let Some(path) = rest else { return false };
            let (segment, following) = split_first_segment(path);
            if !expected.matches(segment) {
                return false;
            }
            rest = following;
        }
        rest.is_some() == self.any_tail
    }
}

impl Segment {
    fn parse(segment: &[u8]) -> Self {
        match segment {
            b"*" => Self::AnyOne,
            literal => Self::Literal(literal.into()),
        }
    }

    fn matches(&self, segment: &[u8]) -> bool {
        match self {
            Self::Literal(literal) => **literal == *segment,
            Self::AnyOne => !segment.is_empty(),
        }
    }
}
