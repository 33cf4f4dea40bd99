//! [`Channels`]: finds the subscribers of a channel.
//!
//! Each distinct filter has one list of [`Subscribers`], found by the filter in a hash table; a publish looks its channel
//! up there as an exact name, and asks the [`Subjects`] and the globs which of their lists match too. Publishing is the
//! hot operation, mostly to one exact channel: that is a look-up and then a walk over a slice.
//!
//! A subscription costs its entry in the list and its row; a subscriber costs a place in the table of keys, which holds
//! only the number of one of its rows. For keys of 8 bytes that is 16 + 12 + 4 bytes; with the slack of vectors that
//! grow by a quarter and of the hash table at most 48, as long as nobody leaves (the gaps of those who do are at most
//! as many as the subscribers that stay; rows are kept for others until the last one is gone). A channel, or distinct
//! pattern, costs at most 128 bytes more beside its name; a subject pattern also a node for each token that it does not
//! share.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hash, RandomState};

use hashbrown::HashTable;
use slab::Slab;

use super::filter::{Filter, Kind};
use super::is_name;
use super::rows::{Row, Rows};
use super::subjects::Subjects;
use super::subscribers::Subscribers;

/// Who is subscribed to what, on one shard. `K` names a subscriber (a connection's slot, for instance).
#[derive(Debug)]
pub struct Channels<K> {
    /// One for each distinct filter; none is without subscribers.
    lists: Slab<List<K>>,
    /// Every list by its filter.
    lists_by_filter: HashTable<u32>,
    /// The lists of the glob patterns, in order of creation.
    globs: Vec<u32>,
    /// Whether some of them have ended: they are taken out together, since each costs a walk over all.
    has_ended_globs: bool,
    /// The lists of the subject patterns.
    subjects: Subjects,
    /// One row for each subscription.
    rows: Rows,
    /// One row of each subscriber, by the subscriber's key, which stands where the row says.
    rows_by_key: HashTable<u32>,
    /// Seeded at random: names come from clients, who must not be able to aim at collisions.
    hasher: RandomState,
}

#[derive(Debug)]
struct List<K> {
    filter: Filter,
    subscribers: Subscribers<K>,
}

impl<K: Copy + Eq + Hash> Channels<K> {
    /// No subscriptions.
    pub fn new() -> Self {
        Self {
            lists: Slab::new(),
            lists_by_filter: HashTable::new(),
            globs: Vec::new(),
            has_ended_globs: false,
            subjects: Subjects::new(),
            rows: Rows::new(),
            rows_by_key: HashTable::new(),
            hasher: RandomState::new(),
        }
    }

    /// The number of subscriptions.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no subscription.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Subscribes `key` to the channels that `filter` stands for. False when it was subscribed by an equal filter
    /// already: it keeps that subscription and its place in the order.
    ///
    /// Takes time in proportion to the number of the key's own subscriptions.
    pub fn subscribe(&mut self, key: K, filter: Filter) -> bool {
        let member = self.row_of(key);
        let list = match self.list_of(filter.kind(), filter.text()) {
            Some(list) if member.is_some_and(|member| self.row_in(member, list).is_some()) => return false,
            Some(list) => list,
            None => self.make_list(filter),
        };
        let subscribers = &mut self.lists[list as usize].subscribers;
        let row = self.rows.insert(list, subscribers.next_position());
        subscribers.push(key, row);
        match member {
            Some(member) => self.rows.join(member, row),
            None => {
                let Self { lists, rows, hasher, .. } = self;
                let hash_of = |&row: &u32| hasher.hash_one(key_of(lists, rows, row));
                self.rows_by_key.insert_unique(hasher.hash_one(key), row, hash_of);
            }
        }
        true
    }

