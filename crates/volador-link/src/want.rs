//! [`Want`]: no more files may be open. The log has one line for what is given up for it.

use std::{fmt, io, time::Instant};

use rustix::{
    io::Errno,
    process::{Resource, getrlimit},
};

use crate::{log, spell::Spell};

/// In one process both halves give up for the same want.
static FILES: Spell = Spell::new();

/// A want of descriptors. As text: what it comes from, and what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// This process may have no more files open.
    OfProcess,
    /// All processes together may not.
    OfSystem,
}

impl Want {
    /// What to do about a want of this process.
    pub const REMEDY: &str = "Raise that limit (ulimit -n, or LimitNOFILE= for systemd)";

    /// How many files this process may have open now: it can be changed from outside at any time.
    pub fn limit() -> Option<u64> {
        getrlimit(Resource::Nofile).current
    }

    /// The want that the error tells of, if it is one.
    pub fn of(error: &io::Error) -> Option<Self> {
        match Errno::from_io_error(error)? {
            Errno::MFILE => Some(Self::OfProcess),
            Errno::NFILE => Some(Self::OfSystem),
            _ => None,
        }
    }

    /// An answer or a body is given up: it needs a descriptor that there is not, or that it may not keep.
    pub fn gave_up(self) {
        if FILES.is_new(Instant::now()) {
            log::warn(format_args!(
                "answers and bodies that live in files are given up until others have gone: {self}"
            ));
        }
    }
}

impl fmt::Display for Want {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OfProcess => {
                let limit = Self::limit().unwrap_or(u64::MAX);
                write!(f, "this process may have {limit} files open. {}", Self::REMEDY)
            }
            Self::OfSystem => f.write_str(
                "all processes together have as many files open as the system allows. Raise that limit (sysctl \
                 fs.file-max), or look which of them has so many",
            ),
        }
    }
}

/// As the system says it.
impl From<Want> for io::Error {
    fn from(want: Want) -> Self {
        match want {
            Want::OfProcess => Errno::MFILE.into(),
            Want::OfSystem => Errno::NFILE.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_want_is_the_processes_or_the_systems_and_nothing_else_is_one() {
        for (errno, want, remedy) in
            [(Errno::MFILE, Want::OfProcess, "ulimit -n"), (Errno::NFILE, Want::OfSystem, "fs.file-max")]
        {
            assert_eq!(Want::of(&errno.into()), Some(want));
            assert_eq!(Want::of(&want.into()), Some(want));
            assert!(want.to_string().contains(remedy), "{want}");
        }
        assert_eq!([Want::of(&Errno::NOSPC.into()), Want::of(&io::ErrorKind::Other.into())], [None, None]);
    }
}
