//! What the system's errors say of a link: which of them pass, and which are but the peer's end.

use std::{io, time::Duration};

use rustix::io::Errno;

/// After how long to try again what could not be sent or received for want of something (see
/// [`Sent::Later`](crate::Sent::Later), [`Received::Later`](crate::Received::Later)). Of a few milliseconds nobody takes notice,
/// and they cost next to nothing where the want lasts.
pub const RETRY: Duration = Duration::from_millis(5);

/// Whether the socket is as good as before, and the same call may do later.
///
/// - `ETOOMANYREFS`: more descriptors of this user are on their way than this process may have open (unix(7)). They
///   arrive as the peers read.
/// - `ENOBUFS`, `ENOMEM`: the system has no memory for what is to be sent or received.
pub(crate) fn passes(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::TOOMANYREFS | Errno::NOBUFS | Errno::NOMEM))
}

/// Whether it says no more than that the peer has ended, or has closed: nothing that an operator has to be told of here.
pub fn is_peers_end(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_want_passes_and_an_end_does_not() {
        // Whether it passes, and whether it is the peer's end.
        let table = [
            (Errno::TOOMANYREFS, true, false),
            (Errno::NOBUFS, true, false),
            (Errno::NOMEM, true, false),
            (Errno::PIPE, false, true),
            (Errno::CONNRESET, false, true),
            (Errno::NOTCONN, false, true),
            (Errno::BADF, false, false),
            (Errno::INVAL, false, false),
            (Errno::PERM, false, false),
        ];
        for (errno, passing, end) in table {
            let error = io::Error::from(errno);
            assert_eq!((passes(&error), is_peers_end(&error)), (passing, end), "{errno:?}");
        }
        // An error without a number is none of the system's.
        let lost = io::Error::other("descriptors were lost");
        assert_eq!((passes(&lost), is_peers_end(&lost)), (false, false));
    }
}
