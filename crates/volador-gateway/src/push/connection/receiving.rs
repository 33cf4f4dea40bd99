//! What a [`PushConnection`] receives: frames of the client, of which the messages go to its worker, and no faster than that
//! handles them. RFC 6455 §5.5 (control frames), §7.1.5 (the close code).

use volador_proto::{
    link::{Batch, StreamId, Transport},
    ws::{self, deflate::Inflater},
};

use super::{Now, Phase, PushConnection};
use crate::stats::{Counters, count};

/// Messages that the worker may have in hand for one connection. With more, the socket is not read until the worker has
/// caught up, so that TCP holds the client back.
const UNHANDLED_MAX: u32 = 64;

/// With so many it may go on: it is not woken for each.
const UNHANDLED_FEW: u32 = UNHANDLED_MAX / 2;

/// The same in bytes, counted from when the worker last had none in hand.
const UNHANDLED_BYTES_MAX: u32 = 1 << 20;

/// What a connection needs from its shard while bytes are read.
pub(in crate::push) struct Reading<'a> {
    pub(in crate::push) id: StreamId,
    pub(in crate::push) worker: &'a mut Batch,
    pub(in crate::push) counters: &'a Counters,
    pub(in crate::push) inflater: &'a mut Inflater,
    pub(in crate::push) message_max_bytes: usize,
}

/// Bytes that are not decoded yet: compressed messages may come to a thousand times as much.
#[derive(Debug)]
pub(in crate::push) struct Undecoded {
    bytes: Box<[u8]>,
    /// Those before this have been decoded meanwhile.
    at: usize,
}

impl Undecoded {
    pub(in crate::push) fn new(bytes: &[u8]) -> Box<Self> {
        Box::new(Self { bytes: bytes.into(), at: 0 })
    }

    pub(in crate::push) fn bytes(&mut self) -> &mut [u8] {
        &mut self.bytes[self.at..]
    }

    /// So many are left.
    pub(in crate::push) fn left(&mut self, bytes: usize) {
        self.at = self.bytes.len() - bytes;
    }
}

impl PushConnection {
    /// Whether the worker is behind, so that the socket is not to be read.
    pub(in crate::push) fn is_paused(&self) -> bool {
        self.phase == Phase::Open && self.is_behind
    }

    /// Whether the socket has given more than the worker had room for.
    pub(in crate::push) fn has_undecoded(&self) -> bool {
        self.undecoded.is_some()
    }

    /// What has come from the socket before anything that it gives now.
    pub(in crate::push) fn take_undecoded(&mut self) -> Option<Box<Undecoded>> {
        self.undecoded.take()
    }

    /// There is something left of it.
    pub(in crate::push) fn keep_undecoded(&mut self, left: Box<Undecoded>) {
        self.undecoded = Some(left);
    }

    /// Messages that no worker will say to have handled.
    pub(in crate::push) fn forget_unhandled(&mut self, messages: u32) {
        self.unhandled = self.unhandled.saturating_sub(messages);
        self.catch_up();
    }

    /// The worker has less in hand.
    fn catch_up(&mut self) {
        if self.unhandled == 0 {
            self.unhandled_bytes = 0;
        }
        if self.unhandled <= UNHANDLED_FEW && self.unhandled_bytes < UNHANDLED_BYTES_MAX {
            self.is_behind = false;
        }
    }

    /// The worker has handled some messages.
    pub(in crate::push) fn handled(&mut self, messages: u32) -> Now {
        if let Some(tenant) = &mut self.tenant {
            tenant.handled(messages);
        }
        self.unhandled = self.unhandled.saturating_sub(messages);
        self.catch_up();
        if self.unhandled > 0 {
            return Now::Alive;
        }
        match self.phase {
            Phase::Failing(error) => self.fail(error),
            _ => Now::Alive,
        }
    }

    /// Bytes of the client. They are changed: frames are unmasked where they lie. Returns with it how many of them were not
    /// decoded, since the worker is behind.
    pub(in crate::push) fn received(&mut self, bytes: &mut [u8], reading: &mut Reading<'_>) -> (Now, usize) {
        self.missed = 0;
        if self.transport == Transport::Sse {
            return (Now::Alive, 0); // an event stream has one direction: what the client says has no meaning
        }
        let Self { decoder, phase, unhandled, unhandled_bytes, is_behind, interest, tenant, .. } = self;
        let open = *phase == Phase::Open;
        let mut replies = Vec::new();
        let mut peer_closed = None;
        let limits = ws::Limits { message_max_bytes: reading.message_max_bytes };
        let inflater = self.deflate.is_some().then_some(&mut *reading.inflater);
        let result = decoder.decode(bytes, &limits, inflater, |event| {
            match event {
                // RFC 6455 §5.5.1: after our close frame, data of the peer has no meaning any more.
                ws::Event::Message(payload, data) if open => {
                    count(&reading.counters.messages);
                    if interest.messages {
                        match tenant {
                            Some(tenant) => tenant.message(reading.id, payload, data, reading.worker),
                            None => reading.worker.message(reading.id, payload, data),
                        }
                        *unhandled += 1;
                        *unhandled_bytes =
                            unhandled_bytes.saturating_add(u32::try_from(data.len()).unwrap_or(u32::MAX));
                    }
                    *is_behind |=
                        *unhandled >= UNHANDLED_MAX || (*unhandled > 0 && *unhandled_bytes >= UNHANDLED_BYTES_MAX);
                    return !*is_behind;
                }
                // RFC 6455 §5.5.2: a pong in answer to a ping, unless a close frame was received already.
                ws::Event::Ping(data) if open => replies.push(ws::pong(data)),
                ws::Event::Message(..) | ws::Event::Ping(_) | ws::Event::Pong(_) => {}
                ws::Event::Close { code, .. } => peer_closed = Some(code),
            }
            true
        });
        for reply in replies {
            if let ended @ Now::Ended(_) = self.pong(&reply) {
                return (ended, 0);
            }
        }
        let taken = match result {
            Ok(taken) => taken,
            // It is on its way to its end by another reason.
            Err(_) if self.phase != Phase::Open => return (Now::Ended(self.lost()), 0),
            Err(error) => return (self.failed_by(error, reading.counters), 0),
        };
        (self.answer_close(peer_closed), bytes.len() - taken)
    }

    /// The peer has sent a close frame, or (None) has not.
    fn answer_close(&mut self, peer_closed: Option<Option<u16>>) -> Now {
        match (peer_closed, self.phase) {
            (None, _) => Now::Alive,
            // The decoder has ended with the fault.
            (Some(_), Phase::Failing(_) | Phase::Failed(_)) => Now::Alive,
            (Some(_), Phase::Gone(_)) => Now::Alive,
            (Some(code), Phase::Open) => {
                // RFC 6455 §5.5.1: the answer to a close frame is a close frame, typically with the same code.
                let echo = self.write(&ws::close(code, ""));
                self.end_after(echo, code.unwrap_or(1005))
            }
            // The peer has answered our close frame. RFC 6455 §7.1.5: the code is the one of the first close frame.
            (Some(_), Phase::Closing(code) | Phase::Ending(code)) => self.end_after(Now::Alive, code),
        }
    }

    /// The peer has broken the protocol.
    fn failed_by(&mut self, error: ws::ProtocolError, counters: &Counters) -> Now {
        count(&counters.closed_protocol);
        if self.unhandled > 0 {
            // What came before the fault is answered before it is.
            self.phase = Phase::Failing(error);
            return Now::Alive;
        }
        self.fail(error)
    }
}
