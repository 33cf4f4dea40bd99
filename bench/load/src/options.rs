//! The command line.

use std::net::SocketAddrV4;
use std::time::Duration;

/// How it is called; printed with every error about it.
pub const USAGE: &str =
    "Usage: volador-load fanout|echo|timed|idle --address 127.0.0.1:PORT --path PATH --connections N
                    [--transport websocket|sse] [--payload BYTES] [--burst N] [--publication query|body]
                    [--lifetime SECONDS]

Opens N connections and prints \"ready\". Then it does what its standard input (a pipe) says, line by line, and ends
with it:

  run SECONDS   fanout: asks for publications by POST /publish?count=BURST, each when all of the last one has arrived;
                with --publication body by BURST times POST /publish, with the message as the body
                echo:   every connection sends a message, and the next one when its echo has come
                timed:  takes what comes; each message begins with the CLOCK_MONOTONIC nanoseconds when it was sent
                Prints the outcome as one line of JSON; times in microseconds.

idle only holds its connections. Everything ends after LIFETIME (900 seconds).

       volador-load soak ...: see `volador-load soak --help`
       volador-load bare ...: see `volador-load bare --help`";

/// The byte that messages are filled with.
pub const FILL: u8 = b'x';

/// What is done with the connections.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// One publication reaches every connection.
    Fanout,
    /// Every connection gets back what it sends.
    Echo,
    /// The server publishes by itself, and every message says when.
    Timed,
    /// Nothing.
    Idle,
}

/// What the connections speak.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// RFC 6455, without extensions.
    WebSocket,
    /// Server-sent events.
    Sse,
}

/// How a publication is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Publication {
    /// One request names their number; the application has the message.
    Query,
    /// A request for each, and the message is its body: for servers without an application.
    Body,
}

/// The command line, checked.
pub struct Options {
    /// What is done.
    pub mode: Mode,
    /// Of the server; loopback only.
    pub address: SocketAddrV4,
    /// Request path of the push connections.
    pub path: String,
    /// How many push connections.
    pub connections: usize,
    /// What they speak.
    pub transport: Transport,
    /// Bytes of a message: of those sent by `echo`, and of those that `fanout` expects.
    pub payload: usize,
    /// Publications that one request of `fanout` asks for.
    pub burst: usize,
    /// How `fanout` asks for them.
    pub publication: Publication,
    /// After this everything ends, whatever it waits for.
    pub lifetime: Duration,
}

impl Options {
    /// Reads the arguments, without the name of the program.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mode = match arguments.next().as_deref() {
            Some("fanout") => Mode::Fanout,
            Some("echo") => Mode::Echo,
            Some("timed") => Mode::Timed,
            Some("idle") => Mode::Idle,
            other => return Err(format!("no such mode: {}", other.unwrap_or("(none)"))),
        };
        let (mut address, mut path, mut connections) = (None, None, None);
        let (mut transport, mut payload, mut burst, mut lifetime) = (Transport::WebSocket, 64, 1, 900);
        let mut publication = Publication::Query;
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--address" => address = Some(loopback(&value)?),
                "--path" => path = Some(value),
                "--connections" => connections = Some(number(&name, &value, 1..=100_000)?),
                "--transport" if value == "websocket" => transport = Transport::WebSocket,
                "--transport" if value == "sse" => transport = Transport::Sse,
                "--payload" => payload = number(&name, &value, 1..=125)?,
                "--burst" => burst = number(&name, &value, 1..=10_000)?,
                "--publication" if value == "query" => publication = Publication::Query,
                "--publication" if value == "body" => publication = Publication::Body,
                "--lifetime" => lifetime = number(&name, &value, 1..=86_400)?,
                _ => return Err(format!("{name} {value} is not known")),
            }
        }
        if mode == Mode::Echo && transport == Transport::Sse {
            return Err("echo needs --transport websocket: an EventSource cannot send".into());
        }
        Ok(Options {
            mode,
            address: address.ok_or("--address is missing")?,
            path: path.ok_or("--path is missing")?,
            connections: connections.ok_or("--connections is missing")?,
            transport,
            payload,
            burst,
            publication,
            lifetime: Duration::from_secs(lifetime as u64),
        })
    }
}

/// The address, if it is one of this machine alone.
pub fn loopback(value: &str) -> Result<SocketAddrV4, String> {
    match value.parse::<SocketAddrV4>() {
        Ok(address) if address.ip().is_loopback() => Ok(address),
        _ => Err(format!("--address {value} is not 127.0.0.1:PORT")),
    }
}

/// The number, if it is in the range.
pub fn number(name: &str, value: &str, range: std::ops::RangeInclusive<usize>) -> Result<usize, String> {
    match value.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(format!("{name} {value} is not in {} to {}", range.start(), range.end())),
    }
}
