//! A [`Shortage`] of descriptors on their way, for the tests of those who send some. It is the process's: a test that has
//! one is alone in its file.

use std::{
    io::IoSlice,
    mem::MaybeUninit,
    os::{fd::AsFd, unix::net::UnixStream},
};

use rustix::{
    io::Errno,
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg},
    process::{Resource, Rlimit, getrlimit, setrlimit},
    thread::{CapabilitySet, capabilities, set_capabilities},
};

/// Descriptors that this process may have on their way during a shortage, and that one call sends.
const LIMIT: u64 = 200;

/// Nobody takes what was sent here.
#[derive(Debug)]
pub(crate) struct Shortage(#[allow(dead_code)] (UnixStream, UnixStream));

impl Shortage {
    /// From now on this thread, and those that it starts, can be short of them at all: root can't.
    pub(crate) fn expect() {
        let mut sets = capabilities(None).unwrap();
        sets.effective.remove(CapabilitySet::SYS_ADMIN | CapabilitySet::SYS_RESOURCE);
        set_capabilities(None, sets).unwrap();
    }

    /// Lasts until it is dropped.
    pub(crate) fn begin() -> Self {
        let maximum = getrlimit(Resource::Nofile).maximum;
        setrlimit(Resource::Nofile, Rlimit { current: Some(LIMIT), maximum }).unwrap();
        let (near, far) = UnixStream::pair().unwrap();
        let fds = vec![near.as_fd(); LIMIT as usize];
        let send = || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(LIMIT as usize))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            ancillary.push(SendAncillaryMessage::ScmRights(&fds));
            sendmsg(&near, &[IoSlice::new(b"x")], &mut ancillary, SendFlags::DONTWAIT)
        };
        // The system counts before it adds: what the second call finds is not too many yet.
        assert_eq!([send(), send(), send()][2], Err(Errno::TOOMANYREFS));
        Self((near, far))
    }
}
