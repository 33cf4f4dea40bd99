//! Patterns by table, the index against a matcher that knows nothing of tries.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::index::LEVELS_MAX;
use super::*;

fn pattern(text: &str) -> PathPattern {
    PathPattern::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

fn found(index: &PathIndex<u32>, pattern: &PathPattern) -> Vec<u32> {
    let mut keys = Vec::new();
    index.for_each(pattern, |key| keys.push(key));
    keys.sort_unstable();
    keys
}

/// The rules of the documentation and nothing else: no levels, no sharing.
fn naive(pattern: &[&[u8]], path: &[&[u8]]) -> bool {
    match (pattern, path) {
        ([], []) => true,
        ([b"**"], [_, ..]) => true,
        ([b"*", pattern @ ..], [segment, path @ ..]) => !segment.is_empty() && naive(pattern, path),
        ([literal, pattern @ ..], [segment, path @ ..]) => literal == segment && naive(pattern, path),
        _ => false,
    }
}

fn naive_matches(pattern: &[u8], path: &[u8]) -> bool {
    let [pattern, path] = [pattern, path].map(|text| text[1..].split(|&byte| byte == b'/').collect::<Vec<_>>());
    naive(&pattern, &path)
}

/// (pattern, path, whether it matches)
const CASES: &[(&str, &str, bool)] = &[
    // Exact: every byte counts, the trailing slash too.
    ("/rooms/7", "/rooms/7", true),
    ("/rooms/7", "/rooms/7/", false),
    ("/rooms/7", "/rooms/70", false),
    ("/rooms/7", "/rooms", false),
    ("/rooms/", "/rooms/", true),
    ("/rooms/", "/rooms", false),
    ("/", "/", true),
    ("/", "/rooms", false),
    ("//", "//", true),
    ("//", "/", false),
    // Nothing is decoded.
    ("/a%20b", "/a%20b", true),
    ("/a%20b", "/a b", false),
    // One segment, anywhere.
    ("/rooms/*", "/rooms/7", true),
    ("/rooms/*", "/rooms/", false),
    ("/rooms/*", "/rooms", false),
    ("/rooms/*", "/rooms/7/", false),
    ("/rooms/*", "/rooms/7/chat", false),
    ("/*/chat", "/7/chat", true),
    ("/*/chat", "//chat", false),
    ("/*/*", "/a/b", true),
    ("/*", "/", false),
    ("/*", "/a", true),
    // A star is an ordinary byte in a path, and beside other bytes also in a pattern.
    ("/*", "/*", true),
    ("/a*", "/a*", true),
    ("/a*", "/ab", false),
    ("/***", "/***", true),
    ("/***", "/a", false),
    // Any tail.
    ("/rooms/**", "/rooms/", true),
    ("/rooms/**", "/rooms/7", true),
    ("/rooms/**", "/rooms/7/chat", true),
    ("/rooms/**", "/rooms//", true),
    ("/rooms/**", "/rooms", false),
    ("/rooms/**", "/roomsx/7", false),
    ("/*/**", "/rooms/7", true),
    ("/*/**", "/rooms", false),
    ("/**", "/", true),
    ("/**", "/a/b", true),
    // An empty path is "/", RFC 9110 §4.2.3.
    ("/", "", true),
    ("/**", "", true),
];

#[test]
fn patterns_match_by_segments() {
    for &(text, path, matches) in CASES {
        assert_eq!(pattern(text).matches(path.as_bytes()), matches, "{text} with {path}");
    }
}

#[test]
fn index_finds_what_the_pattern_matches() {
    for &(text, path, matches) in CASES {
        let mut index = PathIndex::new();
        index.insert(path.as_bytes(), 1);
        assert_eq!(found(&index, &pattern(text)).len(), usize::from(matches), "{text} with {path}");
    }
}

#[test]
fn malformed_patterns_say_what_to_write() {
    for (text, error, advice) in [
        ("", PatternError::Empty, "write \"/**\" for every connection"),
        ("rooms/7", PatternError::NoLeadingSlash, "put a \"/\" in front"),
        ("**", PatternError::NoLeadingSlash, "put a \"/\" in front"),
        ("/**/chat", PatternError::TailNotLast, "write \"*\" for exactly one segment"),
        ("/rooms/**/", PatternError::TailNotLast, "only possible as the last segment"),
        ("/**/**", PatternError::TailNotLast, "only possible as the last segment"),
    ] {
        let found = PathPattern::parse(text.as_bytes()).expect_err(text);
        assert_eq!(found, error, "{text}");
        assert!(found.to_string().contains(advice), "{text}: {found}");
    }
}

#[test]
fn removal_keeps_the_keys_of_the_others_valid() {
    let mut index = PathIndex::new();
    let keys: Vec<PathKey> = (0..5).map(|connection| index.insert(b"/rooms/7", connection)).collect();
    assert_eq!(index.remove(keys[0]), Some(0));
    assert_eq!(index.remove(keys[4]), Some(4), "it was moved to the place of the first");
    assert_eq!(index.remove(keys[1]), Some(1));
    assert_eq!(found(&index, &pattern("/rooms/7")), [2, 3]);
    assert_eq!(index.remove(keys[1]), None, "a key is used up by its removal");
    assert_eq!(index.remove(keys[2]), Some(2));
    assert_eq!(index.remove(keys[3]), Some(3));
    assert!(index.is_empty());
    assert_eq!(index.remove(keys[3]), None);
}

#[test]
fn one_connection_inserted_twice_is_found_twice() {
    let mut index = PathIndex::new();
    let first = index.insert(b"/a", 9);
    index.insert(b"/a", 9);
    assert_eq!(found(&index, &pattern("/a")), [9, 9]);
    index.remove(first);
    assert_eq!(found(&index, &pattern("/a")), [9]);
}

#[test]
fn nodes_of_paths_that_are_gone_are_freed() {
    let mut index = PathIndex::new();
    let rooms = index.insert(b"/rooms", 1);
    let chat = index.insert(b"/rooms/7/chat", 2);
    assert_eq!(index.nodes(), 4, "root, rooms, 7, chat");
    index.remove(chat);
    assert_eq!(index.nodes(), 2, "root, rooms");
    index.remove(rooms);
    assert_eq!(index.nodes(), 1);
}

#[test]
fn a_path_of_slashes_costs_a_bounded_number_of_nodes() {
    let mut index = PathIndex::new();
    let path = "/a".repeat(4096);
    index.insert(path.as_bytes(), 1);
    assert_eq!(index.nodes(), LEVELS_MAX + 1);
    assert_eq!(found(&index, &pattern(&path)), [1]);
    assert_eq!(found(&index, &pattern(&"/*".repeat(4096))), [1]);
    assert_eq!(found(&index, &pattern(&"/*".repeat(4095))), []);
    assert_eq!(found(&index, &pattern(&("/*".repeat(4095) + "/**"))), [1]);
    assert_eq!(found(&index, &pattern(&("/*".repeat(4096) + "/**"))), []);
}

#[test]
fn a_subscription_to_a_shared_path_costs_at_most_40_bytes() {
    let mut index = PathIndex::new();
    let mut keys = Vec::new();
    for connection in 0..10_000_u32 {
        keys.push(index.insert(b"/rooms/7", connection));
        if connection > 100 {
            assert!(index.subscription_bytes() <= 40 * keys.len(), "{} for {}", index.subscription_bytes(), keys.len());
        }
    }
    let full = index.subscription_bytes();
    for key in keys.drain(1..) {
        index.remove(key);
    }
    assert!(index.subscription_bytes() < full * 2 / 3, "the path's list of subscribers has shrunk");
    index.remove(keys[0]);
    assert_eq!(index.subscription_bytes(), 0, "an empty index holds no memory");
}

/// Paths that meet: few different segments, empty ones and stars among them, up to beyond the trie's last level.
fn any_path() -> impl Strategy<Value = Vec<u8>> {
    let segments = vec(select(vec!["", "a", "b", "*", "**", "a*"]), 1..=4);
    let deep = vec(select(vec!["a", "", "b"]), LEVELS_MAX - 2..=LEVELS_MAX + 3);
    prop_oneof![4 => segments, 1 => deep].prop_map(|segments| format!("/{}", segments.join("/")).into_bytes())
}

/// Patterns over the same segments, with wildcards where they are allowed.
fn any_pattern() -> impl Strategy<Value = Vec<u8>> {
    let short = vec(select(vec!["", "a", "b", "*", "a*"]), 0..=4);
    let deep = vec(select(vec!["a", "*", "", "b"]), LEVELS_MAX - 2..=LEVELS_MAX + 3);
    let stars = (LEVELS_MAX - 2..=LEVELS_MAX + 3).prop_map(|count| vec!["*"; count]);
    (prop_oneof![4 => short, 1 => deep, 1 => stars], any::<bool>()).prop_map(|(mut segments, any_tail)| {
        if any_tail || segments.is_empty() {
            segments.push("**");
        }
        format!("/{}", segments.join("/")).into_bytes()
    })
}

#[derive(Debug, Clone)]
enum Step {
    Insert(Vec<u8>),
    Remove(Index),
    Broadcast(Vec<u8>),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => any_path().prop_map(Step::Insert),
        2 => any::<Index>().prop_map(Step::Remove),
        2 => any_pattern().prop_map(Step::Broadcast),
    ]
}

