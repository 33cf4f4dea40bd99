//! What each sort of filter accepts, by table.

use super::*;

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
