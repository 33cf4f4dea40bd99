//! One push connection of a soak: what it has had, and whether that was right.

use super::tally::Tally;
use crate::connection::Connection;

/// A push connection and its numbers.
#[derive(Default)]
pub struct Peer {
    /// None once the server has closed it.
    pub connection: Option<Connection>,
    /// The last publication that it has got.
    publication: u32,
    /// Messages that it has sent.
    pub sent: u32,
    /// The last one that was answered.
    answered: u32,
    /// Its handler knows how many messages there have been, wherever it is.
    keeps: bool,
}

impl Peer {
    /// Nothing has been sent in either direction.
    pub fn new(connection: Connection, keeps: bool) -> Self {
        Peer { connection: Some(connection), keeps, ..Peer::default() }
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
                tally.deliveries += 1;
                if publication <= self.publication {
                    tally.disordered += 1;
                } else {
                    tally.passed_over(self.publication + 1..publication);
                    self.publication = publication;
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

    /// It is over: what has not come will not.
    pub fn end(&self, publications: u32, tally: &mut Tally) {
        if self.connection.is_some() {
            tally.passed_over(self.publication + 1..publications + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(messages: &[&str]) -> (Peer, Tally) {
        let mut peer = Peer { sent: 3, keeps: true, ..Peer::default() };
        let mut tally = Tally::default();
        for message in messages {
            peer.receive(message.as_bytes(), &mut tally).unwrap();
        }
        (peer, tally)
    }

    #[test]
    fn publications_are_missing_or_come_again() {
        let (peer, tally) = received(&["p 1", "p 4", "p 3", "p 4", "p 5"]);
        assert_eq!((tally.deliveries, tally.disordered, peer.publication), (5, 2, 5));
        assert_eq!(tally.passed, [0, 0, 1, 1]);
    }

    #[test]
    fn answers_are_doubled_or_of_a_handler_that_has_forgotten() {
        let (_, tally) = received(&["a 1 1", "a 1 1", "a 3 2", "a 4 4"]);
        assert_eq!((tally.answers, tally.doubled, tally.forgotten), (2, 2, 1));
    }

    #[test]
    fn anything_else_is_an_error() {
        for message in ["", "p", "p x", "a 1", "b 1"] {
            assert!(Peer::default().receive(message.as_bytes(), &mut Tally::default()).is_err(), "{message}");
        }
    }
}
