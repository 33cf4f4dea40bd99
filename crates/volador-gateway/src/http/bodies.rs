//! [`Bodies`]: the memory that all request bodies take together, and what one of them [`Held`].

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Bytes of request bodies in memory, over all shards.
#[derive(Debug)]
pub(crate) struct Bodies {
    bytes: AtomicUsize,
    max: usize,
}

impl Bodies {
    pub(crate) fn new(max: usize) -> Self {
        Self { bytes: AtomicUsize::new(0), max }
    }

    /// For one body, of which nothing has come.
    pub(super) fn hold(&self) -> Held<'_> {
        Held { bodies: self, bytes: 0 }
    }
}

/// What one body has of it, until there is the head of its answer.
#[derive(Debug)]
pub(super) struct Held<'a> {
    bodies: &'a Bodies,
    bytes: usize,
}

impl Held<'_> {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Makes room for more of the body; returns whether there is any.
    pub(super) fn grow(&mut self, more: usize) -> bool {
        let before = self.bodies.bytes.fetch_add(more, Relaxed);
        if before.saturating_add(more) > self.bodies.max {
            self.bodies.bytes.fetch_sub(more, Relaxed);
            return false;
        }
        self.bytes += more;
        true
    }

    /// The body is not in memory any more.
    pub(super) fn release(&mut self) {
        self.bodies.bytes.fetch_sub(std::mem::take(&mut self.bytes), Relaxed);
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_share_what_there_is_and_give_it_back() {
        let bodies = Bodies::new(10);
        let (mut one, mut other) = (bodies.hold(), bodies.hold());
        assert!(one.grow(6) && !other.grow(5) && other.grow(4) && !one.grow(1));
        assert_eq!((one.bytes(), other.bytes()), (6, 4));
        one.release();
        assert!(other.grow(6) && !one.grow(1));
        drop(other);
        assert!(one.grow(10));
    }
}
