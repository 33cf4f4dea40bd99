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
mod tests;
