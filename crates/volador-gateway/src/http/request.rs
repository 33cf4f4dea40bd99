//! A request head in the form of the link: whom it is for, what it wants, and its fields as the Rack environment will
//! have them.

use std::time::SystemTime;

use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header, request::Parts};
use volador_proto::{
    link::{Batch, RequestBody, RequestHead, SealedRequest, StreamId, Transport},
    ws,
};

use super::{origin, refusal::Refusal};
use crate::{client_log::Excerpt, shared::Shared};

/// What the gateway itself needs to know of a request after its head has gone to the worker.
#[derive(Debug)]
pub(crate) struct Wish {
    /// Of a request without a body only.
    pub(crate) transport: Option<Transport>,
    /// The Sec-WebSocket-Accept value of a WebSocket handshake.
    pub(crate) accept: Option<[u8; 28]>,
    /// The subprotocols that a WebSocket's client offers, as a list.
    pub(crate) protocols: Vec<u8>,
    /// What a WebSocket's messages are to be compressed by.
    pub(crate) deflate: Option<ws::deflate::Agreement>,
    /// Whether the body came in chunks.
    chunked: bool,
}

/// Which of the fields there are that the gateway looks at. To go through all of them once is quicker than to look a few up.
#[derive(Clone, Copy, Debug, Default)]
struct Present {
    expect: bool,
    upgrade: bool,
    accept: bool,
    content_type: bool,
    transfer_encoding: bool,
}

impl Present {
    fn among(headers: &HeaderMap) -> Self {
        let mut present = Self::default();
        for name in headers.keys() {
            present.expect |= *name == header::EXPECT;
            present.upgrade |= *name == header::UPGRADE;
            present.accept |= *name == header::ACCEPT;
            present.content_type |= *name == header::CONTENT_TYPE;
            present.transfer_encoding |= *name == header::TRANSFER_ENCODING;
        }
        present
    }
}

/// Checks what can be told from the head alone, and says what the client asks for. `has_body`: the head announces one.
///
/// A push connection keeps the request that has opened it for as long as it lives: in a cluster to replay it, in one process
/// as the handler's env. A body would be memory, or a file, that no limit counts. So a request with one opens none.
///
/// # Errors
/// 400 for a target that is neither path nor URL, 417 for an unknown expectation, 501 for CONNECT; of a WebSocket
/// handshake 400, also for one with a body, 405, 426, and 403 for a foreign origin.
pub(crate) fn examine(parts: &Parts, has_body: bool, shared: &Shared) -> Result<Wish, Refusal> {
    if parts.method == Method::CONNECT {
        return Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, "This server is no proxy: CONNECT is not served."));
    }
    if !is_target(parts) {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "The request target must be a path or an http URL."));
    }
    let present = Present::among(&parts.headers);
    let is_served = |expect: &http::HeaderValue| expect.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if present.expect && !parts.headers.get_all(header::EXPECT).iter().all(is_served) {
        // RFC 9110 §10.1.1: a server that receives another expectation MAY respond with 417.
        return Err(Refusal::new(StatusCode::EXPECTATION_FAILED, "The only expectation served is 100-continue."));
    }
    let (headers, chunked) = (&parts.headers, present.transfer_encoding);
    // RFC 6455 §4.2.1 and RFC 9110 §7.8: a field may come in several lines.
    let upgrade = present.upgrade.then(|| joined(headers, header::UPGRADE)).flatten();
    if ws::is_upgrade(upgrade.as_deref()) {
        let protocols = joined(headers, header::SEC_WEBSOCKET_PROTOCOL);
        let extensions = joined(headers, header::SEC_WEBSOCKET_EXTENSIONS);
        let accept = ws::Handshake {
            method: parts.method.as_str().as_bytes(),
            http_11: parts.version == Version::HTTP_11,
            connection: joined(headers, header::CONNECTION).as_deref(),
            upgrade: upgrade.as_deref(),
            key: joined(headers, header::SEC_WEBSOCKET_KEY).as_deref(),
            version: joined(headers, header::SEC_WEBSOCKET_VERSION).as_deref(),
            protocols: protocols.as_deref(),
            extensions: extensions.as_deref(),
        }
        .accept()?;
        if has_body {
            // RFC 9110 §9.3.1: "content received in a GET request has no generally defined semantics [...] and might lead
            // some implementations to reject the request".
            return Err(Refusal::new(StatusCode::BAD_REQUEST, "A WebSocket is opened by a request without a body."));
        }
        if let Err(origin) = origin::check(headers, shared.config.allowed_origins.as_deref()) {
            let (origin, host) = (Excerpt(origin.as_bytes()), headers.get(header::HOST).map(HeaderValue::as_bytes));
            let lines = &shared.client_log.origins;
            match &shared.config.allowed_origins {
                Some(_) => lines.warn(format_args!(
                    "refused a WebSocket from origin \"{origin}\" with 403: allowed_origins does not have it"
                )),
                None => lines.warn(format_args!(
                    "refused a WebSocket from origin \"{origin}\" with 403, as Host is \"{}\": a proxy has to forward Host \
                     as the client sent it; else add the origin to allowed_origins if its pages may connect",
                    Excerpt(host.unwrap_or_default())
                )),
            }
            return Err(Refusal::new(StatusCode::FORBIDDEN, "WebSockets from this origin are not accepted."));
        }
        let offers = extensions.filter(|_| shared.config.deflate_level > 0);
        let deflate = offers.and_then(|offers| ws::deflate::negotiate(&offers));
        let protocols = protocols.unwrap_or_default();
        return Ok(Wish { transport: Some(Transport::WebSocket), accept: Some(accept), protocols, deflate, chunked });
    }
    // With a body it is the application's to answer, as by any other method than GET.
    let transport = (!has_body && wants_events(parts, present)).then_some(Transport::Sse);
    Ok(Wish { transport, accept: None, protocols: Vec::new(), deflate: None, chunked })
}