proptest! {
    #[test]
    fn pattern_agrees_with_the_naive_matcher(text in any_pattern(), paths in vec(any_path(), 1..20)) {
        let pattern = PathPattern::parse(&text).unwrap();
        for path in paths {
            prop_assert_eq!(pattern.matches(&path), naive_matches(&text, &path));
        }
    }

    #[test]
    fn index_agrees_with_the_naive_matcher_and_leaks_nothing(steps in vec(any_step(), 1..120)) {
        let mut index = PathIndex::new();
        let mut model: Vec<(Vec<u8>, u32, PathKey)> = Vec::new();
        for (step, connection) in steps.into_iter().zip(0..) {
            match step {
                Step::Insert(path) => {
                    let key = index.insert(&path, connection);
                    model.push((path, connection, key));
                }
                Step::Remove(which) if !model.is_empty() => {
                    let (_, connection, key) = model.swap_remove(which.index(model.len()));
                    prop_assert_eq!(index.remove(key), Some(connection));
                }
                Step::Remove(_) => {}
                Step::Broadcast(text) => {
                    let mut expected: Vec<u32> =
                        model.iter().filter(|(path, ..)| naive_matches(&text, path)).map(|entry| entry.1).collect();
                    expected.sort_unstable();
                    prop_assert_eq!(found(&index, &PathPattern::parse(&text).unwrap()), expected);
                }
            }
            prop_assert_eq!(index.len(), model.len());
        }
        let last = model.pop();
        for (_, connection, key) in model {
            prop_assert_eq!(index.remove(key), Some(connection));
        }
        if let Some((path, connection, key)) = last {
            let depth = path[1..].split(|&byte| byte == b'/').count().min(LEVELS_MAX);
            prop_assert_eq!(index.nodes(), depth + 1, "only the nodes of the last path are left");
            prop_assert_eq!(index.remove(key), Some(connection));
        }
        prop_assert_eq!(index.nodes(), 1);
        prop_assert_eq!(index.subscription_bytes(), 0);
    }

    #[test]
    fn any_bytes_are_a_pattern_or_an_error(text in vec(any::<u8>(), 0..40), path in vec(any::<u8>(), 0..40)) {
        if let Ok(pattern) = PathPattern::parse(&text) {
            let mut index = PathIndex::new();
            index.insert(&path, 1);
            prop_assert_eq!(pattern.matches(&path), found(&index, &pattern) == [1]);
        }
    }
}
