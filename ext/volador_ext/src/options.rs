//! [`Options`]: reads the options Hash that `lib/volador/configuration.rb` makes.

use std::time::Duration;

use magnus::{Error, RHash, Ruby, TryConvert, Value};

use crate::error;

/// An options Hash with symbol keys. Ruby has validated it, so the messages here are for those who change Volador.
#[derive(Clone, Copy)]
pub(crate) struct Options<'r> {
    ruby: &'r Ruby,
    hash: RHash,
}

impl<'r> Options<'r> {
    pub(crate) fn new(ruby: &'r Ruby, hash: RHash) -> Self {
        Self { ruby, hash }
    }

    /// # Errors
    /// `Volador::ConfigurationError` when the option is missing or no `T`.
    pub(crate) fn get<T: TryConvert>(&self, name: &str) -> Result<T, Error> {
        let value: Value = self.hash.lookup(self.ruby.to_symbol(name))?;
        T::try_convert(value).map_err(|error| {
            error::configuration(self.ruby, format!("option {name} can't be a {}: {error}", error::class_of(value)))
        })
    }

    /// Seconds.
    pub(crate) fn duration(&self, name: &str) -> Result<Duration, Error> {
        let seconds: f64 = self.get(name)?;
        Duration::try_from_secs_f64(seconds)
            .map_err(|_| error::configuration(self.ruby, format!("option {name} can't be {seconds} seconds")))
    }
}