/// RFC 9112 §3.2: a path, or a URL (which a proxy is asked with); the authority alone is for CONNECT, and `*` for OPTIONS.
fn is_target(parts: &Parts) -> bool {
    let uri = &parts.uri;
    match (uri.scheme_str(), uri.authority()) {
        (Some("http" | "https"), Some(_)) => true,
        (None, None) => uri.path().starts_with('/') || (uri.path() == "*" && parts.method == Method::OPTIONS),
        _ => false,
    }
}

/// WHATWG HTML §9.2.2: an EventSource asks with `Accept: text/event-stream`.
fn wants_events(parts: &Parts, present: Present) -> bool {
    const EVENTS: &[u8] = b"text/event-stream";
    let names_events = |value: &http::HeaderValue| {
        value.as_bytes().split(|&byte| byte == b',').any(|range| {
            let mut parts = range.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
            // RFC 9110 §12.4.2: "a weight of 0 means "not acceptable"".
            parts.next().is_some_and(|media_type| media_type.eq_ignore_ascii_case(EVENTS)) && !parts.any(is_weight_0)
        })
    };
    // An EventSource asks by GET. Others (POST with `Accept: application/json, text/event-stream`, for instance) want an
    // answer of the application's own.
    parts.method == Method::GET
        && [(present.accept, header::ACCEPT), (present.content_type, header::CONTENT_TYPE)]
            .iter()
            .any(|(present, name)| *present && parts.headers.get_all(name).iter().any(names_events))
}

/// `q=0`, `q=0.000`.
fn is_weight_0(parameter: &[u8]) -> bool {
    let [b'q' | b'Q', b'=', b'0', rest @ ..] = parameter else { return false };
    rest.is_empty() || rest.strip_prefix(b".").is_some_and(|digits| digits.iter().all(|digit| *digit == b'0'))
}

/// All values of a field as one list (RFC 9110 §5.3).
fn joined(headers: &HeaderMap, name: header::HeaderName) -> Option<Vec<u8>> {
    let mut values = headers.get_all(&name).iter();
    let mut all = values.next()?.as_bytes().to_vec();
    for value in values {
        // RFC 6265 §5.4: cookies are separated by a semicolon.
        all.extend_from_slice(if name == header::COOKIE { b"; " } else { b", " });
        all.extend_from_slice(value.as_bytes());
    }
    Some(all)
}

