//! Figures of the gateway as a Hash.

use magnus::{Error, RHash, Ruby};

/// By names. What the gateway counts in microseconds is seconds here.
pub(crate) fn hash<'a>(ruby: &Ruby, figures: impl IntoIterator<Item = (&'a str, u64)>) -> Result<RHash, Error> {
    let hash = ruby.hash_new();
    for (name, figure) in figures {
        if name.contains("_micros") {
            hash.aset(ruby.to_symbol(name.replace("_micros", "_seconds")), figure as f64 / 1e6)?;
        } else {
            hash.aset(ruby.to_symbol(name), figure)?;
        }
    }
    Ok(hash)
}

/// Those that came over the link: lines of a name and a figure.
pub(crate) fn parse(ruby: &Ruby, lines: &str) -> Result<RHash, Error> {
    let figures = lines.lines().filter_map(|line| {
        let (name, figure) = line.split_once(' ')?;
        Some((name, figure.parse().ok()?))
    });
    hash(ruby, figures)
}
