use proptest::prelude::*;

use super::*;

const LIMITS: HeadLimits = HeadLimits { head_max_bytes: 400, target_max_bytes: 100 };

const GET: &str = "GET /get HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &str =
    "POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 37\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: b\r\n\r\n\0\0";
const CHUNKED: &str = "PUT /chunked HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
    1a;ext\r\nGET /smuggled HTTP/1.0\r\n\r\n\r\n0\r\nX-Trailer: 1\r\n\r\n";
const OLD: &str = "\r\nHEAD /old HTTP/1.0\r\n\r\n";
const FAULTY: &str = "GET / HTTP/1.1\r\nHost: a b\r\n\r\n";

fn fed(pieces: &[&[u8]]) -> HeadWatch {
    let mut watch = HeadWatch::new();
    pieces.iter().for_each(|piece| watch.feed(piece));
    watch
}

/// The judgements of all heads up to the first fault.
fn heads(pieces: &[&[u8]]) -> Vec<Result<(), HeadFault>> {
    let mut watch = fed(pieces);
    let mut got = Vec::new();
    loop {
        got.push(watch.take_head(&LIMITS));
        if got.last().is_some_and(Result::is_err) {
            return got;
        }
    }
}

/// The same for the bytes in one piece, in two with every cut, and byte by byte.
fn heads_at_every_split(bytes: &[u8]) -> Vec<Result<(), HeadFault>> {
    let whole = heads(&[bytes]);
    for cut in 0..bytes.len() {
        assert_eq!(heads(&[&bytes[..cut], &bytes[cut..]]), whole, "cut at {cut}");
    }
    assert_eq!(heads(&bytes.chunks(1).collect::<Vec<_>>()), whole, "byte by byte");
    whole
}

#[test]
fn pipelined_requests_are_told_apart_at_every_split() {
    for (requests, good, end) in [
        (vec![GET], 1, HeadFault::Unseen),
        (vec![GET, GET, GET], 3, HeadFault::Unseen),
        (vec![POST, GET, CHUNKED, OLD, CHUNKED, POST], 6, HeadFault::Unseen),
        (vec![CHUNKED, OLD, FAULTY, GET], 2, HeadFault::HostInvalid),
        // A body whose framing breaks: what follows is no request.
        (vec!["PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx", GET], 1, HeadFault::Chunk),
        // The end of a head is where the parser sees it.
        (vec!["GET / HTTP/1.1\nHost: a\n\n"], 0, HeadFault::BareLf),
        (vec!["GET / HTTP/1.1\r\nHost: a\r\n\n"], 0, HeadFault::BareLf),
    ] {
        let expected: Vec<_> = std::iter::repeat_n(Ok(()), good).chain([Err(end)]).collect();
        assert_eq!(heads_at_every_split(requests.concat().as_bytes()), expected, "{requests:?}");
    }
}

#[test]
fn nothing_is_judged_after_a_fault() {
    let mut watch = fed(&[FAULTY.as_bytes(), GET.as_bytes()]);
    for _ in 0..3 {
        assert_eq!(watch.take_head(&LIMITS), Err(HeadFault::HostInvalid));
        assert_eq!(watch.overflow(&LIMITS), Some(HeadFault::HostInvalid));
        watch.feed(GET.as_bytes());
        assert!(!watch.is_empty());
    }
}

#[test]
fn limits_are_kept_at_every_split() {
    let target = |len: usize| format!("GET /{} HTTP/1.0\r\n\r\n", "t".repeat(len - 1));
    let head = |len: usize| format!("GET / HTTP/1.0\r\nX: {}\r\n\r\n", "x".repeat(len - 23));
    assert_eq!(head(400).len(), 400);
    for (request, verdict) in [
        (target(100), Ok(())),
        (target(101), Err(HeadFault::TargetTooLong { max: 100 })),
        // The target's fault comes first.
        (target(1000), Err(HeadFault::TargetTooLong { max: 100 })),
        (head(400), Ok(())),
        (head(401), Err(HeadFault::HeadTooLarge { max: 400 })),
    ] {
        assert_eq!(heads_at_every_split(request.as_bytes())[0], verdict);
        let watch = fed(&[request.as_bytes()]);
        assert_eq!(watch.overflow(&LIMITS), verdict.err(), "complete, but not yet taken");
    }
}

#[test]
fn what_overflows_is_a_limit_or_http_2_and_no_other_fault() {
    let http_2 = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for (head, fault) in [(FAULTY, None), (GET, None), (http_2, Some(HeadFault::Http2))] {
        assert_eq!(fed(&[head.as_bytes()]).overflow(&LIMITS), fault, "{head:?}");
    }
    assert_eq!(HeadFault::Http2.status(), 505);
}

#[test]
fn limits_have_their_own_status() {
    assert_eq!(HeadFault::TargetTooLong { max: 100 }.status(), 414);
    assert_eq!(HeadFault::HeadTooLarge { max: 400 }.status(), 431);
}

