//! How many files this process may have open, how many of these are not for clients, and [`Shortage`]: there is none for a
//! client.
//!
//! Every client costs a descriptor, and so does every link of a worker, every file that a worker answers with, and every
//! large body. Clients come and stay as they please; were they to take all there are, no file could cross a link any more,
//! and no worker join. So some are kept from them. In one process with the application these are also what the application
//! opens.
//!
//! ```text
//!   0                                                          7/8              15/16           limit
//!   ├─────────────────── everything, and clients ───────────────┼──── files ──────┼── to spare ───┤
//! ```
//!
//! What clients have done for them needs descriptors for as long as they please, too: who does not read has an answer's
//! file kept open. So half of the reserve is to spare: what arrives there is let go of at once. Links bring descriptors
//! one by one, each with its frame. Where there is no room for it, because many arrive at the same moment or the
//! application has them all, that one is lost, and its frame is known to be without it (`Lost`).

use std::{
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    time::Instant,
};

use rustix::{
    io::fcntl_dupfd_cloexec,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use volador_link::{Spell, Want};

use crate::log;

/// What is kept from clients, at most, and as a part of all.
const RESERVE_MAX: u64 = 256;
const RESERVE_SHARE: u64 = 8;

/// What of that is to spare.
const SPARE_SHARE: u64 = 2;

/// The limit is not raised above this by itself: there are programs that close all numbers up to it as they start, and
/// where the system's own limit is a thousand millions, as in some containers, that takes minutes.
const RAISED_MAX: u64 = 1 << 20;

/// Clients wait for a descriptor, at whichever shard. The log has one line for it.
#[derive(Debug, Default)]
pub(crate) struct Shortage(Spell);

/// Raises the limit of this process to what the system allows it. The usual 1024 is the number that programs with select(2)
/// can cope with; this one is none of them.
pub(crate) fn raise_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(u64::MAX).min(RAISED_MAX);
    if current.is_some_and(|current| current < wanted)
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum })
    {
        log::warn(format_args!("can't raise the limit of open files to {wanted}: {error}"));
    }
}

/// Whether a client may have the descriptor. The system gives the lowest number that is free: where it gives one of the
/// highest, the others are taken.
pub(crate) fn is_for_clients(descriptor: impl AsFd) -> bool {
    is_below(descriptor, clients_max)
}

/// Whether what is done for a client may keep the descriptor of a file, or of another socket, for long. If not it is to be
/// closed at once.
pub(crate) fn may_be_kept(descriptor: impl AsFd) -> bool {
    is_below(descriptor, files_max)
}

fn is_below(descriptor: impl AsFd, max: fn(u64) -> u64) -> bool {
    Want::limit().is_none_or(|limit| u64::from(descriptor.as_fd().as_raw_fd().unsigned_abs()) < max(limit))
}

/// The same file by the lowest number that is free now.
pub(crate) fn again(descriptor: impl AsFd) -> io::Result<OwnedFd> {
    Ok(fcntl_dupfd_cloexec(descriptor, 0)?)
}

/// Numbers below this are for everybody, those from it on not for clients.
fn clients_max(limit: u64) -> u64 {
    limit - (limit / RESERVE_SHARE).min(RESERVE_MAX)
}

/// Numbers from this on are to spare.
fn files_max(limit: u64) -> u64 {
    limit - (limit - clients_max(limit)) / SPARE_SHARE
}

impl Shortage {
    /// Accepting rests, since there is no descriptor for a client.
    pub(crate) fn refused(&self) {
        if !self.0.is_new(Instant::now()) {
            return;
        }
        let limit = Want::limit().unwrap_or(u64::MAX);
        let kept = limit - clients_max(limit);
        log::warn(format_args!(
            "new clients wait until others leave: this process may have {limit} files open, of which {kept} are kept for \
             workers and files. {}",
            Want::REMEDY
        ));
    }

    /// Accepting rests, since the system has refused a connection.
    pub(crate) fn failed(&self, error: &io::Error) {
        match Want::of(error) {
            Some(Want::OfProcess) => self.refused(),
            _ if !self.0.is_new(Instant::now()) => {}
            Some(want) => log::warn(format_args!("new clients wait until there are files to be had: {want}")),
            None => log::warn(format_args!("new clients wait: the system can't accept their connections: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_eighth_of_the_descriptors_and_256_at_most_are_kept_from_clients_and_half_of_them_to_spare() {
        let table = [
            (0, 0, 0),
            (7, 7, 7),
            (16, 14, 15),
            (64, 56, 60),
            (1024, 896, 960),
            (2048, 1792, 1920),
            (20_000, 19_744, 19_872),
            (u64::MAX, u64::MAX - 256, u64::MAX - 128),
        ];
        for (limit, clients, files) in table {
            assert_eq!((clients_max(limit), files_max(limit)), (clients, files), "of {limit}");
        }
    }
}
