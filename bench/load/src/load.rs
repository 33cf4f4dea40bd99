//! All connections on one thread: the loop, and the runs.

use crate::clock;
use crate::connection::{Connection, send};
use crate::options::{FILL, Mode, Options};
use crate::outcome::Outcome;
use crate::publisher::Publisher;
use crate::wire::client_frame;
use mio::net::TcpStream;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::io::Read;
use std::time::{Duration, Instant};

const PUBLISHER: Token = Token(usize::MAX - 1);
const INPUT: Token = Token(usize::MAX - 2);
/// Handshakes under way at once, so that no listener's backlog overflows.
const OPENING_MAX: usize = 64;
const OPENING_DEADLINE: Duration = Duration::from_secs(120);
/// For what is still under way when a run is over.
const LATE: Duration = Duration::from_secs(10);

/// The connections and what is needed to serve them.
pub struct Load {
    options: Options,
    poll: Poll,
    connections: Vec<Connection>,
    publisher: Option<Publisher>,
    buffer: Vec<u8>,
    /// Commands that have been read and not been obeyed.
    input: Vec<u8>,
    /// The standard input has ended.
    over: bool,
    /// Waits without sleeping: nobody has to wake this thread.
    spins: bool,
    /// How long it has waited like that.
    waited: Duration,
    /// When everything ends.
    end: Instant,
}

impl Load {
    /// Opens all connections.
    pub fn open(options: Options) -> Result<Self, String> {
        let poll = Poll::new().map_err(|error| error.to_string())?;
        poll.registry()
            .register(&mut SourceFd(&0), INPUT, Interest::READABLE)
            .map_err(|error| format!("the standard input must be a pipe: {error}"))?;
        let end = Instant::now() + options.lifetime;
        let mut load = Load {
            poll,
            connections: Vec::with_capacity(options.connections),
            publisher: None,
            buffer: vec![0; 65_536],
            input: Vec::new(),
            over: false,
            spins: false,
            waited: Duration::ZERO,
            end,
            options,
        };
        load.open_connections()?;
        if load.options.mode == Mode::Fanout {
            let mut publisher = Publisher::open(&load.options, &message(&load.options))?;
            load.register(publisher.socket(), PUBLISHER)?;
            load.publisher = Some(publisher);
        }
        Ok(load)
    }

    /// Serves the connections until there is a command.
    pub fn command(&mut self) -> Result<Option<String>, String> {
        loop {
            if let Some(at) = self.input.iter().position(|byte| *byte == b'\n') {
                let line = self.input.drain(..=at).collect::<Vec<_>>();
                return Ok(Some(String::from_utf8_lossy(&line).trim().to_owned()));
            }
            if self.over {
                return Ok(None);
            }
            self.turn(self.end, |_, _, _| Ok(()))?;
            if Instant::now() >= self.end {
                return Err("its lifetime is over".into());
            }
        }
    }

    /// Does for `duration` what the mode says.
    ///
    /// Meanwhile it does not sleep. On one machine it is the server's system call that wakes the load generator, which
    /// costs a server the more, the further it lags behind the load; clients on the other side of a network cost it
    /// nothing of the kind.
    pub fn run(&mut self, duration: Duration) -> Result<String, String> {
        let started = Instant::now();
        self.spins = true;
        self.waited = Duration::ZERO;
        let outcome = match self.options.mode {
            Mode::Fanout => self.fanout(started + duration)?,
            Mode::Echo => self.echo(started + duration)?,
            Mode::Timed => self.timed(duration)?,
            Mode::Idle => return Err("idle has nothing to run".into()),
        };
        self.spins = false;
        Ok(outcome.json(started.elapsed(), self.waited))
    }

    fn fanout(&mut self, end: Instant) -> Result<Outcome, String> {
        let expected = message(&self.options);
        let mut outcome = Outcome::default();
        while Instant::now() < end {
            let sent = Instant::now();
            let mut due = self.connections.len() * self.options.burst;
            self.publisher.as_mut().ok_or("there is no publisher")?.publish()?;
            while due > 0 || self.publisher.as_ref().is_some_and(|publisher| publisher.unanswered > 0) {
                self.turn(sent + LATE, |_, _, data| {
                    due = due.checked_sub(1).filter(|_| data == expected).ok_or_else(|| unexpected(data))?;
                    outcome.arrived(sent.elapsed());
                    Ok(())
                })?;
                if self.over || Instant::now() >= sent + LATE {
                    outcome.missing += due as u64;
                    return Ok(outcome);
                }
            }
        }
        Ok(outcome)
    }

