//! Filters by table and against matchers that take the rules literally; the structure against a list of subscriptions.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;

type Constructor = fn(&[u8]) -> Result<Filter, FilterError>;

fn exact(text: &str) -> Filter {
    made(Filter::exact, text.as_bytes())
}

fn glob(text: &str) -> Filter {
    made(Filter::glob, text.as_bytes())
}

fn subject(text: &str) -> Filter {
    made(Filter::subject, text.as_bytes())
}

fn made(constructor: Constructor, text: &[u8]) -> Filter {
    constructor(text).unwrap_or_else(|error| panic!("{:?}: {error}", String::from_utf8_lossy(text)))
}

fn found(channels: &Channels<u64>, channel: &[u8]) -> Vec<u64> {
    let mut keys = Vec::new();
    let count = channels.for_each(channel, |key| keys.push(key));
    assert_eq!(count, keys.len());
    keys
}

fn subscribed(filters: impl IntoIterator<Item = (u64, Filter)>) -> Channels<u64> {
    let mut channels = Channels::new();
    for (key, filter) in filters {
        assert!(channels.subscribe(key, filter.clone()), "{key} to {filter:?}");
    }
    channels
}

fn assert_holds_nothing(channels: &Channels<u64>) {
    assert!(channels.is_empty());
    assert_eq!(channels.len(), 0);
    assert_eq!(channels.subscription_bytes(), 0, "no lists, no rows, no keys");
    assert_eq!(channels.filter_bytes(), 0, "no channels, no patterns");
    assert_eq!(channels.subject_nodes(), 1, "the root alone");
}

