//! What went through the timer, by topic: for metrics alone.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Upper bounds of the delays that are asked for, in seconds.
pub const DELAY_BOUNDS: [u64; 6] = [60, 600, 3600, 43_200, 86_400, 259_200];

/// What went through for one topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicFlow {
    /// Messages taken in, also those taken in again for the rest of their time.
    pub enqueued: u64,
    /// Messages that left.
    pub dequeued: u64,
    /// Messages by the delay they asked for: up to each of the bounds, and above the last.
    pub delays: [u64; DELAY_BOUNDS.len() + 1],
    /// Sum of these delays, in seconds.
    pub delays_sum: u64,
}

/// The flow of all topics.
#[derive(Debug, Default)]
pub(super) struct Flow(Mutex<BTreeMap<String, TopicFlow>>);

impl Flow {
    /// Counts a message that was taken in, with the time from its birth to its slot.
    pub(super) fn enqueued(&self, topic: &str, delay_ms: i64) {
        let seconds = u64::try_from(delay_ms / 1000).unwrap_or(0);
        let at = DELAY_BOUNDS.iter().position(|bound| seconds <= *bound);
        self.with(topic, |flow| {
            flow.enqueued += 1;
            flow.delays[at.unwrap_or(DELAY_BOUNDS.len())] += 1;
            flow.delays_sum += seconds;
        });
    }

    /// Counts a message that left.
    pub(super) fn dequeued(&self, topic: &str) {
        self.with(topic, |flow| flow.dequeued += 1);
    }

    /// What was counted.
    pub(super) fn topics(&self) -> BTreeMap<String, TopicFlow> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn with(&self, topic: &str, change: impl FnOnce(&mut TopicFlow)) {
        let mut topics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !topics.contains_key(topic) {
            topics.insert(topic.to_owned(), TopicFlow::default());
        }
        if let Some(flow) = topics.get_mut(topic) {
            change(flow);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_counted_by_their_bucket() {
        let flow = Flow::default();
        for delay_ms in [-5, 60_999, 61_000, 259_200_000, 259_201_000] {
            flow.enqueued("T", delay_ms);
        }
        flow.dequeued("T");
        let of = &flow.topics()["T"];
        assert_eq!((of.enqueued, of.dequeued), (5, 1));
        assert_eq!(of.delays, [2, 1, 0, 0, 0, 1, 1]);
        assert_eq!(of.delays_sum, 60 + 61 + 259_200 + 259_201);
    }
}
