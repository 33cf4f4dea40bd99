use std::{
    cell::Cell,
    env,
    fs::OpenOptions,
    io::{Read, Write},
    os::{fd::AsFd, unix::net::UnixStream},
    time::Instant,
};

use super::*;

/// None where the system allows no io_uring, as containers often do: the test does nothing there, and says so.
fn ring() -> Option<Ring> {
    let ring = Ring::new();
    if let Err(error) = &ring {
        let line = format!("there is no io_uring here ({error}): a test of volador-ring did nothing");
        // Not by eprintln!, which is not shown of a test that passes.
        let _ = writeln!(io::stderr(), "\n{line}");
        // bin/test has these lines in its result.
        if let Some(path) = env::var_os("VOLADOR_UNTESTED") {
            let mut file = OpenOptions::new().append(true).open(path).unwrap();
            file.write_all(format!("{line}\n").as_bytes()).unwrap();
        }
    }
    ring.ok()
}

#[test]
fn more_sends_than_a_batch_arrive_each_at_its_socket() {
    let Some(mut ring) = ring() else { return };
    let pairs: Vec<_> = (0..300).map(|_| UnixStream::pair().unwrap()).collect();
    let texts: Vec<_> = (0..300).map(|n| format!("for {n}")).collect();
    let sends: Vec<_> =
        pairs.iter().zip(&texts).map(|(pair, text)| Send { socket: pair.0.as_fd(), bytes: text.as_bytes() }).collect();
    let mut seen = vec![0; 300];
    ring.send_all(&sends, |n, sent| {
        assert_eq!(sent.unwrap(), texts[n].len());
        seen[n] += 1;
    });
    assert!(seen.iter().all(|times| *times == 1));
    for ((_, there), text) in pairs.iter().zip(&texts) {
        let mut buf = [0; 16];
        let len = (&*there).read(&mut buf).unwrap();
        assert_eq!(&buf[..len], text.as_bytes());
    }
}

#[test]
fn what_has_arrived_is_received_into_each_buffer() {
    let Some(mut ring) = ring() else { return };
    let pairs: Vec<_> = (0..300).map(|_| UnixStream::pair().unwrap()).collect();
    for (n, (_, there)) in pairs.iter().enumerate() {
        (&*there).write_all(format!("from {n}").as_bytes()).unwrap();
    }
    let mut memory = vec![0; 300 * 16];
    let mut receives: Vec<_> =
        pairs.iter().zip(memory.chunks_mut(16)).map(|(pair, buf)| Receive { socket: pair.0.as_fd(), buf }).collect();
    let mut lens = vec![0; 300];
    ring.receive_all(&mut receives, |n, received| lens[n] = received.unwrap());
    for (n, buf) in memory.chunks(16).enumerate() {
        assert_eq!(&buf[..lens[n]], format!("from {n}").as_bytes());
    }
}

/// Enters the kernel once, as far as the first ten entries are concerned, and is refused from then on.
fn enter_once(ring: &IoUring, open: usize) -> io::Result<usize> {
    thread_local!(static ENTERED: Cell<bool> = const { Cell::new(false) });
    if ENTERED.replace(true) {
        return Err(io::Error::from_raw_os_error(libc::EPERM));
    }
    // SAFETY: the entries are those of a batch, and nothing else is asked for.
    unsafe { ring.submitter().enter::<()>(10.min(open as u32), 10.min(open as u32), 1, None) }
}

