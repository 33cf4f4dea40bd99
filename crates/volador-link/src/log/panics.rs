//! [`Panics`]: how many entries of the log there are of panics that come again and again.

use std::{
    collections::BTreeMap,
    panic::Location,
    sync::{Mutex, TryLockError},
};

use crate::{Case, Lines};

/// The panics of a process, each place of the code by itself: a client that causes one is not to hide another one, which may
/// end the process.
#[derive(Debug)]
pub(super) struct Panics(Mutex<BTreeMap<Place, Lines>>);

/// File, line and column.
type Place = (String, u32, u32);

impl Panics {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// How the first lines of the next entry are to end; None: it has too many of its place before it.
    pub(super) fn end(&self, location: Option<&Location<'_>>) -> Option<String> {
        let place = location.map(|place| (place.file().to_owned(), place.line(), place.column())).unwrap_or_default();
        match self.0.try_lock() {
            Ok(mut places) => places.entry(place).or_default().end(Case::New),
            Err(TryLockError::Poisoned(places)) => places.into_inner().entry(place).or_default().end(Case::New),
            // One entry too many does no harm. A wait would, in a process that was forked while another thread was here.
            Err(TryLockError::WouldBlock) => Some(String::new()),
        }
    }
}
