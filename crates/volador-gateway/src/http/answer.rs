//! One request on its way to the worker, and its answer on the way back.

use std::{convert::Infallible, future::poll_fn, rc::Rc};

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, header, request::Parts,
};
use hyper::body::{Body as _, Incoming};
use volador_proto::link::{Fields, RequestBody, Response as LinkResponse, ResponseBody, Transport};

use super::{
    ConnectionState,
    body::{Body, FileReader},
    connection::{Requesting, Taker},
    exchange::Answer,
    refusal::Refusal,
    request,
    ticket::Ticket,
    upload,
};
use crate::{
    link::WorkerKey,
    log,
    push::{Takeover, handshake},
    shard::Shard,
    stats::count,
};

const LEFT: Refusal = Refusal::new(StatusCode::BAD_GATEWAY, "The application gave no answer.");

/// Header fields of a request whose memory is used again, for the answer and then, by hyper, for the connection's next
/// request: a browser sends about twenty.
const KEPT_FIELDS: usize = 24;

/// Answers one request. hyper calls this with each head, and not for the next one before this one's answer is complete.
#[allow(clippy::manual_async_fn)] // an `async fn` moves its arguments once more, and a request is large
pub(super) fn answer(
    shard: Rc<Shard>,
    state: Rc<ConnectionState>,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<Body>, Infallible>> {
    async move {
        let requesting = match state.begin_request(&shard.shared.config) {
            Ok(requesting) => requesting,
            Err(fault) => return Ok(refused(&shard, &state, &fault.into(), state.refuse_request())),
        };
        let (mut parts, body) = request.into_parts();
        Ok(match dispatch(&shard, &state, &mut parts, body).await {
            Ok((response, body)) => response.map(|()| body.with(requesting)),
            Err(refusal) => refused(&shard, &state, &refusal, requesting),
        })
    }
}

fn refused(shard: &Shard, state: &ConnectionState, refusal: &Refusal, requesting: Requesting) -> Response<Body> {
    state.linger();
    match refusal.status() {
        StatusCode::SERVICE_UNAVAILABLE => count(&shard.counters.refused_busy),
        status if status.is_client_error() || status == StatusCode::NOT_IMPLEMENTED => {
            count(&shard.counters.refused_bad)
        }
        _ => {}
    }
    refusal.response().map(|text| Body::whole(text).with(requesting))
}

async fn dispatch(
    shard: &Rc<Shard>,
    state: &Rc<ConnectionState>,
    parts: &mut Parts,
    body: Incoming,
) -> Result<(Response<()>, Body), Refusal> {
    let has_body = body.size_hint().exact() != Some(0);
    let wish = request::examine(parts, has_body, &shard.shared)?;
    // Boxed: few have a body, and hyper moves this future for each request.
    let (body, _held) = if has_body {
        let (body, held) = Box::pin(upload::collect(body, &shard.shared)).await?;
        (body, Some(held))
    } else {
        (RequestBody::None, None)
    };
    let mut ticket = Ticket::take(shard).ok_or_else(Refusal::busy)?;
    let origin = request::Origin { peer: &state.peer, local_name: (&state.local_name.0, &state.local_name.1) };
    if let (Some(_), Some(exchange)) = (wish.transport, shard.streams.borrow_mut().exchange(ticket.id)) {
        exchange.wants_push(parts.uri.path());
    }
    if shard.shared.is_cluster {
        let request = request::encode(request::Sealed, parts, &wish, origin, body);
        if let Some(exchange) = shard.streams.borrow_mut().exchange(ticket.id) {
            exchange.keep(request);
        }
        shard.submit(ticket.id);
    } else {
        let mut batch = shard.workers.batch(WorkerKey::EMBEDDED);
        request::encode(request::ToBatch(&mut batch, ticket.id), parts, &wish, origin, body);
    }
    count(&shard.counters.requests);
    let mut memory = std::mem::take(&mut parts.headers);
    memory.clear();
    if memory.capacity() > KEPT_FIELDS {
        memory = HeaderMap::new();
    }

    let answer = poll_fn(|cx| match shard.streams.borrow_mut().exchange(ticket.id) {
        Some(exchange) => exchange.poll_answer(cx).map(Some),
        None => std::task::Poll::Ready(None),
    })
    .await
    .ok_or(LEFT)?;
    ticket.answered();
    match answer {
        Answer::Aborted => {
            ticket.complete();
            Err(LEFT)
        }
        Answer::Unsent => {
            ticket.complete();
            Err(Refusal::busy())
        }
        Answer::Response(response) => {
            let mut head = Response::new(());
            let status = StatusCode::from_u16(response.status).map_err(|_| LEFT)?;
            *head.status_mut() = status;
            let length = length_of(&response, &parts.method);
            *head.headers_mut() = headers(memory, &response.fields, length).ok_or(LEFT)?;
            if status.canonical_reason().is_none() {
                // RFC 9112 §4: the reason phrase may be empty. hyper would write "<none>".
                head.extensions_mut().insert(hyper::ext::ReasonPhrase::from_static(b""));
            }
            let body = match response.body {
                ResponseBody::Complete(bytes) => {
                    ticket.complete();
                    Body::whole(bytes)
                }
                ResponseBody::Stream => {
                    let is_framed = head.headers().contains_key(header::CONTENT_LENGTH)
                        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
                        || parts.method == Method::HEAD;
                    if parts.version == Version::HTTP_10 && !is_framed {
                        // The end of the connection is the end of the body. To an answer that says to be of 1.1 hyper would
                        // add the keep-alive that the client may have asked for.
                        *head.version_mut() = Version::HTTP_10;
                        state.ends_answer.set(true);
                    }
                    Body::stream(ticket)
                }
                ResponseBody::File { fd, offset, len } => {
                    ticket.complete();
                    Body::file(FileReader::new(fd, offset), len)
                }
            };
            Ok((head, body))
        }
        Answer::Upgrade { fields, interest } => {
            let head = match (&wish.accept, wish.transport) {
                (Some(accept), _) => {
                    handshake::websocket(accept, wish.deflate, &wish.protocols, &fields, &shard.shared.client_log)
                }
                (None, Some(Transport::Sse)) => handshake::sse(&fields),
                (None, _) => {
                    shard.shared.client_log.upgrades.warn(format_args!(
                        "the application upgraded a request that asked for no upgrade; answered 502"
                    ));
                    return Err(LEFT);
                }
            };
            state.take(Taker::Push(Takeover {
                id: ticket.hand_over(),
                transport: wish.transport.unwrap_or(Transport::Sse),
                deflate: wish.deflate,
                head,
                interest,
            }));
            // The connection's task drops this future when it has taken the socket from hyper.
            std::future::pending().await
        }
        Answer::Tunnel(tunnel) => {
            ticket.complete();
            drop(ticket);
            state.take(Taker::Tunnel(tunnel));
            std::future::pending().await
        }
    }
}

/// Whose Content-Length an answer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    /// The application's, if it gave one.
    Application,
    /// hyper's, which knows the length of the body; or there is none.
    Gateway,
}

