//! The application's answers over real sockets, with a worker that is a closure: whole, streamed, from a file, or given up.

mod support;

use std::{
    io::{ErrorKind, Read, Write},
    time::{Duration, Instant},
};

use support::{DEADLINE, Server, config, eventually, text};
use volador_gateway::Config;
use volador_proto::link::{ResponseBody, ToWorker};

#[test]
fn answer_has_the_fields_of_the_application_and_none_of_the_request() {
    let server = Server::start(config(), |id, frame, answers| {
        if let ToWorker::Request(_) = frame {
            answers.complete_response(id, 200, [(&b"set-cookie"[..], &b"a"[..]), (b"set-cookie", b"b")], [&b"hi"[..]]);
        }
    });
    let mut client = server.connect();
    for _ in 0..2 {
        let reply = client.send("GET / HTTP/1.1\r\nHost: a\r\nCookie: secret\r\nX-One: 1\r\nX-One: 2\r\n\r\n").reply();
        let mut fields: Vec<_> = reply.head.lines().skip(1).filter(|line| !line.starts_with("date: ")).collect();
        fields.sort_unstable();
        assert_eq!(fields, ["", "content-length: 2", "set-cookie: a", "set-cookie: b"]);
    }
}

#[test]
fn more_fields_than_an_answer_can_have_are_a_502_and_a_drain_ends() {
    let server = Server::start(config(), |id, frame, answers| {
        if let ToWorker::Request(request) = frame {
            let fields: usize = text(&request.path()[1..]).parse().unwrap();
            answers.complete_response(id, 200, (0..fields).map(|_| (&b"x"[..], &b"y"[..])), []);
        }
    });
    for (fields, status) in [(24_000, 200), (25_000, 502)] {
        let reply = server.connect().send(format!("GET /{fields} HTTP/1.1\r\nHost: a\r\n\r\n")).reply();
        assert_eq!(reply.status, status, "{fields} fields");
    }
    eventually("the connection is gone", || server.gateway.stats().http_connections == 0);
    server.gateway.drain();
    assert!(server.gateway.wait_drained(Instant::now() + DEADLINE));
}

/// Small answers of a turn leave together. Many of them are more than a socket takes.
#[test]
fn answers_that_sockets_do_not_take_at_once_arrive_whole_and_in_order() {
    const REQUESTS: usize = 4_000;
    let filler = "x".repeat(3_800);
    let server = Server::answering(config(), move |request| format!("{} {filler}", text(request.path())));
    let mut clients: Vec<_> = (0..4).map(|_| server.connect()).collect();
    // By parts, so that each has its turns among the others; nobody reads meanwhile.
    for part in 0..REQUESTS / 20 {
        for (number, client) in clients.iter_mut().enumerate() {
            let requests: String =
                (0..20).map(|n| format!("GET /{number}/{} HTTP/1.1\r\nHost: a\r\n\r\n", part * 20 + n)).collect();
            client.send(requests);
        }
    }
    for (number, client) in clients.iter_mut().enumerate() {
        for n in 0..REQUESTS {
            let body = client.reply().body;
            assert!(
                body.len() > 3_800 && body.starts_with(&format!("/{number}/{n} ")),
                "{number} {n}: {}",
                &body[..20]
            );
        }
        assert!(client.is_quiet());
    }
}

#[test]
fn small_answers_before_a_large_one_and_before_an_upgrade_keep_their_place() {
    let server = Server::answering(config(), |request| {
        let path = text(request.path());
        if path == "/large" { "y".repeat(100_000) } else { path }
    });
    let mut client = server.connect();
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    client.send(["/1", "/2", "/large", "/3"].map(get).concat() + "BAD\r\n\r\n");
    let bodies = [(); 4].map(|()| client.reply().body);
    assert_eq!(bodies.map(|body| body.len()), [2, 2, 100_000, 2]);
    assert_eq!(client.reply().status, 400);
    assert_eq!(client.rest(), "");
}

#[test]
fn a_streamed_answer_is_flushed_chunk_by_chunk_and_an_aborted_one_is_seen_as_cut() {
    let server = Server::start(config(), |id, frame, answers| match frame {
        ToWorker::Request(_) => {
            answers.response(id, 200, [], ResponseBody::Stream);
            answers.chunk(id, b"first");
        }
        // The client has the first chunk.
        ToWorker::Credit(5) => answers.abort(id),
        other => panic!("{other:?}"),
    });
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").head();
    assert_eq!(client.rest(), "5\r\nfirst\r\n");
}

/// An unlinked file with this content, its position at its end.
fn file(content: &[u8]) -> std::fs::File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    file
}

