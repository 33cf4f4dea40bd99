//! Connections that the application has taken: bytes go to and fro, ends are passed on, and nothing is lost.

mod support;

use std::{
    io::{ErrorKind, Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    sync::{
        Mutex,
        mpsc::{Receiver, channel},
    },
    thread,
    time::{Duration, Instant},
};

use support::{Client, DEADLINE, Server, config, eventually};
use volador_gateway::Config;
use volador_proto::link::ToWorker;

/// A server that answers /plain, and gives every other connection away.
fn start(config: Config) -> (Server, Receiver<UnixStream>) {
    let (taken, tunnels) = channel();
    let taken = Mutex::new(taken);
    let server = Server::start(config, move |id, frame, answers| {
        let ToWorker::Request(request) = frame else { return };
        if request.path() == b"/plain" {
            return answers.complete_response(id, 200, [], [&b"plain"[..]]);
        }
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(DEADLINE)).unwrap();
        ours.set_write_timeout(Some(DEADLINE)).unwrap();
        taken.lock().unwrap().send(ours).unwrap();
        answers.tunnel(
            id,
            theirs.into(),
            request.fields.iter().find(|(name, _)| *name == b"x-first").map_or(b"", |(_, value)| value),
        );
    });
    (server, tunnels)
}

fn taken(head: &str) -> (Server, Client, UnixStream) {
    taken_by(config(), head)
}

fn taken_by(config: Config, head: &str) -> (Server, Client, UnixStream) {
    let (server, tunnels) = start(config);
    let mut client = server.connect();
    client.send(head);
    let application = tunnels.recv_timeout(DEADLINE).unwrap();
    (server, client, application)
}

const BRIEF: Duration = Duration::from_millis(200);

const TAKE: &str = "GET /take HTTP/1.1\r\nHost: a\r\n\r\n";

fn read(socket: &mut UnixStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    socket.read_exact(&mut bytes).unwrap();
    bytes
}

fn is_over(server: &Server) {
    eventually("the tunnel is gone", || server.gateway.stats().hijacked_connections == 0);
}

#[test]
fn bytes_go_both_ways_as_they_are() {
    let (server, mut client, mut application) = taken(TAKE);
    application.write_all(b"not HTTP\n").unwrap();
    assert_eq!(client.take(9), b"not HTTP\n");
    assert_eq!(server.gateway.stats().hijacked_connections, 1);
    assert_eq!(server.gateway.stats().http_connections, 0);
    client.send(b"\0\xff\r\n");
    assert_eq!(read(&mut application, 4), b"\0\xff\r\n");

    let large: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let (mut socket, mut same) = (client.socket.try_clone().unwrap(), application.try_clone().unwrap());
    thread::scope(|scope| {
        scope.spawn(|| application.write_all(&large).unwrap());
        scope.spawn(|| socket.write_all(&large).unwrap());
        scope.spawn(|| assert!(read(&mut same, large.len()) == large));
        assert!(client.take(large.len()) == large);
    });
}

#[test]
fn what_the_answer_says_goes_first() {
    let (_server, mut client, mut application) = taken("GET /take HTTP/1.1\r\nHost: a\r\nX-First: first\r\n\r\n");
    application.write_all(b"second").unwrap();
    assert_eq!(client.take(11), b"firstsecond");
}

#[test]
fn what_arrives_with_the_request_is_not_lost() {
    let (_server, mut client, mut application) = taken(&format!("{TAKE}GET /plain HTTP/1.1\r\n"));
    client.send("and more");
    assert_eq!(read(&mut application, 29), b"GET /plain HTTP/1.1\r\nand more");
}

#[test]
fn an_answer_before_it_is_sent_first() {
    let (_server, mut client, mut application) = taken(&format!("GET /plain HTTP/1.1\r\nHost: a\r\n\r\n{TAKE}"));
    application.write_all(b"raw").unwrap();
    assert_eq!(client.reply().body, "plain");
    assert_eq!(client.take(3), b"raw");
}

#[test]
fn the_clients_end_is_passed_on_and_the_application_has_the_last_word() {
    let (server, mut client, mut application) = taken(TAKE);
    client.send("question").socket.shutdown(Shutdown::Write).unwrap();
    let mut question = String::new();
    application.read_to_string(&mut question).unwrap();
    assert_eq!(question, "question");
    application.write_all(b"answer").unwrap();
    drop(application);
    assert_eq!(client.rest(), "answer");
    is_over(&server);
}

#[test]
fn the_applications_end_is_passed_on_and_the_client_has_the_last_word() {
    let (server, mut client, mut application) = taken(TAKE);
    application.write_all(b"question").unwrap();
    application.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.rest(), "question");
    client.send("answer").socket.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    application.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "answer");
    is_over(&server);
}

#[test]
fn a_client_that_goes_on_sending_can_read_what_the_application_wrote_before_it_closed() {
    let (server, mut client, mut application) = taken(TAKE);
    client.send("unread");
    application.write_all(b"bye").unwrap();
    drop(application);
    client.send("more of it");
    assert_eq!(client.rest(), "bye");
    is_over(&server);
}

