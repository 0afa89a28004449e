//! What a broker has still to do: delayed and timed messages, halves, check points.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use remoting::protocol::message::Record;
use remoting::protocol::message::properties::property;
use store::OpenError;
use store::consume_queue::Queue;
use store::dispatch::SCHEDULE_TOPIC;
use store::timer::{TIMER_TOPIC, TimerView};

use super::Store;
use super::log::LogReport;
use super::report::Report;

const HALF_TOPIC: &str = "RMQ_SYS_TRANS_HALF_TOPIC";
const OP_TOPIC: &str = "RMQ_SYS_TRANS_OP_HALF_TOPIC";
const TRANSACTION_GROUP: &str = "CID_RMQ_SYS_TRANS";
/// Tag of an op message, whose body names offsets of halves.
const OP_TAG: &str = "d";
const REVIVE_PREFIX: &str = "rmq_sys_REVIVE_LOG_";
const REVIVE_GROUP: &str = "CID_RMQ_SYS_REVIVE_GROUP";
const CHECK_POINT_TAG: &str = "ck";

/// What waits.
#[derive(Debug, Default)]
pub struct Pending {
    /// Messages of delay levels, by the topic they are for.
    pub delayed: BTreeMap<String, u64>,
    /// Messages of the timer, by the topic they are for.
    pub timers: BTreeMap<String, u64>,
    /// Messages that take back one of the timer.
    pub recalls: u64,
    /// Transactions that have not ended, by their unique key or offset.
    pub halves: BTreeSet<String>,
    /// Check points of POP that have not been revived: waiting in the timer, and behind that.
    pub check_points: (u64, u64),
}

pub(super) fn walk(
    store: &Store,
    timer_precision_ms: i64,
    report: &mut Report,
) -> anyhow::Result<()> {
    let on = (store, &report.log);
    delayed(on, &mut report.pending);
    halves(on, &mut report.pending);
    check_points(on, &mut report.pending);
    match TimerView::read(&store.root, timer_precision_ms) {
        Ok(view) => timers(store, view, report)?,
        Err(error @ OpenError::Damaged { .. }) => report.damage(error),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

fn delayed(on: (&Store, &LogReport), pending: &mut Pending) {
    let (store, _) = on;
    for queue in store.queues.all().iter().filter(|queue| &**queue.topic() == SCHEDULE_TOPIC) {
        let done = store.configs.delivered(queue.id() + 1).unwrap_or(0);
        each(on, queue, done.max(queue.min_offset()), |_, record| {
            let topic = record.properties().get(property::REAL_TOPIC).unwrap_or_default();
            *pending.delayed.entry(topic.to_owned()).or_default() += 1;
        });
    }
}

fn timers(store: &Store, mut view: TimerView, report: &mut Report) -> anyhow::Result<()> {
    view.damage.drain(..).for_each(|error| report.damage(error));
    let on = (store, &report.log);
    if let Some(queue) = store.queues.find(TIMER_TOPIC, 0) {
        let from = view.check.map_or(0, |check| check.queue_offset).max(queue.min_offset());
        each(on, &queue, from, |_, record| {
            let recalls = record.properties().contains(property::TIMER_DEL_UNIQKEY);
            view.waiting.entry(record.physical_offset).or_insert(recalls);
        });
    }
    for (position, recalls) in view.waiting {
        let Some(slice) = store.log.read(position) else {
            if position >= store.log.min() && position < report.java.1 {
                let (path, offset) = store.place(position);
                report.damaged(&path, offset, "a message of the timer", &"no record");
            }
            continue;
        };
        let Ok(record) = Record::decode(slice.as_ref()) else { continue };
        let topic = record.properties().get(property::REAL_TOPIC).unwrap_or_default();
        let pending = &mut report.pending;
        if recalls {
            pending.recalls += 1;
        } else if !topic.starts_with(REVIVE_PREFIX) {
            *pending.timers.entry(topic.to_owned()).or_default() += 1;
        } else if record.tags() == Some(CHECK_POINT_TAG) {
            pending.check_points.0 += 1;
        }
    }
    Ok(())
}

/// Halves that no op message names.
fn halves(on: (&Store, &LogReport), pending: &mut Pending) {
    let (store, _) = on;
    let Some(queue) = store.queues.find(HALF_TOPIC, 0) else { return };
    let mut ended = BTreeSet::new();
    if let Some(ops) = store.queues.find(OP_TOPIC, 0) {
        each(on, &ops, ops.min_offset(), |_, record| {
            let text = String::from_utf8_lossy(record.body);
            if record.tags() == Some(OP_TAG) {
                ended
                    .extend(text.split(',').filter_map(|offset| offset.trim().parse::<i64>().ok()));
            }
        });
    }
    let done = store.configs.offset(HALF_TOPIC, TRANSACTION_GROUP, 0).unwrap_or(0);
    each(on, &queue, done.max(queue.min_offset()), |offset, record| {
        if !ended.contains(&offset) {
            let key = record.properties().get(property::UNIQ_KEY).map(str::to_owned);
            pending.halves.insert(key.unwrap_or_else(|| offset.to_string()));
        }
    });
}

/// Check points that have come to the revive topic and were not read there.
fn check_points(on: (&Store, &LogReport), pending: &mut Pending) {
    let (store, _) = on;
    for queue in store.queues.all().iter().filter(|queue| queue.topic().starts_with(REVIVE_PREFIX))
    {
        let done = store.configs.offset(queue.topic(), REVIVE_GROUP, queue.id()).unwrap_or(0);
        each(on, queue, done.max(queue.min_offset()), |_, record| {
            pending.check_points.1 += u64::from(record.tags() == Some(CHECK_POINT_TAG));
        });
    }
}

/// Gives the records of a queue from an offset on, those that are there, and those that recovery
/// gives to the queue.
fn each(
    (store, log): (&Store, &LogReport),
    queue: &Arc<Queue>,
    from: i64,
    mut look: impl FnMut(i64, &Record<'_>),
) {
    let queued = (from..queue.next_offset()).filter_map(|offset| {
        let unit = queue.unit(offset).ok().flatten()?;
        Some((offset, unit.physical_offset))
    });
    let key = (queue.topic().to_string(), queue.id());
    let unqueued = log.unqueued.get(&key).into_iter().flatten();
    let unqueued = unqueued.map(|record| (record.offsets.0, record.position));
    for (offset, position) in queued.chain(unqueued) {
        if let Some(slice) = store.log.read(position)
            && let Ok(record) = Record::decode(slice.as_ref())
            && (record.topic, record.queue_id) == (&**queue.topic(), queue.id())
        {
            look(offset, &record);
        }
    }
}
