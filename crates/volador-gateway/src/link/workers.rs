//! [`Workers`]: a shard's ends of its links, and the frames that gather there.

use std::{
    cell::{Cell, RefCell, RefMut},
    collections::HashSet,
    future::poll_fn,
    rc::Rc,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use tokio::sync::Notify;
use volador_link::Spell;
use volador_proto::link::{Batch, ListenerId, Payload};

use super::{
    LinkSocket,
    member::{Member, State},
};
use crate::{WorkerLink, log};

/// Names a worker within a shard, until it is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct WorkerKey(pub(crate) u16);

impl WorkerKey {
    /// The worker of an embedded gateway.
    pub(crate) const EMBEDDED: Self = Self(0);

    /// No worker ever.
    pub(crate) const NOBODY: Self = Self(u16::MAX);
}

/// How frames get to a worker.
#[derive(Clone, Debug)]
pub(crate) enum Way {
    /// In memory.
    Embedded(Arc<dyn WorkerLink>),
    /// To another process.
    Socket(Rc<LinkSocket>),
}

/// One worker, as the shard sees it.
#[derive(Debug)]
pub(crate) struct End {
    /// None for an embedded worker, which is one of a kind.
    member: Option<Arc<Member>>,
    way: Way,
    /// Its own subscriptions, which end with it.
    listeners: HashSet<ListenerId>,
    /// Publications that it was not sent, as too many wait for it.
    behind: Spell,
}

/// Bytes of publications for a worker from which on no more are kept, at least. The worker is stopped or far too slow then:
/// one that has its turns takes what has come, and bounds by itself what waits for its blocks.
const PUBLISHED_MAX: usize = 16 << 20;

/// How long frames are gathered on one core, as long as there are more.
const GATHERED_FOR: Duration = Duration::from_millis(1);

/// Collects the frames of one turn of the event loop. The flush task is woken by the first of them and so runs behind
/// every task that was ready before: it hands over what all those have added, at once.
#[derive(Debug, Default)]
pub(crate) struct Workers {
    /// By key.
    ends: RefCell<Vec<Option<End>>>,
    /// By key, beside the ends: frames are appended while the ends are looked at.
    batches: RefCell<Vec<Batch>>,
    /// The frames for workers that are no more.
    nobody: RefCell<Batch>,
    /// Whether the flush task has been woken since the last flush.
    woken: Cell<bool>,
    wake: Notify,
    /// Who got the last request.
    last: Cell<usize>,
    /// Bytes of publications that may wait for one worker before the next one.
    published_max: usize,
}

impl Workers {
    /// With a worker for good, or none yet. What one block may have waiting in a worker, it may have on the way there.
    pub(crate) fn new(embedded: Option<Arc<dyn WorkerLink>>, block_queue_max_bytes: usize) -> Self {
        let workers = Self { published_max: block_queue_max_bytes.max(PUBLISHED_MAX), ..Self::default() };
        if let Some(link) = embedded {
            workers.add(None, Way::Embedded(link));
        }
        workers
    }

    pub(crate) fn add(&self, member: Option<Arc<Member>>, way: Way) -> WorkerKey {
        let end = End { member, way, listeners: HashSet::new(), behind: Spell::default() };
        let mut ends = self.ends.borrow_mut();
        let key = ends.iter().position(Option::is_none).unwrap_or(ends.len());
        if key == ends.len() {
            ends.push(None);
            self.batches.borrow_mut().push(Batch::new());
        }
        ends[key] = Some(end);
        self.batches.borrow_mut()[key] = Batch::new();
        WorkerKey(key as u16)
    }

    /// The worker is no more. Returns its own subscriptions.
    pub(crate) fn remove(&self, key: WorkerKey) -> HashSet<ListenerId> {
        let end = self.ends.borrow_mut().get_mut(usize::from(key.0)).and_then(Option::take);
        end.map(|end| end.listeners).unwrap_or_default()
    }

    /// The frames for a worker, to append to; for one that is no more they are dropped. Not to be held across another
    /// call to the workers.
    pub(crate) fn batch(&self, key: WorkerKey) -> RefMut<'_, Batch> {
        if !self.woken.replace(true) {
            self.wake.notify_one();
        }
        let key = usize::from(key.0);
        if self.ends.borrow().get(key).is_some_and(Option::is_some) {
            RefMut::map(self.batches.borrow_mut(), |batches| &mut batches[key])
        } else {
            self.nobody.borrow_mut()
        }
    }

    /// Tells a worker's listener what is published, unless too much waits for it already; returns whether. It is the
    /// newest that is dropped: the oldest are in the middle of what the worker has to have in order.
    pub(crate) fn publish(
        &self,
        key: WorkerKey,
        listener: ListenerId,
        channel: &[u8],
        payload: Payload,
        data: &[u8],
    ) -> bool {
        let mut batch = self.batch(key);
        if let Some(Some(end)) = self.ends.borrow().get(usize::from(key.0))
            && let (Way::Socket(socket), Some(member)) = (&end.way, &end.member)
            && batch.published_len() + socket.published_len() >= self.published_max
        {
            if end.behind.is_new(Instant::now()) {
                log::warn(format_args!(
                    "{} does not take what is published to its blocks as fast as it comes, and {} bytes or more wait for it: the rest \
                     is dropped, and counted in Volador.stats[:dropped_block]. Look whether that process is stopped, or short of \
                     processor time; a larger block_queue_max_bytes lets more wait",
                    member.name(),
                    self.published_max,
                ));
            }
            return false;
        }
        batch.published(listener, channel, payload, data);
        true
    }

    /// Hands over what there is, after each wake-up, for ever, in a process that may use so many cores. First it has a `look`
    /// at the sockets, so that what they have brought by then goes along; that returns how many were ready.
    ///
    /// On one core (or with a quota of one) it looks again until there is nothing more. Gateway and worker take turns
    /// there, and a change costs as much as some requests.
    pub(crate) async fn flush_task(&self, cores: usize, mut look: impl FnMut() -> usize) {
        loop {
            self.wake.notified().await;
            let begin = (cores == 1).then(Instant::now);
            while look() > 0 {
                turn().await;
                if begin.is_none_or(|begin| begin.elapsed() > GATHERED_FOR) {
                    break;
                }
            }
            self.flush();
        }
    }

    /// Hands over what there is.
    pub(crate) fn flush(&self) {
        self.woken.set(false);
        for (end, batch) in self.ends.borrow().iter().zip(&mut *self.batches.borrow_mut()) {
            let Some(end) = end else { continue };
            if !batch.is_empty() {
                match &end.way {
                    Way::Embedded(link) => link.deliver(batch.take()),
                    Way::Socket(socket) => socket.deliver(batch.take()),
                }
            }
        }
        self.nobody.take();
    }

    /// None for the embedded worker, and for one that is no more.
    pub(crate) fn member(&self, key: WorkerKey) -> Option<Arc<Member>> {
        self.ends.borrow().get(usize::from(key.0))?.as_ref()?.member.clone()
    }

    /// Calls `each` with every member.
    pub(crate) fn each(&self, mut each: impl FnMut(WorkerKey, &Arc<Member>)) {
        for (key, end) in (0..).zip(&*self.ends.borrow()) {
            if let Some(member) = end.as_ref().and_then(|end| end.member.as_ref()) {
                each(WorkerKey(key), member);
            }
        }
    }

    /// The serving worker that has least of something, of those that have room. Of several it is the one after the last
    /// that was chosen.
    pub(crate) fn least(
        &self,
        of: impl Fn(&Member) -> usize,
        has_room: impl Fn(&Member) -> bool,
    ) -> Option<(WorkerKey, Arc<Member>)> {
        let ends = self.ends.borrow();
        let (count, last) = (ends.len(), self.last.get());
        let mut best: Option<(usize, usize, &Arc<Member>)> = None;
        for n in 1..=count {
            let key = (last + n) % count;
            let Some(member) = ends[key].as_ref().and_then(|end| end.member.as_ref()) else { continue };
            if member.state() != State::Serving || !has_room(member) {
                continue;
            }
            let has = of(member);
            if best.is_none_or(|(least, ..)| has < least) {
                best = Some((has, key, member));
            }
        }
        let (_, key, member) = best?;
        self.last.set(key);
        Some((WorkerKey(key as u16), member.clone()))
    }

    /// Whether a request may wait in a worker while another one has a free thread.
    pub(crate) fn are_uneven(&self) -> bool {
        let (mut free, mut behind) = (0, 0);
        self.each(|_, member| {
            if member.state() == State::Serving {
                free += member.free();
                behind += member.behind();
            }
        });
        free > 0 && behind > 0
    }

    /// The worker listens to something.
    pub(crate) fn listens(&self, key: WorkerKey, listener: ListenerId) {
        self.with_end(key, |end| end.listeners.insert(listener));
    }

    /// It no longer does.
    pub(crate) fn unlistens(&self, key: WorkerKey, listener: ListenerId) {
        self.with_end(key, |end| end.listeners.remove(&listener));
    }

    fn with_end(&self, key: WorkerKey, f: impl FnOnce(&mut End) -> bool) {
        if let Some(Some(end)) = self.ends.borrow_mut().get_mut(usize::from(key.0)) {
            f(end);
        }
    }
}

/// Lets every task have its turn that is ready. Other than behind tokio's `yield_now`, the event loop has not always
/// looked at its own sockets then.
async fn turn() {
    let mut is_over = false;
    poll_fn(|cx| {
        if is_over {
            return Poll::Ready(());
        }
        is_over = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests;
