//! A gateway while the system has no thread to give. The limit is the process's: this file has nothing else.

mod support;

use std::{fs::File, io::ErrorKind, thread};

use rustix::{
    process::{Resource, Rlimit, Uid, getrlimit, getuid, setrlimit},
    thread::set_thread_res_uid,
};
use support::{Server, body_of, config};
use volador_gateway::GatewayError;
use volador_proto::link::{Request, ResponseBody, ToWorker};

/// From now on this thread, and those that it starts, can be refused a thread at all: root can't. Whether they are all that
/// their user has.
fn be_nobody() -> bool {
    let is_root = getuid().is_root();
    if is_root {
        // Users are a thread's own here. One that no machine has, and that a container knows.
        let nobody = Uid::from_raw(50_000 + std::process::id() % 10_000);
        set_thread_res_uid(nobody, nobody, nobody).unwrap();
    }
    is_root
}

/// How many threads there may be of this user.
fn limit(threads: Option<u64>) {
    let maximum = getrlimit(Resource::Nproc).maximum;
    setrlimit(Resource::Nproc, Rlimit { current: threads.or(maximum), maximum }).unwrap();
}

/// Answers by the path: from a file, or with the length of the body that came.
fn server() -> Result<Server, GatewayError> {
    let answer = |request: &Request| body_of(request).len().to_string();
    Server::try_start(config(), move |id, frame, answers| match frame {
        ToWorker::Request(request) if request.path() == b"/file" => {
            let fd = File::open("/dev/zero").unwrap().into();
            answers.response(id, 200, [], ResponseBody::File { fd, offset: 0, len: 300_000 });
        }
        ToWorker::Request(request) => answers.complete_response(id, 200, [], [answer(&request).as_bytes()]),
        _ => {}
    })
}

#[test]
fn whoever_starts_has_its_thread_for_files_and_needs_no_more() {
    if be_nobody() {
        // This one, the one that is the worker, and the shard's.
        limit(Some(3));
        let error = server().err().expect("it has a thread for files");
        assert!(matches!(&error, GatewayError::Start(error) if error.kind() == ErrorKind::WouldBlock), "{error}");
        limit(None);
    }
    let server = server().unwrap();
    limit(Some(0));
    assert!(thread::Builder::new().spawn(|| ()).is_err(), "there is a thread: there is no shortage");
    let mut clients = [(); 3].map(|()| server.connect());
    let body = "x".repeat(100_000);
    for _ in 0..3 {
        for client in &mut clients {
            client.send(format!("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        }
        for client in &mut clients {
            assert_eq!(client.reply().body, "100000");
            client.send("GET /file HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        for client in &mut clients {
            assert_eq!(client.reply().body.len(), 300_000);
        }
    }
}
