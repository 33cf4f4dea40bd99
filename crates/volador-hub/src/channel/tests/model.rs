//! Filters against matchers that take the rules literally; the structure against a list of subscriptions.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;

/// Takes the rules literally: each `*` tries every run, a set is the list of its bytes.
fn naive_glob(pattern: &[u8], channel: &[u8]) -> bool {
    match pattern.first() {
        None => channel.is_empty(),
        Some(b'*') => (0..=channel.len()).any(|run| naive_glob(&pattern[1..], &channel[run..])),
        Some(_) => {
            let (accepted, length) = naive_element(pattern);
            channel.first().is_some_and(|byte| accepted.contains(byte)) && naive_glob(&pattern[length..], &channel[1..])
        }
    }
}

/// The bytes that the first element of a pattern accepts, and the length of the element.
fn naive_element(pattern: &[u8]) -> (Vec<u8>, usize) {
    let all = || (0..=255_u8).collect::<Vec<_>>();
    match pattern[0] {
        b'?' => (all(), 1),
        b'\\' if pattern.len() > 1 => (vec![pattern[1]], 2),
        b'[' => {
            let negated = pattern.get(1) == Some(&b'^');
            let (mut set, mut at) = (Vec::new(), if negated { 2 } else { 1 });
            while at < pattern.len() && pattern[at] != b']' {
                if pattern[at] == b'\\' && at + 1 < pattern.len() {
                    set.push(pattern[at + 1]);
                    at += 2;
                } else if at + 2 < pattern.len() && pattern[at + 1] == b'-' {
                    let mut ends = [pattern[at], pattern[at + 2]];
                    ends.sort_unstable();
                    set.extend(ends[0]..=ends[1]);
                    at += 3;
                } else {
                    set.push(pattern[at]);
                    at += 1;
                }
            }
            let accepted = all().into_iter().filter(|byte| set.contains(byte) != negated).collect();
            (accepted, (at + 1).min(pattern.len()))
        }
        literal => (vec![literal], 1),
    }
}

fn naive_subject(pattern: &[&[u8]], channel: &[&[u8]]) -> bool {
    match (pattern, channel) {
        ([], []) => true,
        ([b">"], [_, ..]) => true,
        ([b"*", pattern @ ..], [token, channel @ ..]) => !token.is_empty() && naive_subject(pattern, channel),
        ([literal, pattern @ ..], [token, channel @ ..]) => literal == token && naive_subject(pattern, channel),
        _ => false,
    }
}

fn naive(constructor: usize, pattern: &[u8], channel: &[u8]) -> bool {
    !channel.is_empty()
        && match constructor {
            0 => pattern == channel,
            1 => naive_glob(pattern, channel),
            _ => {
                let [pattern, channel] =
                    [pattern, channel].map(|text| text.split(|&byte| byte == b'.').collect::<Vec<_>>());
                naive_subject(&pattern, &channel)
            }
        }
}

const CONSTRUCTORS: [Constructor; 3] = [Filter::exact, Filter::glob, Filter::subject];

/// Names that meet, wildcards and empty tokens among them.
fn any_channel() -> impl Strategy<Value = Vec<u8>> {
    vec(select(vec!["", "a", "b", "ab", "*", ">"]), 1..=4).prop_map(|tokens| tokens.join(".").into_bytes())
}

/// A constructor's index and a text that it takes.
fn any_filter() -> impl Strategy<Value = (usize, Vec<u8>)> {
    let subject = (vec(select(vec!["", "a", "b", "ab", "*"]), 0..=3), any::<bool>()).prop_map(|(mut tokens, tail)| {
        if tail || tokens.concat().is_empty() {
            tokens.push(">");
        }
        (2, tokens.join(".").into_bytes())
    });
    let glob = vec(select(vec!["a", "b", ".", "*", "?", "[ab]", "[^a]"]), 1..=5);
    let name = any_channel().prop_filter("a name is not empty", |name| !name.is_empty());
    prop_oneof![
        2 => name.prop_map(|name| (0, name)),
        1 => glob.prop_map(|elements| (1, elements.concat().into_bytes())),
        1 => subject,
    ]
}

/// Few bytes, those with a meaning above all.
fn any_glob() -> impl Strategy<Value = Vec<u8>> {
    vec(select(b"aabbc-]^[[\\**??\xff".to_vec()), 1..=12)
}

