//! How many popped messages of a queue nobody has acknowledged yet.
//!
//! Counted only while `enablePopMessageThreshold` is on, where too many stop the pops of the queue,
//! or metrics are. The numbers live in memory, so what was popped before the start is in none.

use std::collections::HashMap;

use dashmap::DashMap;

/// The counts, while there is a threshold.
pub(crate) struct InFlight {
    threshold: Option<i64>,
    counts_all: bool,
    since_ms: i64,
    /// By topic and group, then by queue.
    counts: DashMap<(Box<str>, Box<str>), HashMap<i32, i64>>,
}

impl InFlight {
    /// Counts from `since_ms` on, if there is a threshold or somebody wants to know.
    pub(crate) fn new(threshold: Option<i64>, wanted: bool, since_ms: i64) -> InFlight {
        let counts_all = wanted || threshold.is_some();
        InFlight { threshold, counts_all, since_ms, counts: DashMap::new() }
    }

    /// Whether the queue must not be popped now.
    pub(crate) fn too_many(&self, topic: &str, group: &str, queue_id: i32) -> bool {
        let Some(threshold) = self.threshold else { return false };
        self.count(topic, group, queue_id) > threshold
    }

    /// Popped messages that nobody acknowledged yet, as far as they are counted.
    pub(crate) fn count(&self, topic: &str, group: &str, queue_id: i32) -> i64 {
        let counts = self.counts.get(&key(topic, group));
        counts.and_then(|counts| counts.get(&queue_id).copied()).unwrap_or(0)
    }

    /// Counts popped messages.
    pub(crate) fn popped(&self, topic: &str, group: &str, queue_id: i32, count: usize) {
        if !self.counts_all {
            return;
        }
        let mut counts = self.counts.entry(key(topic, group)).or_default();
        *counts.entry(queue_id).or_default() += count as i64;
    }

    /// Takes away messages that were acknowledged, or that came back; true if it matters.
    pub(crate) fn done(
        &self,
        topic: &str,
        group: &str,
        queue_id: i32,
        count: usize,
        pop_time: i64,
    ) -> bool {
        if !self.counts_all || pop_time < self.since_ms {
            return false;
        }
        self.change(topic, group, queue_id, |left| left - count as i64);
        self.threshold.is_some()
    }

    /// Forgets a queue, as a pop in order begins anew.
    pub(crate) fn clear(&self, topic: &str, group: &str, queue_id: i32) {
        if self.counts_all {
            self.change(topic, group, queue_id, |_| 0);
        }
    }

    fn change(&self, topic: &str, group: &str, queue_id: i32, to: impl FnOnce(i64) -> i64) {
        let key = key(topic, group);
        if let Some(mut counts) = self.counts.get_mut(&key)
            && let Some(count) = counts.get_mut(&queue_id)
        {
            *count = to(*count);
            if *count <= 0 {
                counts.remove(&queue_id);
            }
        }
        self.counts.remove_if(&key, |_, counts| counts.is_empty());
    }
}

fn key(topic: &str, group: &str) -> (Box<str>, Box<str>) {
    (topic.into(), group.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_the_threshold_are_too_many() {
        let counts = InFlight::new(Some(3), false, 100);
        counts.popped("T", "g", 0, 3);
        assert!(!counts.too_many("T", "g", 0));
        counts.popped("T", "g", 0, 1);
        assert!(counts.too_many("T", "g", 0));
        assert!(!counts.too_many("T", "g", 1) && !counts.too_many("T", "h", 0));
        // Popped before the start: not in the count.
        assert!(!counts.done("T", "g", 0, 1, 99));
        assert!(counts.too_many("T", "g", 0));
        assert!(counts.done("T", "g", 0, 1, 100));
        assert!(!counts.too_many("T", "g", 0));
        counts.done("T", "g", 0, 9, 100);
        assert!(counts.counts.is_empty());
    }

    #[test]
    fn without_a_threshold_nothing_is_counted() {
        let counts = InFlight::new(None, false, 0);
        counts.popped("T", "g", 0, 1000);
        assert!(!counts.too_many("T", "g", 0) && counts.counts.is_empty());
        let counts = InFlight::new(None, true, 0);
        counts.popped("T", "g", 0, 1000);
        assert!(!counts.too_many("T", "g", 0) && !counts.done("T", "g", 0, 1, 0));
        assert_eq!(counts.count("T", "g", 0), 999);
    }
}
