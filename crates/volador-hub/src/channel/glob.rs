//! Glob patterns by the rules of Redis (`stringmatchlen` in its `util.c`, without case folding).
//!
//! Redis calls itself for each `*`. Here only the last `*` is ever tried again, one byte further each time: what was
//! matched before it stays, since a later match of that could not leave more of the channel to the rest. So the work is
//! at most the length of the pattern times the length of the channel, and close to their sum for usual patterns.

/// Whether `pattern` matches the whole of `channel`.
pub(super) fn matches(pattern: &[u8], channel: &[u8]) -> bool {
    let (mut pattern, mut rest) = (pattern, channel);
    // Behind the last `*`: the pattern, and the channel where that was tried last.
    let mut restart: Option<(&[u8], &[u8])> = None;
    loop {
        if let [b'*', after @ ..] = pattern {
            if after.is_empty() {
                return true;
            }
            (pattern, restart) = (after, Some((after, rest)));
            continue;
        }
        let Some((&byte, following)) = rest.split_first() else {
            // A longer run for the last `*` would leave even less to the rest of the pattern.
            return pattern.is_empty();
        };
        if let Some(after) = match_byte(pattern, byte) {
            (pattern, rest) = (after, following);
            continue;
        }
        let Some((after, [_, further @ ..])) = restart else { return false };
        (pattern, rest, restart) = (after, further, Some((after, further)));
    }
}

/// Matches one byte with the first element of `pattern`, which is not `*`. Returns the pattern after it.
fn match_byte(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    let (matched, after) = match pattern {
        [] => return None,
        [b'?', after @ ..] => (true, after),
        [b'[', b'^', set @ ..] => {
            let (found, after) = find_in_set(set, byte);
            (!found, after)
        }
        [b'[', set @ ..] => find_in_set(set, byte),
        [b'\\', literal, after @ ..] | [literal, after @ ..] => (*literal == byte, after),
    };
    matched.then_some(after)
}

/// Whether `byte` is in the set at the start of `set`, which is closed by `]` or by the end, and what follows the set.
fn find_in_set(mut set: &[u8], byte: u8) -> (bool, &[u8]) {
    let mut found = false;
    loop {
        set = match set {
            [] => return (found, set),
            [b'\\', literal, after @ ..] => {
                found |= *literal == byte;
                after
            }
            [b']', after @ ..] => return (found, after),
            [start, b'-', end, after @ ..] => {
                found |= (*start.min(end)..=*start.max(end)).contains(&byte);
                after
            }
            [literal, after @ ..] => {
                found |= *literal == byte;
                after
            }
        };
    }
}
