//! Popping: check points, acknowledgements and what is stored again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use runtime::clock::now_ms;

use super::family::{Families, Labels, label};
use crate::broker::Broker;
use crate::pop::REVIVE_GROUP;
use crate::put::PutStatus;

/// A record of the revive topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Revival {
    /// A check point.
    CheckPoint,
    /// An acknowledgement, of one message or several.
    Ack,
}

const RECORDS: [(Revival, &str); 2] = [(Revival::CheckPoint, "CK"), (Revival::Ack, "ACK")];

/// What became of the messages that a group popped of a topic.
#[derive(Default)]
pub(crate) struct Revived {
    /// Written to the revive topic, by kind and status.
    put: [[AtomicU64; PutStatus::ALL.len()]; RECORDS.len()],
    /// Read from it, by queue and kind.
    read: Mutex<BTreeMap<(i32, Revival), u64>>,
    /// Stored in the retry topic, by status.
    retried: [AtomicU64; PutStatus::ALL.len()],
}

impl Revived {
    /// Counts a record that was written, or not.
    pub(crate) fn put(&self, record: Revival, status: PutStatus) {
        self.put[record as usize][status as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a record that was read from a queue of the revive topic.
    pub(crate) fn read(&self, record: Revival, queue_id: i32) {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        *read.entry((queue_id, record)).or_default() += 1;
    }

    /// Counts a message that was stored again, or not.
    pub(crate) fn retried(&self, status: PutStatus) {
        self.retried[status as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// Collects what pops do.
pub(super) fn collect(broker: &Broker, families: &mut Families) {
    let one = |value: f64| [(Labels::new(), value)];
    let name = ("rocketmq_pop_buffer_scan_time_consume", "milliseconds");
    let scans = [(Labels::new(), broker.measures.buffer_scans.read())];
    families.histogram(name, "Time of a look through the check points in memory", scans);
    let (points, offsets) = broker.pop_buffer.sizes();
    let help = "Offsets in memory that wait to be committed";
    families.gauge(("rocketmq_pop_offset_buffer_size", ""), help, one(offsets as f64));
    let help = "Check points in memory";
    families.gauge(("rocketmq_pop_checkpoint_buffer_size", ""), help, one(points as f64));

    let queues = broker.topics.look(&broker.revive_topic).map_or(0, |facts| facts.read_queues);
    let behind: Vec<_> = (0..queues).map(|queue_id| (queue_id, behind(broker, queue_id))).collect();
    let series = |at: usize| {
        let of_queue = |(queue_id, behind): &(i32, [i64; 2])| {
            (vec![label("queue_id", queue_id.to_string())], behind[at] as f64)
        };
        behind.iter().map(of_queue).collect::<Vec<_>>()
    };
    // Java quirk: the lag counts records in spite of its unit.
    let help = "Records of the revive topic that are not done with";
    families.gauge(("rocketmq_pop_revive_lag", "milliseconds"), help, series(0));
    let help = "Age of the first record of the revive topic that is not done with";
    families.gauge(("rocketmq_pop_revive_latency", "milliseconds"), help, series(1));
    counters(broker, families);
}

/// Records that are not done with, and the age of the first in ms, by Java's definition: the last
/// record that is done with counts, too.
fn behind(broker: &Broker, queue_id: i32) -> [i64; 2] {
    let topic = &broker.revive_topic;
    let Some(done) = broker.offsets.query(REVIVE_GROUP, topic, queue_id) else { return [0; 2] };
    let records = (broker.store.max_offset(topic, queue_id) - done).max(0);
    let time = if records > 1 { broker.store.store_time(topic, queue_id, done + 1) } else { 0 };
    [records, if time > 0 { (now_ms() - time).max(0) } else { 0 }]
}

fn counters(broker: &Broker, families: &mut Families) {
    let (mut put, mut read, mut retried) = (Vec::new(), Vec::new(), Vec::new());
    broker.traffic.each_group(|told| {
        let Some(revived) = told.revived else { return };
        let labels = |more: [(&'static str, String); 1], rest: Option<(&'static str, String)>| {
            let own = [label("consumer_group", told.group), label("topic", told.topic)];
            own.into_iter().chain(more).chain(rest).collect::<Labels>()
        };
        for status in PutStatus::ALL {
            let of = |count: &AtomicU64| Some(count.load(Ordering::Relaxed)).filter(|n| *n > 0);
            for (record, name) in RECORDS {
                if let Some(count) = of(&revived.put[record as usize][status as usize]) {
                    let kind = label("revive_message_type", name);
                    put.push((labels([kind], Some(label("put_status", status.name()))), count));
                }
            }
            if let Some(count) = of(&revived.retried[status as usize]) {
                retried.push((labels([label("put_status", status.name())], None), count));
            }
        }
        for ((queue_id, record), count) in
            &*revived.read.lock().unwrap_or_else(PoisonError::into_inner)
        {
            let kind = label("revive_message_type", RECORDS[*record as usize].1);
            let queue = label("queue_id", queue_id.to_string());
            read.push((labels([kind], Some(queue)), *count));
        }
    });
    let help = "Records written to the revive topic";
    families.counter("rocketmq_pop_revive_in_message_total", help, put);
    let help = "Records read from the revive topic";
    families.counter("rocketmq_pop_revive_out_message_total", help, read);
    let help = "Popped messages stored again in retry topics";
    families.counter("rocketmq_pop_revive_retry_messages_total", help, retried);
}
