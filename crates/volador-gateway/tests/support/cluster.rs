//! A gateway of a cluster, and workers that the test plays itself over real links.

use std::{
    collections::HashMap,
    fs::{self, File},
    os::fd::OwnedFd,
    os::unix::fs::FileExt,
    os::unix::net::UnixStream,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use volador_gateway::{Config, Gateway};
use volador_link::{Incoming, Outgoing, Received, Sent};
use volador_proto::link::{Batch, Hello, Request, StreamId, ToWorker};

use super::{Client, DEADLINE, connect, eventually};

pub struct Cluster {
    pub gateway: Gateway,
    folder: PathBuf,
}

impl Cluster {
    pub fn start(config: Config) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("volador-cluster-{}-{n}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let mut gateway = Gateway::bind_cluster(config).unwrap();
        gateway.start_cluster(&folder.join("link.sock")).unwrap();
        Self { gateway, folder }
    }

    pub fn connect(&self) -> Client {
        connect(&self.gateway)
    }

    /// A worker that has joined. All workers of a test are of one process, so the roster tells them by their numbers.
    pub fn worker(&self, number: u32, generation: u32, threads: u16) -> Worker {
        let mut worker = self.link(0, number, generation, threads);
        worker.send(Batch::ready);
        eventually("the worker has joined", || self.state(number, generation) != "gone");
        worker
    }

    /// One link of a worker, for one shard; all of a worker's links are of one process.
    pub fn link(&self, shard: u8, number: u32, generation: u32, threads: u16) -> Worker {
        let socket = UnixStream::connect(self.folder.join("link.sock")).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut worker = Worker { socket, incoming: Incoming::new(), frames: Vec::new(), journal: None, threads };
        worker.send(|batch| batch.hello(&Hello { shard, number, generation, threads }));
        let (_, welcome) = worker.next();
        let ToWorker::Welcome { journal, .. } = welcome else { panic!("{welcome:?}") };
        worker.journal = Some(journal);
        worker
    }

    /// A connection to the workers' socket.
    pub fn stranger(&self) -> UnixStream {
        UnixStream::connect(self.folder.join("link.sock")).unwrap()
    }

    pub fn state(&self, number: u32, generation: u32) -> &'static str {
        let workers = self.gateway.workers();
        let report = workers.iter().find(|one| one.number == number && one.generation == generation);
        report.map_or("gone", |report| report.state)
    }

    pub fn stat(&self, name: &str) -> u64 {
        self.gateway.cluster_stats().into_iter().collect::<HashMap<_, _>>()[name]
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.gateway.stop();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Dropping it is its crash.
pub struct Worker {
    socket: UnixStream,
    incoming: Incoming,
    /// Received and not looked at, the last one first.
    frames: Vec<(StreamId, ToWorker)>,
    journal: Option<OwnedFd>,
    pub threads: u16,
}

impl Worker {
    pub fn send(&mut self, write: impl FnOnce(&mut Batch)) {
        let (mut batch, mut outgoing) = (Batch::new(), Outgoing::new());
        write(&mut batch);
        outgoing.push(batch);
        while outgoing.send(&self.socket).unwrap() != Sent::All {}
    }

    /// Notes that so many jobs of the stream have begun.
    pub fn begin(&mut self, id: StreamId, jobs: u32) {
        let note = u64::from(id.generation()) << 32 | u64::from(jobs);
        rustix::io::pwrite(self.journal.as_ref().unwrap(), &note.to_le_bytes(), u64::from(id.slot()) * 8).unwrap();
    }

    /// The gateway's word in the journal, also after the worker is gone: 0 as long as it counts on the notes.
    pub fn journal_word(&self) -> impl Fn() -> u64 + use<> {
        let journal = File::from(self.journal.as_ref().unwrap().try_clone().unwrap());
        move || {
            let (mut word, len) = ([0; 8], journal.metadata().unwrap().len());
            journal.read_exact_at(&mut word, len - 8).unwrap();
            u64::from_le_bytes(word)
        }
    }

    /// The next frame, but for recalls of requests: those may come at any time, and nothing need be done about them.
    pub fn next(&mut self) -> (StreamId, ToWorker) {
        loop {
            match self.next_or_recall() {
                (_, ToWorker::Recall(_)) => {}
                other => return other,
            }
        }
    }

    pub fn next_or_recall(&mut self) -> (StreamId, ToWorker) {
        loop {
            if let Some(frame) = self.frames.pop() {
                return frame;
            }
            assert_eq!(self.incoming.receive(&self.socket, true).expect("a frame in time"), Received::Some);
            self.take();
        }
    }

    /// As [`Self::next`]; None at the end of the link.
    pub fn next_or_end(&mut self) -> Option<(StreamId, ToWorker)> {
        while self.frames.is_empty() {
            match self.incoming.receive(&self.socket, true) {
                Ok(Received::Some) => self.take(),
                _ => return None,
            }
        }
        self.frames.pop()
    }

    fn take(&mut self) {
        let frames = &mut self.frames;
        self.incoming
            .take(|batch| {
                while let Some(frame) = ToWorker::next(batch) {
                    frames.insert(0, frame?);
                }
                Ok(())
            })
            .unwrap();
    }

    /// Whether nothing comes for a moment.
    pub fn is_quiet(&mut self) -> bool {
        self.socket.set_read_timeout(Some(Duration::from_millis(60))).unwrap();
        if self.frames.is_empty() && self.incoming.receive(&self.socket, true).is_ok() {
            self.take();
        }
        self.socket.set_read_timeout(Some(DEADLINE)).unwrap();
        self.frames.retain(|(_, frame)| !matches!(frame, ToWorker::Recall(_)));
        self.frames.is_empty()
    }

    /// The next frame, which is a request, begun.
    pub fn request(&mut self) -> (StreamId, Request) {
        let (id, request) = self.unbegun_request();
        self.begin(id, 1);
        (id, request)
    }

    pub fn unbegun_request(&mut self) -> (StreamId, Request) {
        match self.next() {
            (id, ToWorker::Request(request)) => (id, *request),
            other => panic!("not a request: {other:?}"),
        }
    }

    pub fn answer(&mut self, id: StreamId, body: &str) {
        self.send(|batch| batch.complete_response(id, 200, [], [body.as_bytes()]));
    }

    /// The next frame, which is a message.
    pub fn message(&mut self) -> String {
        match self.next() {
            (_, ToWorker::Message(_, data)) => String::from_utf8(data.to_vec()).unwrap(),
            other => panic!("not a message: {other:?}"),
        }
    }
}

/// One generation of workers with one thread each, which serves.
pub fn serving<const N: usize>(config: Config) -> (Cluster, [Worker; N]) {
    let cluster = Cluster::start(config);
    let mut number = 0;
    let workers = [(); N].map(|()| {
        number += 1;
        cluster.worker(number, 1, 1)
    });
    cluster.gateway.promote(1);
    (cluster, workers)
}
