//! [`Remote`]: the gateway of another process, joined over Unix sockets.
//!
//! One link for each of the gateway's shards. Frames for the gateway are sent by the thread that hands them over, as far
//! as the socket takes them; the rest is sent by the link's writer. A reader for each link hands what arrives to the
//! worker.

mod joining;

use std::{
    io,
    os::{
        fd::{AsRawFd, RawFd},
        unix::net::UnixStream,
    },
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{Signal, getpid, kill_process},
};
use volador_link::{Incoming, Outgoing, RETRY, Received, Sent, is_peers_end};
use volador_proto::link::{Batch, Frames, Hello, LinkError, ToWorker, WorkerFigures};

use crate::{
    Worker,
    core::LISTENING_SHARD,
    journal::{Journal, OpenNotes},
    log,
    outbox::Outlet,
    sync::{Condvar, Mutex},
};

use joining::Joining;

/// How long a worker that has lost its gateway may take to end by itself. Then it is killed: it may hang in code that
/// lets no other Ruby thread run.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// How the time with a gateway ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The gateway says so: nothing will come any more.
    Stop,
    /// The gateway is gone.
    Lost,
}

/// The gateway, as a worker process or a guest sees it.
#[derive(Debug)]
pub struct Remote {
    worker: Arc<Worker>,
    shared: Arc<Shared>,
    descriptors: Vec<RawFd>,
}

#[derive(Debug)]
struct Shared {
    /// By shard.
    links: Vec<Link>,
    end: Mutex<Option<End>>,
    ended: Condvar,
    /// This side ends it.
    leaving: AtomicBool,
    /// Nothing is sent any more.
    closed: AtomicBool,
    /// The question about figures that was asked last, and its answer.
    figures: Mutex<(u32, Option<String>)>,
    answered: Condvar,
}

#[derive(Debug)]
struct Link {
    socket: UnixStream,
    outgoing: Mutex<Outgoing>,
    /// There is something that the socket has not taken, or the link has ended.
    waits: Condvar,
}

impl Remote {
    /// Joins the gateway that listens on the socket `path`. `open` opens its journals. Requests come once it is
    /// [`Self::ready`]. May wait for the gateway; to be called once for a worker.
    ///
    /// # Errors
    /// When nobody listens there, or it is no gateway of this release, or the system refuses a thread.
    pub fn join(worker: Arc<Worker>, path: &Path, hello: Hello, open: OpenNotes) -> io::Result<Self> {
        let (first, shards) = Joining::new(path, Hello { shard: 0, ..hello })?;
        let mut joining = vec![first];
        for shard in 1..shards {
            joining.push(Joining::new(path, Hello { shard, ..hello })?.0);
        }
        let mut journals = Vec::new();
        let mut links = Vec::new();
        let mut readers = Vec::new();
        let mut descriptors = Vec::new();
        for Joining { socket, incoming, journal } in joining {
            descriptors.push(socket.as_raw_fd());
            journals.push(open(journal)?);
            readers.push(incoming);
            links.push(Link { socket, outgoing: Mutex::default(), waits: Condvar::new() });
        }
        worker.keep_journal(Journal::new(journals));
        let shared = Arc::new(Shared {
            links,
            end: Mutex::new(None),
            ended: Condvar::new(),
            leaving: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            figures: Mutex::default(),
            answered: Condvar::new(),
        });
        let remote = Self { worker, shared, descriptors };
        if let Err(error) = remote.start(readers, hello.threads == 0) {
            // The threads that have begun hold the links.
            remote.leave(Duration::ZERO);
            return Err(error);
        }
        Ok(remote)
    }

    fn start(&self, readers: Vec<Incoming>, is_guest: bool) -> io::Result<()> {
        // Before anything is read: what arrives may be something to answer at once.
        self.worker.join(self.shared.clone())?;
        for (shard, incoming) in readers.into_iter().enumerate() {
            let (reader, to) = (self.shared.clone(), self.worker.clone());
            let read = move || reader.read(shard, incoming, &to, is_guest);
            thread::Builder::new().name(format!("volador-link-{shard}")).spawn(read)?;
            let writer = self.shared.clone();
            thread::Builder::new().name(format!("volador-send-{shard}")).spawn(move || writer.write(shard))?;
        }
        Ok(())
    }

