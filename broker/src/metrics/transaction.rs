//! Transactions: how they end, and how long that takes.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::family::{Families, Labels, label};
use super::tally::Tally;
use crate::broker::Broker;

/// Upper bounds of the time from a half message to its commit, in seconds.
const LATENCIES: [u64; 6] = [5, 60, 600, 3600, 43_200, 86_400];

/// The ends of transactions by topic.
#[derive(Default)]
pub(crate) struct Ended(Mutex<BTreeMap<String, Ends>>);

struct Ends {
    committed: u64,
    rolled_back: u64,
    /// Seconds from birth to commit.
    latencies: Tally<{ LATENCIES.len() }>,
}

impl Ended {
    /// Counts a commit so many seconds after the birth of the message.
    pub(crate) fn committed(&self, topic: &str, seconds: i64) {
        self.with(topic, |ends| {
            ends.committed += 1;
            ends.latencies.add(u64::try_from(seconds).unwrap_or(0));
        });
    }

    /// Counts a message that was dropped.
    pub(crate) fn rolled_back(&self, topic: &str) {
        self.with(topic, |ends| ends.rolled_back += 1);
    }

    fn with(&self, topic: &str, change: impl FnOnce(&mut Ends)) {
        let mut topics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !topics.contains_key(topic) {
            let ends = Ends { committed: 0, rolled_back: 0, latencies: Tally::new(&LATENCIES) };
            topics.insert(topic.to_owned(), ends);
        }
        if let Some(ends) = topics.get_mut(topic) {
            change(ends);
        }
    }
}

/// Collects how transactions end and how many are open.
pub(super) fn collect(broker: &Broker, families: &mut Families) {
    let open = broker.transactions.open_by_topic().into_iter();
    let open = open.map(|(topic, count)| (vec![label("topic", topic)], count as f64));
    families.gauge(
        ("rocketmq_half_messages", ""),
        "Messages that wait for their transaction",
        open,
    );

    let topics = broker.measures.ended.0.lock().unwrap_or_else(PoisonError::into_inner);
    let labels = |topic: &String| -> Labels { vec![label("topic", topic)] };
    let series = |count: fn(&Ends) -> u64| {
        let counted = topics.iter().filter(move |(_, ends)| count(ends) > 0);
        counted.map(move |(topic, ends)| (labels(topic), count(ends)))
    };
    let help = "Transactions committed";
    families.counter("rocketmq_commit_messages_total", help, series(|ends| ends.committed));
    let help = "Transactions rolled back";
    families.counter("rocketmq_rollback_messages_total", help, series(|ends| ends.rolled_back));
    // Java quirk: seconds in spite of the unit.
    let committed = topics.iter().filter(|(_, ends)| ends.committed > 0);
    let latencies = committed.map(|(topic, ends)| (labels(topic), ends.latencies.read()));
    let help = "Seconds from the birth of a half message to its commit";
    families.histogram(("rocketmq_finish_message_latency", "ms"), help, latencies);
}
