//! [`Queue`]: lines of the log that wait to be written, and the thread that writes them.

use std::{
    io::Write,
    mem,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// While so much waits no line is taken.
const BYTES_MAX: usize = 256 * 1024;

/// Has no thread until there is a line.
#[derive(Debug)]
pub(super) struct Queue {
    lines: Mutex<State>,
    /// There is a line, or lines have been written.
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// Whole ones.
    waiting: Vec<u8>,
    /// Those behind them that were not taken.
    dropped: u64,
    /// The thread has been started.
    has_writer: bool,
    /// It has lines in hand.
    is_writing: bool,
}

impl State {
    /// Those that wait, and behind them how many were not taken.
    fn take(&mut self) -> Vec<u8> {
        let mut taken = mem::take(&mut self.waiting);
        if let dropped @ 1.. = mem::take(&mut self.dropped) {
            // Into memory: it does not fail.
            let _ = writeln!(
                taken,
                "volador WARN: {dropped} lines are missing here, since the log took nothing for a while: whoever reads it \
                 was too slow, or its disk was"
            );
        }
        taken
    }
}

impl Queue {
    pub(super) const fn new() -> Self {
        let lines = State { waiting: Vec::new(), dropped: 0, has_writer: false, is_writing: false };
        Self { lines: Mutex::new(lines), changed: Condvar::new() }
    }

    /// Takes a line, for a thread that calls `write`. If too many wait it is dropped, and counted.
    pub(super) fn put(&'static self, line: &str, write: fn(&[u8])) {
        let mut lines = self.lock();
        if lines.waiting.len() < BYTES_MAX {
            lines.waiting.extend_from_slice(line.as_bytes());
        } else {
            lines.dropped += 1;
        }
        if !lines.has_writer {
            // Where the system has no thread at the moment, the next line tries again.
            let writer = thread::Builder::new().name("volador-log".into());
            lines.has_writer = writer.spawn(move || self.write_all(write)).is_ok();
        }
        self.changed.notify_all();
    }

    /// Waits until everything is written, for `timeout` at most. Lines that have no thread, as the system had none, are
    /// written by the caller, however long that takes: nobody else would.
    pub(super) fn flush(&self, timeout: Duration, write: fn(&[u8])) {
        let mut lines = self.lock();
        if !lines.has_writer && !lines.waiting.is_empty() {
            let taken = lines.take();
            drop(lines);
            return write(&taken);
        }
        let is_busy = |lines: &mut State| lines.has_writer && (lines.is_writing || !lines.waiting.is_empty());
        drop(self.changed.wait_timeout_while(lines, timeout, is_busy));
    }

    /// The thread: as long as the process lives.
    fn write_all(&self, write: fn(&[u8])) {
        loop {
            let lines = self.take();
            write(&lines);
        }
    }

    /// Waits for lines; those of before have been written.
    fn take(&self) -> Vec<u8> {
        let mut lines = self.lock();
        lines.is_writing = false;
        self.changed.notify_all();
        let no_lines = |lines: &mut State| lines.waiting.is_empty();
        let mut lines = self.changed.wait_while(lines, no_lines).unwrap_or_else(PoisonError::into_inner);
        lines.is_writing = true;
        lines.take()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{OnceLock, mpsc},
        time::Instant,
    };

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// A `write` that hands over what it is to write, and waits there until it is taken; and where that comes out. One for
    /// each use, since `write` is a function.
    macro_rules! slow_reader {
        () => {{
            static READER: OnceLock<mpsc::SyncSender<Vec<u8>>> = OnceLock::new();
            fn write(lines: &[u8]) {
                let _ = READER.get().expect("a reader").send(lines.to_vec());
            }
            let (sender, reader) = mpsc::sync_channel(0);
            READER.set(sender).expect("one reader");
            (write as fn(&[u8]), move || String::from_utf8(reader.recv_timeout(PATIENCE).unwrap()).unwrap())
        }};
    }

    #[test]
    fn lines_wait_for_a_slow_reader_in_their_order_and_those_that_do_not_fit_are_counted() {
        static QUEUE: Queue = Queue::new();
        let (write, read) = slow_reader!();
        let line = |n: usize| format!("{n:0>1023}\n");
        QUEUE.put("first\n", write);
        let until = Instant::now() + PATIENCE;
        while !QUEUE.lock().is_writing {
            assert!(Instant::now() < until, "the writer has not begun");
            thread::yield_now();
        }
        (0..300).for_each(|n| QUEUE.put(&line(n), write));
        assert_eq!(read(), "first\n");
        let taken = read();
        let (waiting, note) = taken.split_at(BYTES_MAX);
        assert_eq!(waiting, (0..256).map(line).collect::<String>());
        assert!(note.starts_with("volador WARN: 44 lines are missing here") && note.ends_with('\n'), "{note}");
        QUEUE.put("last\n", write);
        assert_eq!(read(), "last\n");
    }

    #[test]
    fn flush_waits_for_what_is_being_written_but_not_for_ever() {
        static QUEUE: Queue = Queue::new();
        let (write, read) = slow_reader!();
        QUEUE.flush(PATIENCE, write); // there is nothing
        QUEUE.put("a\n", write);
        let begun = Instant::now();
        QUEUE.flush(Duration::from_millis(20), write);
        assert!(begun.elapsed() >= Duration::from_millis(20));
        let flush = thread::spawn(move || QUEUE.flush(PATIENCE, write));
        read();
        flush.join().unwrap();
        assert!(begun.elapsed() < PATIENCE);
    }

    #[test]
    fn whoever_flushes_writes_the_lines_for_which_the_system_had_no_thread() {
        static WRITTEN: Mutex<Vec<u8>> = Mutex::new(Vec::new());
        static QUEUE: Queue = Queue::new();
        let write = |lines: &[u8]| WRITTEN.lock().unwrap().extend_from_slice(lines);
        {
            let mut lines = QUEUE.lock();
            (lines.waiting, lines.dropped) = (b"last words\n".to_vec(), 2);
        }
        QUEUE.flush(PATIENCE, write);
        QUEUE.flush(PATIENCE, write); // nothing twice
        let written = String::from_utf8(WRITTEN.lock().unwrap().clone()).unwrap();
        assert!(written.starts_with("last words\nvolador WARN: 2 lines are missing here"), "{written}");
        assert_eq!(written.lines().count(), 2);
    }
}