#[derive(Debug, Clone)]
enum Step {
    Subscribe(u64, (usize, Vec<u8>)),
    Unsubscribe(Index),
    UnsubscribeAll(u64),
    Publish(Vec<u8>),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..12_u64, any_filter()).prop_map(|(key, filter)| Step::Subscribe(key, filter)),
        3 => any::<Index>().prop_map(Step::Unsubscribe),
        1 => (0..12_u64).prop_map(Step::UnsubscribeAll),
        4 => any_channel().prop_map(Step::Publish),
    ]
}

/// Every subscription in its order, and nothing that could be wrong about it.
#[derive(Default)]
struct Model(Vec<(u64, (usize, Vec<u8>))>);

impl Model {
    /// The subscribers of the exact channel in order, and all others in no order.
    fn found(&self, channel: &[u8]) -> (Vec<u64>, Vec<u64>) {
        let of = |constructor: fn(usize) -> bool| {
            let matching =
                move |(_, (sort, text)): &&(u64, (usize, Vec<u8>))| constructor(*sort) && naive(*sort, text, channel);
            self.0.iter().filter(matching).map(|(key, _)| *key)
        };
        let exact: Vec<u64> = of(|sort| sort == 0).collect();
        let mut others: Vec<u64> = of(|sort| sort != 0).filter(|key| !exact.contains(key)).collect();
        others.sort_unstable();
        others.dedup();
        (exact, others)
    }
}

proptest! {
    #[test]
    fn globs_agree_with_the_naive_matcher(pattern in any_glob(), channels in vec(vec(select(b"abc-]^[\\*?\xff".to_vec()), 1..=7), 1..20)) {
        let filter = Filter::glob(&pattern).unwrap();
        for channel in channels {
            prop_assert_eq!(filter.matches(&channel), naive_glob(&pattern, &channel), "{:?} {:?}", pattern, channel);
        }
    }

    #[test]
    fn filters_agree_with_the_naive_matchers((sort, text) in any_filter(), channels in vec(any_channel(), 1..20)) {
        let filter = CONSTRUCTORS[sort](&text).unwrap();
        for channel in channels {
            prop_assert_eq!(filter.matches(&channel), naive(sort, &text, &channel), "{:?} {:?}", filter, channel);
        }
    }

    #[test]
    fn channels_agree_with_a_list_of_subscriptions_and_leak_nothing(steps in vec(any_step(), 1..150)) {
        let (mut channels, mut model) = (Channels::new(), Model::default());
        for step in steps {
            match step {
                Step::Subscribe(key, (sort, text)) => {
                    let subscription = (key, (sort, text.clone()));
                    let is_new = !model.0.contains(&subscription);
                    prop_assert_eq!(channels.subscribe(key, CONSTRUCTORS[sort](&text).unwrap()), is_new);
                    model.0.extend(is_new.then_some(subscription));
                }
                Step::Unsubscribe(which) if !model.0.is_empty() => {
                    let (key, (sort, text)) = model.0.remove(which.index(model.0.len()));
                    prop_assert!(channels.unsubscribe(key, &CONSTRUCTORS[sort](&text).unwrap()));
                }
                Step::Unsubscribe(_) => {}
                Step::UnsubscribeAll(gone) => {
                    let before = model.0.len();
                    model.0.retain(|(key, _)| *key != gone);
                    prop_assert_eq!(channels.unsubscribe_all(gone), before - model.0.len());
                }
                Step::Publish(channel) => {
                    let (exact, others) = model.found(&channel);
                    let mut keys = found(&channels, &channel);
                    let mut rest = keys.split_off(exact.len().min(keys.len()));
                    rest.sort_unstable();
                    prop_assert_eq!((keys, rest), (exact, others));
                }
            }
            prop_assert_eq!(channels.len(), model.0.len());
        }
        for key in 0..12 {
            channels.unsubscribe_all(key);
        }
        assert_holds_nothing(&channels);
    }

    #[test]
    fn any_bytes_are_a_filter_or_an_error(sort in 0..3_usize, text in vec(any::<u8>(), 0..40), channel in vec(any::<u8>(), 0..40)) {
        if let Ok(filter) = CONSTRUCTORS[sort](&text) {
            let channels = subscribed([(1, filter.clone())]);
            prop_assert_eq!(filter.matches(&channel), found(&channels, &channel) == [1]);
        }
    }
}
