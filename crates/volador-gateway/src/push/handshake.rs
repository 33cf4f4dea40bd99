//! The heads that turn a request into a push connection: 101 for WebSocket (RFC 6455 §4.2.2), 200 for SSE.

use std::time::SystemTime;

use bytes::Bytes;
use volador_proto::{
    link::Fields,
    ws::{self, deflate::Agreement},
};

use crate::client_log::{ClientLog, Excerpt};

/// The head that accepts a WebSocket. `fields` are the application's: cookies, the subprotocol that it has chosen among
/// the `protocols` offered.
pub(crate) fn websocket(
    accept: &[u8; 28],
    deflate: Option<Agreement>,
    protocols: &[u8],
    fields: &Fields,
    log: &ClientLog,
) -> Bytes {
    let mut head = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n".to_vec();
    push_field(&mut head, b"sec-websocket-accept", accept);
    if let Some(agreement) = deflate {
        push_field(&mut head, b"sec-websocket-extensions", agreement.to_string().as_bytes());
    }
    let mut has_protocol = false;
    for (name, value) in fields.iter().filter(|(name, _)| !is_ours(name)) {
        // RFC 6455 §4.1: a client fails the connection over a subprotocol "that was not present in the client's handshake";
        // §11.3.4: the header is there once at most.
        if name == b"sec-websocket-protocol" {
            if has_protocol || !ws::offers_protocol(protocols, value) {
                log.subprotocols.warn(format_args!(
                    "left the subprotocol \"{}\" out of the answer to a WebSocket: choose one of those offered, here \"{}\"",
                    Excerpt(value),
                    Excerpt(protocols)
                ));
                continue;
            }
            has_protocol = true;
        }
        push_field(&mut head, name, value);
    }
    head.extend_from_slice(b"\r\n");
    head.into()
}

/// The head that begins an event stream. Its body ends with the connection, so that no framing stands between an event
/// and the client, for HTTP/1.0 and 1.1 alike (RFC 9112 §6.3).
pub(crate) fn sse(fields: &Fields) -> Bytes {
    let mut head = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/event-stream\r\n\
        cache-control: no-store\r\nx-accel-buffering: no\r\n"
        .to_vec();
    push_field(&mut head, b"date", httpdate::fmt_http_date(SystemTime::now()).as_bytes());
    for (name, value) in fields.iter() {
        if !is_ours(name) && !matches!(name, b"cache-control" | b"x-accel-buffering") {
            push_field(&mut head, name, value);
        }
    }
    head.extend_from_slice(b"\r\n");
    head.into()
}

/// Fields that describe the connection, or the application's body, which is not sent: the gateway's business. RFC 9110 §8.4:
/// a coding, middleware's for instance, would be one of what comes behind the head, and that is sent as it is.
fn is_ours(name: &[u8]) -> bool {
    matches!(
        name,
        b"connection"
            | b"upgrade"
            | b"keep-alive"
            | b"transfer-encoding"
            | b"content-length"
            | b"content-type"
            | b"content-encoding"
            | b"date"
            | b"etag"
            | b"sec-websocket-accept"
            | b"sec-websocket-extensions"
    )
}

fn push_field(head: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    // The worker has checked the application's fields. Should it ever fail to, no line of theirs becomes two.
    if name.iter().chain(value).any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        return;
    }
    for part in [name, b": ", value, b"\r\n"] {
        head.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use volador_proto::link::{Batch, Interest, StreamId, ToGateway};

    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        let mut batch = Batch::new();
        let pairs = pairs.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes()));
        batch.upgrade(StreamId::NONE, Interest::NONE, pairs);
        match ToGateway::next(&mut batch.into_frames()) {
            Some(Ok((_, ToGateway::Upgrade { fields, .. }))) => fields,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_subprotocol_goes_out_once_and_only_if_it_was_offered() {
        for (chosen, sent) in [
            (&["chat"][..], 1),
            (&["nope"], 0),
            (&["chat, superchat"], 0),
            (&[""], 0),
            (&["nope", "superchat", "chat"], 1),
        ] {
            let fields: Vec<_> = chosen.iter().map(|protocol| ("sec-websocket-protocol", *protocol)).collect();
            let head = websocket(
                b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
                None,
                b"superchat, chat",
                &super::tests::fields(&fields),
                &ClientLog::default(),
            );
            let head = String::from_utf8(head.to_vec()).unwrap();
            assert_eq!(head.matches("sec-websocket-protocol").count(), sent, "{chosen:?}");
        }
    }

    #[test]
    fn cookies_go_out_with_the_handshake_and_the_connection_stays_the_gateways() {
        let fields = fields(&[
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
            ("content-length", "5"),
            ("connection", "close"),
            ("content-type", "text/html"),
            ("content-encoding", "gzip"),
            ("etag", "\"1\""),
            ("date", "Thu, 01 Jan 1970 00:00:00 GMT"),
            ("cache-control", "private"),
            ("x-accel-buffering", "yes"),
            ("x-split", "a\r\nevil: 1"),
        ]);
        let websocket = String::from_utf8(
            websocket(b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", None, b"", &fields, &ClientLog::default()).to_vec(),
        )
        .unwrap();
        assert_eq!(
            websocket,
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
             sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n\
             cache-control: private\r\nx-accel-buffering: yes\r\n\r\n"
        );
        let sse = String::from_utf8(sse(&fields).to_vec()).unwrap();
        assert!(sse.starts_with("HTTP/1.1 200 OK\r\n") && sse.ends_with("set-cookie: a=1\r\nset-cookie: b=2\r\n\r\n"));
        assert!(sse.contains("content-type: text/event-stream\r\n") && sse.contains("x-accel-buffering: no\r\n"));
        assert!(["gzip", "etag", "1970", "private", "yes", "evil"].iter().all(|theirs| !sse.contains(theirs)), "{sse}");
    }
}
