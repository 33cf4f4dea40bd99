//! [`Refusal`]: an answer that the gateway gives by itself, without the application.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use volador_proto::{http1::HeadFault, ws::HandshakeError};

/// Why a request does not reach the application, as the client is told it.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    /// One sentence for the person behind the client.
    reason: Cow<'static, str>,
    /// Further fields that the status calls for.
    fields: Vec<(header::HeaderName, HeaderValue)>,
}

impl Refusal {
    pub(crate) const fn new(status: StatusCode, reason: &'static str) -> Self {
        Self { status, reason: Cow::Borrowed(reason), fields: Vec::new() }
    }

    /// Every thread is busy and the queue is full.
    pub(crate) fn busy() -> Self {
        Self {
            // RFC 9110 §15.6.4: the server MAY send a Retry-After.
            fields: vec![(header::RETRY_AFTER, HeaderValue::from_static("1"))],
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "The server is busy. Try again in a moment.")
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    fn text(&self) -> Bytes {
        format!("{} {}\n", self.status.as_u16(), self.reason).into()
    }

    /// The answer. The connection is closed after it: what the client sends next can't be told from the rest of the
    /// request that was refused.
    pub(crate) fn response(&self) -> Response<Bytes> {
        let mut response = Response::new(self.text());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        for (name, value) in &self.fields {
            headers.insert(name, value.clone());
        }
        response
    }

    /// The same answer as bytes, for a connection whose parser can't answer any more.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let text = self.text();
        let mut out = format!(
            "HTTP/1.1 {} {}\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close\r\ncontent-length: {}\r\ndate: {}\r\n\r\n",
            self.status.as_u16(),
            self.status.canonical_reason().unwrap_or_default(),
            text.len(),
            httpdate::fmt_http_date(std::time::SystemTime::now()),
        )
        .into_bytes();
        out.extend_from_slice(&text);
        out
    }
}

/// A status that a protocol check asks for.
fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_REQUEST)
}

impl From<HeadFault> for Refusal {
    fn from(fault: HeadFault) -> Self {
        Self { status: status(fault.status()), reason: Cow::Owned(fault.to_string()), fields: Vec::new() }
    }
}

impl From<HandshakeError> for Refusal {
    fn from(error: HandshakeError) -> Self {
        let status = status(error.status());
        let fields: &[(_, &'static str)] = match status {
            // RFC 6455 §4.2.2: with 426, the versions that the server understands. RFC 9110 §15.5.22: "The server MUST
            // send an Upgrade header field in a 426 response", and §7.8: with the connection option that goes with it.
            StatusCode::UPGRADE_REQUIRED => &[
                (header::SEC_WEBSOCKET_VERSION, "13"),
                (header::UPGRADE, "websocket"),
                (header::CONNECTION, "close, upgrade"),
            ],
            // RFC 9110 §15.5.6: the origin server MUST generate an Allow.
            StatusCode::METHOD_NOT_ALLOWED => &[(header::ALLOW, "GET")],
            _ => &[],
        };
        let fields = fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
        Self { status, reason: Cow::Owned(error.to_string()), fields }
    }
}
