//! Names of channels as Ruby gives them, and what is wrong with them.

use magnus::{Error, RString, Ruby, Symbol, Value, prelude::*};
use volador_proto::link::Match;

/// How a subscription's name is to be read: nil, `:glob` or `:subject`.
///
/// # Errors
/// `ArgumentError` for anything else.
pub(crate) fn matching(ruby: &Ruby, value: Value) -> Result<Match, Error> {
    if value.is_nil() {
        return Ok(Match::Exact);
    }
    match Symbol::from_value(value).map(|symbol| symbol.name()).transpose()?.as_deref() {
        Some("glob") => Ok(Match::Glob),
        Some("subject") => Ok(Match::Subject),
        _ => {
            // lib/volador/pub_sub/channel.rb has looked at it before, and says what it was given.
            let message = "match: is :glob or :subject, or nil for the channel of exactly this name";
            Err(Error::new(ruby.exception_arg_error(), message))
        }
    }
}

/// # Errors
/// `ArgumentError` for what is no name or pattern.
pub(crate) fn check(ruby: &Ruby, name: RString, matching: Match) -> Result<(), Error> {
    // SAFETY: only Rust code runs while the slice is used.
    volador_gateway::check_channel(unsafe { name.as_slice() }, matching)
        .map_err(|message| Error::new(ruby.exception_arg_error(), message))
}
