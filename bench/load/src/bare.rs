//! The floor under every figure: one thread that waits for sockets, receives once and sends once, and does nothing else.
//! What it needs is the kernel's part, which no server can leave out.
//!
//! It is no server. It takes every request for one of the load generators', in one piece, and gives up when a socket does
//! not take what it sends. `bin/bench` runs it in turn with those that are servers.

use crate::connection::{ACCEPT, head_length};
use crate::options::{FILL, Transport, loopback, number};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

/// How it is called.
pub const USAGE: &str = "Usage: volador-load bare --address 127.0.0.1:PORT [--lifetime SECONDS]

Answers GET / with \"Hello, world!\", sends 64 bytes to every connection of /fanout for each COUNT of POST
/publish?count=COUNT, and sends back what comes over a WebSocket to /echo. It ends after LIFETIME (900 seconds).";

const LISTENER: Token = Token(usize::MAX - 1);
const HELLO: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 14\r\n\r\nHello, world!\n";
const STREAM: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
const PAYLOAD: usize = 64;

/// Runs the program in this mode.
pub fn run(arguments: impl Iterator<Item = String>) -> Result<(), String> {
    let (address, lifetime) = parse(arguments).map_err(|error| format!("{error}\n\n{USAGE}"))?;
    let end = Instant::now() + lifetime;
    let mut bare = Bare::listen(address).map_err(|error| format!("{address}: {error}"))?;
    while Instant::now() < end {
        bare.turn(end)?;
    }
    Err("its lifetime is over".into())
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<(SocketAddrV4, Duration), String> {
    let (mut address, mut lifetime) = (None, 900);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--address" => address = Some(loopback(&value)?),
            "--lifetime" => lifetime = number(&name, &value, 1..=86_400)?,
            _ => return Err(format!("{name} {value} is not known")),
        }
    }
    Ok((address.ok_or("--address is missing")?, Duration::from_secs(lifetime as u64)))
}

/// What comes over a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Requests.
    Http,
    /// Nothing: it is sent what is published.
    Subscriber(Transport),
    /// Frames, to be sent back.
    Echo,
}

struct Peer {
    socket: TcpStream,
    kind: Kind,
}

struct Bare {
    poll: Poll,
    events: Events,
    listener: TcpListener,
    /// By their tokens, of which none is given twice. None once it is closed.
    peers: Vec<Option<Peer>>,
    /// Tokens, in the order of their subscriptions.
    subscribers: Vec<usize>,
    buffer: Vec<u8>,
    answer: Vec<u8>,
}

impl Bare {
    fn listen(address: SocketAddrV4) -> std::io::Result<Self> {
        let poll = Poll::new()?;
        let mut listener = TcpListener::bind(address.into())?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Bare {
            poll,
            events: Events::with_capacity(1024),
            listener,
            peers: Vec::new(),
            subscribers: Vec::new(),
            buffer: vec![0; 65_536],
            answer: Vec::new(),
        })
    }

    fn turn(&mut self, end: Instant) -> Result<(), String> {
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        match self.poll.poll(&mut events, Some(end.saturating_duration_since(Instant::now()))) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.to_string()),
            _ => {}
        }
        for event in &events {
            match event.token() {
                LISTENER => self.accept()?,
                Token(index) => self.serve(index)?,
            }
        }
        self.events = events;
        Ok(())
    }

    fn accept(&mut self) -> Result<(), String> {
        loop {
            let mut socket = match self.listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.to_string()),
            };
            let token = Token(self.peers.len());
            socket
                .set_nodelay(true)
                .and_then(|()| self.poll.registry().register(&mut socket, token, Interest::READABLE))
                .map_err(|error| error.to_string())?;
            self.peers.push(Some(Peer { socket, kind: Kind::Http }));
        }
    }

    /// Receives once: a request or a frame is shorter than the buffer, and one that comes later is told anew.
    fn serve(&mut self, index: usize) -> Result<(), String> {
        let Some(peer) = &mut self.peers[index] else { return Ok(()) };
        let length = match peer.socket.read(&mut self.buffer) {
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            // The load generator closes by a reset.
            Err(_) => 0,
        };
        if length == 0 {
            self.peers[index] = None;
            self.subscribers.retain(|subscriber| *subscriber != index);
            return Ok(());
        }
        let bytes = &self.buffer[..length];
        self.answer.clear();
        let mut publications = 0;
        match peer.kind {
            Kind::Http => {
                let request = Request::read(bytes)?;
                self.answer.extend_from_slice(&request.answer());
                publications = request.publications;
                peer.kind = request.kind;
                if let Kind::Subscriber(_) = peer.kind {
                    self.subscribers.push(index);
                }
            }
            Kind::Echo => echo(bytes, &mut self.answer)?,
            Kind::Subscriber(_) => {}
        }
        send(&mut peer.socket, &self.answer)?;
        (0..publications).try_for_each(|_| self.publish())
    }

    fn publish(&mut self) -> Result<(), String> {
        let data = [FILL; PAYLOAD];
        let frame = [&[0x81, PAYLOAD as u8], &data[..]].concat();
        let event = [b"data: ", &data[..], b"\n\n"].concat();
        for index in &self.subscribers {
            let Some(peer) = &mut self.peers[*index] else { continue };
            send(&mut peer.socket, if peer.kind == Kind::Subscriber(Transport::Sse) { &event } else { &frame })?;
        }
        Ok(())
    }
}