#[test]
fn what_a_ring_that_the_kernel_refuses_has_not_done_is_done_by_calls() {
    let Some(mut ring) = ring() else { return };
    ring.enter = enter_once;
    let pairs: Vec<_> = (0..300).map(|_| UnixStream::pair().unwrap()).collect();
    let sends: Vec<_> = pairs.iter().map(|pair| Send { socket: pair.0.as_fd(), bytes: b"hello" }).collect();
    // The second time there is no ring any more.
    for time in 1..=2 {
        let mut seen = vec![0; 300];
        ring.send_all(&sends, |n, sent| {
            assert_eq!(sent.unwrap(), 5);
            seen[n] += 1;
        });
        assert!(seen.iter().all(|times| *times == 1), "{time}: {seen:?}");
    }
    let mut bufs = vec![[0; 16]; 300];
    let mut receives: Vec<_> =
        pairs.iter().zip(&mut bufs).map(|(pair, buf)| Receive { socket: pair.1.as_fd(), buf }).collect();
    ring.receive_all(&mut receives, |_, received| assert_eq!(received.unwrap(), 10));
    assert!(bufs.iter().all(|buf| buf.starts_with(b"hellohello")));
    let mut results = Vec::new();
    ring.receive_all(&mut [Receive { socket: pairs[0].1.as_fd(), buf: &mut [0] }], |_, received| {
        results.push(received.unwrap_err().kind());
    });
    assert_eq!(results, [io::ErrorKind::WouldBlock]);
}

/// Has no memory for the first 20 ms.
fn enter_later(ring: &IoUring, open: usize) -> io::Result<usize> {
    thread_local!(static BEGUN: Instant = Instant::now());
    if BEGUN.with(Instant::elapsed) < Duration::from_millis(20) {
        return Err(io::Error::from_raw_os_error(libc::ENOMEM));
    }
    ring.submit_and_wait(open)
}

/// Has no memory any more.
fn enter_never(_ring: &IoUring, _open: usize) -> io::Result<usize> {
    Err(io::Error::from_raw_os_error(libc::ENOMEM))
}

#[test]
fn a_want_of_memory_that_passes_does_not_end_the_ring_and_one_that_stays_does() {
    let Some(mut ring) = ring() else { return };
    let (here, there) = UnixStream::pair().unwrap();
    let sends = [Send { socket: here.as_fd(), bytes: b"hello" }];
    for (enter, is_open) in [(enter_later as fn(&IoUring, usize) -> _, true), (enter_never, false)] {
        ring.enter = enter;
        ring.send_all(&sends, |_, sent| assert_eq!(sent.unwrap(), 5));
        assert_eq!(ring.is_open(), is_open);
    }
    let mut buf = [0; 16];
    assert_eq!((&there).read(&mut buf).unwrap(), 10);
}

#[test]
fn a_silent_socket_and_one_at_its_end_do_not_hold_the_others_up() {
    let Some(mut ring) = ring() else { return };
    let (silent, _other) = UnixStream::pair().unwrap();
    let (ended, there) = UnixStream::pair().unwrap();
    drop(there);
    let (fine, mut writer) = UnixStream::pair().unwrap();
    writer.write_all(b"more than it has room for").unwrap();
    let mut bufs = [[0; 4]; 3];
    let mut receives: Vec<_> = [&silent, &ended, &fine]
        .into_iter()
        .zip(&mut bufs)
        .map(|(socket, buf)| Receive { socket: socket.as_fd(), buf })
        .collect();
    let mut results = [const { None }; 3];
    ring.receive_all(&mut receives, |n, received| results[n] = Some(received.map_err(|error| error.kind())));
    assert_eq!(results, [Some(Err(io::ErrorKind::WouldBlock)), Some(Ok(0)), Some(Ok(4))]);
    assert_eq!(&bufs[2], b"more");
}

#[test]
fn a_full_socket_and_one_that_is_gone_do_not_hold_the_others_up() {
    let Some(mut ring) = ring() else { return };
    let (full, _reader) = UnixStream::pair().unwrap();
    full.set_nonblocking(true).unwrap();
    while (&full).write(&[0; 65536]).is_ok() {}
    let (gone, there) = UnixStream::pair().unwrap();
    drop(there);
    let (fine, _other) = UnixStream::pair().unwrap();
    let sends = [&full, &gone, &fine].map(|socket| Send { socket: socket.as_fd(), bytes: b"hello" });
    let mut results = [const { None }; 3];
    ring.send_all(&sends, |n, sent| results[n] = Some(sent.map_err(|error| error.kind())));
    assert_eq!(results, [Some(Err(io::ErrorKind::WouldBlock)), Some(Err(io::ErrorKind::BrokenPipe)), Some(Ok(5))]);
    ring.send_all(&[], |_, _| panic!("nothing was sent"));
}
