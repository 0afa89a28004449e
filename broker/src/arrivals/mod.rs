//! Held requests, waiting on the queues they asked.
//!
//! A pull hangs on one queue with its filter; an append wakes every matching pull of that queue
//! and nobody else. Pops stand in line: those of one group on the same queue, or on any queue of
//! the topic, take turns, and an append wakes the first that wants it, since the others would
//! find nothing. A place in a line is also one on the retry topics of the group.
//!
//! The order is: subscribe, then look into the queue, then wait. An append between the look and
//! the wait finds the waiter and leaves its wake-up behind. Who was called and goes away without
//! another look passes the call on. Nothing here knows a request: a waiter is woken, and whoever
//! holds it looks again.
//!
//! A topic's lock is the last one taken: an append wakes while it holds the locks of the log.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use futures_util::task::AtomicWaker;
use remoting::net::ends_wait;
use smallvec::{SmallVec, smallvec};
use store::Arrival;
use store::lookup::{KeyHasher, Lookup};

use crate::filter::Filter;

/// Stands for every queue of a topic.
pub(crate) const ANY_QUEUE: i32 = -1;

/// The waiters of all queues.
#[derive(Default)]
pub(crate) struct Arrivals {
    topics: Lookup<Box<str>, Arc<TopicWaiters>>,
    waiting: AtomicUsize,
    in_line: [AtomicUsize; PURPOSES],
    /// Every so many messages of a queue wake a line whatever it filters; 0 for never.
    forced_interval: i64,
    closed: AtomicBool,
}

/// What those in a line are held for; each purpose has lines of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To pop messages.
    Pop,
    /// To hear that there are messages.
    Notice,
}

const PURPOSES: usize = 2;

/// A line of requests that take turns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    /// What they are held for.
    pub purpose: Purpose,
    /// Their group.
    pub group: &'a str,
    /// The topic they asked.
    pub topic: &'a str,
    /// The queue they asked, or [`ANY_QUEUE`].
    pub queue_id: i32,
}

/// Why a request cannot be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotHeld {
    /// Too many are.
    Full,
    /// The broker stops.
    Closed,
}

/// The waiters of one topic by queue; a queue without any is not listed.
#[derive(Default)]
struct TopicWaiters {
    queues: Mutex<HashMap<i32, QueueWaiters, KeyHasher>>,
}

#[derive(Default)]
struct QueueWaiters {
    pulls: Vec<Arc<Hook>>,
    /// By group, then by purpose.
    lines: HashMap<Box<str>, [Vec<Arc<Hook>>; PURPOSES]>,
}

struct Hook {
    filter: Filter,
    /// Something arrived since it last waited, or the broker stops.
    woken: AtomicBool,
    waker: AtomicWaker,
    /// In a line: it has been its turn since it last looked.
    called: AtomicBool,
}

/// A place among the waiters; leaves it when dropped.
pub(crate) struct Waiter {
    arrivals: Arc<Arrivals>,
    /// The first is the queue that was asked.
    places: SmallVec<[Place; 3]>,
    /// Purpose and group, in a line.
    line: Option<(Purpose, Box<str>)>,
    hook: Arc<Hook>,
}

struct Place {
    topic: Arc<TopicWaiters>,
    queue_id: i32,
}

impl Arrivals {
    /// Nobody waits yet; every `forced_interval` messages of a queue wake even filtered lines.
    pub(crate) fn new(forced_interval: i64) -> Arrivals {
        Arrivals { forced_interval, ..Arrivals::default() }
    }

    /// Hangs a pull on a queue, or returns nothing once the broker stops.
    pub(crate) fn subscribe(
        self: &Arc<Self>,
        topic: &str,
        queue_id: i32,
        filter: Filter,
    ) -> Option<Waiter> {
        let hook = Arc::new(Hook::new(filter));
        // Invariant: counted before listed, so that `waiting == 0` proves every list empty.
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let topic = self.waiters_of(topic);
        topic.lock().entry(queue_id).or_default().pulls.push(Arc::clone(&hook));
        let places = smallvec![Place { topic, queue_id }];
        let waiter = Waiter { arrivals: Arc::clone(self), places, line: None, hook };
        // After listing: `close` either finds the waiter in the list or is seen here.
        (!self.is_closed()).then_some(waiter)
    }

