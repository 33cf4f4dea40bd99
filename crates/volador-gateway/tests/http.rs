//! HTTP/1.1 over real sockets, with a worker that is a closure: what the gateway does on its own.

mod support;

use std::{sync::Barrier, thread, time::Duration};

use support::{Server, body_of, config, eventually, text};
use volador_gateway::Config;
use volador_proto::link::{Request, ResponseBody, ToWorker};

/// Answers with the request line and the body.
fn echo(config: Config) -> Server {
    Server::answering(config, |request| {
        format!("{} {} {}", text(request.method()), text(request.path()), text(&body_of(request)))
    })
}

#[test]
fn keep_alive_serves_several_requests_in_order() {
    let server = echo(config());
    let mut client = server.connect();
    for n in 0..3 {
        let reply = client.send(format!("GET /{n}?q HTTP/1.1\r\nHost: a\r\n\r\n")).reply();
        assert_eq!((reply.status, reply.body), (200, format!("GET /{n} ")));
        assert!(reply.head.contains("x-by: worker\r\n"), "{}", reply.head);
    }
}

#[test]
fn pipelined_requests_are_answered_in_order_whatever_their_bodies() {
    let server = echo(config());
    let mut client = server.connect();
    client.send(
        "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n\
         POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\
         POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nwo\r\n3\r\nrld\r\n0\r\nA: b\r\n\r\n\
         \r\nGET /4 HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    for body in ["GET /1 ", "POST /2 hello", "POST /3 world", "GET /4 "] {
        assert_eq!(client.reply().body, body);
    }
    assert!(client.is_quiet());
}

#[test]
fn clients_that_vanish_before_their_answer_harm_nobody() {
    let server = echo(config());
    for _ in 0..20 {
        let mut clients: Vec<_> = (0..8).map(|_| server.connect()).collect();
        for client in &mut clients {
            client.send("GET /gone HTTP/1.1\r\nHost: a\r\n\r\nGET /gone HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        let mut stays = clients.pop().unwrap();
        drop(clients);
        assert_eq!([stays.reply().body, stays.reply().body], ["GET /gone ", "GET /gone "]);
    }
    eventually("they are gone", || server.gateway.stats().http_connections == 0);
}

#[test]
fn bad_requests_get_their_status_and_the_end_of_the_connection() {
    let server = echo(Config { body_max_bytes: 10, ..config() });
    let long = "x".repeat(9000);
    let fields = "a: b\r\n".repeat(101);
    let block = format!("a: {}\r\n", "y".repeat(40_000));
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n".to_owned(), 400),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
            400,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n".to_owned(),
            400,
        ),
        ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n".to_owned(), 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1x\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".to_owned(), 400),
        ("GE(T / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/3.7\r\nHost: a\r\n\r\n".to_owned(), 400),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n".to_owned(), 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\n".to_owned(), 400),
        ("GET http://a:1x/ HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nExpect: cake\r\n\r\n".to_owned(), 417),
        ("GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nExpect: cake\r\n\r\n".to_owned(), 417),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 505),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n".to_owned(), 413),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n0\r\n\r\n".to_owned(),
            413,
        ),
        (format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), 414),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"), 431),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{block}\r\n"), 431),
        ("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n".to_owned(), 501),
    ] {
        let shown = &request[..request.len().min(100)];
        let mut client = server.connect();
        // What follows must not be taken for a request.
        client.send(&request).send("GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
        let reply = client.reply();
        assert_eq!(reply.status, status, "{shown:?}: {reply:?}");
        assert_eq!(client.rest(), "", "{shown:?}");
    }
    eventually("every refusal is counted", || server.gateway.stats().refused_bad >= 26);
}

#[test]
fn http_2_is_answered_505_wherever_its_beginning_is_cut() {
    let server = echo(config());
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let get = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n";
    for cut in 1..=preface.len() {
        let mut client = server.connect();
        client.socket.set_nodelay(true).unwrap();
        assert_eq!(client.send(get).reply().body, "GET /1 ");
        client.send(&preface[..cut]);
        if cut < 12 {
            assert!(client.is_quiet(), "{cut}");
        }
        client.send(&preface[cut..]);
        assert_eq!(client.reply().status, 505, "{cut}");
        assert_eq!(client.rest(), "", "{cut}");
    }
    let mut client = server.connect();
    client.send(format!("{get}{preface}"));
    assert_eq!([client.reply().status, client.reply().status], [200, 505]);
}

#[test]
fn a_body_that_breaks_later_is_refused_by_one_answer() {
    let server = echo(config());
    for rest in ["zz\r\n", "0\r\nX: a\n\r\n", "0\r\n\n"] {
        let mut client = server.connect();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        assert!(client.is_quiet());
        client.send(rest);
        assert_eq!(client.reply().status, 400, "{rest:?}");
        assert_eq!(client.rest(), "", "{rest:?}");
    }
    assert_eq!(server.gateway.stats().refused_bad, 3);
}

