//! Filters and channels: any text is a filter or an error, globs agree with a table of what is reachable, and a channel
//! has exactly the subscribers whose filters match it, once each, until they leave.

use volador_hub::channel::{Channels, Filter, FilterError, NAME_BYTES_MAX};

/// The first line is the channel. Each other line is a step: its first byte chooses what and who, the rest is a filter.
pub fn check(data: &[u8]) {
    let mut lines = data.split(|&byte| byte == b'\n');
    let channel = lines.next().unwrap_or_default();
    names_match_themselves(channel);

    let (mut channels, mut model) = (Channels::new(), Vec::new());
    for (&choice, text) in lines.filter_map(<[u8]>::split_first) {
        let key = choice % 5;
        let filter = match choice % 4 {
            0 => Filter::exact(text),
            1 => Filter::subject(text),
            _ => Filter::glob(text),
        };
        let Ok(filter) = filter else { continue };
        if choice % 4 >= 2 && !channel.is_empty() && channel.len() <= NAME_BYTES_MAX {
            assert_eq!(filter.matches(channel), reaches_the_end(text, channel));
        }
        let at = model.iter().position(|subscription| *subscription == (key, filter.clone()));
        if choice >= 0xf0 {
            let before = model.len();
            model.retain(|(other, _)| *other != key);
            assert_eq!(channels.unsubscribe_all(key), before - model.len());
        } else if choice >= 0xa0 {
            assert_eq!(channels.unsubscribe(key, &filter), at.is_some());
            at.map(|at| model.remove(at));
        } else {
            assert_eq!(channels.subscribe(key, filter.clone()), at.is_none());
            model.extend(at.is_none().then_some((key, filter)));
        }
        assert_eq!(channels.len(), model.len());
        let mut found = Vec::new();
        assert_eq!(channels.for_each(channel, |key| found.push(key)), found.len());
        found.sort_unstable();
        let matching = model.iter().filter(|(_, filter)| filter.matches(channel));
        let mut expected: Vec<u8> = matching.map(|(key, _)| *key).collect();
        expected.sort_unstable();
        expected.dedup();
        assert_eq!(found, expected);
    }
    let left: usize = (0..5).map(|key| channels.unsubscribe_all(key)).sum();
    assert_eq!(left, model.len());
    assert!(channels.is_empty());
}

fn names_match_themselves(channel: &[u8]) {
    match Filter::exact(channel) {
        Ok(filter) => assert!(filter.matches(channel)),
        Err(FilterError::Empty) => assert!(channel.is_empty()),
        Err(_) => assert!(channel.len() > NAME_BYTES_MAX),
    }
    let escaped: Vec<u8> = channel.iter().flat_map(|&byte| [b'\\', byte]).collect();
    if let Ok(filter) = Filter::glob(&escaped) {
        assert!(filter.matches(channel));
    }
}

/// Matches a glob by keeping, element by element, all positions of the channel that can be reached.
fn reaches_the_end(mut pattern: &[u8], channel: &[u8]) -> bool {
    let mut reached = vec![false; channel.len() + 1];
    reached[0] = true;
    while let Some(&first) = pattern.first() {
        if first == b'*' {
            let from = reached.iter().position(|&reached| reached).unwrap_or(reached.len());
            reached[from..].fill(true);
            pattern = &pattern[1..];
            continue;
        }
        let (accepted, length) = element(pattern);
        for at in (0..channel.len()).rev() {
            reached[at + 1] = reached[at] && accepted[usize::from(channel[at])];
        }
        reached[0] = false;
        pattern = &pattern[length..];
    }
    reached[channel.len()]
}

/// Which bytes the first element accepts, and how long it is.
fn element(pattern: &[u8]) -> ([bool; 256], usize) {
    let mut accepted = [false; 256];
    let at = |index: usize| pattern.get(index).copied();
    match pattern[0] {
        b'?' => return ([true; 256], 1),
        b'\\' if pattern.len() > 1 => {
            accepted[usize::from(pattern[1])] = true;
            return (accepted, 2);
        }
        b'[' => {}
        literal => {
            accepted[usize::from(literal)] = true;
            return (accepted, 1);
        }
    }
    let negated = at(1) == Some(b'^');
    let mut next = 1 + usize::from(negated);
    loop {
        let (low, high, length) = match (at(next), at(next + 1), at(next + 2)) {
            (None, ..) => break,
            (Some(b'\\'), Some(literal), _) => (literal, literal, 2),
            (Some(b']'), ..) => {
                next += 1;
                break;
            }
            (Some(start), Some(b'-'), Some(end)) => (start.min(end), start.max(end), 3),
            (Some(literal), ..) => (literal, literal, 1),
        };
        accepted[usize::from(low)..=usize::from(high)].fill(true);
        next += length;
    }
    (accepted.map(|accepted| accepted != negated), next)
}