    /// Puts a request into a line, and so into those of the retry topics, unless more than
    /// `limit` stand there.
    pub(crate) fn line_up(
        self: &Arc<Self>,
        line: &Line<'_>,
        retry_topics: &[String],
        filter: Filter,
        limit: usize,
    ) -> Result<Waiter, NotHeld> {
        let purpose = line.purpose;
        let hook = Arc::new(Hook::new(filter));
        self.waiting.fetch_add(1, Ordering::SeqCst);
        self.in_line[purpose as usize].fetch_add(1, Ordering::SeqCst);
        let mut waiter = Waiter {
            arrivals: Arc::clone(self),
            places: SmallVec::new(),
            line: Some((purpose, line.group.into())),
            hook,
        };
        let asked = std::iter::once((line.topic, line.queue_id, limit));
        let retries = retry_topics.iter().map(|topic| (topic.as_str(), ANY_QUEUE, usize::MAX));
        for (topic, queue_id, limit) in asked.chain(retries) {
            let topic = self.waiters_of(topic);
            let mut queues = topic.lock();
            let hooks = queues.entry(queue_id).or_default().line(purpose, line.group);
            if hooks.len() > limit {
                return Err(NotHeld::Full);
            }
            hooks.push(Arc::clone(&waiter.hook));
            drop(queues);
            waiter.places.push(Place { topic, queue_id });
        }
        if self.is_closed() { Err(NotHeld::Closed) } else { Ok(waiter) }
    }

    fn waiters_of(&self, topic: &str) -> Arc<TopicWaiters> {
        if let Some(found) = self.topics.get(topic) {
            return Arc::clone(&found);
        }
        Arc::clone(&self.topics.entry(topic.into()).or_default())
    }

    /// Wakes the pulls that want this message, and one request of each line that does.
    pub(crate) fn arrived(&self, arrival: &Arrival<'_>) {
        if self.waiting.load(Ordering::SeqCst) == 0 {
            return;
        }
        let Some(waiters) = self.topics.get(arrival.topic) else { return };
        // A run of messages that a filter leaves out is passed over now and then.
        let forced = self.forced_interval > 0 && arrival.queue_offset % self.forced_interval == 0;
        let queues = waiters.lock();
        for queue_id in [arrival.queue_id, ANY_QUEUE] {
            let Some(queue) = queues.get(&queue_id) else { continue };
            queue.pulls.iter().filter(|hook| hook.wants(arrival)).for_each(|hook| hook.wake());
            for line in queue.lines.values().flatten() {
                call_first(line, |hook| forced || hook.wants(arrival));
            }
        }
    }

    /// Calls the next of a line, whatever it filters: there is more for it.
    pub(crate) fn call_next(&self, line: &Line<'_>) {
        if self.waiting.load(Ordering::SeqCst) == 0 {
            return;
        }
        let Some(waiters) = self.topics.get(line.topic) else { return };
        let queues = waiters.lock();
        let lines = queues.get(&line.queue_id).and_then(|queue| queue.lines.get(line.group));
        if let Some(lines) = lines {
            call_first(&lines[line.purpose as usize], |_| true);
        }
    }

    /// Returns the length of a line.
    pub(crate) fn line_len(&self, line: &Line<'_>) -> usize {
        let Some(waiters) = self.topics.get(line.topic) else { return 0 };
        let queues = waiters.lock();
        let lines = queues.get(&line.queue_id).and_then(|queue| queue.lines.get(line.group));
        lines.map_or(0, |lines| lines[line.purpose as usize].len())
    }

