//! [`Deflater`]: messages to compressed frames (RFC 7692 §7.2.1).

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress};

use super::{FLUSH, SCRATCH_MAX, WindowBits, compressed_max};
use crate::{link::Payload, ws::encode};

/// Compresses messages for all clients that allow the same window.
#[derive(Debug)]
pub struct Deflater {
    /// 1 to 9.
    level: u8,
    /// 9 to 15.
    window_bits: u8,
    stream: Compress,
    /// The compressed message; kept for its memory.
    out: Vec<u8>,
}

impl Deflater {
    /// `level` is from 1, fast, to 9, small. None for a window of 8 bits: the algorithm's implementations have none so
    /// small. Its clients get their messages uncompressed, which every message may be (§6).
    pub fn new(level: u8, window_bits: WindowBits) -> Option<Self> {
        let (level, window_bits) = (level.clamp(1, 9), window_bits.get());
        (window_bits > 8).then(|| Self { level, window_bits, stream: new_stream(level, window_bits), out: Vec::new() })
    }

    /// One message in one compressed frame; None when that would not be shorter than the message. The data of a text
    /// must be valid UTF-8.
    pub fn message(&mut self, payload: Payload, data: &[u8]) -> Option<Bytes> {
        let Self { stream, out, .. } = self;
        stream.reset();
        out.clear();
        // Room for the worst case: a stream must not stop in the middle. One of zlib-rs 0.6 at level 1 takes an open
        // block with it over the reset, and the next message is broken.
        out.reserve(compressed_max(data.len()));
        let whole = stream.compress_vec(data, out, FlushCompress::Sync).is_ok()
            && stream.total_in() == data.len() as u64
            // zlib's manual: a flush is complete when it has left room in the output.
            && out.len() < out.capacity();
        if !whole {
            *stream = new_stream(self.level, self.window_bits);
            return None;
        }
        let frame = match out.strip_suffix(&FLUSH) {
            Some(deflated) if deflated.len() < data.len() => Some(encode::deflated(payload, deflated)),
            _ => None,
        };
        if out.capacity() > SCRATCH_MAX {
            *out = Vec::new();
        }
        frame
    }
}

fn new_stream(level: u8, window_bits: u8) -> Compress {
    Compress::new_with_window_bits(Compression::new(level.into()), false, window_bits)
}

#[cfg(test)]
mod tests {
    use flate2::{Decompress, FlushDecompress};
    use proptest::prelude::*;

    use super::*;

    /// The message in a frame, by an inflater with no more than this window.
    fn inflate(frame: &[u8], bits: u8, len: usize) -> Vec<u8> {
        let head = match frame[1] {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        let mut out = Vec::with_capacity(len + 1);
        let mut stream = Decompress::new_with_window_bits(false, bits);
        stream.decompress_vec(&[&frame[head..], &FLUSH].concat(), &mut out, FlushDecompress::Sync).unwrap();
        out
    }

    /// Compressible, but not to nothing; with references as far back as the window goes.
    fn sample(len: usize) -> Vec<u8> {
        (0..len).map(|i| b"{\"id\":123,\"text\":\"hello\"}"[i % 25] ^ (i / 700) as u8).collect()
    }

    #[test]
    fn frames_are_what_a_client_with_that_window_can_read() {
        for bits in 9..=15 {
            let mut deflater = Deflater::new(1, WindowBits::new(bits).unwrap()).unwrap();
            for len in [100, 1000, 5000, 200_000] {
                let data = sample(len);
                let frame = deflater.message(Payload::Text, &data).unwrap();
                assert!(frame.len() < len, "{bits} bits, {len} bytes: {}", frame.len());
                assert_eq!(frame[0], 0xc1, "FIN, RSV1, text");
                assert!(inflate(&frame, bits, len) == data, "{bits} bits, {len} bytes");
            }
        }
    }

    #[test]
    fn messages_do_not_depend_on_those_before() {
        let mut deflater = Deflater::new(6, WindowBits::MAX).unwrap();
        let data = sample(1000);
        let first = deflater.message(Payload::Binary, &data).unwrap();
        deflater.message(Payload::Binary, &sample(200_000));
        assert_eq!(deflater.message(Payload::Binary, &data).unwrap(), first);
        assert_eq!(first[0], 0xc2);
    }

    #[test]
    fn what_does_not_get_shorter_is_left_alone() {
        let mut deflater = Deflater::new(1, WindowBits::MAX).unwrap();
        let mut state = 1u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .take(70_000)
        .collect();
        for data in [&b""[..], b"x", b"hello", &noise[..300], &noise] {
            assert_eq!(deflater.message(Payload::Binary, data), None, "{} bytes", data.len());
        }
        // And the next one is whole again.
        let data = sample(1000);
        assert!(inflate(&deflater.message(Payload::Binary, &data).unwrap(), 15, 1000) == data);
    }

    #[test]
    fn a_window_of_8_bits_has_no_deflater() {
        assert!(Deflater::new(1, WindowBits::new(8).unwrap()).is_none());
    }

    /// Runs, text and noise, of up to some windows' length.
    fn message() -> impl Strategy<Value = Vec<u8>> {
        let part = prop_oneof![
            (any::<u8>(), 0..3000usize).prop_map(|(byte, len)| vec![byte; len]),
            prop::collection::vec(any::<u8>(), 0..3000),
            ("[a-z ]{0,40}", 1..200usize).prop_map(|(text, times)| text.repeat(times).into_bytes()),
        ];
        prop::collection::vec(part, 0..30).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

        #[test]
        fn clients_get_back_whatever_is_sent_in_whatever_order(
            level in 0..=10u8,
            bits in 9..=15u8,
            messages in prop::collection::vec(message(), 1..6),
        ) {
            let mut deflater = Deflater::new(level, WindowBits::new(bits).unwrap()).unwrap();
            for data in messages {
                if let Some(frame) = deflater.message(Payload::Binary, &data) {
                    prop_assert!(inflate(&frame, bits, data.len()) == data);
                }
            }
        }
    }
}
