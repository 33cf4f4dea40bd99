//! Pub/sub: [`Filter`] says which channels a subscriber wants, [`Channels`] finds the subscribers of a channel.
//!
//! A channel is a name of 1 to [`NAME_BYTES_MAX`] bytes and nothing more: it exists while somebody is subscribed to it.
//! Names are compared byte by byte. Channels and patterns may come from clients, so whatever is done with them is
//! bounded by their length, which is bounded in turn.

mod channels;
mod filter;
mod glob;
mod rows;
mod subjects;
mod subscribers;
#[cfg(test)]
mod tests;

pub use channels::Channels;
pub use filter::{Filter, FilterError};

/// The longest name of a channel, and the longest pattern, in bytes. Nobody is subscribed to a longer name.
pub const NAME_BYTES_MAX: usize = 1024;

/// The most tokens of a subject pattern. The names that it matches may have more.
pub const SUBJECT_TOKENS_MAX: usize = 32;

/// Whether a channel can have this name.
fn is_name(channel: &[u8]) -> bool {
    (1..=NAME_BYTES_MAX).contains(&channel.len())
}

/// Makes room for one more item, and for a quarter more than there are now. Doubling, as vectors do on their own, would
/// make the slack the greatest cost of a subscription; the copying stays proportional to the number of items added.
fn make_room<T>(items: &mut Vec<T>) {
    if items.len() == items.capacity() {
        let slack = if items.is_empty() { 1 } else { (items.len() / 4).max(3) };
        items.reserve_exact(slack);
    }
}
