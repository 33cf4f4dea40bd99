//! [`Ring`]: io_uring(7) for what does not wait.

use std::{fmt, io, marker::PhantomData, os::fd::AsRawFd, thread, time::Duration};

use io_uring::{IoUring, opcode, squeue, types};

use crate::{Receive, Send};

/// `MSG_DONTWAIT` and `MSG_NOSIGNAL` of send(2), the same on every architecture of Linux.
const DONT_WAIT: i32 = 0x40;
const NO_SIGNAL: i32 = 0x4000;

/// Bytes of one send or receive at most: its result is an `i32`.
const LEN_MAX: usize = 1 << 30;

/// Entries of the ring.
const ENTRIES: u32 = 256;

/// How often in a row the kernel may refuse the ring while nothing is under way, for a want that may pass; to try for ever
/// would be all that the thread does.
const REFUSALS_MAX: usize = 100;

/// How long the thread rests after each of those. It has nothing to do without memory.
const REFUSAL_REST: Duration = Duration::from_millis(1);

/// A ring of one thread.
pub struct Ring {
    /// None since the kernel has refused it for too long.
    ring: Option<IoUring>,
    /// Enters the kernel, until so many entries are complete.
    enter: fn(&IoUring, usize) -> io::Result<usize>,
    /// Of the batch under way: index and result of each that is complete.
    results: Vec<(usize, i32)>,
    /// The kernel lets only the thread that made the ring enter it.
    of_one_thread: PhantomData<*const ()>,
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ring")
    }
}

impl Ring {
    /// Entries that one system call takes; more are done in several.
    pub const BATCH: usize = ENTRIES as usize;

    /// # Errors
    /// When the system has no io_uring, or does not allow it.
    pub fn new() -> io::Result<Self> {
        // One thread issues and reaps, so the kernel need not interrupt it; one send that is refused does not keep the
        // others from being issued.
        let mut ring =
            IoUring::builder().setup_single_issuer().setup_coop_taskrun().setup_submit_all().build(ENTRIES)?;
        probe(&mut ring)?;
        let enter = |ring: &IoUring, open| ring.submit_and_wait(open);
        Ok(Self { ring: Some(ring), enter, results: Vec::with_capacity(Self::BATCH), of_one_thread: PhantomData })
    }

    /// Whether there is still a ring. Without one everything is done by a call for each socket.
    pub fn is_open(&self) -> bool {
        self.ring.is_some()
    }

