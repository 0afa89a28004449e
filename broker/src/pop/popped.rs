//! Which topics groups pop, remembered from their pops.
//!
//! Members of such a group need not have told of a subscription in a heartbeat, nor do they tell
//! of the retry topics that the broker mixes in; tools ask for both.

use std::collections::HashMap;

use dashmap::DashMap;

/// Topics of a group that are remembered at most; clients choose the names of neither.
const TOPICS_MAX: usize = 10_000;

/// Time of the last pop by group and topic.
#[derive(Default)]
pub(crate) struct PoppedTopics {
    groups: DashMap<Box<str>, HashMap<Box<str>, i64>>,
}

impl PoppedTopics {
    /// Notes a pop.
    pub(crate) fn note(&self, group: &str, topic: &str, now_ms: i64) {
        if let Some(mut topics) = self.groups.get_mut(group)
            && let Some(last) = topics.get_mut(topic)
        {
            *last = now_ms;
            return;
        }
        let mut topics = self.groups.entry(group.into()).or_default();
        if topics.len() < TOPICS_MAX {
            topics.insert(topic.into(), now_ms);
        }
    }

    /// Whether the group pops the topic.
    pub(crate) fn contains(&self, group: &str, topic: &str) -> bool {
        self.groups.get(group).is_some_and(|topics| topics.contains_key(topic))
    }

    /// Forgets what was not popped for `idle_ms`.
    pub(crate) fn tidy(&self, now_ms: i64, idle_ms: i64) {
        self.groups.retain(|_, topics| {
            topics.retain(|_, last| now_ms.saturating_sub(*last) <= idle_ms);
            !topics.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_known_while_it_is_popped() {
        let popped = PoppedTopics::default();
        popped.note("g", "T", 1);
        popped.note("g", "U", 1);
        popped.note("g", "T", 50);
        assert!(popped.contains("g", "T") && popped.contains("g", "U"));
        assert!(!popped.contains("h", "T"));
        popped.tidy(60, 20);
        assert!(popped.contains("g", "T") && !popped.contains("g", "U"));
        popped.tidy(90, 20);
        assert!(popped.groups.is_empty());
    }
}
