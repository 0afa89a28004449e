//! Topics with a time of their own.
//!
//! What is older than its topic's time is passed over: the first offsets of the queues move on,
//! in memory only, so that another broker on the same files shows it again. Files go no sooner.
//! Log files with something that is younger than its topic's time are not deleted for their age.

use tracing::warn;

use crate::MessageStore;

/// What the topic that asks for most of the log asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByTopic {
    /// Its first message that is not too old.
    pub physical_offset: i64,
    /// Its name.
    pub topic: String,
}

/// Moves first offsets past what is too old. Returns what the topics whose time is longer than
/// that of the log files ask for.
pub fn pass_over(store: &MessageStore, reserved_ms: i64, now_ms: i64) -> Option<ByTopic> {
    let mut wanted: Option<ByTopic> = None;
    for (topic, time_ms) in store.topic_times() {
        let first = pass_over_in(store, &topic, now_ms.saturating_sub(time_ms));
        let Some(physical_offset) = first.filter(|_| time_ms > reserved_ms) else { continue };
        if wanted.as_ref().is_none_or(|wanted| physical_offset < wanted.physical_offset) {
            wanted = Some(ByTopic { physical_offset, topic });
        }
    }
    wanted
}

/// Moves the first offsets of a topic; returns where its first message stored at or after
/// `oldest_ms` is.
fn pass_over_in(store: &MessageStore, topic: &str, oldest_ms: i64) -> Option<i64> {
    let log = store.log();
    let time_of = |physical_offset| log.store_time(physical_offset);
    let mut first: Option<i64> = None;
    for queue in store.queues().of(topic) {
        match queue.pass_over(oldest_ms, log.min(), &time_of) {
            Ok(Some(physical_offset)) => {
                first = Some(first.map_or(physical_offset, |first| first.min(physical_offset)));
            }
            Ok(None) => {}
            Err(error) => {
                warn!(%error, "cannot look for messages of a topic that are too old");
                // Whatever there is, it is not known to be old.
                first = Some(log.min());
            }
        }
    }
    first
}
