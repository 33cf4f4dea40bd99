//! A gateway that has no descriptor left to send a request's body with. The limit is the process's: this file has nothing
//! else.

mod support;

use std::fs::File;

use rustix::process::{Resource, Rlimit, setrlimit};
use support::{cluster::Cluster, config, eventually};

#[test]
fn a_request_whose_body_can_not_be_sent_to_a_worker_is_a_503_and_those_beside_it_are_sent() {
    let limit = Rlimit { current: Some(256), maximum: Some(256) };
    setrlimit(Resource::Nofile, limit).unwrap();
    let cluster = Cluster::start(config());
    let mut worker = cluster.worker(1, 1, 8);
    let (mut upload, mut plain) = (cluster.connect(), cluster.connect());
    let body = "x".repeat(100_000);
    upload.send(format!("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    eventually("the upload is in", || cluster.stat("requests") == 1);
    plain.send("GET /beside-it HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("both are in", || cluster.stat("requests") == 2);
    let held: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    cluster.gateway.promote(1);

    let reply = upload.reply();
    assert!(reply.status == 503 && reply.head.contains("retry-after: 1"), "{reply:?}");
    let (id, request) = worker.request();
    assert_eq!(request.path(), b"/beside-it");
    worker.answer(id, "sent");
    assert_eq!(plain.reply().body, "sent");
    drop(held);
}