fn length_of(response: &LinkResponse, method: &Method) -> Length {
    match (response.status, &response.body) {
        // RFC 9110 §8.6: "A server MUST NOT send a Content-Length header field in any response with a status code of [...]
        // 204". With 205 it could only be 0, which hyper writes.
        (204 | 205, _) | (_, ResponseBody::File { .. }) => Length::Gateway,
        // RFC 9110 §8.6: where no body is sent the length that the application gave stands for the one of GET.
        (304, _) => Length::Application,
        (_, ResponseBody::Complete(_)) if method != Method::HEAD => Length::Gateway,
        (_, ResponseBody::Complete(_) | ResponseBody::Stream) => Length::Application,
    }
}

/// The header fields of an answer, in memory that has no other ones. None when there are more than the map can hold, which is
/// some 24,000: the worker takes 10,000, but what comes from another process is not relied on.
fn headers(memory: HeaderMap, fields: &Fields, length: Length) -> Option<HeaderMap> {
    let mut headers = memory;
    let mut fits = headers.try_reserve(fields.len() + 1).is_ok();
    for (name, value) in fields.iter_shared() {
        if length == Length::Gateway && name.eq_ignore_ascii_case(header::CONTENT_LENGTH.as_str().as_bytes()) {
            continue;
        }
        match (HeaderName::from_bytes(name), HeaderValue::from_maybe_shared(value)) {
            (Ok(name), Ok(value)) => fits = fits && headers.try_append(name, value).is_ok(),
            // The worker has checked them, so that the application's author is told. No byte of it goes out.
            _ => log::warn(format_args!(
                "dropped a response field that is not valid: {:?}",
                String::from_utf8_lossy(name)
            )),
        }
    }
    if !fits {
        log::warn(format_args!("answered 502: {} fields are too many for an answer", fields.len()));
    }
    fits.then_some(headers)
}
