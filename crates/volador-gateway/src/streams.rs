//! [`Streams`]: a shard's table of requests and push connections, by [`StreamId`].

use volador_proto::link::StreamId;

use crate::{http::Exchange, push::PushConnection};

/// What a stream is at the moment.
#[derive(Debug)]
pub(crate) enum Stream {
    /// A request without its (whole) answer.
    Exchange(Box<Exchange>),
    /// A push connection.
    Push(Box<PushConnection>),
}

#[derive(Debug, Default)]
struct Slot {
    /// How often the slot has been used; frames for earlier uses are told by it.
    generation: u32,
    stream: Option<Stream>,
}

/// Streams by slot. A slot is used again after its stream has ended, in a new generation.
#[derive(Debug)]
pub(crate) struct Streams {
    shard: u8,
    slots: Vec<Slot>,
    /// Slots without a stream.
    free: Vec<u32>,
    /// Memory of exchanges that have ended, for the next ones; at most [`SPARE_MAX`].
    #[allow(clippy::vec_box)] // a box goes in and out as it is
    spare: Vec<Box<Exchange>>,
}

/// Exchanges whose memory is kept: as many as a busy moment has.
const SPARE_MAX: usize = 64;

impl Streams {
    pub(crate) fn new(shard: u8) -> Self {
        Self { shard, slots: Vec::new(), free: Vec::new(), spare: Vec::new() }
    }

    /// Whose streams these are.
    pub(crate) fn shard(&self) -> u8 {
        self.shard
    }

    /// Streams that there are.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Slots that there are, used or not: every slot is below this.
    pub(crate) fn slots(&self) -> u32 {
        self.slots.len() as u32
    }

    pub(crate) fn insert(&mut self, exchange: Exchange) -> StreamId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            (self.slots.len() - 1) as u32
        });
        let entry = &mut self.slots[slot as usize];
        let exchange = match self.spare.pop() {
            Some(mut memory) => {
                *memory = exchange;
                memory
            }
            None => Box::new(exchange),
        };
        entry.stream = Some(Stream::Exchange(exchange));
        StreamId::new(self.shard, entry.generation, slot)
    }

    /// The stream of this id, unless it has ended.
    pub(crate) fn get(&mut self, id: StreamId) -> Option<&mut Stream> {
        let slot = self.slots.get_mut(id.slot() as usize)?;
        if slot.generation % StreamId::GENERATIONS != id.generation() {
            return None;
        }
        slot.stream.as_mut()
    }

    pub(crate) fn exchange(&mut self, id: StreamId) -> Option<&mut Exchange> {
        match self.get(id) {
            Some(Stream::Exchange(exchange)) => Some(exchange),
            _ => None,
        }
    }

    pub(crate) fn push(&mut self, id: StreamId) -> Option<&mut PushConnection> {
        match self.get(id) {
            Some(Stream::Push(connection)) => Some(connection),
            _ => None,
        }
    }

    /// The stream in a slot and its id.
    pub(crate) fn in_slot(&mut self, slot: u32) -> Option<(StreamId, &mut Stream)> {
        let entry = self.slots.get_mut(slot as usize)?;
        let id = StreamId::new(self.shard, entry.generation, slot);
        entry.stream.as_mut().map(|stream| (id, stream))
    }

    /// The push connection in a slot and its id, to look at.
    pub(crate) fn look_at_push(&self, slot: u32) -> Option<(StreamId, &PushConnection)> {
        let entry = self.slots.get(slot as usize)?;
        match &entry.stream {
            Some(Stream::Push(connection)) => Some((StreamId::new(self.shard, entry.generation, slot), connection)),
            _ => None,
        }
    }

    /// The push connection in a slot and its id.
    pub(crate) fn push_in_slot(&mut self, slot: u32) -> Option<(StreamId, &mut PushConnection)> {
        match self.in_slot(slot)? {
            (id, Stream::Push(connection)) => Some((id, connection)),
            _ => None,
        }
    }

    /// The stream goes on as something else.
    pub(crate) fn replace(&mut self, id: StreamId, stream: Stream) -> Option<Stream> {
        self.get(id).map(|old| std::mem::replace(old, stream))
    }

    /// Keeps the memory of an exchange that has ended, and of which nothing is left.
    pub(crate) fn keep(&mut self, memory: Box<Exchange>) {
        if self.spare.len() < SPARE_MAX {
            self.spare.push(memory);
        }
    }

    /// The stream ends.
    pub(crate) fn remove(&mut self, id: StreamId) -> Option<Stream> {
        self.get(id)?;
        let slot = &mut self.slots[id.slot() as usize];
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.slot());
        slot.stream.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_used_slot_does_not_answer_to_its_former_id() {
        let mut streams = Streams::new(3);
        let first = streams.insert(Exchange::default());
        assert!(streams.exchange(first).is_some());
        assert!(streams.remove(first).is_some());
        assert!(streams.get(first).is_none() && streams.remove(first).is_none());
        let second = streams.insert(Exchange::default());
        assert_eq!((second.slot(), second.shard()), (first.slot(), 3));
        assert!(streams.get(first).is_none() && streams.exchange(second).is_some());
        assert_eq!(streams.len(), 1);
    }

    #[test]
    fn memory_that_is_kept_is_that_of_the_next_exchange() {
        let mut streams = Streams::new(0);
        let mut memory = Box::new(Exchange::embedded());
        let address: *const Exchange = &raw const *memory;
        *memory = Exchange::default();
        streams.keep(memory);
        let id = streams.insert(Exchange::embedded());
        let exchange = streams.exchange(id).unwrap();
        assert!(std::ptr::eq(exchange, address) && !exchange.is_unsent());
        assert!(streams.spare.is_empty());
    }
}