    /// Those of the links. They are open as long as this value is there.
    pub fn descriptors(&self) -> &[RawFd] {
        &self.descriptors
    }

    /// Everything is there that the first request may need. The gateway counts the worker from now on, and gives it
    /// requests.
    pub fn ready(&self) {
        // What it listens to goes before, on the same link: no publication of another worker's request is missed.
        self.worker.report(LISTENING_SHARD, Batch::ready);
        self.worker.flush();
    }

    /// The worker is alive.
    pub fn beat(&self) {
        let waits = self.worker.waits();
        let figures = WorkerFigures {
            dropped: self.worker.dropped_block(),
            queue_wait_micros: waits.total.as_micros() as u64,
            queue_wait_micros_max: waits.longest.as_micros() as u64,
        };
        self.worker.report(LISTENING_SHARD, |batch| batch.beat(figures));
        self.worker.flush();
    }

    /// Waits for the end, `timeout` at most.
    pub fn wait_end(&self, timeout: Duration) -> Option<End> {
        let mut end = self.shared.end.lock();
        if end.is_none() {
            end = self.shared.ended.wait_for(end, timeout);
        }
        *end
    }

    /// Asks the gateway for its figures.
    pub fn ask_figures(&self) {
        let mut figures = self.shared.figures.lock();
        let token = figures.0.wrapping_add(1);
        *figures = (token, None);
        self.worker.report(LISTENING_SHARD, |batch| batch.ask_stats(token));
        self.worker.flush();
    }

    /// The figures that were asked for: lines of a name and a value. None: not by then.
    ///
    /// # Errors
    /// When the gateway is gone.
    pub fn wait_figures(&self, until: Instant) -> Option<io::Result<String>> {
        let mut figures = self.shared.figures.lock();
        loop {
            // Whoever asked later waits for a later number; any answer is new enough for those before.
            if let Some(answer) = &figures.1 {
                return Some(Ok(answer.clone()));
            }
            // A worker that is told to stop may still ask.
            if self.shared.closed.load(Ordering::Acquire) {
                return Some(Err(io::ErrorKind::NotConnected.into()));
            }
            if Instant::now() >= until {
                return None;
            }
            figures = self.shared.answered.wait_until(figures, until);
        }
    }

    /// Sends what is left, for `timeout` at most, and shuts the links down. Their descriptors stay open until this value is
    /// dropped. The last call.
    pub fn leave(&self, timeout: Duration) {
        self.shared.leaving.store(true, Ordering::Release);
        // With what was dropped since the last one.
        self.beat();
        let until = Instant::now() + timeout;
        for link in &self.shared.links {
            let mut outgoing = link.outgoing.lock();
            while !outgoing.is_empty() && Instant::now() < until {
                // The writer is at it.
                outgoing = link.waits.wait_for(outgoing, Duration::from_millis(10));
            }
        }
        self.shared.close();
    }
}

impl Shared {
    /// A reader: until the link ends.
    fn read(&self, shard: usize, mut incoming: Incoming, worker: &Arc<Worker>, is_guest: bool) {
        let Some(link) = self.links.get(shard) else { return };
        loop {
            // First of all what has come with the welcome.
            if let Err(error) = incoming.take(|frames| self.receive(frames, worker)) {
                // Both sides are of one release: only a fault of ours gets here.
                log::warn(format_args!("the link is broken, please report it: {error}"));
                break;
            }
            // A read that waits is woken by the system whenever the gateway has taken something, too; this wait is not.
            let mut ready = [PollFd::new(&link.socket, PollFlags::IN)];
            // Interrupted, or the socket has failed: reading says what there is to say.
            let _ = poll(&mut ready, None);
            match incoming.receive(&link.socket, false) {
                Ok(Received::Some) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
                Ok(Received::End) => break,
                Ok(Received::Later) => thread::sleep(RETRY),
                Err(error) => {
                    if !is_peers_end(&error) {
                        log::warn(format_args!("this worker can't read what the gateway sends, and ends: {error}"));
                    }
                    break;
                }
            }
        }
        self.lost(worker);
        if !is_guest && !self.leaving.load(Ordering::Acquire) {
            thread::sleep(END_TIMEOUT);
            if !self.leaving.load(Ordering::Acquire) {
                log::warn(format_args!("this worker has lost its gateway and does not end: it is killed"));
                log::flush(log::LAST_LINES);
                let _ = kill_process(getpid(), Signal::KILL);
            }
        }
    }

