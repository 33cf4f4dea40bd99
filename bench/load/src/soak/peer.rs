//! One push connection of a soak: what it has had, and whether that was right.

use super::tally::Tally;
use crate::connection::Connection;

/// A push connection and its numbers.
pub struct Peer {
    /// None once the server has closed it.
    pub connection: Option<Connection>,
    /// The publication that comes next. It gets every one whose number leaves the same rest by `rooms`.
    next: u32,
    /// How many rooms there are.
    rooms: u32,
    /// Messages that it has sent.
    pub sent: u32,
    /// The last one that was answered.
    answered: u32,
    /// Its handler knows how many messages there have been, wherever it is.
    keeps: bool,
}

impl Peer {
    /// Nothing has been sent in either direction. The room is one of `0..rooms`.
    pub fn new(connection: Option<Connection>, room: u32, rooms: u32, keeps: bool) -> Self {
        // Publications are numbered from 1 on.
        let next = if room == 0 { rooms } else { room };
        Peer { connection, next, rooms, sent: 0, answered: 0, keeps }
    }

    /// Something has arrived.
    pub fn receive(&mut self, data: &[u8], tally: &mut Tally) -> Result<(), String> {
        let text = std::str::from_utf8(data).map_err(|_| format!("it is no text: {data:?}"))?;
        let unexpected = || format!("an unexpected message: {text:?}");
        let (kind, numbers) = text.split_once(' ').ok_or_else(unexpected)?;
        let mut numbers = numbers.split(' ').map(|number| number.parse::<u32>().map_err(|_| unexpected()));
        let mut number = || numbers.next().unwrap_or_else(|| Err(unexpected()));
        match kind {
            "p" => {
                let publication = number()?;
                if publication % self.rooms != self.next % self.rooms {
                    return Err(format!("a publication for another room: {publication}"));
                }
                tally.deliveries += 1;
                if publication < self.next {
                    tally.disordered += 1;
                } else {
                    tally.passed_over((self.next..publication).step_by(self.rooms as usize));
                    self.next = publication + self.rooms;
                }
            }
            "a" => {
                let (message, count) = (number()?, number()?);
                if message <= self.answered || message > self.sent {
                    tally.doubled += 1;
                } else {
                    tally.answers += 1;
                    self.answered = message;
                }
                tally.forgotten += u64::from(self.keeps && count != message);
            }
            _ => return Err(unexpected()),
        }
        Ok(())
    }

    /// Whether one of so many publications is still to come.
    pub fn is_behind(&self, publications: u32) -> bool {
        self.connection.is_some() && self.next <= publications
    }

    /// It is over: what has not come will not.
    pub fn end(&self, publications: u32, tally: &mut Tally) {
        if self.connection.is_some() {
            tally.passed_over((self.next..publications + 1).step_by(self.rooms as usize));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(room: u32, rooms: u32, messages: &[&str]) -> (Peer, Tally) {
        let mut peer = Peer { sent: 3, ..Peer::new(None, room, rooms, true) };
        let mut tally = Tally::default();
        for message in messages {
            peer.receive(message.as_bytes(), &mut tally).unwrap();
        }
        (peer, tally)
    }

    #[test]
    fn publications_are_missing_or_come_again() {
        let (peer, tally) = received(0, 1, &["p 1", "p 4", "p 3", "p 4", "p 5"]);
        assert_eq!((tally.deliveries, tally.disordered, peer.next), (5, 2, 6));
        assert_eq!(tally.passed, [0, 0, 1, 1]);
    }

    #[test]
    fn publications_of_a_room_are_every_so_many() {
        for (room, messages, next, passed) in [
            (0, &["p 3", "p 9"][..], 12, &[0, 0, 0, 0, 0, 0, 1][..]),
            (1, &["p 1", "p 7"], 10, &[0, 0, 0, 0, 1]),
            (2, &["p 5"], 8, &[0, 0, 1]),
        ] {
            let (peer, tally) = received(room, 3, messages);
            assert_eq!((peer.next, &tally.passed[..]), (next, passed), "{room}");
        }
    }

    #[test]
    fn answers_are_doubled_or_of_a_handler_that_has_forgotten() {
        let (_, tally) = received(0, 1, &["a 1 1", "a 1 1", "a 3 2", "a 4 4"]);
        assert_eq!((tally.answers, tally.doubled, tally.forgotten), (2, 2, 1));
    }

    #[test]
    fn anything_else_is_an_error() {
        for message in ["", "p", "p x", "p 2", "a 1", "b 1"] {
            assert!(
                Peer::new(None, 1, 2, false).receive(message.as_bytes(), &mut Tally::default()).is_err(),
                "{message}"
            );
        }
    }
}
