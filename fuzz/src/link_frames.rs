//! Link frames: whatever is written is read back, in its order, over any number of appended batches; and whatever bytes a
//! socket brings, in whatever pieces, are read or refused.

use volador_proto::link::{
    Assembler, Batch, Fields, Interest, Payload, Request, RequestBody, RequestHead, Response, ResponseBody, Resumed,
    SealedRequest, StreamId, ToGateway, ToWorker, Transport,
};

/// Writes one frame in each direction for each line of the bytes: its first byte says which, the rest is the content.
pub fn check(data: &[u8]) {
    let lines: Vec<_> = data.split(|&b| b == b'\n').filter_map(|line| line.split_first()).collect();
    to_gateway(&lines);
    to_worker(&lines);
    raw(data);
}

/// Any bytes, in pieces: the frames of both directions, until something is none.
fn raw(data: &[u8]) {
    let mut assembler = Assembler::new();
    let size = usize::from(*data.first().unwrap_or(&1)).max(1);
    for piece in data.chunks(size) {
        assembler.push(piece, [], false);
        match assembler.take() {
            Ok(Some(mut frames)) => {
                while let Some(Ok(_)) = ToWorker::next(&mut frames) {}
                assembler.give_back(frames);
            }
            Ok(None) => {}
            Err(_) => return,
        }
    }
    assert!(assembler.remaining() <= data.len());
}

fn payload(text: &[u8]) -> Payload {
    if text.len().is_multiple_of(2) { Payload::Text } else { Payload::Binary }
}

fn interest(text: &[u8]) -> Interest {
    let has = |byte| text.contains(&byte);
    Interest { messages: has(b'm'), drained: has(b'd'), shutdown: has(b's') }
}

fn stream(text: &[u8], n: usize) -> StreamId {
    StreamId::new(n as u8, text.len() as u32, n as u32)
}

/// Header fields out of a text: its words, each with the text as its value.
fn fields(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    text.split(|&b| b == b' ').filter(|name| !name.is_empty()).map(move |name| (name, text))
}

fn same_fields(got: &Fields, text: &[u8]) {
    assert!(got.iter().eq(fields(text)));
    assert!(
        got.iter_shared().map(|(name, value)| (name, value.to_vec())).eq(fields(text).map(|(n, v)| (n, v.to_vec())))
    );
}

fn to_gateway(lines: &[(&u8, &[u8])]) {
    let mut all = Batch::new();
    for (n, &(kind, text)) in lines.iter().enumerate() {
        let (mut batch, id) = (Batch::new(), stream(text, n));
        match kind % 16 {
            0 => batch.response(id, 200, fields(text), ResponseBody::Complete(text.to_vec().into())),
            1 => batch.complete_response(id, 404, fields(text), text.chunks(3)),
            2 => batch.response(id, 500, fields(text), ResponseBody::Stream),
            3 => batch.chunk(id, text),
            4 => batch.spilled(id, text.len() as u64),
            5 => batch.upgrade(id, interest(text), fields(text)),
            6 => batch.write(id, payload(text), text),
            7 => batch.handled(id, text.len() as u32),
            9 => batch.timeout(id, text.len() as u32),
            10 => batch.handed_over(id, Some(text)),
            11 => batch.returned(id),
            12 => batch.ended(id),
            13 => batch.ask_drained(id),
            14 => batch.refused(id),
            15 => {
                batch.write(id, payload(text), text);
                batch.handled(id, 1);
            }
            _ => batch.broadcast(text, payload(text), text),
        }
        all.append(batch);
    }
    let mut frames = all.into_frames();
    for (n, &(kind, text)) in lines.iter().enumerate() {
        let (id, frame) = ToGateway::next(&mut frames).expect("a frame").expect("a valid frame");
        assert_eq!(id, if kind % 16 == 8 { StreamId::NONE } else { stream(text, n) });
        match (kind % 16, frame) {
            (0 | 1, ToGateway::Response(Response { fields, body: ResponseBody::Complete(body), .. })) => {
                same_fields(&fields, text);
                assert_eq!(body, text);
            }
            (2, ToGateway::Response(Response { status: 500, fields, body: ResponseBody::Stream })) => {
                same_fields(&fields, text);
            }
            (3, ToGateway::Chunk(chunk)) => assert_eq!(chunk, text),
            (4, ToGateway::Spilled(len)) => assert_eq!(len, text.len() as u64),
            (5, ToGateway::Upgrade { fields, interest: got }) => {
                same_fields(&fields, text);
                assert_eq!(got, Some(interest(text)));
            }
            (6, ToGateway::Write(got, data)) | (15, ToGateway::Reply(got, data)) => {
                assert_eq!((got, &data[..]), (payload(text).into(), text));
            }
            (7, ToGateway::Handled(messages)) => assert_eq!(messages, text.len() as u32),
            (9, ToGateway::Timeout(millis)) => assert_eq!(millis, text.len() as u32),
            (10, ToGateway::HandedOver(state)) => assert_eq!(state.as_deref(), Some(text)),
            (11, ToGateway::Returned) | (12, ToGateway::Ended) => {}
            (13, ToGateway::AskDrained) | (14, ToGateway::Refused) => {}
            (8, ToGateway::Broadcast { pattern, kind: got, data }) => {
                assert_eq!((&pattern[..], got, &data[..]), (text, payload(text).into(), text));
            }
            (kind, frame) => panic!("kind {kind} came back as {frame:?}"),
        }
    }
    assert!(ToGateway::next(&mut frames).is_none());
}

