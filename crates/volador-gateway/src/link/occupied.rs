//! [`Occupied`]: a worker has something to tell the handler of a push connection, or is telling it.

use std::sync::Arc;

use super::Member;

/// Counts for the worker as long as it lives: its threads run callbacks as they run requests.
#[derive(Debug)]
pub(crate) struct Occupied(Arc<Member>);

impl Occupied {
    pub(crate) fn new(member: Arc<Member>) -> Self {
        member.occupied();
        Self(member)
    }
}

impl Drop for Occupied {
    fn drop(&mut self) {
        self.0.relieved();
    }
}