    fn echo(&mut self, end: Instant) -> Result<Outcome, String> {
        let message = message(&self.options);
        let frame = client_frame(0x81, &message);
        let mut outcome = Outcome::default();
        let mut sent = vec![Instant::now(); self.connections.len()];
        let mut due = self.connections.len();
        for connection in &mut self.connections {
            send(connection.socket(), &frame)?;
        }
        while due > 0 && !self.over && Instant::now() < end + LATE {
            self.turn(end + LATE, |index, socket, data| {
                if data != message {
                    return Err(unexpected(data));
                }
                let now = Instant::now();
                outcome.arrived(now - sent[index]);
                if now >= end {
                    due -= 1;
                    return Ok(());
                }
                sent[index] = now;
                send(socket, &frame)
            })?;
        }
        outcome.missing = due as u64;
        Ok(outcome)
    }

    /// Counts the messages that were sent within the time, however late they come: each connection gets its messages in
    /// order, and is done with the first one that was sent later.
    fn timed(&mut self, duration: Duration) -> Result<Outcome, String> {
        let start = clock::now();
        let end = start + duration;
        let mut outcome = Outcome::default();
        let mut done = vec![false; self.connections.len()];
        let mut waiting = done.len();
        let deadline = Instant::now() + duration + LATE;
        while waiting > 0 && !self.over && Instant::now() < deadline {
            self.turn(deadline, |index, _, data| {
                let sent = clock::sent(data).ok_or_else(|| unexpected(data))?;
                if sent >= end {
                    waiting -= usize::from(!std::mem::replace(&mut done[index], true));
                } else if sent >= start {
                    outcome.arrived(clock::now().saturating_sub(sent));
                }
                Ok(())
            })?;
        }
        outcome.missing = waiting as u64;
        Ok(outcome)
    }

    fn open_connections(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + OPENING_DEADLINE;
        let mut open = 0;
        while open < self.options.connections {
            while self.connections.len() < self.options.connections && self.connections.len() - open < OPENING_MAX {
                let index = self.connections.len();
                let Options { address, transport, .. } = self.options;
                let mut connection = Connection::open(address, &self.options.path, transport, index)?;
                self.register(connection.socket(), Token(index))?;
                self.connections.push(connection);
            }
            open += self.turn(deadline, |_, _, _| Ok(()))?;
            if self.over || Instant::now() >= deadline {
                return Err(format!("only {open} connections could be opened"));
            }
        }
        Ok(())
    }

    fn register(&self, socket: &mut TcpStream, token: Token) -> Result<(), String> {
        self.poll.registry().register(socket, token, Interest::READABLE).map_err(|error| error.to_string())
    }

    /// Waits for what comes first, until the deadline, and handles it. Returns how many connections have opened.
    fn turn(
        &mut self,
        deadline: Instant,
        mut each: impl FnMut(usize, &TcpStream, &[u8]) -> Result<(), String>,
    ) -> Result<usize, String> {
        let mut events = Events::with_capacity(1024);
        let before = Instant::now();
        let most = if self.spins { Duration::ZERO } else { deadline.min(self.end).saturating_duration_since(before) };
        match self.poll.poll(&mut events, Some(most)) {
            Err(error) if error.kind() != std::io::ErrorKind::Interrupted => return Err(error.to_string()),
            _ => {}
        }
        if self.spins && events.is_empty() {
            self.waited += before.elapsed();
        }
        let mut opened = 0;
        for event in &events {
            match event.token() {
                INPUT => self.read_input()?,
                PUBLISHER => {
                    if let Some(publisher) = &mut self.publisher {
                        publisher.read(&mut self.buffer)?;
                    }
                }
                Token(index) => {
                    let connection = &mut self.connections[index];
                    let was_open = connection.is_open();
                    connection
                        .read(&mut self.buffer, event.is_read_closed(), |socket, data| each(index, socket, data))
                        .map_err(|error| format!("connection {index}: {error}"))?;
                    opened += usize::from(!was_open && connection.is_open());
                }
            }
        }
        Ok(opened)
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

/// What is sent, and what has to arrive.
fn message(options: &Options) -> Vec<u8> {
    vec![FILL; options.payload]
}

fn unexpected(data: &[u8]) -> String {
    format!("an unexpected message: {:?}", String::from_utf8_lossy(data))
}
