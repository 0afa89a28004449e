//! Messages in and out.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Histogram, Labels, Page, is_system, label};
use crate::broker::Broker;
use crate::topics::{DLQ_PREFIX, is_retry_topic};

/// Upper bounds of the sizes of messages, in bytes.
const SIZES: [u64; 6] = [1024, 4096, 512 << 10, 1 << 20, 2 << 20, 4 << 20];

/// What kind of message a sender says it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// None of the others.
    Normal,
    /// It has a sharding key.
    Fifo,
    /// It is for later.
    Delay,
    /// It waits for the end of its transaction.
    Transaction,
}

/// Every kind and its label.
const KINDS: [(Kind, &str); 4] = [
    (Kind::Normal, "normal"),
    (Kind::Fifo, "fifo"),
    (Kind::Delay, "delay"),
    (Kind::Transaction, "transaction"),
];

/// What was sent to a topic, by kind.
#[derive(Default)]
pub(crate) struct Sent([SentKind; KINDS.len()]);

#[derive(Default)]
struct SentKind {
    messages: AtomicU64,
    bytes: AtomicU64,
    /// Puts by the size of their messages: the sum of the sizes, and how many in each bucket.
    size_sum: AtomicU64,
    sizes: [AtomicU64; SIZES.len() + 1],
}

impl Sent {
    /// Counts one put of messages whose records have so many bytes together.
    pub(crate) fn add(&self, kind: Kind, messages: u64, bytes: u64) {
        let sent = &self.0[kind as usize];
        sent.messages.fetch_add(messages, Ordering::Relaxed);
        sent.bytes.fetch_add(bytes, Ordering::Relaxed);
        let size = bytes / messages.max(1);
        sent.size_sum.fetch_add(size, Ordering::Relaxed);
        let bucket = SIZES.iter().position(|bound| size <= *bound).unwrap_or(SIZES.len());
        sent.sizes[bucket].fetch_add(1, Ordering::Relaxed);
    }
}

impl SentKind {
    fn sizes(&self) -> Histogram {
        let bounds = SIZES.iter().map(|bound| *bound as f64).chain([f64::MAX]);
        let counts = self.sizes.iter().map(|count| count.load(Ordering::Relaxed));
        Histogram {
            sum: self.size_sum.load(Ordering::Relaxed) as f64,
            buckets: bounds.zip(counts).collect(),
        }
    }
}

/// Writes what came in and what went out.
pub(super) fn write(broker: &Broker, page: &mut Page<'_, '_>) -> fmt::Result {
    let mut sent: Vec<(Labels, u64, u64, Histogram)> = Vec::new();
    broker.traffic.each_topic(|topic, counts| {
        if !is_counted(topic) {
            return;
        }
        for (kind, name) in KINDS {
            let counts = &counts.0[kind as usize];
            let messages = counts.messages.load(Ordering::Relaxed);
            if messages > 0 {
                let labels = vec![
                    label("topic", topic),
                    label("message_type", name),
                    is_system(broker, topic, None),
                ];
                sent.push((labels, messages, counts.bytes.load(Ordering::Relaxed), counts.sizes()));
            }
        }
    });
    let messages = sent.iter().map(|(labels, messages, ..)| (labels.clone(), *messages));
    page.counter("rocketmq_messages_in", "Messages stored for senders", messages)?;
    let bytes = sent.iter().map(|(labels, _, bytes, _)| (labels.clone(), *bytes));
    page.counter("rocketmq_throughput_in", "Bytes stored for senders", bytes)?;
    let sizes = sent.into_iter().map(|(labels, .., sizes)| (labels, sizes));
    page.histogram("rocketmq_message_size", "Bytes of a sent message", sizes)?;

    let mut got: Vec<(Labels, u64, u64)> = Vec::new();
    broker.traffic.each_group(|topic, group, messages, bytes| {
        if messages > 0 && is_counted(topic) {
            let labels = vec![
                label("topic", topic),
                label("consumer_group", group),
                is_system(broker, topic, Some(group)),
            ];
            got.push((labels, messages, bytes));
        }
    });
    let messages = got.iter().map(|(labels, messages, _)| (labels.clone(), *messages));
    page.counter("rocketmq_messages_out", "Messages handed out", messages)?;
    let bytes = got.into_iter().map(|(labels, _, bytes)| (labels, bytes));
    page.counter("rocketmq_throughput_out", "Bytes handed out", bytes)
}

/// Retry and dead letter topics are not counted.
fn is_counted(topic: &str) -> bool {
    !is_retry_topic(topic) && !topic.starts_with(DLQ_PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_the_mean_of_a_batch() {
        let sent = Sent::default();
        sent.add(Kind::Fifo, 4, 4 * 1024);
        sent.add(Kind::Fifo, 1, 1025);
        sent.add(Kind::Fifo, 1, 5 << 20);
        let fifo = &sent.0[Kind::Fifo as usize];
        assert_eq!(fifo.messages.load(Ordering::Relaxed), 6);
        let sizes = fifo.sizes();
        let counts: Vec<u64> = sizes.buckets.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [1, 1, 0, 0, 0, 0, 1]);
        assert_eq!(sizes.sum, f64::from(1024 + 1025 + (5 << 20)));
    }
}