    /// Wakes everyone and admits nobody again.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        for topic in &self.topics {
            for queue in topic.lock().values() {
                let lines = queue.lines.values().flatten().flatten();
                queue.pulls.iter().chain(lines).for_each(|hook| hook.wake());
            }
        }
    }

    /// Whether the broker stops.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Drops the lists of topics nobody waits on; called now and then, as topics come and go.
    pub(crate) fn tidy(&self) {
        // A list that somebody else refers to is about to get a waiter.
        self.topics.retain(|_, list| Arc::strong_count(list) > 1 || !list.lock().is_empty());
    }

    /// Number of held requests.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Number of requests in lines of a purpose.
    pub(crate) fn in_line(&self, purpose: Purpose) -> usize {
        self.in_line[purpose as usize].load(Ordering::Relaxed)
    }
}

/// Calls the first that was not called yet and qualifies.
fn call_first(line: &[Arc<Hook>], qualifies: impl Fn(&Hook) -> bool) {
    let mut free = line.iter().filter(|hook| !hook.called.load(Ordering::SeqCst));
    if let Some(hook) = free.find(|hook| qualifies(hook)) {
        hook.called.store(true, Ordering::SeqCst);
        hook.wake();
    }
}

impl TopicWaiters {
    fn lock(&self) -> MutexGuard<'_, HashMap<i32, QueueWaiters, KeyHasher>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl QueueWaiters {
    fn line(&mut self, purpose: Purpose, group: &str) -> &mut Vec<Arc<Hook>> {
        &mut self.lines.entry(group.into()).or_default()[purpose as usize]
    }

    fn is_empty(&self) -> bool {
        self.pulls.is_empty() && self.lines.is_empty()
    }
}

impl Hook {
    fn new(filter: Filter) -> Hook {
        Hook {
            filter,
            woken: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            called: AtomicBool::new(false),
        }
    }

    fn wants(&self, arrival: &Arrival<'_>) -> bool {
        self.filter.matches_unit(arrival.tags_code)
            && self.filter.matches_properties(arrival.properties)
    }

    fn wake(&self) {
        ends_wait();
        self.woken.store(true, Ordering::SeqCst);
        self.waker.wake();
    }
}

impl Waiter {
    /// Waits for a matching message that arrived after the subscription, or for the stop.
    pub(crate) async fn woken(&self) {
        let Hook { woken, waker, .. } = &*self.hook;
        std::future::poll_fn(|cx| {
            // Registered before the look: a wake-up in between is not lost.
            waker.register(cx.waker());
            if woken.swap(false, Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Takes the place in the line again. The caller looks into the queues after this.
    pub(crate) fn looks_again(&self) {
        self.hook.called.store(false, Ordering::SeqCst);
    }

    fn leave(&self, place: &Place) {
        let mut queues = place.topic.lock();
        let Some(queue) = queues.get_mut(&place.queue_id) else { return };
        let is_other = |hook: &Arc<Hook>| !Arc::ptr_eq(hook, &self.hook);
        match &self.line {
            None => queue.pulls.retain(is_other),
            Some((purpose, group)) => {
                if let Some(lines) = queue.lines.get_mut(group) {
                    lines[*purpose as usize].retain(is_other);
                    if lines.iter().all(Vec::is_empty) {
                        queue.lines.remove(group);
                    }
                }
            }
        }
        if queue.is_empty() {
            queues.remove(&place.queue_id);
        }
    }

    /// Calls the next in the line in the place of this one.
    fn pass_on(&self, place: &Place) {
        let Some((purpose, group)) = &self.line else { return };
        let queues = place.topic.lock();
        let lines = queues.get(&place.queue_id).and_then(|queue| queue.lines.get(group));
        if let Some(lines) = lines {
            call_first(&lines[*purpose as usize], |_| true);
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.places.iter().for_each(|place| self.leave(place));
        if self.hook.called.load(Ordering::SeqCst)
            && let Some(asked) = self.places.first()
        {
            self.pass_on(asked);
        }
        if let Some((purpose, _)) = self.line {
            self.arrivals.in_line[purpose as usize].fetch_sub(1, Ordering::SeqCst);
        }
        self.arrivals.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests;
