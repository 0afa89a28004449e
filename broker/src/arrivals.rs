//! Held pulls, waiting on the queue they asked.
//!
//! A waiter hangs on one (topic, queue) with its filter; an append wakes the matching waiters
//! of that queue and nobody else. The order is: subscribe, then look into the queue, then wait.
//! An append between the look and the wait finds the waiter and leaves its wake-up behind.
//! Nothing here knows a request: a waiter is woken, and whoever holds it looks again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;
use store::Arrival;
use tokio::sync::Notify;

use crate::filter::Filter;

/// The waiters of all queues.
#[derive(Default)]
pub(crate) struct Arrivals {
    topics: DashMap<Box<str>, Arc<TopicWaiters>>,
    waiting: AtomicUsize,
    closed: AtomicBool,
}

/// The waiters of one topic by queue; a queue without any is not listed.
#[derive(Default)]
struct TopicWaiters {
    queues: Mutex<HashMap<i32, Vec<Arc<Hook>>>>,
}

struct Hook {
    filter: Filter,
    wake: Notify,
}

/// A place in the queue's list of waiters; leaves it when dropped.
pub(crate) struct Waiter {
    arrivals: Arc<Arrivals>,
    topic: Arc<TopicWaiters>,
    queue_id: i32,
    hook: Arc<Hook>,
}

impl Arrivals {
    /// Hangs a waiter on a queue, or returns nothing once the broker stops.
    pub(crate) fn subscribe(
        self: &Arc<Self>,
        topic: &str,
        queue_id: i32,
        filter: Filter,
    ) -> Option<Waiter> {
        let hook = Arc::new(Hook { filter, wake: Notify::new() });
        // Invariant: counted before listed, so that `waiting == 0` proves every list empty.
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let waiters = self.waiters_of(topic);
        waiters.lock().entry(queue_id).or_default().push(Arc::clone(&hook));
        let waiter = Waiter { arrivals: Arc::clone(self), topic: waiters, queue_id, hook };
        // After listing: `close` either finds the waiter in the list or is seen here.
        (!self.closed.load(Ordering::SeqCst)).then_some(waiter)
    }

    fn waiters_of(&self, topic: &str) -> Arc<TopicWaiters> {
        if let Some(found) = self.topics.get(topic) {
            return Arc::clone(&found);
        }
        Arc::clone(&self.topics.entry(topic.into()).or_default())
    }

    /// Wakes the waiters that want this message.
    pub(crate) fn arrived(&self, arrival: &Arrival<'_>) {
        if self.waiting.load(Ordering::SeqCst) == 0 {
            return;
        }
        let Some(waiters) = self.topics.get(arrival.topic) else { return };
        let queues = waiters.lock();
        for hook in queues.get(&arrival.queue_id).into_iter().flatten() {
            let wanted = hook.filter.matches_unit(arrival.tags_code)
                && hook.filter.matches_properties(arrival.properties);
            if wanted {
                hook.wake.notify_one();
            }
        }
    }

    /// Wakes everyone and admits nobody again.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        for topic in &self.topics {
            for hook in topic.lock().values().flatten() {
                hook.wake.notify_one();
            }
        }
    }

    /// Drops the lists of topics nobody waits on; called now and then, as topics come and go.
    pub(crate) fn tidy(&self) {
        // A list that somebody else refers to is about to get a waiter.
        self.topics.retain(|_, list| Arc::strong_count(list) > 1 || !list.lock().is_empty());
    }

    /// Number of held requests.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

impl TopicWaiters {
    fn lock(&self) -> MutexGuard<'_, HashMap<i32, Vec<Arc<Hook>>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiter {
    /// Waits for a matching message that arrived after the subscription, or for the stop.
    pub(crate) async fn woken(&self) {
        self.hook.wake.notified().await;
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut queues = self.topic.lock();
        if let Some(list) = queues.get_mut(&self.queue_id) {
            list.retain(|hook| !Arc::ptr_eq(hook, &self.hook));
            if list.is_empty() {
                queues.remove(&self.queue_id);
            }
        }
        drop(queues);
        self.arrivals.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use remoting::protocol::message::hash::java_string_hash;

    use super::*;
    use crate::filter::TagFilter;

    fn arrival<'a>(topic: &'a str, queue_id: i32, tag: &str) -> Arrival<'a> {
        let tags_code = i64::from(java_string_hash(tag));
        Arrival { topic, queue_id, queue_offset: 0, tags_code, store_timestamp: 0, properties: "" }
    }

    async fn woken(waiter: &Waiter) -> bool {
        tokio::time::timeout(Duration::ZERO, waiter.woken()).await.is_ok()
    }

    #[tokio::test]
    async fn wakes_only_the_queue_and_the_tag() {
        let arrivals = Arc::new(Arrivals::default());
        let tagged = Filter::Tags(TagFilter::parse(Some("a")).unwrap());
        let a = arrivals.subscribe("T", 1, tagged).unwrap();
        let all = arrivals.subscribe("T", 1, Filter::ALL).unwrap();
        let other_queue = arrivals.subscribe("T", 2, Filter::ALL).unwrap();
        let other_topic = arrivals.subscribe("U", 1, Filter::ALL).unwrap();

        arrivals.arrived(&arrival("T", 1, "b"));
        assert!(!woken(&a).await);
        assert!(woken(&all).await);
        arrivals.arrived(&arrival("T", 1, "a"));
        assert!(woken(&a).await);
        assert!(!woken(&other_queue).await);
        assert!(!woken(&other_topic).await);
    }

    #[tokio::test]
    async fn an_arrival_before_the_wait_is_not_lost() {
        let arrivals = Arc::new(Arrivals::default());
        let waiter = arrivals.subscribe("T", 0, Filter::ALL).unwrap();
        arrivals.arrived(&arrival("T", 0, ""));
        assert!(woken(&waiter).await);
        assert!(!woken(&waiter).await);
    }

    #[tokio::test]
    async fn a_dropped_waiter_leaves_its_list() {
        let arrivals = Arc::new(Arrivals::default());
        let waiter = arrivals.subscribe("T", 0, Filter::ALL).unwrap();
        assert_eq!(arrivals.waiting(), 1);
        drop(waiter);
        assert_eq!(arrivals.waiting(), 0);
        assert!(arrivals.topics.get("T").unwrap().lock().is_empty());
        arrivals.tidy();
        assert!(arrivals.topics.is_empty());
    }

    #[tokio::test]
    async fn close_wakes_everyone_and_refuses_the_next() {
        let arrivals = Arc::new(Arrivals::default());
        let waiter = arrivals.subscribe("T", 0, Filter::ALL).unwrap();
        arrivals.close();
        assert!(woken(&waiter).await);
        assert!(arrivals.subscribe("T", 0, Filter::ALL).is_none());
        drop(waiter);
        assert_eq!(arrivals.waiting(), 0);
    }
}
