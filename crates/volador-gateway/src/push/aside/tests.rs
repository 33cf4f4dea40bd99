use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const CONNECTIONS: u32 = 6;

fn id(connection: u32) -> StreamId {
    StreamId::new(0, 0, connection)
}

/// Odd connections are event streams.
fn form(connection: u32) -> Form {
    if connection.is_multiple_of(2) { Form::Frame } else { Form::Event }
}

#[derive(Clone, Debug)]
enum Step {
    Own(u32, u8),
    /// For those whose bit is set.
    Shared(u8, u8),
}

/// What a connection knows, and what it should get.
#[derive(Default)]
struct Model {
    aside: Aside,
    sequences: HashMap<u32, SequenceId>,
    wanted: HashMap<u32, Vec<Vec<u8>>>,
    /// How often the bytes of a message for many were asked for.
    encoded: usize,
}

impl Model {
    fn set_aside(&mut self, step: &Step) {
        match *step {
            Step::Own(connection, byte) => {
                let message = vec![byte; usize::from(byte % 5) + 1];
                let before = self.sequences.get(&connection).copied();
                let sequence = self.aside.own(id(connection), before, |out| out.extend_from_slice(&message));
                self.sequences.insert(connection, sequence);
                self.wanted.entry(connection).or_default().push(message);
            }
            Step::Shared(bits, byte) => {
                self.aside.begin_shared();
                for connection in (0..CONNECTIONS).filter(|connection| bits & 1 << connection != 0) {
                    let message = vec![byte, form(connection).place() as u8];
                    let before = self.sequences.get(&connection).copied();
                    let sequence = self.aside.share(id(connection), before, form(connection), || {
                        self.encoded += 1;
                        (message.clone().into(), Some(Tag::Channel(byte.into())))
                    });
                    self.sequences.insert(connection, sequence);
                    self.wanted.entry(connection).or_default().push(message);
                }
            }
        }
    }

    /// In parts of so many connections.
    fn sent(&mut self, part: usize) -> HashMap<u32, Vec<u8>> {
        let mut due = self.aside.take_connections();
        due.iter_mut().for_each(|(id, sequence)| *sequence = self.sequences[&id.slot()]);
        let mut sent = HashMap::new();
        let mut rest = due.as_slice();
        while !rest.is_empty() {
            let (part, later) = rest.split_at(self.aside.join(rest.iter().take(part).map(|(_, sequence)| *sequence)));
            rest = later;
            for (id, sequence) in part {
                let pieces: Vec<_> = self.aside.pieces(*sequence).map(|piece| piece.bytes().to_vec()).collect();
                assert_eq!((&pieces, pieces.len()), (&self.wanted[&id.slot()], self.aside.messages(*sequence)));
                assert!(sent.insert(id.slot(), self.aside.joined(*sequence).to_vec()).is_none(), "{id:?} is due twice");
            }
        }
        self.aside.clear(due);
        self.sequences.clear();
        sent
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..CONNECTIONS, any::<u8>()).prop_map(|(connection, byte)| Step::Own(connection, byte)),
        (any::<u8>(), any::<u8>()).prop_map(|(bits, byte)| Step::Shared(bits, byte)),
        any::<u8>().prop_map(|byte| Step::Shared(0xff, byte)),
    ]
}

proptest! {
    #[test]
    fn every_connection_gets_its_messages_in_order(
        batches in prop::collection::vec(prop::collection::vec(step(), 0..12), 1..4),
        part in 1..8usize,
    ) {
        let mut model = Model::default();
        for batch in batches {
            batch.iter().for_each(|step| model.set_aside(step));
            let wanted: HashMap<_, _> = model.wanted.iter().map(|(who, messages)| (*who, messages.concat())).collect();
            prop_assert_eq!(model.aside.is_empty(), batch.is_empty());
            prop_assert_eq!(model.sent(part), wanted);
            model.wanted.clear();
            prop_assert!(model.aside.is_empty());
        }
    }
}

#[test]
fn those_for_whom_the_same_waits_share_it() {
    let mut model = Model::default();
    let all = (1 << CONNECTIONS) - 1;
    model.set_aside(&Step::Shared(all, 1));
    model.set_aside(&Step::Shared(all, 2));
    assert_eq!((model.encoded, model.aside.sequences.len()), (4, 4), "two messages in two forms");
    assert_eq!(model.sequences[&0], model.sequences[&2]);
    // One of them has missed a message, and another one has one more.
    model.set_aside(&Step::Shared(all & !1, 3));
    model.set_aside(&Step::Own(2, 9));
    model.set_aside(&Step::Shared(all, 4));
    let sequences: Vec<_> = (0..CONNECTIONS).map(|connection| model.sequences[&connection].0).collect();
    assert!(sequences[0] != sequences[4] && sequences[2] != sequences[4]);
    assert_eq!((sequences[1], sequences[1]), (sequences[3], sequences[5]));
    model.sent(4);
}

/// How many steps there are before nothing is to be added.
fn steps(mut step: impl FnMut(&mut Aside, usize)) -> usize {
    let mut aside = Aside::default();
    let steps = (1..).find(|n| {
        step(&mut aside, *n);
        aside.is_full()
    });
    aside.clear(Vec::new());
    assert!(!aside.is_full());
    steps.unwrap()
}

#[test]
fn many_messages_or_sequences_or_bytes_are_too_many() {
    assert_eq!(steps(|aside, _| aside.begin_shared()), BYTES_MAX / MESSAGE_BYTES);
    // It counts by its longest form, however many of them, and however many get it.
    let forms = [(0, Form::Frame, 10), (1, Form::Event, BYTES_MAX / 4), (2, Form::Event, BYTES_MAX / 4)];
    let by_form = steps(|aside, _| {
        aside.begin_shared();
        for (n, form, len) in forms {
            aside.share(id(n), None, form, || (vec![0; len].into(), None));
        }
    });
    assert_eq!(by_form, 4);
    assert_eq!(steps(|aside, _| _ = aside.own(id(0), None, |out| out.extend_from_slice(&[0; 4080]))), 16);
    // One message for many, each of whom has had another one before.
    let sequences = steps(|aside, n| {
        let before = aside.own(id(n as u32), None, |_| ());
        aside.bytes = 0;
        aside.share(id(n as u32), Some(before), Form::Frame, || (Bytes::new(), None));
    });
    assert_eq!(sequences, SEQUENCES_MAX / 2);
}

#[test]
fn no_more_is_put_together_at_once_than_has_to_be() {
    let mut aside = Aside::default();
    let len = BYTES_MAX / 2;
    let mut due = Vec::new();
    // Different ones for all, of two messages each.
    for n in 0..100 {
        let first = aside.own(id(n), None, |out| out.extend_from_slice(&[1]));
        due.push(aside.own(id(n), Some(first), |out| out.resize(out.len() + len, 2)));
    }
    let (mut done, mut rounds) = (0, 0);
    while done < due.len() {
        let more = aside.join(due[done..].iter().copied());
        assert!(more > 0 && aside.joined.len() < JOINED_MAX + 2 * len);
        assert!(due[done..done + more].iter().all(|sequence| aside.joined(*sequence).len() == 1 + len));
        (done, rounds) = (done + more, rounds + 1);
    }
    assert_eq!(rounds, (100 * len).div_ceil(JOINED_MAX));
}
