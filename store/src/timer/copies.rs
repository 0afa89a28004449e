//! What the timer had delivered before a restart, found by key, so that it is not delivered twice.
//!
//! The check is saved once a second: after a crash the last deliveries are not in it, and after a
//! loss of the timer's files none are. Whatever was delivered stands in the log with the unique
//! key and the time of the parked message. Each copy stands for one message only. What the index
//! does not know is delivered again.

use std::collections::HashSet;

use remoting::protocol::message::Record;

use super::TIMER_TOPIC;
use super::parked::Parked;
use crate::MessageStore;

/// Copies looked at for one message.
const COPIES_MAX: usize = 64;
/// The index counts in seconds.
const SLACK_MS: i64 = 1000;

/// What was delivered before the start.
#[derive(Debug, Default)]
pub(super) struct Copies {
    /// Nothing later than this was delivered before the start.
    until_ms: i64,
    /// Where the log ended at the start.
    log_end: i64,
    taken: HashSet<i64>,
    indexed: bool,
}

impl Copies {
    /// Of a log that ended at `log_end` with a record stored at `until_ms`.
    pub(super) fn until(until_ms: i64, log_end: i64) -> Copies {
        Copies { until_ms, log_end, ..Copies::default() }
    }

    /// Whether something due at this time can have been delivered before the start.
    pub(super) fn reach(&self, due_ms: i64) -> bool {
        due_ms <= self.until_ms
    }

    /// Whether the message was delivered before the start; its copy is used up.
    pub(super) fn take(&mut self, store: &MessageStore, parked: &Parked<'_>, due_ms: i64) -> bool {
        self.reach(due_ms)
            && self.find(store, parked.topic, parked, |parked, copy| parked.is_copy(copy))
    }

    /// Whether the message was stored anew before the start; its copy is used up.
    pub(super) fn take_rolled(&mut self, store: &MessageStore, parked: &Parked<'_>) -> bool {
        self.find(store, TIMER_TOPIC, parked, |parked, copy| parked.is_rolled_copy(copy))
    }

    fn find(
        &mut self,
        store: &MessageStore,
        topic: &str,
        parked: &Parked<'_>,
        is_copy: fn(&Parked<'_>, &Record<'_>) -> bool,
    ) -> bool {
        let Some(key) = parked.unique_key else { return false };
        if !self.indexed {
            while store.dispatch_behind_bytes() > 0 && store.build_index() {}
            self.indexed = true;
        }
        let begin = parked.record().store_timestamp - SLACK_MS;
        // Without an end: of the first entry of an index file the time may be any later one.
        let found = store.query(topic, key, COPIES_MAX, begin, i64::MAX);
        found.iter().any(|slice| {
            let Ok(copy) = Record::decode(slice.as_ref()) else { return false };
            let between = parked.record().physical_offset + 1..self.log_end;
            let is_copy = between.contains(&copy.physical_offset) && is_copy(parked, &copy);
            is_copy && self.taken.insert(copy.physical_offset)
        })
    }
}