/// (pattern, channel, whether it matches)
const GLOBS: &[(&[u8], &[u8], bool)] = &[
    // The examples of Redis' documentation (KEYS, PSUBSCRIBE).
    (b"h?llo", b"hello", true),
    (b"h?llo", b"hllo", false),
    (b"h*llo", b"hllo", true),
    (b"h*llo", b"heeeello", true),
    (b"h[ae]llo", b"hello", true),
    (b"h[ae]llo", b"hallo", true),
    (b"h[ae]llo", b"hillo", false),
    (b"h[^e]llo", b"hallo", true),
    (b"h[^e]llo", b"hbllo", true),
    (b"h[^e]llo", b"hello", false),
    (b"h[a-b]llo", b"hallo", true),
    (b"h[a-b]llo", b"hbllo", true),
    (b"h[a-b]llo", b"hcllo", false),
    (b"news.*", b"news.art.figurative", true),
    (b"news.*", b"news.", true),
    (b"news.*", b"news", false),
    // The cases of Redis' own tests.
    (b"foo*", b"foo_a", true),
    (b"foo*", b"key_x", false),
    (b"*", b"key_x", true),
    (b"{a}*", b"{a}x", true),
    (b"*{b}*", b"{b}a", true),
    (b"*{b}*", b"{a}b", false),
    (b"__keyspace@9__:foo", b"__keyspace@9__:foo", true),
    (b"__key*__:*", b"__keyevent@9__:set", true),
    (b"a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
    (b"a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", true),
    // Runs.
    (b"***", b"a", true),
    (b"a***", b"a", true),
    (b"*a", b"aba", true),
    (b"*ab", b"aab", true),
    (b"*ab*cd", b"abcabcd", true),
    (b"*ab*cd", b"cdab", false),
    (b"a*b", b"abc", false),
    (b"*?", b"a", true),
    (b"*??", b"a", false),
    (b"?*", b"ab", true),
    // Every byte counts, and is a byte: not a character, nor ended by NUL.
    (b"a", b"ab", false),
    (b"ab", b"a", false),
    (b"A", b"a", false),
    ("?".as_bytes(), "é".as_bytes(), false),
    ("??".as_bytes(), "é".as_bytes(), true),
    (b"a?b", b"a\0b", true),
    (b"a\0b", b"a\0c", false),
    (b"[\x80-\xff]", b"\xc3", true),
    (b"[a-\xff]", b"z", true),
    // Escapes.
    (b"a\\*", b"a*", true),
    (b"a\\*", b"ab", false),
    (b"\\?", b"?", true),
    (b"\\?", b"a", false),
    (b"\\[a]", b"[a]", true),
    (b"\\[a]", b"a", false),
    (b"\\a", b"a", true),
    (b"\\\\", b"\\", true),
    (b"a\\", b"a\\", true),
    // Sets.
    (b"[abc]", b"b", true),
    (b"[abc]", b"d", false),
    (b"[abc]", b"ab", false),
    (b"[abc]*d", b"bxd", true),
    (b"[a-c]", b"-", false),
    (b"[c-a]", b"b", true),
    (b"[a-cx-z]", b"y", true),
    (b"[a-cx-z]", b"d", false),
    (b"[-a]", b"-", true),
    (b"[!a]", b"!", true),
    (b"[a^]", b"^", true),
    (b"[^a-c]", b"b", false),
    (b"[^a-c]", b"d", true),
    (b"[\\]]", b"]", true),
    (b"[\\^a]", b"^", true),
    (b"[\\a-z]", b"m", false),
    (b"[\\a-z]", b"-", true),
    (b"[a\\-z]", b"-", true),
    (b"[a\\-z]", b"m", false),
    (b"[*]", b"*", true),
    (b"[*]", b"a", false),
    (b"[?]", b"a", false),
    // Odd sets: closed by the end, or holding nothing.
    (b"[", b"[", false),
    (b"[a", b"a", true),
    (b"[a*", b"*", true),
    (b"[]", b"]", false),
    (b"[]a]", b"a]", false),
    (b"[^]", b"a", true),
    (b"[^", b"a", true),
    (b"[a-]", b"a", true),
    (b"[a-]", b"^", true),
    (b"[a-]", b"-", false),
    (b"[a-]]", b"_", true),
    (b"[a-", b"-", true),
    (b"[\\", b"\\", true),
    // Nothing is not a channel.
    (b"*", b"", false),
];

/// (pattern, channel, whether it matches)
const SUBJECTS: &[(&str, &str, bool)] = &[
    // No wildcard: every byte counts.
    ("rooms.7", "rooms.7", true),
    ("rooms.7", "rooms.70", false),
    ("rooms.7", "rooms", false),
    ("rooms.7", "rooms.7.", false),
    ("rooms..7", "rooms..7", true),
    ("rooms..7", "rooms.7", false),
    // One token, anywhere.
    ("*", "rooms", true),
    ("*", "rooms.7", false),
    ("rooms.*", "rooms.7", true),
    ("rooms.*", "rooms", false),
    ("rooms.*", "rooms.", false),
    ("rooms.*", "rooms.7.chat", false),
    ("*.chat", "7.chat", true),
    ("*.chat", ".chat", false),
    ("*.*", "a.b", true),
    ("a.*.c", "a.b.c", true),
    ("a.*.c", "a..c", false),
    // One token or more.
    (">", "rooms", true),
    (">", "rooms.7.chat", true),
    ("rooms.>", "rooms.7", true),
    ("rooms.>", "rooms.7.chat", true),
    ("rooms.>", "rooms.", true),
    ("rooms.>", "rooms", false),
    ("rooms.>", "roomsx.7", false),
    ("*.>", "rooms.7", true),
    ("*.>", "rooms", false),
    // Plain bytes beside others, and in a channel.
    ("ro*", "ro*", true),
    ("ro*", "rooms", false),
    ("a>", "a>", true),
    ("a>", "ab", false),
    ("a>.b", "a>.b", true),
    ("*", "*", true),
    ("a.*", "a.>", true),
    ("a.>", "a.*", true),
    ("a.>", "a.>", true),
    ("a.b", "a.*", false),
    ("a.b", "a.>", false),
    ("a/b", "a/b", true),
    // Nothing is not a channel.
    (">", "", false),
];

fn assert_matches(filter: &Filter, channel: &[u8], expected: bool) {
    let name = String::from_utf8_lossy(channel);
    assert_eq!(filter.matches(channel), expected, "{filter:?} with {name:?}");
    let channels = subscribed([(1, filter.clone())]);
    assert_eq!(found(&channels, channel).len(), usize::from(expected), "{filter:?} among channels with {name:?}");
}

#[test]
fn globs_follow_the_rules_of_redis() {
    for &(pattern, channel, expected) in GLOBS {
        assert_matches(&made(Filter::glob, pattern), channel, expected);
    }
}

#[test]
fn subjects_match_by_tokens() {
    for &(pattern, channel, expected) in SUBJECTS {
        assert_matches(&subject(pattern), channel.as_bytes(), expected);
    }
}

#[test]
fn exact_names_have_no_wildcards() {
    for (name, channel, expected) in
        [("a", "a", true), ("a", "A", false), ("*", "a", false), ("a.>", "a.b", false), ("a*", "a*", true)]
    {
        assert_matches(&exact(name), channel.as_bytes(), expected);
    }
}

#[test]
fn refused_filters_say_what_to_do() {
    let long = "a".repeat(NAME_BYTES_MAX + 1);
    for constructor in [Filter::exact, Filter::glob, Filter::subject] {
        assert_eq!(constructor(b""), Err(FilterError::Empty));
        assert_eq!(constructor(long.as_bytes()), Err(FilterError::TooLong { length: 1025 }));
        made(constructor, &long.as_bytes()[1..]);
    }
    for (text, error, advice) in [
        ("", FilterError::Empty, "the glob pattern \"*\" for every channel"),
        (&long, FilterError::TooLong { length: 1025 }, "at most 1024 bytes, this one has 1025"),
        (">.a", FilterError::TailNotLast, "write \"*\" for exactly one token"),
        ("a.>.", FilterError::TailNotLast, "only possible as the last token"),
        (">.>", FilterError::TailNotLast, "only possible as the last token"),
        (&"a.".repeat(32), FilterError::TooManyTokens { tokens: 33 }, "at most 32 tokens between its dots"),
    ] {
        let found = Filter::subject(text.as_bytes()).expect_err(text);
        assert_eq!(found, error, "{text}");
        assert!(found.to_string().contains(advice), "{text}: {found}");
    }
    subject(&"a.".repeat(31));
}

#[test]
fn names_beyond_the_limit_have_no_subscribers() {
    let channels = subscribed([(1, glob("*")), (2, subject(">"))]);
    let name = vec![b'a'; NAME_BYTES_MAX + 1];
    assert_eq!(found(&channels, &name[1..]), [2, 1]);
    assert_eq!(found(&channels, &name), []);
    assert!(!glob("*").matches(&name));
}

#[test]
fn hostile_globs_take_time_by_their_length_only() {
    let channel = vec![b'a'; NAME_BYTES_MAX];
    for pattern in ["a*".repeat(511) + "b", "*?".repeat(511) + "b", "*a".repeat(256) + &"a".repeat(256) + "b*"] {
        assert!(!glob(&pattern).matches(&channel), "{pattern}");
    }
    assert!(glob(&"*[^b]".repeat(204)).matches(&channel));
}

#[test]
fn subjects_of_any_depth_are_found() {
    let deepest = "*.".repeat(SUBJECT_TOKENS_MAX - 1);
    let channels = subscribed([(1, subject(&(deepest.clone() + ">"))), (2, subject(&(deepest + "*")))]);
    assert_eq!(found(&channels, &b"a.".repeat(31)), [1], "32 tokens, the last one is empty");
    assert_eq!(found(&channels, &[&b"a.".repeat(31)[..], b"a"].concat()), [1, 2]);
    assert_eq!(found(&channels, &b"a.".repeat(500)), [1]);
    assert_eq!(found(&channels, &b".".repeat(1000)), []);
}

#[test]
fn a_second_subscription_by_the_same_filter_replaces_the_first() {
    for filter in [exact("a"), glob("a"), subject("a")] {
        let mut channels = subscribed([(1, filter.clone()), (2, filter.clone())]);
        assert!(!channels.subscribe(1, filter.clone()));
        assert_eq!(found(&channels, b"a"), [1, 2], "once, and at its old place");
        assert_eq!(channels.len(), 2);
        assert!(channels.unsubscribe(1, &filter));
        assert!(!channels.unsubscribe(1, &filter));
        assert_eq!(found(&channels, b"a"), [2]);
    }
}

#[test]
fn unsubscribing_from_what_was_not_subscribed_changes_nothing() {
    let mut channels = subscribed([(1, exact("a")), (1, glob("b")), (2, exact("b"))]);
    for (key, filter) in [(1, exact("b")), (1, glob("a")), (1, subject("a")), (2, exact("a")), (3, exact("a"))] {
        assert!(!channels.unsubscribe(key, &filter), "{key} {filter:?}");
    }
    assert_eq!(channels.unsubscribe_all(3), 0);
    assert_eq!(channels.len(), 3);
    assert_eq!(found(&channels, b"a"), [1]);
    assert_eq!(found(&channels, b"b"), [2, 1]);
}

#[test]
fn each_subscriber_is_found_once_however_many_of_its_filters_match() {
    let channels = subscribed([
        (5, glob("*.7")),
        (1, glob("rooms.*")),
        (2, subject("rooms.>")),
        (1, exact("rooms.7")),
        (2, subject("rooms.*")),
        (3, exact("rooms.7")),
        (3, subject("rooms.>")),
        (4, glob("rooms.*")),
        (2, glob("rooms.?")),
        (5, exact("elsewhere")),
        (4, exact("elsewhere")),
    ]);
    assert_eq!(found(&channels, b"rooms.7"), [1, 3, 2, 5, 4], "the exact channel, then subjects, then globs");
    assert_eq!(found(&channels, b"rooms.8"), [2, 3, 1, 4]);
    assert_eq!(found(&channels, b"elsewhere"), [5, 4]);
}

#[test]
fn the_order_of_subscription_stays_when_others_leave() {
    let mut channels = subscribed((0..1000).map(|key| (key, exact("a"))));
    let mut expected: Vec<u64> = (0..1000).collect();
    // In strides, so that gaps are everywhere when the list closes them.
    for start in 0..7 {
        for key in (start..1000).step_by(7) {
            assert_eq!(channels.unsubscribe_all(key), 1);
            expected.retain(|&left| left != key);
            if key % 5 == 0 {
                assert_eq!(found(&channels, b"a"), expected);
            }
            if key % 11 == 0 {
                assert!(channels.subscribe(1000 + key, exact("a")));
                expected.push(1000 + key);
            }
        }
    }
    assert_eq!(found(&channels, b"a"), expected);
}

#[test]
fn a_hundred_thousand_rounds_leave_nothing() {
    let mut channels = Channels::new();
    for round in 0..100_000_u64 {
        assert!(channels.subscribe(round, exact("lobby")));
        assert!(channels.subscribe(round, exact(&format!("user.{round}"))));
        assert!(channels.subscribe(round, glob(&format!("*.{}", round % 7))));
        assert!(channels.subscribe(round, subject(&format!("rooms.{}.>", round % 5))));
        if let Some(gone) = round.checked_sub(50 + round % 50) {
            channels.unsubscribe_all(gone);
        }
    }
    for key in 0..100_000 {
        channels.unsubscribe_all(key);
    }
    assert_holds_nothing(&channels);
}

#[test]
fn who_comes_and_goes_takes_the_place_of_who_went() {
    let mut channels = subscribed([(0, exact("lobby"))]);
    let mut bytes = Vec::new();
    for round in 1..=1000 {
        channels.subscribe(round, exact("lobby"));
        channels.subscribe(round, glob("*"));
        bytes.push(channels.subscription_bytes() + channels.filter_bytes());
        channels.unsubscribe_all(round);
    }
    assert_eq!(bytes.last(), bytes.first());
}

#[test]
fn memory_follows_the_subscribers_that_are_left() {
    let mut channels = subscribed((0..100_000).map(|key| (key, exact(&format!("user.{key}")))));
    let (subscriptions, filters) = (channels.subscription_bytes(), channels.filter_bytes());
    for key in 10..100_000 {
        assert_eq!(channels.unsubscribe_all(key), 1);
    }
    assert!(channels.subscription_bytes() < subscriptions / 2, "{}", channels.subscription_bytes());
    let (names, table) = (8 * 100_000, 5 * 100_000);
    assert!(channels.filter_bytes() < filters - names - table, "{}", channels.filter_bytes());
    assert_eq!(found(&channels, b"user.7"), [7]);
    (0..10).for_each(|key| assert_eq!(channels.unsubscribe_all(key), 1));
    assert_holds_nothing(&channels);
}

#[test]
fn a_subscription_to_a_shared_channel_costs_at_most_48_bytes() {
    let mut channels = Channels::new();
    for key in 0..100_000 {
        channels.subscribe(key, exact("lobby"));
        let bytes = channels.subscription_bytes();
        assert!(key < 100 || bytes <= 48 * channels.len(), "{bytes} for {}", channels.len());
    }
    let full = channels.subscription_bytes();
    for key in (0..100_000).filter(|key| key % 10 != 0) {
        channels.unsubscribe_all(key);
    }
    let entries_and_keys = channels.subscription_bytes() - 15 * 100_000;
    assert!(entries_and_keys < full / 4, "{entries_and_keys} of {full}: only rows wait for the last to leave");
}

#[test]
fn a_channel_costs_at_most_128_bytes_beside_its_name_and_subscriptions() {
    let mut channels = Channels::new();
    let mut names = 0;
    for key in 0..20_000 {
        let name = format!("user.{key}");
        channels.subscribe(key, exact(&name));
        names += name.len();
        // Not at each key, for adding up takes its time, but where a vector has just doubled.
        if key > 100 && (key % 97 == 0 || (key & (key - 1)) == 0) {
            let bytes = channels.filter_bytes() - names;
            assert!(bytes <= 128 * channels.len(), "{bytes} for {}", channels.len());
        }
    }
}

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
