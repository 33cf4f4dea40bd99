//! A gateway on a free port with a worker that is a closure, and clients that are plain sockets.

#![allow(dead_code, unreachable_pub, missing_docs, missing_debug_implementations)] // each test file uses a part

pub mod cluster;
pub mod moving;

use std::{
    fmt,
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    sync::{
        Arc, Condvar, Mutex, OnceLock,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use volador_gateway::{Config, Gateway, GatewayError, GatewayHandle, SlowClient, WorkerLink};
use volador_proto::link::{Batch, Interest, Request, RequestBody, StreamId, ToWorker};

/// How long anything in a test may take before it has failed.
pub const DEADLINE: Duration = Duration::from_secs(20);

pub fn config() -> Config {
    Config {
        bind: vec!["tcp://127.0.0.1:0".parse().unwrap()],
        inherited: Vec::new(),
        shards: 1,
        connections_max: 0,
        threads: 5,
        queue_max: 64,
        head_max_bytes: 32 << 10,
        header_fields_max: 100,
        target_max_bytes: 8 << 10,
        body_max_bytes: 1 << 20,
        body_memory_bytes: 64 << 10,
        body_memory_total_bytes: 64 << 20,
        tmpdir: std::env::temp_dir(),
        head_timeout: Duration::from_secs(5),
        body_min_rate: 500,
        keep_alive_timeout: Duration::from_secs(5),
        write_timeout: Duration::from_secs(5),
        message_max_bytes: 1 << 20,
        deflate_level: 1,
        deflate_min_bytes: 256,
        send_queue_max_bytes: 1 << 20,
        slow_client: SlowClient::Disconnect,
        conflate: Vec::new(),
        block_queue_max_bytes: 1 << 20,
        ping_interval: Duration::from_secs(30),
        heartbeat_interval: Duration::from_secs(15),
        drain_timeout: Duration::from_secs(25),
        allowed_origins: None,
    }
}

/// Upgrades every request and echoes messages, which it acknowledges.
pub fn echo(config: Config) -> Server {
    Server::start(config, |id, frame, answers| match frame {
        ToWorker::Request(_) => answers.upgrade(id, Interest::MESSAGES, []),
        ToWorker::Message(payload, data) => {
            answers.write(id, payload, &data);
            answers.handled(id, 1);
        }
        _ => {}
    })
}

type Answer = dyn Fn(StreamId, ToWorker, &mut Batch) + Send + Sync;

/// Runs the closure for each frame, on a thread of its own, and hands its answers over.
struct Worker {
    frames: Mutex<Sender<Batch>>,
    gate: Arc<Gate>,
}

/// Where a shard waits for as long as it is to do nothing.
#[derive(Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    is_closed: bool,
    is_waited_at: bool,
}

/// The only shard does nothing until this is dropped.
pub struct Hold(Arc<Gate>);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.state.lock().unwrap().is_closed = false;
        self.0.changed.notify_all();
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Worker")
    }
}

impl WorkerLink for Worker {
    fn deliver(&self, batch: Batch) {
        let mut state = self.gate.state.lock().unwrap();
        while state.is_closed {
            state.is_waited_at = true;
            self.gate.changed.notify_all();
            state = self.gate.changed.wait(state).unwrap();
        }
        drop(state);
        let _ = self.frames.lock().unwrap().send(batch);
    }
}

pub struct Server {
    pub gateway: Gateway,
    handle: Arc<OnceLock<GatewayHandle>>,
    gate: Arc<Gate>,
}

impl Server {
    pub fn start(config: Config, answer: impl Fn(StreamId, ToWorker, &mut Batch) + Send + Sync + 'static) -> Self {
        Self::try_start(config, answer).unwrap()
    }

    pub fn try_start(
        config: Config,
        answer: impl Fn(StreamId, ToWorker, &mut Batch) + Send + Sync + 'static,
    ) -> Result<Self, GatewayError> {
        let (frames, received): (_, Receiver<Batch>) = channel();
        let handle = Arc::new(OnceLock::<GatewayHandle>::new());
        let gateway_handle = handle.clone();
        let answer: Box<Answer> = Box::new(answer);
        thread::spawn(move || {
            while let Ok(batch) = received.recv() {
                let mut frames = batch.into_frames();
                while let Some(frame) = ToWorker::next(&mut frames) {
                    let (id, frame) = frame.unwrap();
                    let mut answers = Batch::new();
                    answer(id, frame, &mut answers);
                    gateway_handle.wait().deliver(id.shard(), answers);
                }
            }
        });
        let mut gateway = Gateway::bind(config).unwrap();
        let gate = Arc::new(Gate::default());
        let started = gateway.start(Arc::new(Worker { frames: Mutex::new(frames), gate: gate.clone() }))?;
        handle.set(started).unwrap();
        Ok(Self { gateway, handle, gate })
    }

