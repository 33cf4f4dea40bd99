//! The clock that all processes of a machine share, and the messages that bring their time.

use crate::options::FILL;
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// CLOCK_MONOTONIC. `Instant` reads the same clock, but has no number that could be compared with another process's.
pub fn now() -> Duration {
    let time = clock_gettime(ClockId::Monotonic);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// When the message was sent: its digits are nanoseconds of that clock, and what follows is filling.
pub fn sent(message: &[u8]) -> Option<Duration> {
    let digits = message.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if message[digits..].iter().any(|byte| *byte != FILL) {
        return None;
    }
    std::str::from_utf8(&message[..digits]).ok()?.parse().ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_begins_with_its_time() {
        assert_eq!(sent(b"00012345xxx"), Some(Duration::from_nanos(12345)));
        for message in [&b"xxx"[..], b"", b"12y", b"-1xx", b"99999999999999999999999x"] {
            assert_eq!(sent(message), None);
        }
    }
}
