//! A soak: everything at once, and every number checked, while the server is deployed or its workers are killed.
//!
//! All of it is on one thread, so that each connection's numbers are looked at in the order in which they came.

mod options;
mod pace;
mod peer;
mod requester;
mod tally;

use crate::connection::{Connection, send};
use crate::wire::client_frame;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use options::{Options, USAGE};
use pace::Pace;
use peer::Peer;
use requester::Requester;
use std::collections::VecDeque;
use std::io::Read;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tally::{End, Tally};

const INPUT: Token = Token(usize::MAX - 1);
/// Requesters are numbered from here on; the first ones publish.
const REQUESTERS: usize = 1 << 20;
/// Publications under way at once, each to a room of its own.
const PUBLISHERS: usize = 4;
/// Plain requests under way at once.
const REQUESTERS_MAX: usize = 16;
/// Handshakes under way at once, so that no listener's backlog overflows.
const OPENING_MAX: usize = 64;
const OPENING_DEADLINE: Duration = Duration::from_secs(120);
/// For what is still under way at the end: so long in all, and so long without anything happening.
const LATE: Duration = Duration::from_secs(15);
const STILL: Duration = Duration::from_secs(2);
/// Reasons of dropped connections that are printed.
const REASONS_MAX: u64 = 5;

/// Runs the program in this mode.
pub fn main(arguments: impl Iterator<Item = String>) -> ExitCode {
    let options = match Options::parse(arguments) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("volador-load: {error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match Soak::open(options).and_then(|mut soak| soak.serve()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("volador-load: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What is regular once it goes.
struct Traffic {
    publications: Pace,
    messages: Pace,
    requests: Pace,
}

struct Soak {
    options: Options,
    poll: Poll,
    peers: Vec<Peer>,
    requesters: Vec<Requester>,
    traffic: Option<Traffic>,
    /// When the requests were due that no requester was free for.
    waiting: VecDeque<Instant>,
    /// The requester that was asked last.
    requester: usize,
    /// The peer that sends the next message.
    speaker: usize,
    /// Publications that were asked for.
    publications: u32,
    /// What each publisher has last asked for.
    publishing: [u32; PUBLISHERS],
    tally: Tally,
    buffer: Vec<u8>,
    /// Commands that have been read and not been obeyed.
    input: Vec<u8>,
    /// The standard input has ended.
    over: bool,
    /// When everything ends.
    end: Instant,
}

impl Soak {
    fn open(options: Options) -> Result<Self, String> {
        let poll = Poll::new().map_err(|error| error.to_string())?;
        poll.registry()
            .register(&mut SourceFd(&0), INPUT, Interest::READABLE)
            .map_err(|error| format!("the standard input must be a pipe: {error}"))?;
        let requesters = (REQUESTERS..REQUESTERS + PUBLISHERS + REQUESTERS_MAX)
            .map(|token| Requester::open(options.address, Token(token), poll.registry()))
            .collect::<Result<_, _>>()?;
        let mut soak = Soak {
            poll,
            peers: Vec::with_capacity(options.connections()),
            requesters,
            traffic: None,
            waiting: VecDeque::new(),
            requester: 0,
            speaker: 0,
            publications: 0,
            publishing: [0; PUBLISHERS],
            tally: Tally::default(),
            buffer: vec![0; 65_536],
            input: Vec::new(),
            over: false,
            end: Instant::now() + options.lifetime,
            options,
        };
        soak.open_connections()?;
        println!("ready");
        Ok(soak)
    }

    fn open_connections(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + OPENING_DEADLINE;
        let (wanted, mut open) = (self.options.connections(), 0);
        while open < wanted {
            while self.peers.len() < wanted && self.peers.len() - open < OPENING_MAX {
                let index = self.peers.len();
                let (path, transport) = self.options.target(index);
                let mut connection = Connection::open(self.options.address, &path, transport, index)?;
                let registered = self.poll.registry().register(connection.socket(), Token(index), Interest::READABLE);
                registered.map_err(|error| error.to_string())?;
                let (room, rooms) = (self.options.room(index) as u32, self.options.rooms as u32);
                self.peers.push(Peer::new(Some(connection), room, rooms, index < self.options.keepers));
            }
            self.turn(deadline)?;
            let is_open = |peer: &Peer| peer.connection.as_ref().is_some_and(Connection::is_open);
            open = self.peers.iter().filter(|peer| is_open(peer)).count();
            if self.over || self.tally.dropped > 0 || Instant::now() >= deadline {
                return Err(format!("only {open} connections could be opened"));
            }
        }
        Ok(())
    }

    fn serve(&mut self) -> Result<(), String> {
        while let Some(command) = self.command()? {
            match command.as_str() {
                "go" => {
                    let now = Instant::now();
                    let Options { publications, messages, requests, .. } = self.options;
                    self.traffic = Some(Traffic {
                        publications: Pace::new(publications, now),
                        messages: Pace::new(messages, now),
                        requests: Pace::new(requests, now),
                    });
                }
                "mark" => println!("{}", self.tally.mark()),
                "stop" => {
                    self.stop()?;
                    println!("{}", self.tally.json(&self.rooms()));
                }
                _ => return Err(format!("{command}: the commands are go, mark and stop")),
            }
        }
        Ok(())
    }

    /// Serves everything until there is a command.
    fn command(&mut self) -> Result<Option<String>, String> {
        loop {
            if let Some(at) = self.input.iter().position(|byte| *byte == b'\n') {
                let line = self.input.drain(..=at).collect::<Vec<_>>();
                return Ok(Some(String::from_utf8_lossy(&line).trim().to_owned()));
            }
            if self.over {
                return Ok(None);
            }
            self.turn(self.end)?;
            if Instant::now() >= self.end {
                return Err("its lifetime is over".into());
            }
        }
    }

    /// Makes nothing more, and waits for what is under way.
    fn stop(&mut self) -> Result<(), String> {
        self.traffic = None;
        let deadline = Instant::now() + LATE;
        let (mut last, mut since) = ((0, 0, 0), Instant::now());
        while Instant::now() < deadline && !self.over {
            let requests = self.tally.requests.iter().sum::<u64>();
            let now = (self.tally.deliveries, self.tally.answers, requests);
            if now != last {
                (last, since) = (now, Instant::now());
            }
            let is_busy = self.requesters.iter().any(|requester| requester.busy.is_some());
            let is_due = is_busy
                || self.tally.answers < self.tally.messages
                || self.peers.iter().any(|peer| peer.is_behind(self.publications));
            // One more look when all has come: what is doubled would come now.
            if since.elapsed() >= if is_due { STILL } else { STILL / 10 } && !is_busy {
                break;
            }
            self.turn(deadline.min(Instant::now() + STILL / 10))?;
        }
        for requester in &mut self.requesters {
            if requester.busy.take().is_some() {
                self.tally.request(End::Failed, None);
            }
        }
        for peer in &self.peers {
            peer.end(self.publications, &mut self.tally);
        }
        Ok(())
    }

    /// How many connections are left in each room.
    fn rooms(&self) -> Vec<u32> {
        let mut rooms = vec![0; self.options.rooms];
        for (index, peer) in self.peers.iter().enumerate() {
            rooms[self.options.room(index)] += u32::from(peer.connection.is_some());
        }
        rooms
    }

    /// Waits for what comes first, until the deadline, and handles it.
    fn turn(&mut self, deadline: Instant) -> Result<(), String> {
        self.make_traffic()?;
        let next = self.traffic.as_ref().map(|traffic| {
            let publication = self.publisher().map(|_| traffic.publications.next());
            traffic.messages.next().min(traffic.requests.next()).min(publication.unwrap_or(deadline))
        });
        let until = deadline.min(self.end).min(next.unwrap_or(deadline));
        let mut events = Events::with_capacity(256);
        match self.poll.poll(&mut events, Some(until.saturating_duration_since(Instant::now()))) {
            Err(error) if error.kind() != std::io::ErrorKind::Interrupted => return Err(error.to_string()),
            _ => {}
        }
        for event in &events {
            match event.token() {
                INPUT => self.read_input()?,
                Token(token) if token >= REQUESTERS => self.read_requester(token - REQUESTERS)?,
                Token(index) => self.read_peer(index, event.is_read_closed()),
            }
        }
        Ok(())
    }

    /// Does what is due by now.
    fn make_traffic(&mut self) -> Result<(), String> {
        let now = Instant::now();
        let registry = self.poll.registry();
        while let Some(publisher) = self.publisher()
            && let Some(due) = self.traffic.as_mut().and_then(|traffic| traffic.publications.take(now))
        {
            self.publications += 1;
            self.publishing[publisher] = self.publications;
            // What is never answered has failed.
            self.tally.published.push(End::Failed);
            let (number, room) = (self.publications, self.options.room(self.publications as usize));
            self.requesters[publisher].send(&format!("POST /publish?n={number}&room={room}"), due, registry)?;
        }
        let Some(traffic) = &mut self.traffic else { return Ok(()) };
        while let Some(due) = traffic.requests.take(now) {
            self.waiting.push_back(due);
        }
        // In turn: a server may close a connection that is idle for long, just when the next request is on its way.
        for _ in 0..REQUESTERS_MAX {
            self.requester = (self.requester + 1) % REQUESTERS_MAX;
            let requester = &mut self.requesters[PUBLISHERS + self.requester];
            if requester.busy.is_none() {
                let Some(due) = self.waiting.pop_front() else { break };
                requester.send("GET /", due, registry)?;
            }
        }
        while traffic.messages.take(now).is_some() {
            let peer = &mut self.peers[self.speaker];
            self.speaker = (self.speaker + 1) % self.options.senders();
            let Some(connection) = &mut peer.connection else { continue };
            peer.sent += 1;
            self.tally.messages += 1;
            // If the socket does not take it, the server has closed it: reading tells.
            let _ = send(connection.socket(), &client_frame(0x81, format!("m {}", peer.sent).as_bytes()));
        }
        Ok(())
    }

    /// Who makes the next publication, if it is free: a room has always the same publisher, which makes one after the
    /// other. Only then there is an order in which they have to arrive.
    fn publisher(&self) -> Option<usize> {
        let publisher = self.options.room(self.publications as usize + 1) % PUBLISHERS;
        self.requesters[publisher].busy.is_none().then_some(publisher)
    }

    fn read_requester(&mut self, number: usize) -> Result<(), String> {
        let requester = &mut self.requesters[number];
        let Some(end) = requester.read(&mut self.buffer, self.poll.registry())? else { return Ok(()) };
        let Some(due) = requester.busy.take() else { return Err("a request was answered twice".into()) };
        if let Some(publication) = self.publishing.get(number) {
            self.tally.published[*publication as usize - 1] = end;
            self.tally.request(end, None);
        } else {
            self.tally.request(end, Some(due.elapsed()));
        }
        Ok(())
    }

    fn read_peer(&mut self, index: usize, ends: bool) {
        let peer = &mut self.peers[index];
        let Some(mut connection) = peer.connection.take() else { return };
        let read = connection.read(&mut self.buffer, ends, |_, data| peer.receive(data, &mut self.tally));
        match read {
            Ok(()) => peer.connection = Some(connection),
            Err(error) => {
                self.tally.dropped += 1;
                if self.tally.dropped <= REASONS_MAX {
                    eprintln!("volador-load: connection {index}: {error}");
                }
            }
        }
    }

    fn read_input(&mut self) -> Result<(), String> {
        let mut bytes = [0; 1024];
        match std::io::stdin().read(&mut bytes) {
            Ok(0) => self.over = true,
            Ok(length) => self.input.extend_from_slice(&bytes[..length]),
            Err(error) => return Err(format!("the standard input: {error}")),
        }
        Ok(())
    }
}