fn to_worker(lines: &[(&u8, &[u8])]) {
    let mut all = Batch::new();
    for (n, &(kind, text)) in lines.iter().enumerate() {
        let (mut batch, id) = (Batch::new(), stream(text, n));
        match kind % 7 {
            0 => batch.request(id, &head(*kind, text), fields(text), RequestBody::None),
            1 => batch.request(id, &head(*kind, text), fields(text), RequestBody::Inline(text.to_vec().into())),
            2 => batch.credit(id, text.len() as u32),
            3 => batch.message(id, payload(text), text),
            4 => batch.sealed_request(id, &sealed(*kind, text)).expect("no file"),
            5 => batch.replay(id, &sealed(*kind, text), Some(text), u32::from(*kind)),
            _ => batch.closed(id, text.len() as u16),
        }
        all.append(batch);
    }
    let mut frames = all.into_frames();
    for (n, &(kind, text)) in lines.iter().enumerate() {
        let (id, frame) = ToWorker::next(&mut frames).expect("a frame").expect("a valid frame");
        assert_eq!(id, stream(text, n));
        match (kind % 7, frame) {
            (0 | 1 | 4 | 5, ToWorker::Request(request)) => {
                same_head(&request, &head(*kind, text));
                same_fields(&request.fields, text);
                let state = (kind % 7 == 5)
                    .then(|| Resumed { state: Some(text.to_vec().into()), timeout_ms: u32::from(*kind) });
                assert_eq!(request.resumed, state);
                match request.body {
                    RequestBody::None => assert!(matches!(kind % 7, 0 | 4 | 5)),
                    RequestBody::Inline(body) => assert_eq!((kind % 7, &body[..]), (1, text)),
                    RequestBody::File { .. } => panic!("no file was sent"),
                }
            }
            (2, ToWorker::Credit(bytes)) => assert_eq!(bytes, text.len() as u32),
            (3, ToWorker::Message(got, data)) => assert_eq!((got, &data[..]), (payload(text), text)),
            (6, ToWorker::Closed { code }) => assert_eq!(code, text.len() as u16),
            (kind, frame) => panic!("kind {kind} came back as {frame:?}"),
        }
    }
    assert!(ToWorker::next(&mut frames).is_none());
}

fn sealed(kind: u8, text: &[u8]) -> SealedRequest {
    SealedRequest::new(&head(kind, text), fields(text), RequestBody::None)
}

fn head(kind: u8, text: &[u8]) -> RequestHead<'_> {
    RequestHead {
        transport: [None, Some(Transport::WebSocket), Some(Transport::Sse)][usize::from(kind) % 3],
        tls: kind & 1 != 0,
        http_10: kind & 2 != 0,
        method: text,
        path: &text[..text.len() / 2],
        query: &text[text.len() / 2..],
        remote_addr: b"",
        server_name: text,
        server_port: b"80",
    }
}

fn same_head(got: &Request, sent: &RequestHead<'_>) {
    assert_eq!((got.transport, got.tls, got.http_10), (sent.transport, sent.tls, sent.http_10));
    for (got, sent) in [
        (got.method(), sent.method),
        (got.path(), sent.path),
        (got.query(), sent.query),
        (got.remote_addr(), sent.remote_addr),
        (got.server_name(), sent.server_name),
        (got.server_port(), sent.server_port),
    ] {
        assert_eq!(got, sent);
    }
}
