//! Writes the frames from a worker to the gateway into a [`Batch`].

use std::os::fd::OwnedFd;

use bytes::{BufMut, Bytes};

use super::{
    ABORT, ASK_DRAINED, ASK_STATS, BEAT, BROADCAST, CHUNK, CLOSE, END, ENDED, HANDED_OVER, HANDLED, HANDLER, HELLO,
    LISTEN, PUBLISH, READY, REFUSED, REPLY, RESPONSE, RETURNED, SPILL, SPILLED, SUBSCRIBE, TIMEOUT, TUNNEL, UNLISTEN,
    UNSUBSCRIBE, UPGRADE, WRITE, WorkerFigures,
};
use crate::link::{
    Batch, Fields, Hello, Interest, Kind, ListenerId, Match, Response, ResponseBody, StreamId, codec::put_str,
};

impl Batch {
    /// Appends [`ToGateway::Response`](super::ToGateway::Response).
    pub fn response<'a>(
        &mut self,
        stream: StreamId,
        status: u16,
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        body: ResponseBody,
    ) {
        let at = self.len();
        self.frame(RESPONSE, stream, |out| Response::encode(status, fields, &body, out));
        if let ResponseBody::File { fd, .. } = body {
            self.descriptor(at, fd);
        }
    }

    /// Appends [`ToGateway::Response`](super::ToGateway::Response) whose complete body is the slices of `body`, one after the other.
    pub fn complete_response<'a>(
        &mut self,
        stream: StreamId,
        status: u16,
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        body: impl IntoIterator<Item = &'a [u8]>,
    ) {
        self.frame(RESPONSE, stream, |out| {
            Response::encode(status, fields, &ResponseBody::Complete(Bytes::new()), out);
            body.into_iter().for_each(|part| out.put_slice(part));
        });
    }

    /// Appends [`ToGateway::Chunk`](super::ToGateway::Chunk).
    pub fn chunk(&mut self, stream: StreamId, data: &[u8]) {
        self.frame(CHUNK, stream, |out| out.put_slice(data));
    }

    /// Appends [`ToGateway::Spill`](super::ToGateway::Spill).
    pub fn spill(&mut self, stream: StreamId, file: OwnedFd) {
        let at = self.len();
        self.frame(SPILL, stream, |_| ());
        self.descriptor(at, file);
    }

    /// Appends [`ToGateway::Spilled`](super::ToGateway::Spilled).
    pub fn spilled(&mut self, stream: StreamId, len: u64) {
        self.frame(SPILLED, stream, |out| out.put_u64_le(len));
    }

    /// Appends [`ToGateway::End`](super::ToGateway::End).
    pub fn end(&mut self, stream: StreamId) {
        self.frame(END, stream, |_| ());
    }

    /// Appends [`ToGateway::Abort`](super::ToGateway::Abort).
    pub fn abort(&mut self, stream: StreamId) {
        self.frame(ABORT, stream, |_| ());
    }

    /// Appends [`ToGateway::Upgrade`](super::ToGateway::Upgrade).
    pub fn upgrade<'a>(
        &mut self,
        stream: StreamId,
        interest: impl Into<Option<Interest>>,
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) {
        self.frame(UPGRADE, stream, |out| {
            out.put_u8(interest.into().map_or(0, |interest| interest.to_byte() | HANDLER));
            Fields::encode(fields, out);
        });
    }

    /// Appends [`ToGateway::Tunnel`](super::ToGateway::Tunnel).
    pub fn tunnel(&mut self, stream: StreamId, socket: OwnedFd, first: &[u8]) {
        let at = self.len();
        self.frame(TUNNEL, stream, |out| out.put_slice(first));
        self.descriptor(at, socket);
    }

    /// Appends [`ToGateway::Write`](super::ToGateway::Write).
    pub fn write(&mut self, stream: StreamId, kind: impl Into<Kind>, data: &[u8]) {
        self.frame(WRITE, stream, |out| {
            out.put_u8(kind.into().to_byte());
            out.put_slice(data);
        });
    }

    /// Appends [`ToGateway::Close`](super::ToGateway::Close).
    pub fn close(&mut self, stream: StreamId, code: u16) {
        self.frame(CLOSE, stream, |out| out.put_u16_le(code));
    }

    /// Appends [`ToGateway::Handled`](super::ToGateway::Handled), or makes the last frame a
    /// [`ToGateway::Reply`](super::ToGateway::Reply) when it is a write to the same stream.
    pub fn handled(&mut self, stream: StreamId, messages: u32) {
        if messages == 1 && self.change_last(WRITE, stream, REPLY) {
            return;
        }
        self.frame(HANDLED, stream, |out| out.put_u32_le(messages));
    }

    /// Appends [`ToGateway::Timeout`](super::ToGateway::Timeout).
    pub fn timeout(&mut self, stream: StreamId, millis: u32) {
        self.frame(TIMEOUT, stream, |out| out.put_u32_le(millis));
    }

    /// Appends [`ToGateway::AskDrained`](super::ToGateway::AskDrained).
    pub fn ask_drained(&mut self, stream: StreamId) {
        self.frame(ASK_DRAINED, stream, |_| ());
    }

    /// Appends [`ToGateway::Subscribe`](super::ToGateway::Subscribe).
    pub fn subscribe(&mut self, stream: StreamId, matching: Match, name: &[u8]) {
        self.frame(SUBSCRIBE, stream, |out| matching.encode(name, out));
    }

    /// Appends [`ToGateway::Unsubscribe`](super::ToGateway::Unsubscribe).
    pub fn unsubscribe(&mut self, stream: StreamId, matching: Match, name: &[u8]) {
        self.frame(UNSUBSCRIBE, stream, |out| matching.encode(name, out));
    }

    /// Appends [`ToGateway::Listen`](super::ToGateway::Listen).
    pub fn listen(&mut self, listener: ListenerId, matching: Match, name: &[u8]) {
        self.frame(LISTEN, StreamId::NONE, |out| {
            out.put_u64_le(listener.0);
            matching.encode(name, out);
        });
    }

    /// Appends [`ToGateway::Unlisten`](super::ToGateway::Unlisten).
    pub fn unlisten(&mut self, listener: ListenerId) {
        self.frame(UNLISTEN, StreamId::NONE, |out| out.put_u64_le(listener.0));
    }

    /// Appends [`ToGateway::Publish`](super::ToGateway::Publish).
    pub fn publish(&mut self, channel: &[u8], kind: impl Into<Kind>, data: &[u8]) {
        self.frame(PUBLISH, StreamId::NONE, |out| {
            out.put_u8(kind.into().to_byte());
            put_str(out, channel);
            out.put_slice(data);
        });
    }

    /// Appends [`ToGateway::Broadcast`](super::ToGateway::Broadcast).
    pub fn broadcast(&mut self, pattern: &[u8], kind: impl Into<Kind>, data: &[u8]) {
        self.frame(BROADCAST, StreamId::NONE, |out| {
            out.put_u8(kind.into().to_byte());
            put_str(out, pattern);
            out.put_slice(data);
        });
    }

    /// Appends [`ToGateway::Hello`](super::ToGateway::Hello).
    pub fn hello(&mut self, hello: &Hello) {
        self.frame(HELLO, StreamId::NONE, |out| hello.encode(out));
    }

    /// Appends [`ToGateway::Ready`](super::ToGateway::Ready).
    pub fn ready(&mut self) {
        self.frame(READY, StreamId::NONE, |_| ());
    }

    /// Appends [`ToGateway::Returned`](super::ToGateway::Returned).
    pub fn returned(&mut self, stream: StreamId) {
        self.frame(RETURNED, stream, |_| ());
    }

    /// Appends [`ToGateway::Refused`](super::ToGateway::Refused).
    pub fn refused(&mut self, stream: StreamId) {
        self.frame(REFUSED, stream, |_| ());
    }

    /// Appends [`ToGateway::Ended`](super::ToGateway::Ended).
    pub fn ended(&mut self, stream: StreamId) {
        self.frame(ENDED, stream, |_| ());
    }

    /// Appends [`ToGateway::HandedOver`](super::ToGateway::HandedOver).
    pub fn handed_over(&mut self, stream: StreamId, state: Option<&[u8]>) {
        self.frame(HANDED_OVER, stream, |out| {
            out.put_u8(state.is_some().into());
            out.put_slice(state.unwrap_or_default());
        });
    }

    /// Appends [`ToGateway::Beat`](super::ToGateway::Beat).
    pub fn beat(&mut self, figures: WorkerFigures) {
        let WorkerFigures { dropped, queue_wait_micros, queue_wait_micros_max } = figures;
        self.frame(BEAT, StreamId::NONE, |out| {
            [dropped, queue_wait_micros, queue_wait_micros_max].into_iter().for_each(|figure| out.put_u64_le(figure));
        });
    }

    /// Appends [`ToGateway::AskStats`](super::ToGateway::AskStats).
    pub fn ask_stats(&mut self, token: u32) {
        self.frame(ASK_STATS, StreamId::NONE, |out| out.put_u32_le(token));
    }
}
