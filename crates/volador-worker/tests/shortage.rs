//! A worker while more descriptors are on their way than the system allows.

#[path = "../../volador-link/tests/support/shortage.rs"]
mod shortage;

use std::{
    fs::File,
    os::unix::net::{UnixListener, UnixStream},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use shortage::Shortage;
use volador_link::{Incoming, Outgoing, Sent};
use volador_proto::link::{Batch, Frames, Hello, RequestBody, RequestHead, ResponseBody, StreamId, ToGateway};
use volador_worker::{Options, Remote, Seat, Taken, Worker};

const DEADLINE: Duration = Duration::from_secs(20);

fn options() -> Options {
    Options {
        window_bytes: 10,
        spool_max_bytes: 20,
        tmpdir: std::env::temp_dir(),
        block_queue_max_bytes: 10_000,
        ping_interval: Duration::from_secs(30),
        heartbeat_interval: Duration::from_secs(15),
    }
}

fn id(slot: u32) -> StreamId {
    StreamId::new(0, 1, slot)
}

/// A worker, and its gateway's end of the link, where these requests come from.
fn joined(requests: u32) -> (Arc<Worker>, Remote, UnixStream) {
    let path = std::env::temp_dir().join(format!("volador-shortage-{}", std::process::id()));
    let listener = UnixListener::bind(&path).unwrap();
    let gateway = thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        Incoming::new().receive(&socket, true).unwrap();
        let (mut batch, mut outgoing) = (Batch::new(), Outgoing::new());
        batch.welcome(1, File::open("/dev/null").unwrap().into());
        let head = RequestHead {
            transport: None,
            tls: false,
            http_10: false,
            method: b"GET",
            path: b"/",
            query: b"",
            remote_addr: b"",
            server_name: b"localhost",
            server_port: b"80",
        };
        (0..requests).for_each(|slot| batch.request(id(slot), &head, [], RequestBody::None));
        outgoing.push(batch);
        assert_eq!(outgoing.send(&socket).unwrap(), Sent::All);
        socket
    });
    let worker = Arc::new(Worker::new(options()));
    let hello = Hello { shard: 0, number: 1, generation: 1, threads: 1 };
    let remote = Remote::join(worker.clone(), &path, hello, |fd| Ok(Box::new(File::from(fd)))).unwrap();
    std::fs::remove_file(&path).unwrap();
    (worker, remote, gateway.join().unwrap())
}

fn take(seat: &mut Seat) {
    let until = Instant::now() + DEADLINE;
    while !matches!(seat.take(), Taken::Request(_)) {
        assert!(Instant::now() < until, "the request never comes");
        thread::yield_now();
    }
}

#[test]
fn answers_that_can_not_be_sent_for_want_of_descriptors_on_their_way_are_sent_later_and_in_order() {
    Shortage::expect();
    let (worker, remote, gateway) = joined(2);
    let mut seat = worker.seat();
    let shortage = Shortage::begin();
    take(&mut seat);
    seat.respond_file(200, [], File::open("/dev/zero").unwrap().into(), 0, 5);
    remote.beat();
    take(&mut seat);
    seat.respond(201, [], [&b"behind it"[..]]);
    remote.beat();
    let (mut incoming, mut statuses) = (Incoming::new(), Vec::new());
    gateway.set_read_timeout(Some(Duration::from_millis(60))).unwrap();
    assert!(incoming.receive(&gateway, true).is_err(), "something could be sent: there is no shortage");
    drop(shortage);
    gateway.set_read_timeout(Some(DEADLINE)).unwrap();
    while statuses.len() < 2 {
        incoming.receive(&gateway, true).expect("the answers arrive in time");
        let each = |frames: &mut Frames| {
            while let Some(frame) = ToGateway::next(frames) {
                if let (stream, ToGateway::Response(response)) = frame? {
                    statuses.push((
                        stream,
                        response.status,
                        matches!(response.body, ResponseBody::File { len: 5, .. }),
                    ));
                }
            }
            Ok(())
        };
        incoming.take(each).unwrap();
    }
    assert_eq!(statuses, [(id(0), 200, true), (id(1), 201, false)]);
    remote.leave(Duration::ZERO);
}