#[test]
fn an_answer_to_a_refused_upload_can_be_read_while_the_client_still_sends() {
    let server = echo(Config { body_max_bytes: 10, ..config() });
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000\r\n\r\n");
    client.send(vec![b'x'; 4_000_000]);
    assert_eq!(client.reply().status, 413);
    assert_eq!(client.rest(), "");
}

#[test]
fn a_slow_head_gets_408_and_an_idle_connection_is_closed_silently() {
    let server = echo(Config {
        head_timeout: Duration::from_secs(1), // in which a busy machine gets a whole head across
        keep_alive_timeout: Duration::from_millis(200),
        ..config()
    });
    let mut slow = server.connect();
    assert_eq!(slow.send("GET / HT").reply().status, 408);
    assert_eq!(slow.rest(), "");
    let mut silent = server.connect();
    assert_eq!(silent.rest(), "");
    let mut idle = server.connect();
    assert_eq!(idle.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").reply().status, 200);
    assert_eq!(idle.rest(), "");
}

#[test]
fn a_slow_body_gets_408() {
    let server = echo(Config { head_timeout: Duration::from_secs(1), body_min_rate: 1_000_000, ..config() });
    let mut client = server.connect();
    let reply = client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe").reply();
    assert_eq!(reply.status, 408);
    assert_eq!(client.rest(), "");
}

#[test]
fn a_body_without_a_least_rate_may_take_any_time() {
    let server = echo(Config { head_timeout: Duration::from_millis(500), body_min_rate: 0, ..config() });
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n");
    assert!((0..8).all(|_| client.is_quiet()), "0.8 s, which is more than the start that a body is given");
    assert_eq!(client.send("hi").reply().body, "POST / hi");
}

#[test]
fn expect_100_continue_is_answered_before_the_body_unless_the_body_is_refused() {
    let server = echo(Config { body_max_bytes: 10, ..config() });
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.head().status, 100);
    assert_eq!(client.send("hi").reply().body, "POST / hi");
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.reply().status, 413);
}

#[test]
fn bodies_above_the_memory_limit_arrive_as_files() {
    let server = Server::answering(Config { body_memory_bytes: 1000, ..config() }, kind_of_body);
    for (len, answer) in [(0, "None 0"), (1000, "Inline 1000"), (1001, "File 1001"), (900_000, "File 900000")] {
        let mut client = server.connect();
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n"));
        assert_eq!(client.send(vec![b'x'; len]).reply().body, answer);
        client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        for chunk in vec![b'x'; len].chunks(700) {
            client.send(format!("{:x}\r\n", chunk.len())).send(chunk).send("\r\n");
        }
        assert_eq!(client.send("0\r\n\r\n").reply().body, answer);
    }
}

#[test]
fn a_file_has_its_body_in_order_whatever_the_chunks_are() {
    let sum = |bytes: &[u8]| bytes.iter().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add((*byte).into()));
    let config = Config { body_memory_bytes: 1000, ..config() };
    let server = Server::answering(config, move |request| format!("{:?}", sum(&body_of(request))));
    let body: Vec<u8> = (0..100_003_u32).flat_map(|n| n.to_le_bytes().into_iter().take(2)).collect();
    // Many of one byte, some that fill what is written at once or just do not, and large ones.
    for sizes in [&[1][..], &[1, 16_383, 16_384, 16_385], &[3, 70_000], &[200_000]] {
        let mut client = server.connect();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        let (mut rest, mut sizes) = (&body[..], sizes.iter().cycle());
        let mut bytes = Vec::new();
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
            bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            bytes.extend_from_slice(&[chunk, b"\r\n"].concat());
            rest = after;
        }
        assert_eq!(client.send(bytes).send("0\r\n\r\n").reply().body, sum(&body).to_string());
    }
}

/// How the body came, and how long it is.
fn kind_of_body(request: &Request) -> String {
    let kind = format!("{:?}", request.body);
    format!("{} {}", kind.split([' ', '(']).next().unwrap(), body_of(request).len())
}

#[test]
fn bodies_that_find_no_room_in_memory_beside_the_others_arrive_as_files() {
    let config = Config { body_memory_bytes: 1000, body_memory_total_bytes: 1500, shards: 2, ..config() };
    let server = Server::answering(config, kind_of_body);
    let post = |body: &str| format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\n{body}");
    let whole = "x".repeat(900);
    let mut other = server.connect();
    // A body that has not arrived yet, and one that comes meanwhile. Which of them is read first is the shards' business:
    // were it the second, it would be the first that finds no room.
    eventually("a body finds no room beside the one before it", || {
        let mut slow = server.connect();
        slow.send(post(&whole[..850]));
        let other = other.send(post(&whole)).reply().body;
        slow.send(&whole[850..]);
        (slow.reply().body, other) == ("Inline 900".into(), "File 900".into())
    });
    eventually("there is room again", || other.send(post(&whole)).reply().body == "Inline 900");
}

