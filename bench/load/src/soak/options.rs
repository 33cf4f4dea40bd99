//! The command line of the soak.

use crate::options::{Transport, loopback, number};
use std::net::SocketAddrV4;
use std::time::Duration;

/// How it is called; printed with every error about it.
pub const USAGE: &str = "Usage: volador-load soak --address 127.0.0.1:PORT [--keepers N] [--talkers N] [--listeners N] [--events N]
                         [--publications N] [--rooms N] [--messages N] [--requests N] [--lifetime SECONDS]

Opens WebSockets whose handler keeps a state (keepers, at /state?id=N&room=R), has none (talkers, /talk?id=N&room=R) or does
not exist (listeners, /listen/R), and event streams (events, /talk?id=N&room=R), each in one of the rooms, and prints \"ready\". Then it does what its standard input (a
pipe) says, line by line, and ends with it:

  go     from now on makes so many publications (POST /publish?n=SEQUENCE&room=R, to the rooms in turn), messages (\"m NUMBER\") of
         keepers and talkers in turn, and requests (GET /) a second
  mark   prints what the requests since the last mark took
  stop   makes no more, waits for what is under way and prints the counts of all

Every connection has to get every publication of its room once and in order; every message is answered with \"a NUMBER COUNT\", COUNT
being how many the handler has had, which a keeper knows over its deploys. Everything is printed as a line of JSON, times
in microseconds. It ends after LIFETIME (900 seconds).";

/// The command line, checked.
pub struct Options {
    /// Of the server; loopback only.
    pub address: SocketAddrV4,
    /// WebSockets whose handler has a state that moves with it.
    pub keepers: usize,
    /// WebSockets whose handler has none.
    pub talkers: usize,
    /// WebSockets without a handler.
    pub listeners: usize,
    /// Event streams.
    pub events: usize,
    /// A second, of all rooms together.
    pub publications: usize,
    /// In which the connections are, in turn.
    pub rooms: usize,
    /// A second, of all keepers and talkers together.
    pub messages: usize,
    /// A second.
    pub requests: usize,
    /// After this everything ends, whatever it waits for.
    pub lifetime: Duration,
}

impl Options {
    /// Reads the arguments behind the mode.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut address = None;
        let (mut keepers, mut talkers, mut listeners, mut events) = (0, 0, 0, 0);
        let (mut publications, mut rooms, mut messages, mut requests, mut lifetime) = (10, 1, 100, 100, 900);
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
            let connections = || number(&name, &value, 0..=100_000);
            let rate = || number(&name, &value, 1..=10_000);
            match name.as_str() {
                "--address" => address = Some(loopback(&value)?),
                "--keepers" => keepers = connections()?,
                "--talkers" => talkers = connections()?,
                "--listeners" => listeners = connections()?,
                "--events" => events = connections()?,
                "--publications" => publications = rate()?,
                "--rooms" => rooms = number(&name, &value, 1..=10_000)?,
                "--messages" => messages = rate()?,
                "--requests" => requests = rate()?,
                "--lifetime" => lifetime = number(&name, &value, 1..=86_400)?,
                _ => return Err(format!("{name} {value} is not known")),
            }
        }
        if keepers + talkers == 0 {
            return Err("somebody has to send messages: --keepers and --talkers are 0".into());
        }
        Ok(Options {
            address: address.ok_or("--address is missing")?,
            keepers,
            talkers,
            listeners,
            events,
            publications,
            rooms,
            messages,
            requests,
            lifetime: Duration::from_secs(lifetime as u64),
        })
    }

    /// Push connections.
    pub fn connections(&self) -> usize {
        self.keepers + self.talkers + self.listeners + self.events
    }

    /// Those that send messages: the first ones.
    pub fn senders(&self) -> usize {
        self.keepers + self.talkers
    }

    /// The room of a connection.
    pub fn room(&self, index: usize) -> usize {
        index % self.rooms
    }

    /// Path and transport of a connection.
    pub fn target(&self, index: usize) -> (String, Transport) {
        let room = self.room(index);
        match index {
            _ if index < self.keepers => (format!("/state?id={index}&room={room}"), Transport::WebSocket),
            _ if index < self.senders() => (format!("/talk?id={index}&room={room}"), Transport::WebSocket),
            _ if index < self.senders() + self.listeners => (format!("/listen/{room}"), Transport::WebSocket),
            _ => (format!("/talk?id={index}&room={room}"), Transport::Sse),
        }
    }
}