/// Where a request came in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin<'a> {
    pub(crate) peer: &'a str,
    /// For a request that does not name its host (HTTP/1.0).
    pub(crate) local_name: (&'a str, &'a str),
}

/// What takes a request in the form of the link.
pub(crate) trait Form {
    type Output;

    fn take<'a>(
        self,
        head: &RequestHead<'_>,
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        body: RequestBody,
    ) -> Self::Output;
}

/// Appended to the frames for a worker.
#[derive(Debug)]
pub(crate) struct ToBatch<'b>(pub(crate) &'b mut Batch, pub(crate) StreamId);

impl Form for ToBatch<'_> {
    type Output = ();

    fn take<'a>(
        self,
        head: &RequestHead<'_>,
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        body: RequestBody,
    ) {
        self.0.request(self.1, head, fields, body);
    }
}

/// Kept, to be sent to one worker or another, with the time at which it came in.
#[derive(Debug)]
pub(crate) struct Sealed;

impl Form for Sealed {
    type Output = SealedRequest;

    fn take<'a>(
        self,
        head: &RequestHead<'_>,
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        body: RequestBody,
    ) -> SealedRequest {
        // What monitoring tools read as the start of the time in the queue. A proxy in front may have set it before.
        const NAME: &[u8] = b"x-request-start";
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let start = format!("t={}.{:06}", now.as_secs(), now.subsec_micros());
        let mut is_set = false;
        let fields: Vec<_> = fields.into_iter().inspect(|(name, _)| is_set |= *name == NAME).collect();
        let ours = (!is_set).then_some((NAME, start.as_bytes()));
        SealedRequest::new(head, fields.into_iter().chain(ours), body)
    }
}

/// Gives the request a form.
pub(crate) fn encode<F: Form>(form: F, parts: &Parts, wish: &Wish, origin: Origin<'_>, body: RequestBody) -> F::Output {
    // RFC 9112 §3.2.2: of a target in absolute form the authority counts, whatever Host says.
    let host = match parts.uri.authority() {
        Some(authority) => Some(authority.as_str().as_bytes()),
        None => parts.headers.get(header::HOST).map(http::HeaderValue::as_bytes),
    };
    let (name, port) = match host.map(split_host) {
        Some((name, port)) if !name.is_empty() => (name, port.unwrap_or(b"80")),
        _ => (origin.local_name.0.as_bytes(), origin.local_name.1.as_bytes()),
    };
    let head = RequestHead {
        transport: wish.transport,
        tls: false,
        http_10: parts.version == Version::HTTP_10,
        method: parts.method.as_str().as_bytes(),
        path: parts.uri.path().as_bytes(),
        query: parts.uri.query().unwrap_or_default().as_bytes(),
        remote_addr: origin.peer.as_bytes(),
        server_name: name,
        server_port: port,
    };
    // The body is here whole: what the application sees is its length, not how it travelled.
    let mut digits = itoa::Buffer::new();
    let len = match &body {
        RequestBody::None => 0,
        RequestBody::Inline(bytes) => bytes.len() as u64,
        RequestBody::File { len, .. } => *len,
    };
    let length = wish.chunked.then(|| (&b"content-length"[..], digits.format(len).as_bytes()));

    let headers = &parts.headers;
    if headers.len() == headers.keys_len() && parts.uri.authority().is_none() {
        let fields = headers.iter().map(|(n, v)| (n.as_str().as_bytes(), v.as_bytes()));
        form.take(&head, fields.filter(|(n, _)| is_shown(n)).chain(length), body)
    } else {
        let value = |name: &header::HeaderName| match host {
            // RFC 9112 §3.2.2: what Host says is replaced by the authority of the target.
            Some(host) if name == header::HOST => host.to_vec(),
            _ => joined(headers, name.clone()).unwrap_or_default(),
        };
        let fields: Vec<_> = headers.keys().map(|name| (name.as_str(), value(name))).collect();
        let fields = fields.iter().map(|(n, v)| (n.as_bytes(), &v[..]));
        form.take(&head, fields.filter(|(n, _)| is_shown(n)).chain(length), body)
    }
}

