//! A gateway that has no descriptor left for what comes over a link. The limit is the process's: this file has nothing
//! else.

mod support;

use std::{
    fs::File,
    os::{fd::AsRawFd, unix::net::UnixStream},
};

use rustix::process::{Resource, Rlimit, setrlimit};
use support::{cluster::Cluster, config};
use volador_proto::link::{ResponseBody, ToWorker};

#[test]
fn answers_that_lose_their_descriptor_on_the_way_end_and_nothing_else_does() {
    let limit = |current| setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum: Some(256) }).unwrap();
    limit(256);
    let cluster = Cluster::start(config());
    let mut worker = cluster.worker(1, 1, 8);
    cluster.gateway.promote(1);
    let file = || File::open("/dev/zero").unwrap();
    let mut held = vec![file()];
    while held.last().unwrap().as_raw_fd() < 200 {
        held.push(file());
    }
    // Whatever is opened from here on leaves no number, when it is closed, that the gateway could have.
    let mut clients = [(); 5].map(|()| cluster.connect());
    let [lost, spilled, taken, plain, later] = clients.each_mut().map(|client| {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        worker.request().0
    });
    let body = |file: File| ResponseBody::File { fd: file.into(), offset: 0, len: 3 };
    let (first, second, socket) = (file(), file(), UnixStream::pair().unwrap().0);
    limit(200);
    worker.send(|batch| {
        batch.response(lost, 200, [], body(first));
        batch.response(spilled, 200, [], ResponseBody::Stream);
        batch.chunk(spilled, b"what came before");
        batch.spill(spilled, second.into());
        batch.tunnel(taken, socket.into(), b"");
        batch.end(taken);
        batch.complete_response(plain, 200, [], [&b"plain"[..]]);
    });
    assert_eq!(clients[0].reply().status, 502);
    let cut = clients[1].rest();
    assert!(cut.contains("what came before") && !cut.ends_with("0\r\n\r\n"), "{cut}");
    assert_eq!(clients[2].reply().status, 502);
    assert_eq!(clients[3].reply().body, "plain");
    // Whoever writes there is told.
    while !matches!(worker.next(), (id, ToWorker::Cancel) if id == spilled) {}
    worker.send(|batch| batch.abort(spilled));

    drop(held);
    worker.send(|batch| batch.response(later, 200, [], body(file())));
    assert_eq!(clients[4].reply().body, "\0\0\0");
    assert_eq!((cluster.state(1, 1), cluster.stat("lost_requests")), ("serving", 0));
    assert_eq!(cluster.gateway.workers()[0].in_flight, 0);
}
