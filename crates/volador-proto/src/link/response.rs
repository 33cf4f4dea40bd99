//! A response on the link, and the header fields of either direction.

use std::os::fd::OwnedFd;

use bytes::{BufMut, Bytes, BytesMut};

use super::{LinkError, batch::Frames, codec::Reader};

/// One header field: a name and a value.
pub type Field = (Bytes, Bytes);

/// Header fields in their order. The bytes share the memory of the batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(Vec<Field>);

impl Fields {
    pub(super) fn decode(reader: &mut Reader) -> Result<Self, LinkError> {
        let mut fields = Vec::with_capacity(16);
        loop {
            let name = reader.str()?;
            if name.is_empty() {
                return Ok(Self(fields));
            }
            fields.push((name, reader.str()?));
        }
    }

    /// The fields, in the order in which they were written.
    pub fn iter(&self) -> std::slice::Iter<'_, Field> {
        self.0.iter()
    }

    /// The number of fields.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> IntoIterator for &'a Fields {
    type Item = &'a Field;
    type IntoIter = std::slice::Iter<'a, Field>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
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

    pub(super) fn decode(kind: u8, payload: Bytes, frames: &mut Frames) -> Result<Self, LinkError> {
        let mut reader = Reader::new(kind, payload);
        let status = reader.u16()?;
        if !(100..600).contains(&status) {
            return Err(reader.bad("status"));
        }
        Ok(Self {
            status,
            fields: Fields::decode(&mut reader)?,
            body: match reader.u8()? {
                BODY_COMPLETE => ResponseBody::Complete(reader.rest()),
                BODY_STREAM => ResponseBody::Stream,
                BODY_FILE => {
                    ResponseBody::File { offset: reader.u64()?, len: reader.u64()?, fd: frames.descriptor(kind)? }
                }
                _ => return Err(reader.bad("body")),
            },
        })
    }
}
