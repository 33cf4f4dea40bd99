//! [`Events`]: what waits in a mailbox, in order. One event alone, which is most often all that there is, gets memory for one
//! and not for a queue. It does not stand in the mailbox itself: that would make each of ten thousand quiet connections
//! larger.

use std::collections::VecDeque;

use crate::Event;

/// A queue of events.
#[derive(Debug, Default)]
pub(crate) struct Events {
    /// What came when there was nothing.
    first: Option<Box<Event>>,
    /// What came behind it.
    rest: VecDeque<Event>,
}

impl Events {
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none() && self.rest.is_empty()
    }

    /// Of those that are empty: ten thousand quiet connections must not keep the memory of their liveliest moment.
    pub(crate) fn give_memory_back(&mut self) {
        // Most often there is none, as no event has waited.
        if self.rest.capacity() > 0 {
            self.rest = VecDeque::new();
        }
    }

    pub(crate) fn back(&self) -> Option<&Event> {
        self.rest.back().or(self.first.as_deref())
    }

    pub(crate) fn push_back(&mut self, event: Event) {
        if self.is_empty() {
            self.first = Some(Box::new(event));
        } else {
            self.rest.push_back(event);
        }
    }

    pub(crate) fn pop_front(&mut self) -> Option<Event> {
        match self.first.take() {
            Some(first) => Some(*first),
            None => self.rest.pop_front(),
        }
    }

    /// Takes out the event that has so many before it.
    pub(crate) fn remove(&mut self, at: usize) -> Option<Event> {
        match (at, self.first.is_some()) {
            (0, true) => self.pop_front(),
            (at, has_first) => self.rest.remove(at - usize::from(has_first)),
        }
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(&Event) -> bool) {
        self.first = self.first.take().filter(|event| keep(event));
        self.rest.retain(&keep);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Event> {
        self.first.as_deref().into_iter().chain(&self.rest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Tells events apart by a number.
    fn event(code: u16) -> Event {
        Event::Close(code)
    }

    proptest! {
        #[test]
        fn order_is_that_of_a_plain_queue(steps: Vec<(u8, u16)>) {
            let (mut events, mut plain) = (Events::default(), VecDeque::new());
            for (step, n) in steps {
                match step % 6 {
                    0 => prop_assert_eq!(events.pop_front(), plain.pop_front()),
                    1 => {
                        let at = usize::from(n % 8);
                        prop_assert_eq!(events.remove(at), plain.remove(at));
                    }
                    2 => {
                        let keep = |event: &Event| matches!(event, Event::Close(code) if code % 3 != n % 3);
                        events.retain(keep);
                        plain.retain(keep);
                    }
                    _ => {
                        events.push_back(event(n));
                        plain.push_back(event(n));
                    }
                }
                prop_assert_eq!(events.iter().collect::<Vec<_>>(), plain.iter().collect::<Vec<_>>());
                prop_assert_eq!((events.back(), events.is_empty()), (plain.back(), plain.is_empty()));
            }
        }
    }
}