    /// Acts on what concerns the process; the rest is the worker's.
    fn receive(&self, frames: &mut Frames, worker: &Worker) -> Result<(), LinkError> {
        worker.receive(frames, |frame| match frame {
            ToWorker::Stop => self.finish(End::Stop),
            ToWorker::Stats { token, figures } => {
                let mut waiting = self.figures.lock();
                if waiting.0 == token {
                    waiting.1 = Some(String::from_utf8_lossy(&figures).into_owned());
                }
                self.answered.notify_all();
            }
            _ => {}
        })
    }

    fn finish(&self, end: End) {
        self.end.lock().get_or_insert(end);
        self.ended.notify_all();
        // Whoever asks for figures has either seen the end, or waits by now.
        drop(self.figures.lock());
        self.answered.notify_all();
    }

    fn lost(&self, worker: &Worker) {
        self.finish(End::Lost);
        self.close();
        worker.lost();
    }

    fn close(&self) {
        self.closed.store(true, Ordering::Release);
        for link in &self.links {
            // The other thread of the link may be waiting for the socket: this ends its wait.
            let _ = link.socket.shutdown(std::net::Shutdown::Both);
            *link.outgoing.lock() = Outgoing::new();
            link.waits.notify_all();
        }
        self.finish(End::Lost);
    }

    /// A writer: sends what the socket did not take at once.
    fn write(&self, shard: usize) {
        let Some(link) = self.links.get(shard) else { return };
        loop {
            {
                let mut outgoing = link.outgoing.lock();
                while outgoing.is_empty() {
                    if self.closed.load(Ordering::Acquire) {
                        return;
                    }
                    outgoing = link.waits.wait(outgoing);
                }
            }
            let mut ready = [PollFd::new(&link.socket, PollFlags::OUT)];
            // Interrupted, or the socket has failed: sending says what there is to say.
            let _ = poll(&mut ready, None);
            let mut outgoing = link.outgoing.lock();
            let sent = link.send(&mut outgoing);
            if outgoing.is_empty() {
                link.waits.notify_all();
            }
            drop(outgoing);
            if sent == Sent::Later {
                thread::sleep(RETRY);
            }
        }
    }
}

impl Link {
    /// Sends what the socket takes. A socket that fails has nothing left to send; its reader sees the end, as the gateway
    /// does.
    fn send(&self, outgoing: &mut Outgoing) -> Sent {
        outgoing.send(&self.socket).unwrap_or_else(|error| {
            if !is_peers_end(&error) {
                log::warn(format_args!("this worker can't send to the gateway, and ends: {error}"));
            }
            *outgoing = Outgoing::new();
            // The socket may be as good as ever for reading, so that nobody would know. It fails only when all is over.
            let _ = self.socket.shutdown(std::net::Shutdown::Both);
            Sent::All
        })
    }
}

impl Outlet for Shared {
    fn deliver(&self, shard: u8, batch: Batch) {
        let Some(link) = self.links.get(usize::from(shard)) else { return };
        let mut outgoing = link.outgoing.lock();
        let waits = !outgoing.is_empty();
        outgoing.push(batch);
        if waits {
            return; // the writer is at it
        }
        if link.send(&mut outgoing) != Sent::All {
            link.waits.notify_all();
        }
    }

    fn backlog(&self) -> usize {
        self.links.iter().map(|link| link.outgoing.lock().len()).max().unwrap_or_default()
    }

    fn shards(&self) -> u8 {
        self.links.len() as u8
    }
}

#[cfg(test)]
mod tests;