#[test]
fn overflow_shows_at_the_byte_that_is_too_many() {
    let line = format!("GET /{}", "t".repeat(200));
    let fields = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(500));
    let nameless = "x".repeat(500);
    let empty = "\r\n".repeat(300);
    for (bytes, at, fault) in [
        (&line, 4 + 101, HeadFault::TargetTooLong { max: 100 }),
        (&fields, 401, HeadFault::HeadTooLarge { max: 400 }),
        (&nameless, 401, HeadFault::HeadTooLarge { max: 400 }),
        (&empty, 401, HeadFault::HeadTooLarge { max: 400 }),
    ] {
        // Behind a request with a body as well.
        for before in ["", POST] {
            let mut watch = fed(&[before.as_bytes()]);
            let _ = watch.take_head(&LIMITS);
            for (i, byte) in bytes.bytes().enumerate() {
                assert_eq!(watch.overflow(&LIMITS), (i >= at).then_some(fault), "after {i} bytes");
                watch.feed(&[byte]);
            }
        }
    }
}

#[test]
fn broken_chunk_shows_as_a_fault_of_the_next_head() {
    let mut watch = fed(&[b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nnonsense"]);
    assert_eq!(watch.overflow(&LIMITS), None);
    assert_eq!(watch.take_head(&LIMITS), Ok(()));
    assert_eq!(watch.overflow(&LIMITS), Some(HeadFault::Chunk));
    assert!(!watch.is_empty());
}

#[test]
fn broken_chunk_is_the_fault_of_its_own_request_until_the_next_head() {
    let broken = CHUNKED.replace("1\r\n\r\n", "1\r\n\n");
    for cut in 0..broken.len() {
        let mut watch = fed(&[GET.as_bytes(), &broken.as_bytes()[..cut], &broken.as_bytes()[cut..], GET.as_bytes()]);
        // The one before has none.
        assert_eq!((watch.take_head(&LIMITS), watch.body_fault()), (Ok(()), None), "cut at {cut}");
        assert_eq!((watch.take_head(&LIMITS), watch.body_fault()), (Ok(()), Some(HeadFault::Chunk)), "cut at {cut}");
    }
    let mut watch = fed(&[CHUNKED.as_bytes(), FAULTY.as_bytes()]);
    assert_eq!((watch.take_head(&LIMITS), watch.body_fault()), (Ok(()), None), "the next head is at fault");
}

#[test]
fn watch_is_empty_between_requests_alone() {
    for request in [GET, POST, CHUNKED, OLD] {
        let mut watch = HeadWatch::new();
        assert!(watch.is_empty());
        let bytes = request.as_bytes();
        for (i, byte) in bytes.iter().enumerate() {
            // OLD begins with an empty line.
            let before_the_head = request == OLD && i == 2;
            assert_eq!(watch.is_empty(), i == 0 || before_the_head, "{request:?} after {i} bytes");
            watch.feed(&[*byte]);
        }
        assert!(!watch.is_empty(), "complete, but not yet taken");
        watch.take_head(&LIMITS).unwrap();
        assert!(watch.is_empty());
    }
}

#[test]
fn bodies_are_not_kept() {
    let mut watch = fed(&[b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nbody"]);
    assert_eq!(watch.partial.capacity(), 0);
    for _ in 0..10 {
        watch.feed(&[b'x'; 10_000]);
        assert_eq!(watch.partial.capacity(), 0);
    }
    watch.take_head(&LIMITS).unwrap();
    let mut watch =
        fed(&[b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Enc", b"oding: chunked\r\n\r\nffffff\r\n", &[b'x'; 10_000]]);
    assert_eq!(watch.partial.capacity(), 0);
    watch.take_head(&LIMITS).unwrap();
}

#[test]
fn watch_holds_no_memory_between_requests() {
    let mut watch = fed(&[&GET.as_bytes()[..5], &GET.as_bytes()[5..], POST.as_bytes(), CHUNKED.as_bytes()]);
    for _ in 0..3 {
        watch.take_head(&LIMITS).unwrap();
    }
    assert_eq!((watch.partial.capacity(), watch.behind.capacity()), (0, 0));
    assert!(size_of::<HeadWatch>() <= 192);
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_come_to_the_same(
        parts in prop::collection::vec(
            prop_oneof![
                prop::sample::select(vec![GET, POST, CHUNKED, OLD, FAULTY]).prop_map(|request| request.as_bytes().to_vec()),
                prop::sample::select(vec![
                    "GET / HTTP/1.1\r\n", "Host: a\r\n", "Content-Length: 7\r\n", "Transfer-Encoding: chunked\r\n",
                    "\r\n", "\n", "\r", " ", "2\r\n", "0\r\n", "xy",
                ])
                .prop_map(|piece| piece.as_bytes().to_vec()),
                any::<Vec<u8>>(),
            ],
            0..12,
        ),
        cuts: Vec<prop::sample::Index>,
    ) {
        let bytes = parts.concat();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).chain([0, bytes.len()]).collect();
        cuts.sort_unstable();
        let pieces: Vec<_> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
        prop_assert_eq!(heads(&pieces), heads(&[&bytes]));
        let (split, whole) = (fed(&pieces), fed(&[&bytes]));
        prop_assert_eq!(split.is_empty(), whole.is_empty());
        prop_assert_eq!(split.overflow(&LIMITS), whole.overflow(&LIMITS));
    }
}
