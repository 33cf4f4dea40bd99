//! Descriptors that arrive where the process may have no more. The limit is the process's: this file has nothing else.

use std::{
    fs::File,
    os::{fd::AsFd, unix::net::UnixStream},
};

use rustix::{
    io::fcntl_dupfd_cloexec,
    process::{Resource, getrlimit, setrlimit},
};
use volador_link::{Incoming, Outgoing, Received, Sent};
use volador_proto::link::{Batch, Carrier, Frames, ResponseBody, StreamId, ToGateway};

/// Frames that carry one.
const COUNT: u32 = 40;

/// Those that are sent with one call: the limit cuts the second group.
const GROUP: u32 = 4;

/// Descriptors that there is room for.
const ROOM: usize = 7;

#[test]
fn a_frame_that_finds_no_room_for_its_descriptor_arrives_without_it_and_the_others_with_theirs() {
    let (here, there) = UnixStream::pair().unwrap();
    let (mut incoming, mut outgoing) = (Incoming::new(), Outgoing::new());
    for first in (0..COUNT).step_by(GROUP as usize) {
        let mut batch = Batch::new();
        for n in first..first + GROUP {
            let stream = StreamId::new(0, 0, n);
            batch.response(stream, 200, [], ResponseBody::File { fd: file(), offset: 0, len: n.into() });
            batch.end(stream);
        }
        outgoing.push(batch);
    }
    assert_eq!(outgoing.send(&here).unwrap(), Sent::All);

    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum.map_or(Some(128), |maximum| Some(maximum.min(128)));
    setrlimit(Resource::Nofile, limit).unwrap();
    let mut held = Vec::new();
    while let Ok(one) = fcntl_dupfd_cloexec(here.as_fd(), 0) {
        held.push(one);
    }
    held.truncate(held.len() - ROOM);
    // Those of the first frames are kept; then nothing is free until they are let go of, behind a group in the middle.
    let (mut kept, mut seen) = (Vec::new(), Vec::new());
    while seen.len() < 2 * COUNT as usize {
        assert_eq!(incoming.receive(&there, true).unwrap(), Received::Some);
        let each = |frames: &mut Frames| {
            while let Some(frame) = ToGateway::next(frames) {
                let (stream, frame) = frame?;
                let what = match frame {
                    ToGateway::Response(response) => {
                        let ResponseBody::File { fd, len, .. } = response.body else { panic!("not a file") };
                        assert_eq!(len, stream.slot().into());
                        kept.push(fd);
                        "file"
                    }
                    ToGateway::Lost(Carrier::Response) => "lost",
                    ToGateway::End => "end",
                    other => panic!("{other:?}"),
                };
                seen.push((stream.slot(), what));
            }
            Ok(())
        };
        incoming.take(each).unwrap();
        if seen.len() > COUNT as usize {
            kept.clear();
        }
    }
    let expected = (0..COUNT).flat_map(|n| {
        let has_room = n < ROOM as u32 || n >= COUNT / 2 + GROUP;
        [(n, if has_room { "file" } else { "lost" }), (n, "end")]
    });
    assert_eq!(seen, expected.collect::<Vec<_>>());
}

fn file() -> std::os::fd::OwnedFd {
    File::open("/dev/null").unwrap().into()
}
