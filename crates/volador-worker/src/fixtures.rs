//! What the crate's tests send to a worker.

use std::{os::fd::OwnedFd, time::Duration};

use volador_proto::link::{Batch, RequestBody, RequestHead, SealedRequest, StreamId, Transport};

use crate::Options;

/// So small that tests reach the limits.
pub(crate) fn options() -> Options {
    Options {
        window_bytes: 10,
        spool_max_bytes: 20,
        tmpdir: std::env::temp_dir(),
        block_queue_max_bytes: 10_000,
        ping_interval: Duration::from_secs(30),
        heartbeat_interval: Duration::from_secs(15),
    }
}

/// Appends a plain GET, or one for a transport.
pub(crate) fn request(batch: &mut Batch, id: StreamId, transport: Option<Transport>) {
    batch.request(id, &head(transport), [], RequestBody::None);
}

/// Appends one with a body in a file.
pub(crate) fn request_with_file(batch: &mut Batch, id: StreamId, fd: OwnedFd) {
    batch.request(id, &head(None), [], RequestBody::File { fd, len: 1 });
}

/// Appends the request of a push connection that goes on here, with so many milliseconds between two pings.
pub(crate) fn replay(batch: &mut Batch, id: StreamId, timeout_ms: u32) {
    let request = SealedRequest::new(&head(Some(Transport::WebSocket)), [], RequestBody::None);
    batch.replay(id, &request, None, timeout_ms);
}

fn head(transport: Option<Transport>) -> RequestHead<'static> {
    RequestHead {
        transport,
        tls: false,
        http_10: false,
        method: b"GET",
        path: b"/",
        query: b"",
        remote_addr: b"",
        server_name: b"localhost",
        server_port: b"80",
    }
}
