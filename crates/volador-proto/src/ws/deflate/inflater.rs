//! [`Inflater`]: the payload of a compressed message to the message (RFC 7692 §7.2.2).

use flate2::{Decompress, FlushDecompress, Status};

use super::SCRATCH_MAX;
use crate::ws::ProtocolError;

/// What follows the payload: the end of its last flush, which is not sent (§7.2.2), and an empty last block. That ends
/// the stream only where a block may begin, so that data which breaks off inside of one does not pass for whole.
const END: [u8; 9] = [0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff];

/// The output that a message begins with at least, in bytes.
const OUT_MIN: usize = 256;

/// Inflates messages of all clients.
#[derive(Debug)]
pub struct Inflater {
    stream: Decompress,
    /// The message, until the next one.
    out: Vec<u8>,
}

impl Default for Inflater {
    fn default() -> Self {
        Self { stream: Decompress::new(false), out: Vec::new() }
    }
}

impl Inflater {
    /// With the largest window, so that clients may use any.
    pub fn new() -> Self {
        Self::default()
    }

    /// The message, of at most `max` bytes. `data` is all of its fragments.
    ///
    /// # Errors
    /// [`ProtocolError::TooBig`], with no more than some `max` bytes of memory used; [`ProtocolError::BadDeflate`].
    pub(in crate::ws) fn inflate(&mut self, data: &[u8], max: usize) -> Result<&[u8], ProtocolError> {
        let Self { stream, out } = self;
        if out.capacity() > SCRATCH_MAX {
            *out = Vec::new();
        }
        out.clear();
        // One byte more than may be: it is what shows that the message is too big.
        out.reserve_exact(data.len().saturating_mul(4).max(OUT_MIN).min(max.saturating_add(1)));
        stream.reset(false);
        for mut rest in [data, &END] {
            loop {
                if out.len() == out.capacity() {
                    // Exactly, as Vec's own doubling would go far beyond the limit.
                    out.reserve_exact(
                        out.len().max(OUT_MIN).min(max.saturating_add(1).saturating_sub(out.len())).max(1),
                    );
                }
                let (read, written) = (stream.total_in(), out.len());
                let status =
                    stream.decompress_vec(rest, out, FlushDecompress::None).map_err(|_| ProtocolError::BadDeflate)?;
                let read = (stream.total_in() - read) as usize;
                rest = &rest[read..];
                if out.len() > max {
                    return Err(ProtocolError::TooBig { max });
                }
                match status {
                    Status::StreamEnd if rest.is_empty() => return Ok(out),
                    // §7.2.3.4: a last block may be followed by others.
                    Status::StreamEnd => stream.reset(false),
                    _ if read == 0 && out.len() == written => break,
                    _ => {}
                }
            }
        }
        Err(ProtocolError::BadDeflate)
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression, FlushCompress};
    use proptest::prelude::*;

    use super::*;
    use crate::ws::deflate::compressed_max;

    fn inflate(data: &[u8], max: usize) -> Result<Vec<u8>, ProtocolError> {
        Inflater::new().inflate(data, max).map(<[u8]>::to_vec)
    }

    fn deflate(data: &[u8], level: u32) -> Vec<u8> {
        let mut out = Vec::with_capacity(data.len() * 2 + 100);
        Compress::new(Compression::new(level), false).compress_vec(data, &mut out, FlushCompress::Sync).unwrap();
        out.truncate(out.len() - 4);
        out
    }

    #[test]
    fn examples_of_the_rfc_are_read() {
        for (section, data, message) in [
            ("7.2.3.1", &b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..], "Hello"),
            ("7.2.3.3, without compression", b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", "Hello"),
            ("7.2.3.4, a last block", b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", "Hello"),
            ("7.2.3.5, two blocks", b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", "Hello"),
            ("7.2.3.6, empty", b"\x00", ""),
            ("a last block without the padding that should follow it", b"\xf3\x48\xcd\xc9\xc9\x07\x00", "Hello"),
            ("two last blocks", b"\xf3\x48\xcd\xc9\xc9\x07\x00\xf3\x48\xcd\xc9\xc9\x07\x00\x00", "HelloHello"),
        ] {
            assert_eq!(inflate(data, 100), Ok(message.into()), "{section}");
        }
    }

    #[test]
    fn data_that_is_no_deflate_or_breaks_off_is_refused() {
        let whole = deflate(&b"some text that is compressed, some text that is compressed".repeat(4), 6);
        for (what, data) in [
            ("nothing at all", &b""[..]),
            ("reserved block type", b"\x06"),
            ("stored block with a wrong length", b"\x00\x05\x00\x05\x00Hello"),
            ("distance before the start", b"\x4b\x04\x82\x00"),
            ("stored block that breaks off", b"\x00\x05\x00\xfa\xffHel"),
            ("stored block that would swallow the flush", b"\x00\x09\x00\xf6\xff"),
            ("compressed block that breaks off", &whole[..whole.len() / 2]),
            // What a context taken over would be needed for (§7.2.3.2).
            ("reference to the message before", b"\xf2\x00\x11\x00\x00"),
        ] {
            assert_eq!(inflate(data, 1000), Err(ProtocolError::BadDeflate), "{what}");
        }
    }

    #[test]
    fn a_message_may_have_the_limit_and_no_more() {
        for len in [0usize, 1, 255, 256, 257, 1023, 1024, 1025, 70_000] {
            let message = vec![b'x'; len];
            let data = deflate(&message, 6);
            assert!(inflate(&data, len) == Ok(message), "{len}");
            if len > 0 {
                assert_eq!(inflate(&data, len - 1), Err(ProtocolError::TooBig { max: len - 1 }), "{len}");
            }
        }
    }

    #[test]
    fn a_bomb_takes_no_more_memory_than_the_limit() {
        let bomb = deflate(&vec![0; 8 << 20], 9);
        assert!(bomb.len() < 10_000);
        let mut inflater = Inflater::new();
        assert_eq!(inflater.inflate(&bomb, 1 << 20), Err(ProtocolError::TooBig { max: 1 << 20 }));
        assert!(inflater.out.capacity() <= (1 << 20) + 1);
        // The next message is not touched by it, and gives the memory back.
        assert_eq!(inflater.inflate(b"\xf2\x48\xcd\xc9\xc9\x07\x00", 1 << 20), Ok(&b"Hello"[..]));
        assert!(inflater.out.capacity() <= 1024);
    }

    #[test]
    fn no_compressor_exceeds_the_length_that_is_allowed() {
        let mut state = 1u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .take(100_000)
        .collect();
        for len in [0, 1, 10, 1000, 100_000] {
            for level in 0..=9 {
                assert!(deflate(&noise[..len], level).len() <= compressed_max(len), "{len} bytes, level {level}");
            }
        }
    }

    proptest! {
        #[test]
        fn what_was_deflated_comes_back(message: Vec<u8>, repeat in 1..50usize, level in 0..10u32) {
            let message = message.repeat(repeat);
            prop_assert_eq!(inflate(&deflate(&message, level), message.len()), Ok(message));
        }

        #[test]
        fn any_data_is_judged_within_the_limit(data: Vec<u8>, max in 0..2000usize) {
            if let Ok(message) = inflate(&data, max) {
                prop_assert!(message.len() <= max);
            }
        }
    }
}
