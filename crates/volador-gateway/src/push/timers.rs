//! Pings, heartbeats, and the end of what does not close by itself.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use volador_proto::{
    link::{StreamId, Transport},
    sse, ws,
};

use super::{connection::Now, engine::Engine};
use crate::shard::Shard;

/// Steps in which the time between two pings is divided, so that not all connections are pinged at once.
const STEPS: u32 = 30;

impl Engine {
    /// Sends pings and heartbeats and ends what does not close by itself, for ever.
    pub(crate) async fn timer_task(&self, shard: &Shard) {
        let config = &shard.shared.config;
        let (ping, heartbeat) = (ws::ping(b""), sse::heartbeat());
        let mut pings = interval(step(config.ping_interval));
        let mut heartbeats = interval(step(config.heartbeat_interval));
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        heartbeats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut ping_step, mut heartbeat_step) = (0, 0);
        loop {
            tokio::select! {
                _ = pings.tick() => self.beat(shard, Transport::WebSocket, &mut ping_step, &ping),
                _ = heartbeats.tick() => self.beat(shard, Transport::Sse, &mut heartbeat_step, &heartbeat),
                (id, deadline) = self.next_overdue() => self.overdue(shard, id, deadline),
                id = self.next_timeout() => {
                    self.with(shard, id, |connection| {
                        let bytes = if connection.transport == Transport::Sse { &heartbeat } else { &ping };
                        connection.beat(bytes, &shard.counters)
                    });
                }
            }
        }
    }

    /// Waits for the next deadline of a connection that closes, and returns its number as well.
    async fn next_overdue(&self) -> (StreamId, u8) {
        loop {
            let firsts = [&self.closing, &self.last_words].into_iter().filter_map(|queue| {
                let first = queue.borrow().front().copied();
                first.map(|(deadline, id, number)| (deadline, id, number, queue))
            });
            match firsts.min_by_key(|first| first.0) {
                None => self.closing_wake.notified().await,
                Some((deadline, id, number, queue)) => tokio::select! {
                    () = sleep_until(deadline) => {
                        queue.borrow_mut().pop_front();
                        return (id, number);
                    }
                    // Another one may be the first now.
                    () = self.closing_wake.notified() => {}
                },
            }
        }
    }

    /// The connection gets its ping or its heartbeat after so many milliseconds, from now on and each time; 0: with all
    /// others again.
    pub(super) fn set_timeout(&self, shard: &Shard, id: StreamId, millis: u32) {
        let mut streams = shard.streams.borrow_mut();
        let Some(connection) = streams.push(id).filter(|connection| connection.gone().is_none()) else { return };
        connection.set_has_timeout(millis > 0);
        let mut timeouts = self.timeouts.borrow_mut();
        if millis == 0 {
            return timeouts.forget(id);
        }
        if timeouts.set(id, Duration::from_millis(millis.into()), Instant::now()) {
            self.timeouts_wake.notify_one();
        }
    }

    /// Waits for the next connection whose own timeout is over. Without any it waits to be woken, and no timer runs.
    async fn next_timeout(&self) -> StreamId {
        loop {
            let first = self.timeouts.borrow().first();
            match first {
                None => self.timeouts_wake.notified().await,
                Some(at) => tokio::select! {
                    () = sleep_until(at) => {}
                    // Another one may be the first now.
                    () = self.timeouts_wake.notified() => continue,
                },
            }
            let due = self.timeouts.borrow_mut().next_due(Instant::now());
            if let Some(id) = due {
                return id;
            }
        }
    }

    /// A connection had its time to close, unless it has been given more since.
    fn overdue(&self, shard: &Shard, id: StreamId, deadline: u8) {
        let mut takes_more = false;
        self.with(shard, id, |connection| {
            if !connection.has_deadline(deadline) {
                return Now::Alive;
            }
            // There may be room that the system has not reported.
            let now = connection.writable();
            takes_more = now == Now::Alive && connection.takes_more();
            if now == Now::Alive && !takes_more { connection.overdue() } else { now }
        });
        if takes_more {
            self.expire_later(shard, id);
        }
    }

    /// One step of a round of pings or heartbeats: every connection has its turn in one of the steps.
    fn beat(&self, shard: &Shard, transport: Transport, step: &mut u32, bytes: &Bytes) {
        let slots = shard.streams.borrow().slots();
        for slot in (*step..slots).step_by(STEPS as usize) {
            let id = match shard.streams.borrow_mut().push_in_slot(slot) {
                Some((id, connection)) if connection.transport == transport && !connection.has_timeout => id,
                _ => continue,
            };
            self.with(shard, id, |connection| connection.beat(bytes, &shard.counters));
        }
        *step = (*step + 1) % STEPS;
    }
}

/// The time of one step. An interval must not be zero.
fn step(round: Duration) -> Duration {
    (round / STEPS).max(Duration::from_millis(1))
}
