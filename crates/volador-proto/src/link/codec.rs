//! Fields of a payload: fixed integers, varints (LEB128, at most 5 bytes) and strings of a varint length.

use std::ops::Range;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::LinkError;

pub(super) fn put_varint(out: &mut BytesMut, mut n: u32) {
    while n >= 0x80 {
        out.put_u8(n as u8 | 0x80);
        n >>= 7;
    }
    out.put_u8(n as u8);
}

pub(super) fn put_str(out: &mut BytesMut, s: &[u8]) {
    // A frame's length is a u32, so no string in it can be longer: `Batch::frame` checks the whole.
    put_varint(out, s.len() as u32);
    out.put_slice(s);
}

/// Reads the fields of one payload in their order.
pub(super) struct Reader {
    kind: u8,
    payload: Bytes,
    /// Bytes of `payload` that have been read; 0 <= at <= payload.len().
    at: usize,
}

impl Reader {
    pub(super) fn new(kind: u8, payload: Bytes) -> Self {
        Self { kind, payload, at: 0 }
    }

    pub(super) fn bad(&self, field: &'static str) -> LinkError {
        LinkError::BadField { kind: self.kind, field }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], LinkError> {
        let bytes = self.payload[self.at..].first_chunk::<N>().ok_or(LinkError::Truncated { kind: self.kind })?;
        self.at += N;
        Ok(*bytes)
    }

    pub(super) fn u8(&mut self) -> Result<u8, LinkError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(super) fn u16(&mut self) -> Result<u16, LinkError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, LinkError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, LinkError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    #[inline]
    pub(super) fn varint(&mut self) -> Result<u32, LinkError> {
        // Most lengths are below 128.
        match self.payload.get(self.at) {
            Some(byte) if *byte < 0x80 => {
                self.at += 1;
                Ok(u32::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u32, LinkError> {
        let mut n = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.u8()?;
            if shift == 28 && byte > 0x0f {
                break;
            }
            n |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(n);
            }
        }
        Err(self.bad("varint"))
    }

    /// Where a string stands in the payload.
    pub(super) fn span(&mut self) -> Result<Range<usize>, LinkError> {
        let len = self.varint()? as usize;
        if len > self.payload.len() - self.at {
            return Err(LinkError::Truncated { kind: self.kind });
        }
        let start = self.at;
        self.at += len;
        Ok(start..self.at)
    }

    /// A string, sharing the payload's memory.
    pub(super) fn str(&mut self) -> Result<Bytes, LinkError> {
        let span = self.span()?;
        Ok(self.payload.slice(span))
    }

    /// How far it has read.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    pub(super) fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// All of the payload, read or not.
    pub(super) fn into_payload(self) -> Bytes {
        self.payload
    }

    /// All that has not been read, in the payload's memory.
    pub(super) fn rest(mut self) -> Bytes {
        if self.at == self.payload.len() {
            return Bytes::new(); // keeps no memory from its end
        }
        self.payload.advance(self.at);
        self.payload
    }
}

/// The strings that stand one after the other in `bytes`, which were written by [`put_str`] and have been read before.
pub(super) struct Strings<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Strings<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (mut len, mut shift) = (0, 0);
        loop {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            len |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let (string, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(string)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn varints_and_strings_come_back(n: u32, s: Vec<u8>) {
            let mut out = BytesMut::new();
            put_varint(&mut out, n);
            put_str(&mut out, &s);
            let mut reader = Reader::new(0, out.freeze());
            prop_assert_eq!(reader.varint(), Ok(n));
            prop_assert_eq!(&reader.str().unwrap()[..], &s[..]);
            prop_assert!(reader.rest().is_empty());
        }
    }

    proptest! {
        #[test]
        fn strings_are_read_again_in_place(strings: Vec<Vec<u8>>, long in 0usize..70_000) {
            let mut out = BytesMut::new();
            let long = vec![7; long];
            let all: Vec<&[u8]> = strings.iter().map(Vec::as_slice).chain([&long[..]]).collect();
            all.iter().for_each(|string| put_str(&mut out, string));
            prop_assert!(Strings(&out).eq(all));
        }
    }

    #[test]
    fn varint_over_32_bits_is_refused() {
        let mut reader = Reader::new(7, Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0x1f]));
        assert_eq!(reader.varint(), Err(LinkError::BadField { kind: 7, field: "varint" }));
    }

    #[test]
    fn string_past_the_end_is_refused() {
        let mut reader = Reader::new(7, Bytes::from_static(&[3, b'a', b'b']));
        assert_eq!(reader.str(), Err(LinkError::Truncated { kind: 7 }));
    }
}
