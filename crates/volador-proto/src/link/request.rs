//! A request on the link: everything that the Rack environment needs, ready to be read in place.

use std::{
    fs::File,
    io::{self, Seek},
    ops::Range,
    os::fd::{AsFd, OwnedFd},
};

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    LinkError,
    batch::Frames,
    codec::{Reader, put_str, put_varint},
    response::Fields,
};

/// What the client asked its connection to become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A valid WebSocket opening handshake (RFC 6455 §4.2.1).
    WebSocket,
    /// `Accept: text/event-stream`, or that Content-Type.
    Sse,
}

/// The head of a request as the gateway writes it. All strings are the client's bytes unless said otherwise.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// The push transport that the client asks for.
    pub transport: Option<Transport>,
    /// Whether the connection is encrypted (`rack.url_scheme` is then "https").
    pub tls: bool,
    /// HTTP/1.0, where false means 1.1.
    pub http_10: bool,
    /// The method, a token (RFC 9110 §9.1).
    pub method: &'a [u8],
    /// The path of the request target, not decoded; "*" in `OPTIONS *`.
    pub path: &'a [u8],
    /// The query without its question mark; empty when there is none.
    pub query: &'a [u8],
    /// The peer's IP address as text; empty on a Unix socket.
    pub remote_addr: &'a [u8],
    /// The host of the Host field (or of an absolute target), without its port.
    pub server_name: &'a [u8],
    /// The port as decimal text.
    pub server_port: &'a [u8],
}

impl RequestHead<'_> {
    /// Writes head, fields and the marker of an inline body; the body's bytes may follow as they are.
    pub(super) fn encode<'a>(
        &self,
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        body: u8,
        file_len: u64,
        out: &mut BytesMut,
    ) {
        let transport = match self.transport {
            None => 0,
            Some(Transport::WebSocket) => 1,
            Some(Transport::Sse) => 2,
        };
        out.put_u8(transport | u8::from(self.tls) << 2 | u8::from(self.http_10) << 3);
        for s in [self.method, self.path, self.query, self.remote_addr, self.server_name, self.server_port] {
            put_str(out, s);
        }
        Fields::encode(fields, out);
        out.put_u8(body);
        if body == BODY_FILE {
            out.put_u64_le(file_len);
        }
    }
}

pub(super) const BODY_NONE: u8 = 0;
pub(super) const BODY_INLINE: u8 = 1;
pub(super) const BODY_FILE: u8 = 2;

/// The body of a request. It is complete when the request is sent over the link.
#[derive(Debug)]
pub enum RequestBody {
    /// No body, or an empty one.
    None,
    /// A small body.
    Inline(Bytes),
    /// A body that the gateway wrote to an unlinked file, whose position is at its start.
    File {
        /// The file; nobody else holds it.
        fd: OwnedFd,
        /// The file's length in bytes.
        len: u64,
    },
}

/// Strings of a request's head.
const STRINGS: usize = 6;

/// A request as the worker reads it. Its strings share the memory of the batch.
#[derive(Debug)]
pub struct Request {
    /// The push transport that the client asks for.
    pub transport: Option<Transport>,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// HTTP/1.0, where false means 1.1.
    pub http_10: bool,
    /// The payload that the strings stand in.
    payload: Bytes,
    /// Where they stand, in the order in which they are written.
    strings: [Range<u32>; STRINGS],
    /// The header fields: lower-case names, each once, repeated ones joined.
    pub fields: Fields,
    /// The body.
    pub body: RequestBody,
    /// Set when a push connection that was opened by this request goes on in another worker.
    pub resumed: Option<Resumed>,
}

/// What comes along with the request of a push connection that goes on in another worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resumed {
    /// What the former handler has left for the next one.
    pub state: Option<Bytes>,
    /// Milliseconds between two pings or heartbeats that were chosen for this connection; 0: as all others.
    pub timeout_ms: u32,
}

/// A request as it stands on the link, kept to be sent again: to another worker when the first one ends before it has
/// begun, or when the push connection that it became goes on elsewhere.
#[derive(Debug)]
pub struct SealedRequest {
    pub(super) payload: Bytes,
    /// Of a body that is in a file.
    fd: Option<OwnedFd>,
}

