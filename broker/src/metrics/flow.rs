//! Messages in and out.

use std::sync::atomic::{AtomicU64, Ordering};

use super::family::{Families, Histogram, Labels, label};
use super::tally::Tally;
use super::{is_counted, is_system};
use crate::broker::Broker;
use crate::traffic::{Counted, Told};

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

/// How messages are handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// To a pull, or to what pulls within the broker.
    Pull,
    /// To a pop, from the topic itself.
    Pop,
    /// To a pop, from a retry topic.
    PopOfRetry,
}

/// Every way and its label, if it has one.
const WAYS: [(Way, Option<&str>); 3] =
    [(Way::Pull, None), (Way::Pop, Some("false")), (Way::PopOfRetry, Some("true"))];

/// What was sent to a topic, by kind.
#[derive(Default)]
pub(crate) struct Sent([SentKind; KINDS.len()]);

struct SentKind {
    messages: AtomicU64,
    bytes: AtomicU64,
    /// Puts by the size of their messages.
    sizes: Tally<{ SIZES.len() }>,
}

impl Default for SentKind {
    fn default() -> SentKind {
        let none = || AtomicU64::new(0);
        SentKind { messages: none(), bytes: none(), sizes: Tally::new(&SIZES) }
    }
}

impl Sent {
    /// Counts one put of messages whose records have so many bytes together.
    pub(crate) fn add(&self, kind: Kind, messages: u64, bytes: u64) {
        let sent = &self.0[kind as usize];
        sent.messages.fetch_add(messages, Ordering::Relaxed);
        sent.bytes.fetch_add(bytes, Ordering::Relaxed);
        sent.sizes.add(bytes / messages.max(1));
    }
}

/// What was handed out to a group, by way: messages and bytes.
#[derive(Default)]
pub(crate) struct Handed([[AtomicU64; 2]; WAYS.len()]);

impl Handed {
    /// Counts messages.
    pub(crate) fn add(&self, way: Way, counted: Counted) {
        let [messages, bytes] = &self.0[way as usize];
        messages.fetch_add(counted.messages, Ordering::Relaxed);
        bytes.fetch_add(counted.bytes, Ordering::Relaxed);
    }
}

/// Collects what came in and what went out.
pub(super) fn collect(broker: &Broker, families: &mut Families) {
    let mut sent: Vec<(Labels, [u64; 2], Histogram)> = Vec::new();
    broker.traffic.each_topic(|topic, counts| {
        for (kind, name) in KINDS {
            let SentKind { messages, bytes, sizes } = &counts.0[kind as usize];
            let counts = [messages, bytes].map(|count| count.load(Ordering::Relaxed));
            if counts[0] > 0 {
                let labels = vec![
                    label("topic", topic),
                    label("message_type", name),
                    is_system(broker, topic, None),
                ];
                sent.push((labels, counts, sizes.read()));
            }
        }
    });
    let total = |at: usize| sent.iter().map(move |(labels, total, _)| (labels.clone(), total[at]));
    families.counter("rocketmq_messages_in_total", "Messages stored for senders", total(0));
    families.counter("rocketmq_throughput_in_total", "Bytes stored for senders", total(1));
    let sizes = sent.iter().map(|(labels, _, sizes)| (labels.clone(), sizes.clone()));
    families.histogram(("rocketmq_message_size", ""), "Bytes of a sent message", sizes);

    let mut handed: Vec<(Labels, [u64; 2])> = Vec::new();
    broker.traffic.each_group(|told| {
        for (way, is_retry) in WAYS {
            let counts = [0, 1].map(|at| told.handed.0[way as usize][at].load(Ordering::Relaxed));
            if counts[0] > 0 && (way != Way::Pull || is_counted(told.topic)) {
                let is_retry = is_retry.map(|is_retry| label("is_retry", is_retry));
                let labels = labels_of(broker, told).into_iter().chain(is_retry);
                handed.push((labels.collect(), counts));
            }
        }
    });
    let total = |at: usize| handed.iter().map(move |(labels, total)| (labels.clone(), total[at]));
    families.counter("rocketmq_messages_out_total", "Messages handed out", total(0));
    families.counter("rocketmq_throughput_out_total", "Bytes handed out", total(1));
}

/// Collects dead letters.
pub(super) fn collect_dead(broker: &Broker, families: &mut Families) {
    let mut dead: Vec<(Labels, u64)> = Vec::new();
    broker.traffic.each_group(|told| {
        if told.dead > 0 {
            dead.push((labels_of(broker, told), told.dead));
        }
    });
    let help = "Messages that became dead letters";
    families.counter("rocketmq_send_to_dlq_messages_total", help, dead);
}

fn labels_of(broker: &Broker, told: &Told<'_>) -> Labels {
    vec![
        label("topic", told.topic),
        label("consumer_group", told.group),
        is_system(broker, told.topic, Some(told.group)),
    ]
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
        let sizes = fifo.sizes.read();
        assert_eq!(sizes.counts, [1, 1, 0, 0, 0, 0, 1]);
        assert_eq!(sizes.sum, 1024 + 1025 + (5 << 20));
    }
}