/// What a load generator asks for.
struct Request {
    /// What comes over the connection from now on.
    kind: Kind,
    publications: usize,
}

impl Request {
    fn read(bytes: &[u8]) -> Result<Self, String> {
        if head_length(bytes)? != Some(bytes.len()) {
            return Err("a request did not come in one piece".into());
        }
        let head = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
        let target = head.split(' ').nth(1).unwrap_or_default();
        let kind = match target {
            "/fanout" if head.contains("text/event-stream") => Kind::Subscriber(Transport::Sse),
            "/fanout" => Kind::Subscriber(Transport::WebSocket),
            "/echo" => Kind::Echo,
            _ => Kind::Http,
        };
        let publications = target.strip_prefix("/publish?count=").and_then(|count| count.parse().ok()).unwrap_or(0);
        Ok(Request { kind, publications })
    }

    fn answer(&self) -> Vec<u8> {
        match self.kind {
            Kind::Http => HELLO.into(),
            Kind::Subscriber(Transport::Sse) => STREAM.into(),
            Kind::Subscriber(Transport::WebSocket) | Kind::Echo => format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
            )
            .into(),
        }
    }
}

/// Appends to `answer` the frames of a client, as a server sends them: without their masks (RFC 6455, 5.1).
fn echo(mut frames: &[u8], answer: &mut Vec<u8>) -> Result<(), String> {
    while let [first, length, m0, m1, m2, m3, rest @ ..] = frames {
        let length = usize::from(length & 0x7f);
        let payload = rest.get(..length).filter(|_| length < 126).ok_or("a frame did not come in one piece")?;
        answer.extend([*first, length as u8]);
        answer.extend(payload.iter().zip([m0, m1, m2, m3].into_iter().cycle()).map(|(byte, mask)| byte ^ mask));
        frames = &rest[length..];
    }
    if frames.is_empty() { Ok(()) } else { Err("a frame did not come in one piece".into()) }
}

fn send(socket: &mut TcpStream, bytes: &[u8]) -> Result<(), String> {
    if bytes.is_empty() {
        return Ok(());
    }
    match socket.write(bytes) {
        Ok(length) if length == bytes.len() => Ok(()),
        Ok(_) => Err("a socket takes only a part of what is sent".into()),
        // Its end is told when it is read.
        Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::client_frame;

    #[test]
    fn frames_come_back_without_their_masks() {
        let mut answer = Vec::new();
        let frames = [client_frame(0x81, b"one"), client_frame(0x82, b"")].concat();
        assert_eq!(echo(&frames, &mut answer), Ok(()));
        assert_eq!(answer, b"\x81\x03one\x82\x00");
        for cut in 1..client_frame(0x81, b"one").len() {
            assert!(echo(&frames[..cut], &mut Vec::new()).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_request_says_what_comes_next() {
        let read = |head: &str| Request::read(head.as_bytes()).map(|request| (request.kind, request.publications));
        let of = |target: &str, fields: &str| read(&format!("GET {target} HTTP/1.1\r\n{fields}\r\n"));
        assert!(of("/", "") == Ok((Kind::Http, 0)));
        assert!(of("/publish?count=3", "") == Ok((Kind::Http, 3)));
        assert!(of("/echo", "Upgrade: websocket\r\n") == Ok((Kind::Echo, 0)));
        assert!(of("/fanout", "Upgrade: websocket\r\n") == Ok((Kind::Subscriber(Transport::WebSocket), 0)));
        assert!(of("/fanout", "Accept: text/event-stream\r\n") == Ok((Kind::Subscriber(Transport::Sse), 0)));
        assert!(read("GET / HTTP/1.1\r\n").is_err());
    }
}
