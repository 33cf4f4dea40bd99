//! [`Aside`]: messages that wait for the end of their batch, so that a connection gets all of them by one send.
//!
//! What waits for a connection is a *sequence*: a shorter one, or nothing, and one message more. Those for whom the same waits
//! have the same sequence: of ten publications to a thousand subscribers there are ten sequences, and the bytes of the last
//! one are put together once for all. Whoever has written or missed something between them has one of their own.
//!
//! Nothing here knows a connection. Each has the id of its sequence, and lets go of it when it is sent.

use std::num::NonZeroU32;

use bytes::{Bytes, BytesMut};
use volador_proto::link::StreamId;

use super::{message::Form, queue::Tag};

/// Bytes of all messages that wait, after which they are sent before anything is added to them. A message for many counts by
/// its longest form, and each for a few more than its own, so that this bounds how many they are.
const BYTES_MAX: usize = 64 << 10;
const MESSAGE_BYTES: usize = 16;

/// Sequences, likewise. One message may add as many as it has subscribers.
const SEQUENCES_MAX: usize = 16 << 10;

/// Bytes that are put together at once, of all sequences but the last one.
const JOINED_MAX: usize = 256 << 10;

/// Elements of each list that are kept as memory for the next batch.
const SPARE_MAX: usize = 1 << 10;

/// Names a sequence until all are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SequenceId(NonZeroU32);

/// The last message of a sequence, or a whole one.
#[derive(Clone, Copy, Debug)]
pub(super) enum Piece<'a> {
    /// Nobody else gets it. It stands in memory that is used again.
    Own(&'a [u8]),
    /// Others get it as well.
    Shared(&'a Bytes, Option<Tag>),
}

impl<'a> Piece<'a> {
    pub(super) fn bytes(self) -> &'a [u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(bytes, _) => bytes,
        }
    }

    pub(super) fn tag(self) -> Option<Tag> {
        match self {
            Self::Own(_) => None,
            Self::Shared(_, tag) => tag,
        }
    }

    /// What is behind its first bytes, for longer than the batch. What is its own gets memory of its own: else a client that
    /// reads slowly would keep that of the others.
    pub(super) fn behind(self, sent: usize) -> Bytes {
        match self {
            Self::Own(bytes) => Bytes::copy_from_slice(&bytes[sent..]),
            Self::Shared(bytes, _) => bytes.slice(sent..),
        }
    }
}

#[derive(Debug)]
enum Last {
    /// From where to where it is in `own`.
    Own(u32, u32),
    /// Where it is in `shared`.
    Shared(u32),
}

#[derive(Debug)]
struct Sequence {
    before: Option<SequenceId>,
    last: Last,
    /// How many messages it has.
    messages: u32,
    longer: Longer,
    /// The round in which it was joined last, and from where to where it is in `joined` then.
    joined: (u32, u32, u32),
}

/// The sequence that is one message longer: which message, by its number, and which sequence. The one that was made last;
/// there is no other of the message that is being set aside.
type Longer = Option<(u32, SequenceId)>;

/// What has been set aside.
#[derive(Debug, Default)]
pub(super) struct Aside {
    /// Connections that something waits for, each once, in the order in which they came, and what was the first of it.
    connections: Vec<(StreamId, SequenceId)>,
    sequences: Vec<Sequence>,
    /// Those of one message that others may get as well, by the places of the forms.
    first: [Longer; Form::COUNT],
    /// Messages for one connection each. One piece of memory for all of them, which is kept: memory of its own for each would
    /// be more work than the frame.
    own: BytesMut,
    /// Messages for many.
    shared: Vec<(Bytes, Option<Tag>)>,
    /// The number of the message for many that is being set aside, and the bytes that it counts for so far.
    number: u32,
    number_bytes: usize,
    /// What counts towards [`BYTES_MAX`].
    bytes: usize,
    /// The bytes of sequences of several messages, in this round.
    joined: Vec<u8>,
    round: u32,
}

impl Aside {
    pub(super) fn is_empty(&self) -> bool {
        // Not by the connections: a message for many may have found none that it can be set aside for.
        self.bytes == 0
    }