#[test]
fn a_spilled_answer_is_read_from_its_file_between_its_chunks_and_every_byte_is_credited() {
    let (credits, credited) = std::sync::mpsc::channel();
    let server = Server::start(config(), move |id, frame, answers| match frame {
        ToWorker::Request(_) => {
            answers.response(id, 200, [], ResponseBody::Stream);
            answers.chunk(id, b"chunk,");
            answers.spill(id, file(b"spilled, and more,").into());
            answers.spilled(id, 8);
            answers.spilled(id, 18);
            answers.spill(id, file(b"again").into());
            answers.spilled(id, 5);
            answers.end(id);
        }
        ToWorker::Credit(bytes) => credits.send(bytes).unwrap(),
        _ => {}
    });
    let reply = server.connect().send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").reply();
    assert_eq!(reply.body, "chunk,spilled, and more,again");
    let mut sum = 0;
    while sum < 29 {
        sum += credited.recv_timeout(support::DEADLINE).unwrap();
    }
    assert_eq!(sum, 29);
}

#[test]
fn a_file_answer_is_sent_from_its_offset_with_its_length() {
    let server = Server::start(config(), |id, frame, answers| {
        if let ToWorker::Request(_) = frame {
            let file = file(&[b"skipped".to_vec(), vec![b'x'; 300_000]].concat());
            answers.response(id, 200, [], ResponseBody::File { fd: file.into(), offset: 7, len: 300_000 });
        }
    });
    let mut client = server.connect();
    for _ in 0..2 {
        let reply = client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").reply();
        assert!(reply.head.contains("content-length: 300000\r\n") && reply.body.bytes().all(|b| b == b'x'));
    }
}

#[test]
fn a_file_that_is_shorter_than_its_answer_cuts_the_connection() {
    let server = Server::start(config(), |id, frame, answers| {
        if let ToWorker::Request(_) = frame {
            let fd = file(b"short").into();
            answers.response(id, 200, [], ResponseBody::File { fd, offset: 0, len: 100 });
        }
    });
    let mut client = server.connect();
    assert!(client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").head().head.contains("content-length: 100\r\n"));
    // What was read before the fault may or may not have gone out.
    assert!("short".starts_with(&client.rest()));
}

#[test]
fn a_client_that_takes_nothing_of_its_answer_is_cut_off_and_the_worker_told() {
    let (events, happened) = std::sync::mpsc::channel();
    let server =
        Server::start(Config { write_timeout: Duration::from_millis(200), ..config() }, move |id, frame, answers| {
            match frame {
                ToWorker::Request(_) => {
                    answers.response(id, 200, [], ResponseBody::Stream);
                    for _ in 0..200 {
                        answers.chunk(id, &[b'x'; 65536]);
                    }
                }
                ToWorker::Cancel => events.send(()).unwrap(),
                _ => {}
            }
        });
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(happened.recv_timeout(support::DEADLINE), Ok(()));
    eventually("the connection is gone", || server.gateway.stats().http_connections == 0);
}

#[test]
fn head_answers_have_the_length_and_no_body() {
    let server = Server::start(config(), |id, frame, answers| {
        if let ToWorker::Request(_) = frame {
            answers.complete_response(id, 200, [(&b"content-length"[..], &b"5"[..])], []);
        }
    });
    let mut client = server.connect();
    let head = client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").head();
    assert!(head.head.contains("content-length: 5\r\n"), "{}", head.head);
    assert_eq!(client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").head().status, 200);
}

#[test]
fn a_request_that_is_given_up_before_its_answer_gets_502_and_frees_its_place() {
    let server = Server::start(Config { threads: 1, queue_max: 1, ..config() }, |id, frame, answers| {
        if let ToWorker::Request(_) = frame {
            answers.abort(id);
        }
    });
    for _ in 0..3 {
        assert_eq!(server.connect().send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").reply().status, 502);
    }
}

#[test]
fn an_answer_that_is_given_up_after_its_head_is_seen_as_cut_and_not_as_none() {
    let server = Server::start(config(), |id, frame, answers| {
        if let ToWorker::Request(_) = frame {
            answers.response(id, 200, [(&b"content-length"[..], &b"5"[..])], ResponseBody::Stream);
            answers.chunk(id, b"abc");
            answers.abort(id);
        }
    });
    let mut client = server.connect();
    assert_eq!(client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").head().status, 200);
    assert_eq!(client.rest(), "abc");
}

#[test]
fn an_answer_that_ends_with_its_connection_is_not_taken_for_whole_when_it_is_given_up() {
    let server = Server::start(config(), |id, frame, answers| {
        if let ToWorker::Request(_) = frame {
            answers.response(id, 200, [], ResponseBody::Stream);
            answers.chunk(id, b"half");
            answers.abort(id);
        }
    });
    let mut client = server.connect();
    client.send("GET / HTTP/1.0\r\n\r\n");
    let mut answer = Vec::new();
    let error = client.socket.read_to_end(&mut answer).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{}", text(&answer));
}