#[test]
fn all_that_the_application_wrote_arrives_though_it_closes_without_reading_all() {
    let (server, mut client, mut application) = taken(TAKE);
    client.send("close");
    // It has arrived.
    application.set_read_timeout(None).unwrap();
    eventually("something to read", || rustix::io::ioctl_fionread(&application).is_ok_and(|waiting| waiting == 5));
    let large = vec![7; 1_500_000];
    thread::scope(|scope| {
        scope.spawn(move || {
            application.write_all(&vec![7; 1_500_000]).unwrap();
            drop(application);
        });
        let mut peeked = [0];
        assert_eq!(client.socket.peek(&mut peeked).unwrap(), 1);
        client.send("more");
        assert!(client.take(large.len()) == large);
    });
    assert_eq!(client.rest(), "");
    is_over(&server);
}

#[test]
fn a_client_that_stays_does_not_keep_what_the_application_has_closed() {
    for half_first in [false, true] {
        let (server, mut client, application) = taken(TAKE);
        if half_first {
            application.shutdown(Shutdown::Write).unwrap();
            assert_eq!(client.rest(), "");
            assert_eq!(server.gateway.stats().hijacked_connections, 1);
        }
        drop(application);
        is_over(&server);
        drop(client);
    }
}

#[test]
fn a_client_that_is_gone_is_an_end_to_read_and_an_error_to_write() {
    let (server, mut client, mut application) = taken(TAKE);
    application.write_all(b"unread").unwrap();
    assert!(client.fill());
    drop(client);
    assert_eq!(application.read(&mut [0; 9]).unwrap(), 0);
    let error = loop {
        if let Err(error) = application.write_all(&[0; 4096]) {
            break error;
        }
    };
    assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error}");
    is_over(&server);
}

#[test]
fn a_client_that_does_not_read_makes_the_application_wait() {
    let (_server, mut client, mut application) = taken(TAKE);
    application.set_nonblocking(true).unwrap();
    let mut written = 0;
    eventually("it has to wait", || match application.write(&[7; 65536]) {
        Ok(len) => {
            written += len;
            false
        }
        // Also the second time: all that there is room for is on its way.
        Err(error) => {
            error.kind() == ErrorKind::WouldBlock && client.socket.peek(&mut [0]).is_ok() && written > 1 << 20
        }
    });
    drop(application);
    let mut received = 0;
    while client.fill() {
        received += std::mem::take(&mut client.buf).len();
    }
    assert_eq!(received, written);
}

#[test]
fn a_client_that_does_not_read_is_cut_off_once_the_application_is_gone() {
    let (server, client, mut application) = taken_by(Config { write_timeout: BRIEF, ..config() }, TAKE);
    application.set_nonblocking(true).unwrap();
    let mut waits_since = None;
    // The application may wait for longer than an answer may.
    eventually("it has waited", || match application.write(&[7; 65536]) {
        Ok(_) => {
            waits_since = None;
            false
        }
        Err(_) => waits_since.get_or_insert_with(Instant::now).elapsed() > 3 * BRIEF,
    });
    assert_eq!(server.gateway.stats().hijacked_connections, 1);
    drop(application);
    is_over(&server);
    drop(client);
}

#[test]
fn a_client_that_has_left_before_is_an_end() {
    let (server, tunnels) = start(config());
    let mut client = server.connect();
    client.send(TAKE);
    drop(client);
    let mut application = tunnels.recv_timeout(DEADLINE).unwrap();
    assert_eq!(application.read(&mut [0; 9]).unwrap(), 0);
    drop(application);
    is_over(&server);
}

#[test]
fn a_drain_waits_for_an_answer_that_the_application_writes_itself() {
    let head = "HTTP/1.1 200 OK";
    let (server, mut client, mut application) = taken(&format!("GET / HTTP/1.1\r\nHost: a\r\nX-First: {head}\r\n\r\n"));
    assert_eq!(client.take(head.len()), head.as_bytes());
    server.gateway.drain();
    assert!(!server.gateway.wait_drained(Instant::now() + BRIEF));
    application.write_all(b"the rest").unwrap();
    drop(application);
    assert_eq!(client.rest(), "the rest");
    drop(client);
    assert!(server.gateway.wait_drained(Instant::now() + DEADLINE));
}

#[test]
fn a_drain_does_not_wait_for_the_application_but_ends_its_connections() {
    let (mut server, mut client, mut application) = taken(TAKE);
    eventually("it is taken", || server.gateway.stats().hijacked_connections == 1);
    server.gateway.drain();
    assert!(server.gateway.wait_drained(Instant::now() + DEADLINE));
    // A thread of the application may wait for it.
    assert_eq!(application.read(&mut [0; 9]).unwrap(), 0);
    assert_eq!(client.rest(), "");
    server.gateway.stop();
}