    /// Whether nothing is to be added before all is sent.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= BYTES_MAX || self.sequences.len() >= SEQUENCES_MAX
    }

    /// Sets a message aside that one connection alone gets: what `put` appends. `before` is what waits for it already.
    pub(super) fn own(
        &mut self,
        id: StreamId,
        before: Option<SequenceId>,
        put: impl FnOnce(&mut BytesMut),
    ) -> SequenceId {
        let start = self.own.len();
        put(&mut self.own);
        self.bytes += self.own.len() - start + MESSAGE_BYTES;
        self.add(id, before, Last::Own(start as u32, self.own.len() as u32))
    }

    /// The next message is one for many.
    pub(super) fn begin_shared(&mut self) {
        self.number += 1;
        self.number_bytes = 0;
        self.bytes += MESSAGE_BYTES;
    }

    /// Sets this message aside for one of the many. `bytes` are asked for where nobody else has the same sequence.
    pub(super) fn share(
        &mut self,
        id: StreamId,
        before: Option<SequenceId>,
        form: Form,
        bytes: impl FnOnce() -> (Bytes, Option<Tag>),
    ) -> SequenceId {
        let longer = match before {
            Some(before) => self.get(before).longer,
            None => self.first[form.place()],
        };
        if let Some((number, sequence)) = longer
            && number == self.number
        {
            if before.is_none() {
                self.connections.push((id, sequence));
            }
            return sequence;
        }
        let (bytes, tag) = bytes();
        self.bytes += bytes.len().saturating_sub(self.number_bytes);
        self.number_bytes = self.number_bytes.max(bytes.len());
        self.shared.push((bytes, tag));
        let sequence = self.add(id, before, Last::Shared((self.shared.len() - 1) as u32));
        let longer = Some((self.number, sequence));
        match before {
            Some(before) => self.get_mut(before).longer = longer,
            None => self.first[form.place()] = longer,
        }
        sequence
    }

    fn add(&mut self, id: StreamId, before: Option<SequenceId>, last: Last) -> SequenceId {
        let messages = 1 + before.map_or(0, |before| self.get(before).messages);
        self.sequences.push(Sequence { before, last, messages, longer: None, joined: (0, 0, 0) });
        // Not 0, and far less than 2³².
        let sequence = SequenceId(NonZeroU32::new(self.sequences.len() as u32).unwrap_or(NonZeroU32::MIN));
        if before.is_none() {
            self.connections.push((id, sequence));
        }
        sequence
    }

    fn get(&self, SequenceId(id): SequenceId) -> &Sequence {
        &self.sequences[id.get() as usize - 1]
    }

    fn get_mut(&mut self, SequenceId(id): SequenceId) -> &mut Sequence {
        &mut self.sequences[id.get() as usize - 1]
    }

    /// Whom something waits for. They are to be asked for their sequences: what they come with is only the first message.
    pub(super) fn take_connections(&mut self) -> Vec<(StreamId, SequenceId)> {
        std::mem::take(&mut self.connections)
    }

    /// How many messages a sequence has.
    pub(super) fn messages(&self, id: SequenceId) -> usize {
        self.get(id).messages as usize
    }

    /// The messages of a sequence, in order.
    pub(super) fn pieces(&self, id: SequenceId) -> impl Iterator<Item = Piece<'_>> {
        let mut chain = Vec::new();
        let mut next = Some(id);
        while let Some(id) = next {
            let sequence = self.get(id);
            chain.push(self.piece(&sequence.last));
            next = sequence.before;
        }
        chain.into_iter().rev()
    }

    fn piece(&self, last: &Last) -> Piece<'_> {
        match *last {
            Last::Own(start, end) => Piece::Own(&self.own[start as usize..end as usize]),
            Last::Shared(at) => {
                let (bytes, tag) = &self.shared[at as usize];
                Piece::Shared(bytes, *tag)
            }
        }
    }

    /// Puts the bytes of these sequences together, one at least, and forgets the ones before them. Returns how many it has done:
    /// the rest would be too much at once.
    pub(super) fn join(&mut self, ids: impl Iterator<Item = SequenceId>) -> usize {
        self.round += 1;
        let mut joined = std::mem::take(&mut self.joined);
        joined.clear();
        let mut done = 0;
        for id in ids {
            let sequence = self.get(id);
            if sequence.before.is_some() && sequence.joined.0 != self.round {
                let start = joined.len();
                if start >= JOINED_MAX {
                    break;
                }
                self.pieces(id).for_each(|piece| joined.extend_from_slice(piece.bytes()));
                self.get_mut(id).joined = (self.round, start as u32, joined.len() as u32);
            }
            done += 1;
        }
        self.joined = joined;
        done
    }

    /// The bytes of a sequence that has been joined last.
    pub(super) fn joined(&self, id: SequenceId) -> &[u8] {
        let sequence = self.get(id);
        match (sequence.before, sequence.joined) {
            (Some(_), (_, start, end)) => &self.joined[start as usize..end as usize],
            (None, _) => self.piece(&sequence.last).bytes(),
        }
    }

    /// All is sent: nobody has a sequence any more. `connections` come back for their memory.
    pub(super) fn clear(&mut self, mut connections: Vec<(StreamId, SequenceId)>) {
        connections.clear();
        connections.shrink_to(SPARE_MAX);
        self.connections = connections;
        self.own.clear();
        self.sequences.clear();
        self.sequences.shrink_to(SPARE_MAX);
        self.shared.clear();
        self.shared.shrink_to(SPARE_MAX);
        self.joined.clear();
        self.joined.shrink_to(JOINED_MAX);
        (self.first, self.bytes, self.number, self.round) = (Default::default(), 0, 0, 0);
    }
}

#[cfg(test)]
mod tests;
