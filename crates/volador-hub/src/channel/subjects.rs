//! Subject patterns: names and patterns as lists of tokens, and [`Subjects`], a trie that finds the patterns of a name.
//!
//! An empty token is a token: `a..b` has three. Wildcards are whole tokens, so a pattern has no way to name a token that
//! is literally `*` or (at its end) `>`, and the trie can hold them among its labels.

use std::collections::BTreeMap;
use std::sync::Arc;

use slab::Slab;

/// The token of a pattern that stands for any one token that is not empty.
const ANY_ONE: &[u8] = b"*";
/// The last token of a pattern, when it stands for one token or more.
pub(super) const TAIL: &[u8] = b">";

const ROOT: u32 = 0;

/// The tokens of a name or pattern; at least one.
pub(super) fn tokens(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| byte == b'.')
}

/// Whether `pattern`, in which `>` is only the last token, matches the whole of `channel`.
pub(super) fn matches(pattern: &[u8], channel: &[u8]) -> bool {
    let mut rest = tokens(channel);
    for expected in tokens(pattern) {
        let Some(token) = rest.next() else { return false };
        match expected {
            TAIL => return true,
            ANY_ONE if !token.is_empty() => {}
            literal if literal == token => {}
            _ => return false,
        }
    }
    rest.next().is_none()
}

/// Which list of subscribers each subject pattern has, by the tokens of the patterns.
#[derive(Debug)]
pub(super) struct Subjects {
    /// Holds at least the root. Every other node has a list or children. At most SUBJECT_TOKENS_MAX levels below it.
    nodes: Slab<Node>,
}

#[derive(Debug)]
struct Node {
    /// The root is its own parent.
    parent: u32,
    /// The last token of the node's pattern: its label in the parent's `children`, whose bytes it shares.
    label: Arc<[u8]>,
    /// Ordered, so that clients cannot aim at collisions of a hash.
    children: BTreeMap<Arc<[u8]>, u32>,
    /// The list of subscribers of the pattern that ends here.
    list: Option<u32>,
}

impl Subjects {
    pub(super) fn new() -> Self {
        let mut nodes = Slab::new();
        nodes.insert(Node::new(ROOT, [].into()));
        Self { nodes }
    }

    /// Gives `pattern`, which has none, its list.
    pub(super) fn insert(&mut self, pattern: &[u8], list: u32) {
        let node = tokens(pattern).fold(ROOT, |node, token| match self.nodes[node as usize].children.get(token) {
            Some(&child) => child,
            None => self.make_child(node, token),
        });
        self.nodes[node as usize].list = Some(list);
    }

    /// Forgets `pattern` and the nodes that only it needed.
    pub(super) fn remove(&mut self, pattern: &[u8]) {
        let child = |node, token| self.nodes[node as usize].children.get(token).copied();
        let Some(mut node) = tokens(pattern).try_fold(ROOT, child) else { return };
        self.nodes[node as usize].list = None;
        while node != ROOT && self.nodes[node as usize].is_unused() {
            let Node { parent, label, .. } = self.nodes.remove(node as usize);
            self.nodes[parent as usize].children.remove(&label);
            node = parent;
        }
    }

    /// Calls `found` with the list of each pattern that matches `channel`: once each, the order depends on nothing but
    /// the patterns. Visits each node at most once.
    pub(super) fn for_each(&self, channel: &[u8], mut found: impl FnMut(u32)) {
        if !self.nodes[ROOT as usize].children.is_empty() {
            self.for_each_below(ROOT, Some(channel), &mut found);
        }
    }

    /// Visits what matches `rest`, which is `None` when the channel has no token left, from `node` on. Calls itself as
    /// deep as the longest pattern.
    fn for_each_below(&self, node: u32, rest: Option<&[u8]>, found: &mut impl FnMut(u32)) {
        let node = &self.nodes[node as usize];
        let Some(rest) = rest else {
            node.list.into_iter().for_each(found);
            return;
        };
        let (token, following) = match rest.iter().position(|&byte| byte == b'.') {
            Some(dot) => (&rest[..dot], Some(&rest[dot + 1..])),
            None => (rest, None),
        };
        if let Some(&tail) = node.children.get(TAIL) {
            self.nodes[tail as usize].list.into_iter().for_each(&mut *found);
        }
        // A client may well publish to a channel with a wildcard in its name: that is not the label of the same bytes.
        if token != ANY_ONE
            && token != TAIL
            && let Some(&child) = node.children.get(token)
        {
            self.for_each_below(child, following, found);
        }
        if !token.is_empty()
            && let Some(&child) = node.children.get(ANY_ONE)
        {
            self.for_each_below(child, following, found);
        }
    }

    fn make_child(&mut self, parent: u32, label: &[u8]) -> u32 {
        let label: Arc<[u8]> = label.into();
        let child = self.nodes.insert(Node::new(parent, label.clone()));
        let child = u32::try_from(child).expect("fewer than 2^32 nodes fit in memory");
        self.nodes[parent as usize].children.insert(label, child);
        child
    }

    /// Nodes in use, the root included.
    #[cfg(test)]
    pub(super) fn nodes(&self) -> usize {
        self.nodes.len()
    }
}

impl Node {
    fn new(parent: u32, label: Arc<[u8]>) -> Self {
        Self { parent, label, children: BTreeMap::new(), list: None }
    }

    fn is_unused(&self) -> bool {
        self.list.is_none() && self.children.is_empty()
    }
}
