use std::io::{Read, Seek, Write};

use proptest::prelude::*;

use super::*;
use crate::link::Transport;

const ID: StreamId = StreamId::NONE;

fn head(s: &[u8]) -> RequestHead<'_> {
    RequestHead {
        transport: Some(Transport::Sse),
        tls: true,
        http_10: true,
        method: b"GET",
        path: s,
        query: b"a=b",
        remote_addr: b"127.0.0.1",
        server_name: b"example.com",
        server_port: b"80",
    }
}

fn only(batch: Batch) -> ToWorker {
    let mut frames = batch.into_frames();
    let (stream, frame) = ToWorker::next(&mut frames).unwrap().unwrap();
    assert_eq!(stream, ID);
    assert!(ToWorker::next(&mut frames).is_none());
    frame
}

proptest! {
    #[test]
    fn request_comes_back(
        path: Vec<u8>,
        fields in prop::collection::vec((prop::collection::vec(any::<u8>(), 1..40), any::<Vec<u8>>()), 0..20),
        body: Vec<u8>,
        transport in prop::sample::select(vec![None, Some(Transport::WebSocket), Some(Transport::Sse)]),
        tls: bool,
        http_10: bool,
    ) {
        let mut batch = Batch::new();
        let head = RequestHead { transport, tls, http_10, ..head(&path) };
        let pairs = fields.iter().map(|(n, v)| (&n[..], &v[..]));
        batch.request(ID, &head, pairs, RequestBody::Inline(body.clone().into()));
        let ToWorker::Request(request) = only(batch) else { panic!("not a request") };
        prop_assert_eq!((request.transport, request.tls, request.http_10), (transport, tls, http_10));
        let target = [request.method(), request.path(), request.query()];
        prop_assert_eq!(target, [head.method, &path, head.query]);
        let addresses = [request.remote_addr(), request.server_name(), request.server_port()];
        prop_assert_eq!(addresses, [head.remote_addr, head.server_name, head.server_port]);
        let got: Vec<_> = request.fields.iter().map(|(n, v)| (n.to_vec(), v.to_vec())).collect();
        prop_assert_eq!(got, fields);
        let RequestBody::Inline(got) = request.body else { panic!("not inline") };
        prop_assert_eq!(&got[..], &body[..]);
    }

    #[test]
    fn any_bytes_decode_or_err_without_panic(kind in 0u8..21, payload: Vec<u8>) {
        let mut batch = Batch::new();
        batch.frame(kind, ID, |out| out.put_slice(&payload));
        let mut frames = batch.into_frames();
        while let Some(Ok(_)) = ToWorker::next(&mut frames) {}
    }
}

#[test]
fn file_body_brings_its_descriptor() {
    let path = std::env::temp_dir().join(format!("volador-link-{}", std::process::id()));
    let mut file = std::fs::File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    file.write_all(b"body").unwrap();
    file.rewind().unwrap();
    let mut batch = Batch::new();
    batch.request(ID, &head(b"/"), [], RequestBody::File { fd: file.into(), len: 4 });
    let ToWorker::Request(request) = only(batch) else { panic!("not a request") };
    let RequestBody::File { fd, len: 4 } = request.body else { panic!("not a file of 4 bytes") };
    let mut text = String::new();
    std::fs::File::from(fd).read_to_string(&mut text).unwrap();
    assert_eq!(text, "body");
}

#[test]
fn file_body_without_descriptor_is_refused() {
    let mut batch = Batch::new();
    batch.frame(REQUEST, ID, |out| head(b"/").encode([], BODY_FILE, 4, out));
    let err = ToWorker::next(&mut batch.into_frames()).unwrap().unwrap_err();
    assert_eq!(err, LinkError::MissingDescriptor(REQUEST));
}

#[test]
fn a_sealed_request_is_sent_as_often_as_wanted() {
    let file = std::fs::File::open("/dev/null").unwrap();
    for body in [RequestBody::None, RequestBody::Inline("body".into()), RequestBody::File { fd: file.into(), len: 9 }] {
        let sealed = SealedRequest::new(&head(b"/"), [(&b"a"[..], &b"b"[..])], body);
        for _ in 0..2 {
            let mut batch = Batch::new();
            batch.sealed_request(ID, &sealed).unwrap();
            let ToWorker::Request(request) = only(batch) else { panic!("not a request") };
            assert_eq!(request.fields.iter().collect::<Vec<_>>(), [(&b"a"[..], &b"b"[..])]);
            assert_eq!(request.resumed, None);
            match request.body {
                RequestBody::Inline(body) => assert_eq!(body, "body"),
                RequestBody::File { len, .. } => assert_eq!(len, 9),
                RequestBody::None => {}
            }
        }
    }
}

