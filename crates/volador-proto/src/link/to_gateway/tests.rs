use bytes::BufMut;
use proptest::prelude::*;

use super::*;
use crate::link::Payload;
use crate::link::{Batch, ResponseBody};

const ID: StreamId = StreamId::NONE;
const WHOLE: Interest = Interest { messages: true, drained: true, shutdown: true };
const FIELDS: [(&[u8], &[u8]); 2] = [(b"content-type", b"text/plain"), (b"x-empty", b"")];

fn pairs(fields: &Fields) -> Vec<(&[u8], &[u8])> {
    fields.iter().collect()
}

#[test]
fn every_frame_comes_back_in_order() {
    let mut batch = Batch::new();
    batch.response(ID, 200, FIELDS, ResponseBody::Complete("hello".into()));
    batch.complete_response(ID, 599, [], [&b"he"[..], b"", b"llo"]);
    batch.response(ID, 100, [], ResponseBody::Stream);
    batch.chunk(ID, b"chunk");
    let file = std::fs::File::open("/dev/null").unwrap();
    batch.spill(ID, file.try_clone().unwrap().into());
    batch.spilled(ID, 1 << 40);
    batch.tunnel(ID, file.try_clone().unwrap().into(), b"first");
    batch.end(ID);
    batch.abort(ID);
    batch.response(ID, 200, [], ResponseBody::File { fd: file.into(), offset: 4, len: 9 });
    batch.upgrade(ID, WHOLE, FIELDS);
    batch.upgrade(ID, None, []);
    batch.write(ID, Payload::Binary, b"\0\xff");
    batch.close(ID, 1011);
    batch.handled(ID, 3);
    batch.timeout(ID, 1500);
    batch.broadcast(b"/rooms/*", Payload::Text, b"hi");
    batch.subscribe(ID, Match::Exact, b"news");
    batch.unsubscribe(ID, Match::Glob, b"n*");
    batch.listen(ListenerId(1 << 60), Match::Subject, b"a.>");
    batch.unlisten(ListenerId(7));
    batch.publish(b"news", Kind::Event, b"\0");
    let worker = Hello { shard: 3, number: 1, generation: 2, threads: 5 };
    batch.hello(&worker);
    batch.ready();
    batch.returned(ID);
    batch.refused(ID);
    batch.ended(ID);
    batch.handed_over(ID, None);
    batch.handed_over(ID, Some(b""));
    let figures = WorkerFigures { dropped: 9, queue_wait_micros: 8, queue_wait_micros_max: 7 };
    batch.beat(figures);
    batch.ask_stats(8);
    batch.ask_drained(ID);
    let mut frames = batch.into_frames();
    let mut next = || ToGateway::next(&mut frames).unwrap().unwrap().1;
    let ToGateway::Response(response) = next() else { panic!() };
    assert_eq!((response.status, pairs(&response.fields)), (200, FIELDS.to_vec()));
    assert!(matches!(response.body, ResponseBody::Complete(body) if body == "hello"));
    assert!(
        matches!(next(), ToGateway::Response(Response { status: 599, body: ResponseBody::Complete(body), .. }) if body == "hello")
    );
    assert!(matches!(next(), ToGateway::Response(Response { status: 100, body: ResponseBody::Stream, .. })));
    assert!(matches!(next(), ToGateway::Chunk(data) if data == "chunk"));
    assert!(matches!(next(), ToGateway::Spill(_)));
    assert!(matches!(next(), ToGateway::Spilled(len) if len == 1 << 40));
    assert!(matches!(next(), ToGateway::Tunnel(_, first) if first == "first"));
    assert!(matches!(next(), ToGateway::End));
    assert!(matches!(next(), ToGateway::Abort));
    assert!(matches!(next(), ToGateway::Response(Response { body: ResponseBody::File { offset: 4, len: 9, .. }, .. })));
    assert!(matches!(next(), ToGateway::Upgrade { interest: Some(WHOLE), fields } if pairs(&fields) == FIELDS));
    assert!(matches!(next(), ToGateway::Upgrade { interest: None, fields } if fields.is_empty()));
    assert!(matches!(next(), ToGateway::Write(Kind::Message(Payload::Binary), data) if data[..] == b"\0\xff"[..]));
    assert!(matches!(next(), ToGateway::Close(1011)));
    assert!(matches!(next(), ToGateway::Handled(3)));
    assert!(matches!(next(), ToGateway::Timeout(1500)));
    let ToGateway::Broadcast { pattern, kind: Kind::Message(Payload::Text), data } = next() else { panic!() };
    assert_eq!((&pattern[..], &data[..]), (&b"/rooms/*"[..], &b"hi"[..]));
    assert!(matches!(next(), ToGateway::Subscribe(Match::Exact, name) if name == "news"));
    assert!(matches!(next(), ToGateway::Unsubscribe(Match::Glob, name) if name == "n*"));
    assert!(
        matches!(next(), ToGateway::Listen(ListenerId(id), Match::Subject, name) if id == 1 << 60 && name == "a.>")
    );
    assert!(matches!(next(), ToGateway::Unlisten(ListenerId(7))));
    let ToGateway::Publish { channel, kind: Kind::Event, data } = next() else { panic!() };
    assert_eq!((&channel[..], &data[..]), (&b"news"[..], &b"\0"[..]));
    assert!(matches!(next(), ToGateway::Hello(hello) if hello == worker));
    assert!(matches!(next(), ToGateway::Ready));
    assert!(matches!(next(), ToGateway::Returned));
    assert!(matches!(next(), ToGateway::Refused));
    assert!(matches!(next(), ToGateway::Ended));
    assert!(matches!(next(), ToGateway::HandedOver(None)));
    assert!(matches!(next(), ToGateway::HandedOver(Some(state)) if state.is_empty()));
    assert!(matches!(next(), ToGateway::Beat(beat) if beat == figures));
    assert!(matches!(next(), ToGateway::AskStats(8)));
    assert!(matches!(next(), ToGateway::AskDrained));
    assert!(ToGateway::next(&mut frames).is_none());
}