    /// Keeps the shard from doing anything, so that what clients do meanwhile is there at once. It takes a request for that.
    pub fn hold(&self) -> Hold {
        self.gate.state.lock().unwrap().is_closed = true;
        let hold = Hold(self.gate.clone());
        self.connect().send("GET /hold HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let state = self.gate.state.lock().unwrap();
        let (state, waited) =
            self.gate.changed.wait_timeout_while(state, DEADLINE, |state| !state.is_waited_at).unwrap();
        assert!(!waited.timed_out(), "the shard has nothing to hand over");
        drop(state);
        hold
    }

    /// A server that answers each request by `answer`.
    pub fn answering(config: Config, answer: impl Fn(&Request) -> String + Send + Sync + 'static) -> Self {
        Self::start(config, move |id, frame, answers| {
            if let ToWorker::Request(request) = frame {
                answers.complete_response(id, 200, [(&b"x-by"[..], &b"worker"[..])], [answer(&request).as_bytes()]);
            }
        })
    }

    pub fn send(&self, frames: Batch) {
        self.send_to(0, frames);
    }

    pub fn send_to(&self, shard: u8, frames: Batch) {
        self.handle.wait().deliver(shard, frames);
    }

    pub fn connect(&self) -> Client {
        connect(&self.gateway)
    }
}

pub fn connect(gateway: &Gateway) -> Client {
    let address = gateway.addresses()[0].strip_prefix("tcp://").unwrap();
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.set_write_timeout(Some(DEADLINE)).unwrap();
    Client { socket, buf: Vec::new() }
}

pub struct Client {
    pub socket: TcpStream,
    /// Received and not yet looked at.
    pub buf: Vec<u8>,
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Client {
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.socket.write_all(bytes.as_ref()).unwrap();
        self
    }

    /// One more read; false at the end.
    pub fn fill(&mut self) -> bool {
        let mut buf = [0; 65536];
        match self.socket.read(&mut buf) {
            Ok(0) => false,
            Ok(n) => {
                self.buf.extend_from_slice(&buf[..n]);
                true
            }
            Err(error) => panic!("read: {error}; so far: {:?}", String::from_utf8_lossy(&self.buf)),
        }
    }

    pub fn take(&mut self, len: usize) -> Vec<u8> {
        while self.buf.len() < len {
            assert!(self.fill(), "ended after {:?}", String::from_utf8_lossy(&self.buf));
        }
        self.buf.drain(..len).collect()
    }

    pub fn take_until(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = self.buf.windows(end.len()).position(|w| w == end.as_bytes()) {
                return String::from_utf8(self.take(at + end.len())).unwrap();
            }
            assert!(self.fill(), "ended after {:?}", String::from_utf8_lossy(&self.buf));
        }
    }

    /// The next response with a Content-Length or chunks.
    pub fn reply(&mut self) -> Reply {
        let reply = self.head();
        let lower = reply.head.to_ascii_lowercase();
        let mut body = String::new();
        if let Some((_, rest)) = lower.split_once("content-length: ") {
            let len = rest.split("\r\n").next().unwrap().parse().unwrap();
            body = String::from_utf8(self.take(len)).unwrap();
        } else if lower.contains("transfer-encoding: chunked") {
            loop {
                let size = self.take_until("\r\n");
                let len = usize::from_str_radix(size.trim(), 16).unwrap();
                body += &String::from_utf8(self.take(len)).unwrap();
                self.take_until("\r\n");
                if len == 0 {
                    break;
                }
            }
        }
        Reply { body, ..reply }
    }

    /// The head of the next response.
    pub fn head(&mut self) -> Reply {
        let head = self.take_until("\r\n\r\n");
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Reply { status, head, body: String::new() }
    }

    /// Whether the server closes, without a reset, and what it sent before.
    pub fn rest(&mut self) -> String {
        while self.fill() {}
        String::from_utf8(std::mem::take(&mut self.buf)).unwrap()
    }

    /// Nothing arrives for a moment.
    pub fn is_quiet(&mut self) -> bool {
        self.socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let quiet = self.buf.is_empty()
            && self
                .socket
                .peek(&mut [0])
                .is_err_and(|e| matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
        self.socket.set_read_timeout(Some(DEADLINE)).unwrap();
        quiet
    }

    /// A WebSocket frame as clients send it.
    pub fn send_frame(&mut self, opcode: u8, payload: &[u8]) -> &mut Self {
        self.send_raw_frame(0x80 | opcode, payload)
    }

    /// The same, with the bits of its first byte as they are given.
    pub fn send_raw_frame(&mut self, first: u8, payload: &[u8]) -> &mut Self {
        let mut frame = vec![first];
        match payload.len() {
            len @ 0..126 => frame.push(0x80 | len as u8),
            len @ 126..65536 => {
                frame.push(0xfe);
                frame.extend_from_slice(&(len as u16).to_be_bytes());
            }
            len => {
                frame.push(0xff);
                frame.extend_from_slice(&(len as u64).to_be_bytes());
            }
        }
        let mask = [1, 2, 3, 4];
        frame.extend_from_slice(&mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
        self.send(frame)
    }

    /// The next WebSocket frame: its first byte and its payload.
    pub fn frame(&mut self) -> (u8, Vec<u8>) {
        let head = self.take(2);
        let len = match head[1] {
            126 => usize::from(u16::from_be_bytes(self.take(2).try_into().unwrap())),
            127 => u64::from_be_bytes(self.take(8).try_into().unwrap()) as usize,
            len => usize::from(len),
        };
        (head[0], self.take(len))
    }

    pub fn open_websocket(&mut self, path: &str) -> Reply {
        self.open_websocket_with(path, "")
    }

    /// With further header lines.
    pub fn open_websocket_with(&mut self, path: &str, fields: &str) -> Reply {
        self.send(format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{fields}\r\n"
        ));
        self.head()
    }
}

pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < until, "{what}: not within {DEADLINE:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub fn body_of(request: &Request) -> Vec<u8> {
    match &request.body {
        RequestBody::None => Vec::new(),
        RequestBody::Inline(bytes) => bytes.to_vec(),
        RequestBody::File { fd, len } => {
            let mut body = Vec::new();
            std::fs::File::from(fd.try_clone().unwrap()).read_to_end(&mut body).unwrap();
            assert_eq!(body.len() as u64, *len);
            body
        }
    }
}