#[test]
fn http_10_gets_a_body_that_ends_with_the_connection() {
    let server = Server::start(config(), |id, frame, answers| {
        if let ToWorker::Request(request) = frame {
            assert!(request.http_10);
            answers.response(id, 200, [], ResponseBody::Stream);
            answers.chunk(id, b"one");
            answers.chunk(id, b"two");
            answers.end(id);
        }
    });
    let mut client = server.connect();
    let head = client.send("GET / HTTP/1.0\r\n\r\n").head();
    assert!(!head.head.contains("chunked"), "{}", head.head);
    assert_eq!(client.rest(), "onetwo");
}

#[test]
fn a_client_that_shuts_down_its_sending_side_still_gets_its_answer() {
    let server = echo(config());
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.socket.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(client.reply().status, 200);
    assert_eq!(client.rest(), "");
}

#[test]
fn a_full_queue_is_answered_503_with_retry_after() {
    let server = Server::start(Config { threads: 1, queue_max: 1, ..config() }, |_, _, _| ());
    let mut clients: Vec<_> = (0..2).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    eventually("two requests are with the worker", || server.gateway.stats().requests == 2);
    let reply = server.connect().send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").reply();
    assert_eq!(reply.status, 503);
    assert!(reply.head.contains("retry-after: 1\r\n"), "{}", reply.head);
    drop(clients);
}

#[test]
fn the_authority_of_an_absolute_target_replaces_host() {
    let server = Server::answering(config(), |request| {
        let host = request.fields.iter().find(|(name, _)| *name == b"host").map(|(_, value)| text(value));
        format!("{} {} {}", host.unwrap_or_default(), text(request.server_name()), text(request.path()))
    });
    let reply = server.connect().send("GET http://b.example:81/x HTTP/1.1\r\nHost: a\r\n\r\n").reply();
    assert_eq!(reply.body, "b.example:81 b.example /x");
}

#[test]
fn an_idle_connection_does_not_delay_a_drain() {
    let server = echo(config());
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").reply();
    server.gateway.drain();
    assert!(server.gateway.wait_drained(std::time::Instant::now() + Duration::from_secs(4))); // it may be idle for 5 s
    assert_eq!(client.rest(), "");
}

#[test]
fn a_socket_that_listens_already_is_served_and_named() {
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let path = std::env::temp_dir().join(format!("volador-inherited-{}", std::process::id()));
    let unix = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let address = format!("tcp://{}", tcp.local_addr().unwrap());
    let inherited = vec![std::sync::Arc::new(tcp.into()), std::sync::Arc::new(unix.into())];
    let server = Server::answering(Config { bind: Vec::new(), inherited, ..config() }, |_| "hello".to_owned());
    assert_eq!(server.gateway.addresses(), [address, format!("unix://{}", path.display())]);
    assert_eq!(server.connect().send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").reply().body, "hello");
    drop(server);
    // The file is whoever's who made it.
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn shards_that_clients_come_to_at_once_serve_no_more_than_connections_max_together() {
    const SHARDS: u64 = 4;
    for _ in 0..100 {
        let server = echo(Config { connections_max: 3, shards: SHARDS as u8, ..config() });
        let start = Barrier::new(50);
        let connect = || {
            start.wait();
            server.connect()
        };
        let _clients: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..50).map(|_| scope.spawn(connect)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        // One of them may have had two: when shards are in each other's way over the last place both wait, then one of them
        // serves its client, and the next one there waits.
        eventually("each shard has a client that waits", || server.gateway.stats().accept_waits >= SHARDS);
        eventually("as many are served as may be", || {
            let stats = server.gateway.stats();
            assert!(stats.accepted <= 3, "{} are served", stats.accepted);
            stats.accepted == 3
        });
    }
}

#[test]
fn clients_beyond_connections_max_wait_until_others_leave() {
    let server = echo(Config { connections_max: 3, shards: 2, ..config() });
    let mut clients: Vec<_> = (0..3).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").reply().status, 200);
    }
    let mut late = server.connect();
    late.send("GET /late HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("it waits", || server.gateway.stats().accept_waits == 1);
    assert!(late.is_quiet() && clients[0].send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").reply().status == 200);
    drop(clients.pop());
    assert_eq!(late.reply().body, "GET /late ");
    let stats = server.gateway.stats();
    assert_eq!((stats.accepted, stats.http_connections, stats.accept_waits), (4, 3, 1));
}
