//! Broadcast by request path: [`PathPattern`] says which paths are meant, [`PathIndex`] finds their connections.
//!
//! A path is a list of segments, cut at each `/`; an empty segment is a segment: `/rooms/` has the two segments `rooms`
//! and (empty), `/` has one empty segment. Paths are compared byte by byte as they were given. Nothing is decoded or
//! normalized here: the caller indexes the path in the form in which patterns are to name it. The leading `/` may be
//! missing in a path (RFC 9110 §4.2.3: an empty path is `/`), never in a pattern.

mod index;
mod pattern;
mod places;
#[cfg(test)]
mod tests;

pub use index::{PathIndex, PathKey};
pub use pattern::{PathPattern, PatternError};

/// A path without its leading `/`: the form that is cut into segments.
fn relative(path: &[u8]) -> &[u8] {
    path.strip_prefix(b"/").unwrap_or(path)
}

/// The first segment, and what follows its `/`: `None` when it is the last one.
fn split_first_segment(path: &[u8]) -> (&[u8], Option<&[u8]>) {
    match path.iter().position(|&byte| byte == b'/') {
        Some(slash) => (&path[..slash], Some(&path[slash + 1..])),
        None => (path, None),
    }
}
