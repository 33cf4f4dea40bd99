//! [`PathIndex`]: finds the push connections whose request path matches a pattern.
//!
//! A trie with one level per segment. A broadcast is the hot operation, most often to all connections of one path, so
//! the subscribers of a path stand side by side in memory: `for_each` over an exact path is a few look-ups and then a
//! walk over a slice. (A linked list would make removal as simple, but costs a cache miss for each subscriber.)
//!
//! ```text
//!   PathKey 3 ──▶ places: row 3 = (node 12, position 1) ──▶ node 12 "/rooms/7": [ (A, row 0) | (B, row 3) | (C, row 5) ]
//! ```
//!
//! Removing takes the last subscriber into the hole (`swap_remove`). Each subscriber knows its row in the table of places,
//! so the one that moved gets its new position there, and the keys that were handed out stay valid: O(1), and no caller
//! has to be told. A subscription costs 16 bytes, plus the usual slack of growing vectors.

use std::collections::BTreeMap;
use std::sync::Arc;

use slab::Slab;

use super::pattern::{Kind, PathPattern, Segment, Segments};
use super::places::{Place, Places};
use super::{relative, split_first_segment};

/// Levels of the trie. What a path has beyond this many segments is one long label on the last level: a client chooses
/// the path that it asks for, and 8 KiB of slashes must not buy it 8,000 nodes.
pub(super) const LEVELS_MAX: usize = 16;

const ROOT: u32 = 0;

/// Names one subscription in the [`PathIndex`] that gave it. It is free for re-use once removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PathKey(u32);

/// The push connections of one shard, by request path. `T` names a connection (its slot, for instance).
#[derive(Debug)]
pub struct PathIndex<T> {
    /// Holds at least the root. Every other node has subscribers or children.
    nodes: Slab<Node<T>>,
    /// By [`PathKey`].
    places: Places,
}

#[derive(Debug)]
struct Node<T> {
    /// The root is its own parent.
    parent: u32,
    /// The last segment of the node's path: its label in the parent's `children`, whose bytes it shares.
    label: Arc<[u8]>,
    /// Ordered, so that clients cannot aim at collisions of a hash, and that the order of a broadcast is the same each time.
    children: BTreeMap<Arc<[u8]>, u32>,
    /// The connections of exactly this path, in no order.
    subscribers: Vec<Subscriber<T>>,
}

#[derive(Debug)]
struct Subscriber<T> {
    key: T,
    /// Its row in `places`, to be told when this subscriber moves.
    row: u32,
}

impl<T: Copy + Eq> PathIndex<T> {
    /// An empty index.
    pub fn new() -> Self {
        let mut nodes = Slab::new();
        nodes.insert(Node::new(ROOT, [].into()));
        Self { nodes, places: Places::new() }
    }

    /// The number of subscriptions.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is no subscription.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes the connection `key` a receiver of the broadcasts whose pattern matches `path`. The same connection can be
    /// inserted more than once and is then found as many times.
    pub fn insert(&mut self, path: &[u8], key: T) -> PathKey {
        let node = self.find_or_make(relative(path));
        let subscribers = &mut self.nodes[node as usize].subscribers;
        let position = u32::try_from(subscribers.len()).expect("a shard has fewer than 2^32 connections");
        let row = self.places.insert(Place { node, position });
        subscribers.push(Subscriber { key, row });
        PathKey(row)
    }

    /// Ends a subscription, and returns the connection that it was for.
    ///
    /// A key is used up by this: later it names nothing (`None`), or a subscription that was inserted since.
    pub fn remove(&mut self, key: PathKey) -> Option<T> {
        let Place { node, position } = self.places.remove(key.0)?;
        let subscribers = &mut self.nodes[node as usize].subscribers;
        let removed = subscribers.swap_remove(position as usize);
        if let Some(moved) = subscribers.get(position as usize) {
            self.places.moved(moved.row, position);
        }
        // A path that 10,000 connections have left must not keep their memory. At a quarter, so that a connection which
        // comes and goes does not make it shrink and grow each time.
        if subscribers.len() < subscribers.capacity() / 4 {
            subscribers.shrink_to(subscribers.len() * 2);
        }
        if self.is_empty() {
            *self = Self::new();
        } else {
            self.free_if_unused(node);
        }
        Some(removed.key)
    }

