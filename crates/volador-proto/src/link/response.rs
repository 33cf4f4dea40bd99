//! A response on the link, and the header fields of either direction.

use std::{iter, os::fd::OwnedFd};

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    LinkError,
    batch::Frames,
    codec::{Reader, Strings},
};

/// Header fields in their order, read in place: they share the memory of the batch.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    /// Names and values in turn, as they stand on the link; all of them have been read once.
    strings: Bytes,
    len: usize,
}

impl Fields {
    pub(super) fn decode(reader: &mut Reader) -> Result<Self, LinkError> {
        let (start, mut len) = (reader.position(), 0);
        loop {
            let end = reader.position();
            if reader.span()?.is_empty() {
                return Ok(Self { strings: reader.payload().slice(start..end), len });
            }
            reader.span()?;
            len += 1;
        }
    }

    /// Names and values, in the order in which they were written.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut strings = Strings(&self.strings);
        iter::from_fn(move || strings.next().zip(strings.next()))
    }

    /// As [`Self::iter`], with values that keep the batch's memory alive.
    pub fn iter_shared(&self) -> impl Iterator<Item = (&[u8], Bytes)> {
        self.iter().map(|(name, value)| (name, self.strings.slice_ref(value)))
    }

    /// The number of fields.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// What follows the head of a response.
#[derive(Debug)]
pub enum ResponseBody {
    /// The whole body.
    Complete(Bytes),
    /// [`Chunk`](super::ToGateway::Chunk)s and at last an [`End`](super::ToGateway::End).
    Stream,
    /// A part of a file.
    File {
        /// The file. Its position has no meaning: the application may share it.
        fd: OwnedFd,
        /// Where the part begins.
        offset: u64,
        /// Bytes to send.
        len: u64,
    },
}

/// A response as the gateway reads it.
#[derive(Debug)]
pub struct Response {
    /// The status code, 100 to 599.
    pub status: u16,
    /// The header fields. A name may stand in them more than once.
    pub fields: Fields,
    /// The body.
    pub body: ResponseBody,
}

const BODY_COMPLETE: u8 = 0;
const BODY_STREAM: u8 = 1;
const BODY_FILE: u8 = 2;

impl Response {
    pub(super) fn encode<'a>(
        status: u16,
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        body: &ResponseBody,
        out: &mut BytesMut,
    ) {
        out.put_u16_le(status);
        Fields::encode(fields, out);
        match body {
            ResponseBody::Complete(bytes) => {
                out.put_u8(BODY_COMPLETE);
                out.put_slice(bytes);
            }
            ResponseBody::Stream => out.put_u8(BODY_STREAM),
            ResponseBody::File { offset, len, .. } => {
                out.put_u8(BODY_FILE);
                out.put_u64_le(*offset);
                out.put_u64_le(*len);
            }
        }
    }

    /// None when its file was lost on the way.
    pub(super) fn decode(kind: u8, payload: Bytes, frames: &mut Frames) -> Result<Option<Self>, LinkError> {
        let mut reader = Reader::new(kind, payload);
        let status = reader.u16()?;
        if !(100..600).contains(&status) {
            return Err(reader.bad("status"));
        }
        let fields = Fields::decode(&mut reader)?;
        let body = match reader.u8()? {
            BODY_COMPLETE => ResponseBody::Complete(reader.rest()),
            BODY_STREAM => ResponseBody::Stream,
            BODY_FILE => {
                let (offset, len) = (reader.u64()?, reader.u64()?);
                let Some(fd) = frames.descriptor(kind)? else { return Ok(None) };
                ResponseBody::File { fd, offset, len }
            }
            _ => return Err(reader.bad("body")),
        };
        Ok(Some(Self { status, fields, body }))
    }
}
