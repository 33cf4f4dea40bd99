//! What filters accept, by table; who is found, and what it costs; all of it against a model.

mod filters;
mod model;

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