#[test]
fn status_out_of_range_is_refused() {
    for status in [0, 99, 600] {
        let mut batch = Batch::new();
        batch.response(ID, status, [], ResponseBody::Stream);
        let err = ToGateway::next(&mut batch.into_frames()).unwrap().unwrap_err();
        assert_eq!(err, LinkError::BadField { kind: RESPONSE, field: "status" });
    }
}

proptest! {
    #[test]
    fn any_bytes_decode_or_err_without_panic(kind in 0u8..28, payload: Vec<u8>) {
        let mut batch = Batch::new();
        batch.frame(kind, ID, |out| out.put_slice(&payload));
        let mut frames = batch.into_frames();
        while let Some(Ok(_)) = ToGateway::next(&mut frames) {}
    }
}

/// Frames of one batch, in the form of Debug.
fn read(batch: Batch) -> Vec<String> {
    let mut frames = batch.into_frames();
    std::iter::from_fn(|| ToGateway::next(&mut frames)).map(|frame| format!("{:?}", frame.unwrap())).collect()
}

#[test]
fn a_write_that_its_message_is_handled_with_is_a_reply() {
    let other = StreamId::new(1, 2, 3);
    let reply = format!("{:?}", (ID, ToGateway::Reply(Payload::Text.into(), "hi".into())));
    // Behind others, and in a batch that is appended to another.
    let mut batch = Batch::new();
    batch.close(other, 1000);
    batch.write(ID, Payload::Text, b"hi");
    let mut appended = Batch::new();
    appended.append(batch);
    appended.handled(ID, 1);
    let mut before = Batch::new();
    before.write(ID, Payload::Text, b"one");
    before.append(appended);
    before.write(ID, Payload::Text, b"hi");
    before.handled(ID, 1);
    let frames = read(before);
    assert_eq!((frames.len(), &frames[2], &frames[3]), (4, &reply, &reply));
}

#[test]
fn a_message_is_handled_by_a_frame_of_its_own_behind_anything_but_one_write_to_its_stream() {
    type Act = fn(&mut Batch);
    let other = StreamId::new(1, 2, 3);
    let cases: [(Act, u32); 6] = [
        (|_| (), 1),
        (|batch| batch.write(ID, Payload::Text, b"hi"), 2),
        (|batch| batch.write(StreamId::new(1, 2, 4), Payload::Text, b"hi"), 1),
        (|batch| batch.broadcast(b"/", Payload::Text, b"hi"), 1),
        (
            |batch| {
                batch.write(ID, Payload::Text, b"hi");
                batch.take();
            },
            1,
        ),
        (
            |batch| {
                batch.write(ID, Payload::Text, b"hi");
                batch.handled(ID, 1);
            },
            1,
        ),
    ];
    for (n, (act, messages)) in cases.into_iter().enumerate() {
        let mut batch = Batch::new();
        batch.end(other);
        act(&mut batch);
        batch.handled(ID, messages);
        let handled = format!("{:?}", (ID, ToGateway::Handled(messages)));
        assert_eq!(read(batch).last(), Some(&handled), "case {n}");
    }
}
