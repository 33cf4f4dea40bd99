//! A gateway that has no descriptor at all for a client. The limit is the process's: this file has nothing else.

mod support;

use std::{fs::File, os::fd::AsRawFd, time::Duration};

use rustix::process::{Resource, Rlimit, setrlimit};
use support::{Server, config, eventually};

#[test]
fn a_rest_counts_once_when_the_system_has_no_descriptor_for_a_client() {
    let limit = |current| setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum: Some(256) }).unwrap();
    limit(256);
    let server = Server::answering(config(), |_| "hello".to_owned());
    let mut early = server.connect();
    assert_eq!(early.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").reply().body, "hello");
    // Those up to the limit are all taken, but for the client's own.
    let mut held = vec![File::open("/dev/null").unwrap()];
    while held.last().unwrap().as_raw_fd() < 128 {
        held.push(File::open("/dev/null").unwrap());
    }
    drop(held.pop());
    limit(held.last().unwrap().as_raw_fd() as u64 + 2);
    let mut late = server.connect();
    late.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("it waits", || server.gateway.stats().accept_waits > 0);
    // Several more tries.
    std::thread::sleep(Duration::from_millis(350));
    assert_eq!(server.gateway.stats().accept_waits, 1);
    assert_eq!(early.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").reply().body, "hello");
    limit(256);
    assert_eq!(late.reply().body, "hello");
    assert_eq!((server.gateway.stats().accept_waits, server.gateway.stats().accepted), (1, 2));
}