    /// Calls `receive` with the connection of each subscription whose path matches `pattern`, in no particular order.
    pub fn for_each(&self, pattern: &PathPattern, mut receive: impl FnMut(T)) {
        match pattern.kind() {
            Kind::Exact(path) => {
                if let Some(node) = self.find(path) {
                    node.for_each(&mut receive);
                }
            }
            Kind::Wildcard(segments) => self.for_each_below(ROOT, 0, segments, &mut receive),
        }
    }

    /// Visits what matches below `node`, which is on `level` and whose own path matches the pattern's first `level`
    /// segments. Calls itself at most [`LEVELS_MAX`] deep.
    fn for_each_below(&self, node: u32, level: usize, pattern: &Segments, receive: &mut impl FnMut(T)) {
        let node = &self.nodes[node as usize];
        if level == pattern.head.len() {
            match pattern.any_tail {
                true => self.for_all_below(node, receive),
                false => node.for_each(receive),
            }
            return;
        }
        if level == LEVELS_MAX - 1 {
            let matching = node.children.iter().filter(|(label, _)| pattern.match_from(level, Some(label)));
            matching.for_each(|(_, &child)| self.nodes[child as usize].for_each(receive));
            return;
        }
        match &pattern.head[level] {
            Segment::Literal(label) => {
                if let Some(&child) = node.children.get(&**label) {
                    self.for_each_below(child, level + 1, pattern, receive);
                }
            }
            Segment::AnyOne => {
                for (_, &child) in node.children.iter().filter(|(label, _)| !label.is_empty()) {
                    self.for_each_below(child, level + 1, pattern, receive);
                }
            }
        }
    }

    /// Visits everything below `node`, without the node itself.
    fn for_all_below(&self, node: &Node<T>, receive: &mut impl FnMut(T)) {
        for &child in node.children.values() {
            let child = &self.nodes[child as usize];
            child.for_each(receive);
            self.for_all_below(child, receive);
        }
    }

    fn find(&self, path: &[u8]) -> Option<&Node<T>> {
        let node = labels(path).try_fold(ROOT, |node, label| self.nodes[node as usize].children.get(label).copied())?;
        Some(&self.nodes[node as usize])
    }

    fn find_or_make(&mut self, path: &[u8]) -> u32 {
        labels(path).fold(ROOT, |node, label| match self.nodes[node as usize].children.get(label) {
            Some(&child) => child,
            None => self.make_child(node, label),
        })
    }

    fn make_child(&mut self, parent: u32, label: &[u8]) -> u32 {
        let label: Arc<[u8]> = label.into();
        let child = self.nodes.insert(Node::new(parent, label.clone()));
        let child = u32::try_from(child).expect("fewer than 2^32 nodes fit in memory");
        self.nodes[parent as usize].children.insert(label, child);
        child
    }

    /// Frees the node and those above it as far as nothing needs them.
    fn free_if_unused(&mut self, mut node: u32) {
        while node != ROOT && self.nodes[node as usize].is_unused() {
            let Node { parent, label, .. } = self.nodes.remove(node as usize);
            self.nodes[parent as usize].children.remove(&label);
            node = parent;
        }
    }

    /// Nodes in use, the root included.
    #[cfg(test)]
    pub(super) fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// Memory that grows with the number of subscriptions of a path.
    #[cfg(test)]
    pub(super) fn subscription_bytes(&self) -> usize {
        let subscribers: usize = self.nodes.iter().map(|(_, node)| node.subscribers.capacity()).sum();
        self.places.memory_bytes() + subscribers * size_of::<Subscriber<T>>()
    }
}

impl<T: Copy + Eq> Default for PathIndex<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Copy> Node<T> {
    fn new(parent: u32, label: Arc<[u8]>) -> Self {
        Self { parent, label, children: BTreeMap::new(), subscribers: Vec::new() }
    }

    fn is_unused(&self) -> bool {
        self.subscribers.is_empty() && self.children.is_empty()
    }

    fn for_each(&self, receive: &mut impl FnMut(T)) {
        self.subscribers.iter().for_each(|subscriber| receive(subscriber.key));
    }
}

/// The labels of a path from the root down: its segments, but the last level takes all that is left.
fn labels(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(path);
    (1..=LEVELS_MAX).map_while(move |level| {
        let path = rest?;
        let (label, following) = if level < LEVELS_MAX { split_first_segment(path) } else { (path, None) };
        rest = following;
        Some(label)
    })
}
