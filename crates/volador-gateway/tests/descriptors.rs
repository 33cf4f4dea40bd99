//! A gateway that has next to no descriptors left for what comes over a link. The limit is the process's: this file has
//! nothing else.

mod support;

use std::{fs::File, os::fd::AsRawFd, os::unix::net::UnixStream};

use rustix::process::{Resource, Rlimit, setrlimit};
use support::{cluster::Cluster, config};
use volador_proto::link::{ResponseBody, ToWorker};

/// Of these 8 are not for files.
const LIMIT: u64 = 128;

fn null() -> File {
    File::open("/dev/null").unwrap()
}

#[test]
fn an_answer_that_comes_with_one_descriptor_too_many_ends_and_its_worker_stays() {
    let limit = |current| setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum: Some(256) }).unwrap();
    limit(256);
    let cluster = Cluster::start(config());
    let mut worker = cluster.worker(1, 1, 8);
    cluster.gateway.promote(1);
    let mut held = vec![null()];
    while held.last().unwrap().as_raw_fd() < LIMIT as i32 {
        held.push(null());
    }
    // Whatever is opened from here on leaves no number, when it is closed, that the gateway could have.
    let mut clients = [(); 4].map(|()| cluster.connect());
    let [whole, spilled, taken, later] = clients.each_mut().map(|client| {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        worker.request().0
    });
    let file = || ResponseBody::File { fd: File::open("/dev/zero").unwrap().into(), offset: 0, len: 3 };
    let (whole_file, spill, socket) = (file(), null(), UnixStream::pair().unwrap().0);
    held.retain(|one| one.as_raw_fd() < LIMIT as i32 - 8);
    limit(LIMIT);
    worker.send(|batch| {
        batch.response(whole, 200, [], whole_file);
        batch.response(spilled, 200, [], ResponseBody::Stream);
        batch.chunk(spilled, b"what came before");
        batch.spill(spilled, spill.into());
        batch.tunnel(taken, socket.into(), b"");
        batch.end(taken);
    });
    assert_eq!(clients[0].reply().status, 502);
    let cut = clients[1].rest();
    assert!(cut.contains("what came before") && !cut.ends_with("0\r\n\r\n"), "{cut}");
    assert_eq!(clients[2].reply().status, 502);
    // Whoever writes there is told.
    while !matches!(worker.next(), (id, ToWorker::Cancel) if id == spilled) {}
    worker.send(|batch| batch.abort(spilled));

    drop(held);
    worker.send(|batch| batch.response(later, 200, [], file()));
    assert_eq!(clients[3].reply().body, "\0\0\0");
    assert_eq!((cluster.state(1, 1), cluster.stat("lost_requests")), ("serving", 0));
    assert_eq!(cluster.gateway.workers()[0].in_flight, 0);
}