impl SealedRequest {
    /// `fields` are lower-case names with their values; each name stands once.
    pub fn new<'a>(
        head: &RequestHead<'_>,
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        body: RequestBody,
    ) -> Self {
        let mut out = BytesMut::with_capacity(512);
        let fd = match body {
            RequestBody::None => {
                head.encode(fields, BODY_NONE, 0, &mut out);
                None
            }
            RequestBody::Inline(bytes) => {
                head.encode(fields, BODY_INLINE, 0, &mut out);
                out.put_slice(&bytes);
                None
            }
            RequestBody::File { fd, len } => {
                head.encode(fields, BODY_FILE, len, &mut out);
                Some(fd)
            }
        };
        Self { payload: out.freeze(), fd }
    }

    /// Whether its body is in a file.
    pub(super) fn has_file(&self) -> bool {
        self.fd.is_some()
    }

    /// The body's file once more, when it has one.
    ///
    /// # Errors
    /// The system's, when it has no descriptor left.
    pub(super) fn descriptor(&self) -> io::Result<Option<OwnedFd>> {
        let Some(fd) = &self.fd else { return Ok(None) };
        let mut file = File::from(fd.as_fd().try_clone_to_owned()?);
        // All duplicates share one position, and a worker that was sent the request before may have read.
        file.rewind()?;
        Ok(Some(file.into()))
    }
}

impl Request {
    /// The method, a token.
    pub fn method(&self) -> &[u8] {
        self.string(0)
    }

    /// The path of the request target, not decoded.
    pub fn path(&self) -> &[u8] {
        self.string(1)
    }

    /// The query without its question mark.
    pub fn query(&self) -> &[u8] {
        self.string(2)
    }

    /// The peer's IP address as text; empty on a Unix socket.
    pub fn remote_addr(&self) -> &[u8] {
        self.string(3)
    }

    /// The host that the client addressed, without its port.
    pub fn server_name(&self) -> &[u8] {
        self.string(4)
    }

    /// The port as decimal text.
    pub fn server_port(&self) -> &[u8] {
        self.string(5)
    }

    fn string(&self, n: usize) -> &[u8] {
        let Range { start, end } = self.strings[n];
        &self.payload[start as usize..end as usize]
    }

    /// Boxed: it is large, and goes through many hands. None when its body's file was lost on the way.
    pub(super) fn decode(mut reader: Reader, frames: &mut Frames, kind: u8) -> Result<Option<Box<Self>>, LinkError> {
        let flags = reader.u8()?;
        let transport = match flags & 3 {
            0 => None,
            1 => Some(Transport::WebSocket),
            2 => Some(Transport::Sse),
            _ => return Err(reader.bad("transport")),
        };
        let mut strings = [const { 0..0 }; STRINGS];
        for string in &mut strings {
            let span = reader.span()?;
            // A payload is shorter than 4 GiB: see `FRAME_MAX`.
            *string = span.start as u32..span.end as u32;
        }
        let fields = Fields::decode(&mut reader)?;
        let body = match reader.u8()? {
            BODY_NONE => RequestBody::None,
            BODY_INLINE => RequestBody::Inline(reader.payload().slice(reader.position()..)),
            BODY_FILE => {
                let len = reader.u64()?;
                let Some(fd) = frames.descriptor(kind)? else { return Ok(None) };
                RequestBody::File { fd, len }
            }
            _ => return Err(reader.bad("body")),
        };
        Ok(Some(Box::new(Self {
            transport,
            tls: flags & 4 != 0,
            http_10: flags & 8 != 0,
            payload: reader.into_payload(),
            strings,
            fields,
            body,
            resumed: None,
        })))
    }
}

impl Fields {
    pub(super) fn encode<'a>(fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>, out: &mut BytesMut) {
        for (name, value) in fields {
            put_str(out, name);
            put_str(out, value);
        }
        // No field has an empty name, so an empty one ends the list: the writer need not know the count beforehand.
        put_varint(out, 0);
    }
}