    /// Ends the subscription of `key` by this filter. False when there was none.
    ///
    /// Takes time in proportion to the number of the key's own subscriptions, and, for the last one of a glob, of all globs.
    pub fn unsubscribe(&mut self, key: K, filter: &Filter) -> bool {
        let list = self.list_of(filter.kind(), filter.text());
        let member = self.row_of(key);
        let Some(row) = list.zip(member).and_then(|(list, member)| self.row_in(member, list)) else {
            return false;
        };
        let Self { lists, rows, rows_by_key, hasher, .. } = self;
        let entry = rows_by_key.find_entry(hasher.hash_one(key), |&row| key_of(lists, rows, row) == key);
        if let Ok(mut entry) = entry {
            match rows.part(row) {
                Some(other) => *entry.get_mut() = other,
                None => drop(entry.remove()),
            }
        }
        self.end(row);
        self.tidy();
        true
    }

    /// Ends all subscriptions of `key`, as when its connection has ended. Returns how many there were.
    ///
    /// Takes time in proportion to that number, however many others are subscribed to the same.
    pub fn unsubscribe_all(&mut self, key: K) -> usize {
        let Self { lists, rows, rows_by_key, hasher, .. } = self;
        let entry = rows_by_key.find_entry(hasher.hash_one(key), |&row| key_of(lists, rows, row) == key);
        let Ok(entry) = entry else { return 0 };
        let (first, _) = entry.remove();
        let (mut row, mut count) = (first, 1);
        loop {
            row = self.end(row);
            if row == first {
                break;
            }
            count += 1;
        }
        self.tidy();
        count
    }

    /// Calls `receive` with each subscriber of `channel`, once, however many of its filters match. Returns how many
    /// there are.
    ///
    /// The subscribers of the exact channel come first, then those of the subject patterns that match, then those of
    /// the globs; each of these in order of subscription. No memory is taken unless a pattern matches.
    pub fn for_each(&self, channel: &[u8], mut receive: impl FnMut(K)) -> usize {
        if !is_name(channel) {
            return 0;
        }
        let exact = self.list_of(Kind::Exact, channel);
        let mut lists = Vec::new();
        self.subjects.for_each(channel, |list| lists.push(list));
        lists.extend(self.globs.iter().filter(|&&glob| self.lists[glob as usize].filter.matches(channel)));
        match (exact, &lists[..]) {
            (None, []) => 0,
            (Some(only), []) | (None, &[only]) => self.lists[only as usize].subscribers.for_each(receive),
            _ => {
                let lists = exact.into_iter().chain(lists).map(|list| &self.lists[list as usize].subscribers);
                let mut found = HashSet::new();
                // Who has one subscription cannot be found twice, and most have one.
                let is_new = |&(key, row): &(K, u32)| !self.rows.has_others(row) || found.insert(key);
                lists.flat_map(Subscribers::iter).filter(is_new).map(|(key, _)| receive(key)).count()
            }
        }
    }

    /// The list of the filter of this sort and text.
    fn list_of(&self, kind: Kind, text: &[u8]) -> Option<u32> {
        let is_it = |&list: &u32| {
            let filter = &self.lists[list as usize].filter;
            filter.kind() == kind && filter.text() == text
        };
        self.lists_by_filter.find(self.hasher.hash_one((kind, text)), is_it).copied()
    }

    /// Any row of the subscriber.
    fn row_of(&self, key: K) -> Option<u32> {
        let is_it = |&row: &u32| key_of(&self.lists, &self.rows, row) == key;
        self.rows_by_key.find(self.hasher.hash_one(key), is_it).copied()
    }

    /// The row of the subscription in `list`, if the subscriber who has the row `member` has one.
    fn row_in(&self, member: u32, list: u32) -> Option<u32> {
        self.rows.ring(member).find(|&row| self.rows.get(row).list == list)
    }

