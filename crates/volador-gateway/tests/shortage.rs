//! A gateway while more descriptors are on their way than the system allows.

#[path = "../../volador-link/tests/support/shortage.rs"]
mod shortage;
mod support;

use shortage::Shortage;
use support::{cluster::Cluster, config, eventually};
use volador_proto::link::RequestBody;

#[test]
fn requests_that_can_not_be_sent_for_want_of_descriptors_on_their_way_are_sent_later_and_in_order() {
    Shortage::expect();
    let cluster = Cluster::start(config());
    let mut worker = cluster.worker(1, 1, 2);
    cluster.gateway.promote(1);
    let (mut upload, mut plain) = (cluster.connect(), cluster.connect());
    let shortage = Shortage::begin();
    let body = "x".repeat(100_000);
    upload.send(format!("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    eventually("the upload is in", || cluster.stat("requests") == 1);
    plain.send("GET /behind-it HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("both are in", || cluster.stat("requests") == 2);
    assert!(worker.is_quiet(), "something could be sent: there is no shortage");
    drop(shortage);
    let (first, request) = worker.request();
    assert!(matches!(request.body, RequestBody::File { len: 100_000, .. }), "{:?}", request.body);
    let (second, request) = worker.request();
    assert_eq!(request.path(), b"/behind-it");
    worker.answer(first, "stored");
    worker.answer(second, "read");
    assert_eq!([upload.reply().body, plain.reply().body], ["stored", "read"]);
    assert_eq!(cluster.state(1, 1), "serving");
}
