//! Handlers that move from worker to worker, step by step.

use volador_proto::link::{Interest, Resumed, StreamId, ToWorker};

use super::{
    Client,
    cluster::{Cluster, Worker},
    config,
};

pub const TEXT: u8 = 0x81;
pub const CLOSE: u8 = 0x88;

/// A worker that serves, and a WebSocket with a handler in it.
pub fn opened(interest: Option<Interest>) -> (Cluster, Worker, Client, StreamId) {
    let cluster = Cluster::start(config());
    let mut worker = cluster.worker(1, 1, 1);
    cluster.gateway.promote(1);
    let (client, id) = open(&cluster, &mut worker, interest);
    (cluster, worker, client, id)
}

pub fn open(cluster: &Cluster, worker: &mut Worker, interest: Option<Interest>) -> (Client, StreamId) {
    let mut client = cluster.connect();
    client.send(
        "GET /ws?a=b HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nCookie: c=1\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    );
    let (id, _) = worker.request();
    worker.send(|batch| batch.upgrade(id, interest, []));
    assert_eq!(client.head().status, 101);
    (client, id)
}

/// A worker of the second generation, which serves.
pub fn deployed(cluster: &Cluster) -> Worker {
    let worker = cluster.worker(1, 2, 1);
    cluster.gateway.promote(2);
    worker
}

pub fn asked_to_hand_over(old: &mut Worker, id: StreamId) {
    assert!(matches!(old.next(), (asked, ToWorker::HandOver) if asked == id));
}

/// The replayed request, with what the former handler left.
pub fn replayed(new: &mut Worker, id: StreamId, state: Option<&str>) {
    let (replayed, request) = new.request();
    assert_eq!(replayed, id);
    assert_eq!(
        request.resumed.as_ref().map(|Resumed { state, .. }| state.clone()),
        Some(state.map(|state| state.to_owned().into()))
    );
    assert_eq!((request.path(), request.query()), (&b"/ws"[..], &b"a=b"[..]));
    assert!(request.fields.iter().any(|field| field == (b"cookie", b"c=1")));
}

pub fn accept(new: &mut Worker, id: StreamId) {
    new.send(|batch| batch.upgrade(id, Interest::MESSAGES, []));
    assert!(matches!(new.next(), (resumed, ToWorker::Resume) if resumed == id));
}

/// The handler is told the end, and the worker says so.
pub fn is_told_the_end(worker: &mut Worker, id: StreamId) {
    assert!(matches!(worker.next(), (closed, ToWorker::Gone { .. }) if closed == id));
    worker.send(|batch| batch.ended(id));
}

pub fn is_released(old: &mut Worker, id: StreamId) {
    assert!(matches!(old.next(), (released, ToWorker::Release) if released == id));
}