/// Whether the application may see a field.
fn is_shown(name: &[u8]) -> bool {
    // "a_b" and "a-b" are the same HTTP_A_B: a client could pass one off as the other, that a proxy in front has set.
    !name.contains(&b'_')
        // HTTP_PROXY is where many HTTP clients look for their proxy (CVE-2016-5388).
        && name != b"proxy"
        // The body does not come in chunks any more.
        && name != b"transfer-encoding"
}

/// `example.com:80`, `[::1]:80`, `example.com`: name and port.
fn split_host(host: &[u8]) -> (&[u8], Option<&[u8]>) {
    match host.iter().rposition(|&byte| byte == b':') {
        // The colons of an IPv6 address stand before its bracket.
        Some(colon) if !host[colon..].contains(&b']') => {
            let port = &host[colon + 1..];
            (&host[..colon], (!port.is_empty()).then_some(port))
        }
        _ => (host, None),
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn hosts_are_split_at_their_port() {
        for (host, name, port) in [
            ("example.com", "example.com", None),
            ("example.com:8080", "example.com", Some("8080")),
            ("example.com:", "example.com", None),
            ("[::1]", "[::1]", None),
            ("[::1]:80", "[::1]", Some("80")),
        ] {
            assert_eq!(split_host(host.as_bytes()), (name.as_bytes(), port.map(str::as_bytes)), "{host}");
        }
    }

    #[test]
    fn a_target_is_a_path_or_a_url() {
        for (method, target, fine) in [
            ("GET", "/", true),
            ("GET", "/a//b?c", true),
            ("GET", "http://a.example/b", true),
            ("OPTIONS", "*", true),
            ("GET", "*", false),
            ("GET", "a.example:80", false),
            ("GET", "index.html", false),
            ("GET", "ftp://a.example/", false),
        ] {
            let parts = Request::builder().method(method).uri(target).body(()).unwrap().into_parts().0;
            assert_eq!(is_target(&parts), fine, "{method} {target}");
        }
    }

    #[test]
    fn event_stream_in_accept_or_content_type_is_a_wish_for_sse() {
        for (method, name, value, wanted) in [
            ("GET", "accept", "text/event-stream", true),
            ("GET", "accept", "text/html, Text/Event-Stream;q=0.5", true),
            ("GET", "accept", "text/html, text/event-stream; q=0", false),
            ("GET", "accept", "text/event-stream;charset=utf-8;Q=0.000", false),
            ("GET", "accept", "text/event-stream;q=0.001", true),
            ("GET", "content-type", "text/event-stream; charset=utf-8", true),
            ("HEAD", "accept", "text/event-stream", false),
            ("POST", "accept", "application/json, text/event-stream", false),
            ("GET", "accept", "text/event-streams", false),
            ("GET", "accept", "*/*", false),
        ] {
            let parts = Request::builder().method(method).header(name, value).body(()).unwrap().into_parts().0;
            assert_eq!(wants_events(&parts, Present::among(&parts.headers)), wanted, "{method} {name}: {value}");
        }
    }

    #[test]
    fn repeated_fields_are_joined_and_cookies_with_semicolons() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("accept", "a"), ("accept", "b"), ("cookie", "c=1"), ("cookie", "d=2")] {
            headers.append(name, value.parse().unwrap());
        }
        assert_eq!(joined(&headers, header::ACCEPT).unwrap(), b"a, b");
        assert_eq!(joined(&headers, header::COOKIE).unwrap(), b"c=1; d=2");
        assert_eq!(joined(&headers, header::HOST), None);
    }

    #[test]
    fn fields_that_could_be_mistaken_are_not_shown() {
        for (name, shown) in [("x-user", true), ("x_user", false), ("proxy", false), ("proxy-authorization", true)] {
            assert_eq!(is_shown(name.as_bytes()), shown, "{name}");
        }
    }
}