    fn make_list(&mut self, filter: Filter) -> u32 {
        let (kind, hash) = (filter.kind(), self.hasher.hash_one((filter.kind(), filter.text())));
        let list = self.lists.insert(List { filter, subscribers: Subscribers::new() });
        let filter = &self.lists[list].filter;
        let list = u32::try_from(list).expect("fewer than 2^32 lists fit in memory");
        match kind {
            Kind::Exact => {}
            Kind::Glob => self.globs.push(list),
            Kind::Subject => self.subjects.insert(filter.text(), list),
        }
        self.lists_by_filter.insert_unique(hash, list, |&list| hash_of(&self.lists, &self.hasher, list));
        list
    }

    /// Ends the subscription of `row`, except that the ring and the table of keys are left to the caller. Returns the
    /// row that was next in the ring.
    fn end(&mut self, row: u32) -> u32 {
        let Row { list, position, next } = self.rows.remove(row);
        let subscribers = &mut self.lists[list as usize].subscribers;
        subscribers.remove(position, &mut self.rows);
        if subscribers.is_empty() {
            self.drop_list(list);
        }
        next
    }

    fn drop_list(&mut self, list: u32) {
        let hash = hash_of(&self.lists, &self.hasher, list);
        if let Ok(entry) = self.lists_by_filter.find_entry(hash, |&other| other == list) {
            entry.remove();
        }
        let filter = self.lists.remove(list as usize).filter;
        match filter.kind() {
            Kind::Exact => {}
            Kind::Glob => self.has_ended_globs = true,
            Kind::Subject => self.subjects.remove(filter.text()),
        }
    }

    /// To be called when subscriptions have ended. Tables that are almost empty shrink; without any subscription nothing is
    /// kept.
    fn tidy(&mut self) {
        if self.is_empty() {
            *self = Self::new();
            return;
        }
        let Self { lists, lists_by_filter, globs, has_ended_globs, rows, rows_by_key, hasher, .. } = self;
        if std::mem::take(has_ended_globs) {
            globs.retain(|&glob| lists.contains(glob as usize));
        }
        if rows_by_key.len() < rows_by_key.capacity() / 4 {
            let hash_of = |&row: &u32| hasher.hash_one(key_of(lists, rows, row));
            rows_by_key.shrink_to(rows_by_key.len() * 2, hash_of);
        }
        if lists_by_filter.len() < lists_by_filter.capacity() / 4 {
            lists_by_filter.shrink_to(lists_by_filter.len() * 2, |&list| hash_of(lists, hasher, list));
        }
    }
}

/// The subscriber whose subscription `row` is.
fn key_of<K: Copy>(lists: &Slab<List<K>>, rows: &Rows, row: u32) -> K {
    let Row { list, position, .. } = rows.get(row);
    lists[list as usize].subscribers.key_at(position)
}

/// The hash of the filter of a list.
fn hash_of<K>(lists: &Slab<List<K>>, hasher: &RandomState, list: u32) -> u64 {
    let filter = &lists[list as usize].filter;
    hasher.hash_one((filter.kind(), filter.text()))
}

impl<K: Copy + Eq + Hash> Default for Channels<K> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
impl<K: Copy> Channels<K> {
    /// Memory that grows with the number of subscriptions and subscribers.
    pub(super) fn subscription_bytes(&self) -> usize {
        let subscribers: usize = self.lists.iter().map(|(_, list)| list.subscribers.memory_bytes()).sum();
        subscribers + self.rows.memory_bytes() + self.rows_by_key.allocation_size()
    }

    /// Memory that grows with the number of distinct filters, without the trie of the subjects.
    pub(super) fn filter_bytes(&self) -> usize {
        let texts: usize = self.lists.iter().map(|(_, list)| list.filter.text().len()).sum();
        let lists = self.lists.capacity() * size_of::<List<K>>() + self.globs.capacity() * size_of::<u32>();
        texts + lists + self.lists_by_filter.allocation_size()
    }

    pub(super) fn subject_nodes(&self) -> usize {
        self.subjects.nodes()
    }
}
