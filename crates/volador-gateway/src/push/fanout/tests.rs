//! Here and not in `tests/`, which has no message that can't be encoded.

use std::sync::mpsc::{self, Receiver};

use volador_proto::link::{Batch, Interest, Match, Payload, StreamId, ToWorker};

use self::support::{Client, DEADLINE, Server, cluster, config, eventually};
use crate::push::message::FAULT;

#[path = "../../../tests/support/mod.rs"]
mod support;

const TEXT: u8 = 0x81;

fn start() -> (Server, Receiver<StreamId>) {
    let (opens, came) = mpsc::channel();
    let server = Server::start(config(), move |id, frame, answers| {
        if let ToWorker::Request(_) = frame {
            answers.upgrade(id, Interest::NONE, []);
            answers.subscribe(id, Match::Exact, b"news");
            opens.send(id).unwrap();
        }
    });
    (server, came)
}

fn opened(server: &Server, came: &Receiver<StreamId>, connections: u64) -> Vec<(Client, StreamId)> {
    let open = |_| {
        let mut client = server.connect();
        assert_eq!(client.open_websocket("/").status, 101);
        (client, came.recv_timeout(DEADLINE).unwrap())
    };
    let clients = (0..connections).map(open).collect();
    eventually("all are push connections", || server.gateway.stats().websocket_connections == connections);
    clients
}

#[test]
fn a_fault_over_a_publication_is_its_own_whatever_comes_with_it() {
    let others: [fn(&mut Batch, StreamId); 4] = [
        |_, _| (),
        |batch, _| batch.publish(b"news", Payload::Text, b"another"),
        |batch, one| batch.write(one, Payload::Text, b"another"),
        // It changes what the connection is sent, so all that waits goes before it.
        |batch, one| batch.timeout(one, 5000),
    ];
    // By one call for many, and by one for each.
    for connections in [2, 6] {
        for other in others {
            for comes_first in [false, true] {
                let (server, came) = start();
                let mut clients = opened(&server, &came, connections);
                let mut batch = Batch::new();
                if comes_first {
                    other(&mut batch, clients[1].1);
                }
                batch.publish(b"news", Payload::Text, FAULT);
                if !comes_first {
                    other(&mut batch, clients[1].1);
                }
                server.send(batch);
                let mut batch = Batch::new();
                batch.publish(b"news", Payload::Text, b"next");
                server.send(batch);
                for (client, _) in &mut clients {
                    let mut got = client.frame();
                    if got.1 == b"another" {
                        got = client.frame();
                    }
                    assert_eq!(got, (TEXT, b"next".to_vec()));
                }
            }
        }
    }
}

#[test]
fn a_fault_over_what_a_handler_writes_ends_its_connection_alone() {
    let (server, came) = start();
    let mut clients = opened(&server, &came, 3);
    let mut batch = Batch::new();
    batch.publish(b"news", Payload::Text, b"before");
    batch.write(clients[0].1, Payload::Text, FAULT);
    batch.publish(b"news", Payload::Text, b"next");
    server.send(batch);
    for (n, (client, _)) in clients.iter_mut().enumerate() {
        assert_eq!(client.frame(), (TEXT, b"before".to_vec()));
        let next = if n == 0 { (0x88, 1011u16.to_be_bytes().to_vec()) } else { (TEXT, b"next".to_vec()) };
        assert_eq!(client.frame(), next);
    }
}

#[test]
fn a_worker_whose_publication_fails_is_listened_to_still() {
    let (cluster, [mut worker]) = cluster::serving::<1>(config());
    let mut subscriber = cluster.connect();
    subscriber.send(
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    );
    let (id, _) = worker.request();
    worker.send(|batch| {
        batch.upgrade(id, Interest::NONE, []);
        batch.subscribe(id, Match::Exact, b"news");
    });
    subscriber.head();
    eventually("it is a push connection", || cluster.stat("websocket_connections") == 1);
    worker.send(|batch| batch.publish(b"news", Payload::Text, FAULT));
    worker.send(|batch| batch.publish(b"news", Payload::Text, b"next"));
    assert_eq!(subscriber.frame(), (TEXT, b"next".to_vec()));
    let mut client = cluster.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let (id, _) = worker.request();
    worker.answer(id, "hello");
    assert_eq!(client.reply().body, "hello");
}