    /// Sends all, and calls `each` once for each of `sends`, by its index, with how many bytes the socket took. One that
    /// took none because it is full is an error of the kind `WouldBlock`.
    pub fn send_all(&mut self, sends: &[Send<'_>], mut each: impl FnMut(usize, io::Result<usize>)) {
        for (n, batch) in sends.chunks(Self::BATCH).enumerate() {
            let entries = batch.iter().map(|send| {
                let len = u32::try_from(send.bytes.len()).unwrap_or(u32::MAX);
                opcode::Send::new(types::Fd(send.socket.as_raw_fd()), send.bytes.as_ptr(), len)
                    .flags(DONT_WAIT | NO_SIGNAL)
                    .build()
            });
            // SAFETY: addresses and descriptors are those of borrows that last until this function returns.
            unsafe { self.complete(entries) };
            self.complete_by_calls(batch.len(), |index| {
                let Send { socket, bytes } = batch[index];
                // SAFETY: the bytes are borrowed.
                unsafe {
                    libc::send(
                        socket.as_raw_fd(),
                        bytes.as_ptr().cast(),
                        bytes.len().min(LEN_MAX),
                        DONT_WAIT | NO_SIGNAL,
                    )
                }
            });
            self.tell(n * Self::BATCH, &mut each);
        }
    }

    /// Receives from all, and calls `each` once for each of `receives`, by its index, with how many bytes have been
    /// written into its buffer; 0 is the end of the stream. Where there is nothing yet it is an error of the kind
    /// `WouldBlock`.
    pub fn receive_all(&mut self, receives: &mut [Receive<'_>], mut each: impl FnMut(usize, io::Result<usize>)) {
        for (n, batch) in receives.chunks_mut(Self::BATCH).enumerate() {
            let entries = batch.iter_mut().map(|receive| {
                let len = u32::try_from(receive.buf.len()).unwrap_or(u32::MAX);
                opcode::Recv::new(types::Fd(receive.socket.as_raw_fd()), receive.buf.as_mut_ptr(), len)
                    .flags(DONT_WAIT)
                    .build()
            });
            // SAFETY: as in `send_all`; the buffers are borrowed for writing, and nobody else has them meanwhile.
            unsafe { self.complete(entries) };
            self.complete_by_calls(batch.len(), |index| {
                let Receive { socket, buf } = &mut batch[index];
                // SAFETY: the buffer is borrowed for writing.
                unsafe { libc::recv(socket.as_raw_fd(), buf.as_mut_ptr().cast(), buf.len().min(LEN_MAX), DONT_WAIT) }
            });
            self.tell(n * Self::BATCH, &mut each);
        }
    }

    /// Does what the entries say, and returns when each has its result; or, where the kernel refuses the ring, when none of
    /// those is under way that have none.
    ///
    /// # Safety
    /// What the entries refer to must be valid until this function returns. There may be `BATCH` of them at most, and to
    /// go through them must not unwind.
    unsafe fn complete(&mut self, entries: impl Iterator<Item = squeue::Entry>) {
        let Some(ring) = &mut self.ring else { return };
        let mut open = 0;
        for entry in entries {
            // SAFETY: the caller's promise is enough, as this function does not return before the kernel has completed
            // the entry, or can't get it any more (see below). There is room: the queue was empty, and a batch is no longer
            // than the queue.
            let pushed = unsafe { ring.submission().push(&entry.user_data(open as u64)) };
            if pushed.is_err() {
                // Not reached. To unwind would leave entries behind, which the next call submits.
                std::process::abort();
            }
            open += 1;
        }
        let mut refusals = 0;
        while open > 0 {
            // Interrupted, or the kernel has no memory at the moment: what was not submitted still is to be, and what
            // was is to be completed. There is no way out of here with an entry under way.
            let refusal = (self.enter)(ring, open).err().filter(|error| error.kind() != io::ErrorKind::Interrupted);
            for entry in ring.completion() {
                open -= 1;
                self.results.push((entry.user_data() as usize, entry.result()));
            }
            match refusal {
                Some(error) if open > 0 && ring.submission().len() == open => {
                    refusals += 1;
                    if !passes(&error) || refusals == REFUSALS_MAX {
                        // With the ring go the entries, which the kernel has not looked at.
                        self.ring = None;
                        return;
                    }
                    thread::sleep(REFUSAL_REST);
                }
                _ => refusals = 0,
            }
        }
    }

    /// Does by one call each what the ring has not done, of a batch of so many.
    fn complete_by_calls(&mut self, batch: usize, mut call: impl FnMut(usize) -> isize) {
        if self.results.len() == batch {
            return;
        }
        let mut is_done = [false; Self::BATCH];
        self.results.iter().for_each(|(index, _)| is_done[*index] = true);
        for index in (0..batch).filter(|index| !is_done[*index]) {
            self.results.push((index, result_of(call(index))));
        }
    }

    /// Hands the results out. Only when nothing is under way: `each` may unwind.
    fn tell(&mut self, first: usize, each: &mut impl FnMut(usize, io::Result<usize>)) {
        for (index, result) in self.results.drain(..) {
            each(first + index, usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result)));
        }
    }
}

/// Some sandboxes let a ring be made and refuse to enter it.
fn probe(ring: &mut IoUring) -> io::Result<()> {
    let nothing = opcode::Nop::new().build();
    // SAFETY: an entry that does nothing refers to nothing.
    unsafe { ring.submission().push(&nothing) }.map_err(io::Error::other)?;
    ring.submit_and_wait(1)?;
    match ring.completion().next() {
        Some(entry) if entry.result() >= 0 => Ok(()),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// Whether the kernel refuses the ring for a want of something that may pass. A sandbox that forbids the call from now on
/// does so for good.
fn passes(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOMEM | libc::EAGAIN | libc::EBUSY))
}

/// What a call has returned, in the form of a completion.
fn result_of(returned: isize) -> i32 {
    match i32::try_from(returned) {
        Ok(result) if result >= 0 => result,
        _ => -io::Error::last_os_error().raw_os_error().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::Cell,
        io::{Read, Write},
        os::{fd::AsFd, unix::net::UnixStream},
        time::Instant,
    };

    use super::*;

    /// None where the system allows no io_uring, as containers often do: the test does nothing there, and says so.
    fn ring() -> Option<Ring> {
        let ring = Ring::new();
        if let Err(error) = &ring {
            // Not by eprintln!, which is not shown of a test that passes.
            let _ = writeln!(io::stderr(), "\nthere is no io_uring here ({error}): a test of the ring did nothing");
        }
        ring.ok()
    }

    #[test]
    fn more_sends_than_a_batch_arrive_each_at_its_socket() {
        let Some(mut ring) = ring() else { return };
        let pairs: Vec<_> = (0..300).map(|_| UnixStream::pair().unwrap()).collect();
        let texts: Vec<_> = (0..300).map(|n| format!("for {n}")).collect();
        let sends: Vec<_> = pairs
            .iter()
            .zip(&texts)
            .map(|(pair, text)| Send { socket: pair.0.as_fd(), bytes: text.as_bytes() })
            .collect();
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
        let mut receives: Vec<_> = pairs
            .iter()
            .zip(memory.chunks_mut(16))
            .map(|(pair, buf)| Receive { socket: pair.0.as_fd(), buf })
            .collect();
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
}