#[test]
fn a_request_is_replayed_with_what_the_former_handler_left() {
    let sealed = SealedRequest::new(&head(b"/"), [(&b"a"[..], &b"b"[..])], RequestBody::None);
    for state in [None, Some(&b"state"[..])] {
        let mut batch = Batch::new();
        batch.replay(ID, &sealed, state, 1500);
        let ToWorker::Request(request) = only(batch) else { panic!("not a request") };
        assert_eq!(request.fields.iter().collect::<Vec<_>>(), [(&b"a"[..], &b"b"[..])]);
        assert_eq!(request.resumed, Some(Resumed { state: state.map(Bytes::from_static), timeout_ms: 1500 }));
        assert!(matches!(request.body, RequestBody::None));
    }
}

#[test]
fn the_body_of_a_request_that_is_sent_again_is_read_from_its_start() {
    let path = std::env::temp_dir().join(format!("volador-sealed-{}", std::process::id()));
    let mut file = std::fs::File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    file.write_all(b"body").unwrap();
    let sealed = SealedRequest::new(&head(b"/"), [], RequestBody::File { fd: file.into(), len: 4 });
    for _ in 0..2 {
        let mut batch = Batch::new();
        batch.sealed_request(ID, &sealed).unwrap();
        let ToWorker::Request(request) = only(batch) else { panic!("not a request") };
        let RequestBody::File { fd, .. } = request.body else { panic!("not a file") };
        let mut text = String::new();
        std::fs::File::from(fd).read_to_string(&mut text).unwrap();
        assert_eq!(text, "body");
    }
}

#[test]
fn frames_about_the_worker_come_back() {
    let mut batch = Batch::new();
    batch.recall(3);
    batch.hand_over(StreamId::new(1, 2, 3));
    batch.resume(ID);
    batch.release(ID);
    batch.welcome(2, std::fs::File::open("/dev/null").unwrap().into());
    batch.stop();
    batch.stats(7, b"accepted 1\n");
    let mut frames = batch.into_frames();
    let mut next = || ToWorker::next(&mut frames).unwrap().unwrap();
    assert!(matches!(next(), (ID, ToWorker::Recall(3))));
    assert!(matches!(next(), (id, ToWorker::HandOver) if id == StreamId::new(1, 2, 3)));
    assert!(matches!(next(), (ID, ToWorker::Resume)));
    assert!(matches!(next(), (ID, ToWorker::Release)));
    assert!(matches!(next(), (ID, ToWorker::Welcome { shards: 2, .. })));
    assert!(matches!(next(), (ID, ToWorker::Stop)));
    assert!(matches!(next(), (ID, ToWorker::Stats { token: 7, figures }) if figures == "accepted 1\n"));
    assert!(ToWorker::next(&mut frames).is_none());
}

#[test]
fn small_frames_come_back_in_order_over_appended_batches() {
    let (mut batch, mut more) = (Batch::new(), Batch::new());
    batch.cancel(StreamId::new(1, 2, 3));
    batch.credit(ID, 70_000);
    more.message(ID, Payload::Text, b"text");
    more.message(ID, Payload::Binary, b"");
    more.published(ListenerId(9), b"news", Payload::Text, b"hi");
    more.backlog(ID, 3);
    more.drained(ID);
    more.shutdown(ID);
    more.closed(ID, 1001);
    more.gone(ID, 1002);
    batch.append(more);
    let mut frames = batch.into_frames();
    let mut next = || ToWorker::next(&mut frames).unwrap().unwrap();
    assert!(matches!(next(), (id, ToWorker::Cancel) if id == StreamId::new(1, 2, 3)));
    assert!(matches!(next(), (ID, ToWorker::Credit(70_000))));
    assert!(matches!(next(), (ID, ToWorker::Message(Payload::Text, data)) if data == "text"));
    assert!(matches!(next(), (ID, ToWorker::Message(Payload::Binary, data)) if data.is_empty()));
    let (ID, ToWorker::Published { listener, channel, payload: Payload::Text, data }) = next() else { panic!() };
    assert_eq!((listener, &channel[..], &data[..]), (ListenerId(9), &b"news"[..], &b"hi"[..]));
    assert!(matches!(next(), (ID, ToWorker::Backlog(3))));
    assert!(matches!(next(), (ID, ToWorker::Drained)));
    assert!(matches!(next(), (ID, ToWorker::Shutdown)));
    assert!(matches!(next(), (ID, ToWorker::Closed { code: 1001 })));
    assert!(matches!(next(), (ID, ToWorker::Gone { code: 1002 })));
    assert!(ToWorker::next(&mut frames).is_none());
}
