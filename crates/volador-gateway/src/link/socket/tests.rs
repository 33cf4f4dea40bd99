use std::{
    net::Shutdown,
    os::unix::net,
    time::{Duration, Instant},
};

use tokio::task::{LocalSet, yield_now};

use super::*;

fn credit() -> Batch {
    let mut batch = Batch::new();
    batch.credit(volador_proto::link::StreamId::NONE, 1);
    batch
}

/// Whether there is nothing to read, now and for ever.
fn has_ended(socket: &net::UnixStream) -> bool {
    matches!(Incoming::new().receive(socket, false), Ok(Received::End))
}

#[test]
fn a_link_that_can_not_be_sent_over_ends_for_its_reader_too() {
    for waits in [false, true] {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let (near, far) = net::UnixStream::pair().unwrap();
            near.set_nonblocking(true).unwrap();
            let same = near.try_clone().unwrap();
            let link = Rc::new(LinkSocket::new(near).unwrap());
            crate::panics::spawn(link.clone().write_task());
            // What is handed over is sent at once, or, behind what waits, by the task.
            while waits && link.outgoing.borrow().is_empty() {
                link.deliver(credit());
            }
            // The socket fails for sending alone, which the reader does not notice.
            same.shutdown(Shutdown::Write).unwrap();
            assert!(!has_ended(&same));
            link.deliver(credit());
            let (mut incoming, until) = (Incoming::new(), Instant::now() + Duration::from_secs(20));
            while !has_ended(&same) {
                assert!(Instant::now() < until, "the reader would wait for ever");
                let _ = incoming.receive(&far, false);
                yield_now().await;
            }
            assert!(link.closed.get());
        });
    }
}
