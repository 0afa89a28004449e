//! Popping: the broker keeps the offsets, the consumer acknowledges messages one by one.
//!
//! A pop hides messages of a queue from its group for a time and moves the group's offset behind
//! them. What it took stands in a check point, which goes through the timer into a queue of the
//! revive topic, as every acknowledgement does. There `revive` matches them and stores what nobody
//! acknowledged again, in the group's retry topic.
//!
//! What holds, at any moment and after a crash at any moment:
//!
//! 1. Hidden before delivered: messages are handed out after their check point is in the log (or
//!    in the buffer, and then their offset is not committed). So none is lost.
//! 2. Never early: a message comes back when its time has passed, not before. Changing the time
//!    is a new check point, written before the old one is acknowledged.
//! 3. Acknowledged in time is consumed: a check point is judged when the timer has delivered
//!    everything due by then and the revive queue is read to where it ended after that.
//! 4. Never stuck: whatever is not acknowledged comes back, or its check point is written again
//!    with a longer pause. No record of the revive topic, foreign or damaged, stops its queue.
//! 5. The offset of a revive queue passes a check point only when its messages are acknowledged,
//!    stored again or written again, and what was stored is on disk.
//! 6. A crash takes offsets back to where they were last written, a few seconds before: what was
//!    popped or stored again since then is delivered once more. At least once, not exactly once.
//! 7. In order (`order`): no message is handed out while one before it is neither acknowledged nor
//!    visible again; the group's offset is the first that is not acknowledged.
//!
//! `pending`, `buffer` and `order` decide; they do no I/O and have no clock, and `model` drives
//! them through random pops, acknowledgements, changes, time-outs and crashes.
//! Locks: the lock of the popped queue, then that of the buffer; neither is held across an await.

mod buffer;
mod check_point;
mod in_flight;
mod journal;
mod locks;
#[cfg(test)]
mod model;
mod order;
mod pending;
pub(crate) mod polling;
mod pops;
pub(crate) mod receipt;
mod retry;
mod revive;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use runtime::clock::now_ms;
use runtime::services::Stop;

use crate::broker::Broker;
use crate::config::BrokerConfig;

use buffer::{Buffer, BufferLimits};

pub(crate) use check_point::{Ack, BatchAck, CheckPoint, Differences};
pub(crate) use journal::JournalError;
pub(crate) use order::{OrderedAck, OrderedPop, Orders};
pub(crate) use pops::Pops;
pub(crate) use revive::{REVIVE_GROUP, Revive};

/// Messages of one pop from one queue at most.
pub(crate) const MESSAGES_MAX: usize = 32;

/// Stands in a receipt handle for the revive queue of a pop in order, which has none.
pub(crate) const ORDER_REVIVE_QUEUE: i32 = 999;

/// Interval of looking for check points that stayed long enough.
const BUFFER_PAUSE: Duration = Duration::from_millis(100);

/// Check points that wait in memory, if the settings want that.
pub(crate) struct PopBuffer {
    buffer: Option<Mutex<Buffer>>,
}

impl PopBuffer {
    /// The buffer that a broker with these settings has.
    pub(crate) fn new(config: &BrokerConfig) -> PopBuffer {
        let count = |setting: i32| usize::try_from(setting).unwrap_or(0);
        let limits = BufferLimits {
            stay_ms: i64::from(config.pop_ck_stay_buffer_time),
            leave_ms: i64::from(config.pop_ck_stay_buffer_time_out),
            points_max: count(config.pop_ck_max_buffer_size),
            per_queue_max: count(config.pop_ck_offset_max_queue_size),
        };
        let buffer = || Mutex::new(Buffer::new(limits, &config.broker_name));
        PopBuffer { buffer: config.enable_pop_buffer_merge.then(buffer) }
    }

    /// Check points held in memory, and offsets that wait for them.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        self.lock().map_or((0, 0), |buffer| (buffer.len(), buffer.in_line()))
    }

    fn lock(&self) -> Option<MutexGuard<'_, Buffer>> {
        let buffer = self.buffer.as_ref()?;
        Some(buffer.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Makes a pop last: from here on its messages come back unless they are acknowledged, and the
/// group's next pop of the queue begins at `next_offset`. The caller holds the lock of the queue.
///
/// # Errors
/// Says why the check point is not in the log; the messages must not be delivered then.
pub(crate) fn hide(
    broker: &Broker,
    check_point: &CheckPoint<'_>,
    revive_queue: i32,
    next_offset: i64,
    now_ms: i64,
) -> Result<(), JournalError> {
    let (group, topic, queue_id) = (&check_point.group, &check_point.topic, check_point.queue_id);
    broker.traffic.hidden(group, topic);
    let Some(mut buffer) = broker.pop_buffer.lock() else {
        journal::put_check_point(broker, check_point, revive_queue)?;
        broker.offsets.commit(group, topic, queue_id, next_offset, now_ms);
        return Ok(());
    };
    if buffer.hold(check_point, revive_queue, next_offset, now_ms) {
        return Ok(());
    }
    journal::put_check_point(broker, check_point, revive_queue)?;
    if !buffer.stand_in_line(check_point, next_offset) {
        broker.offsets.commit(group, topic, queue_id, next_offset, now_ms);
    }
    Ok(())
}

/// Moves the group's next pop of a queue behind messages that it does not want.
pub(crate) fn pass_over(
    broker: &Broker,
    topic: &str,
    group: &str,
    queue_id: i32,
    next_offset: i64,
    now_ms: i64,
) {
    let nothing = CheckPoint {
        start_offset: next_offset,
        pop_time: now_ms,
        invisible_time: 0,
        acked: 0,
        count: 0,
        queue_id,
        topic: topic.into(),
        group: group.into(),
        differences: Differences::new(),
        broker_name: None,
        re_puts: 0,
    };
    let mut buffer = broker.pop_buffer.lock();
    let waits = buffer.as_mut().is_some_and(|buffer| buffer.stand_in_line(&nothing, next_offset));
    if !waits {
        broker.offsets.commit(group, topic, queue_id, next_offset, now_ms);
    }
}

/// Hides one message anew, for `change invisible time`: a check point of its own, which moves no
/// offset. The caller acknowledges the old one afterwards. The pop time must be another than the
/// old one, as a check point is known by it.
///
/// # Errors
/// Says why the check point is not in the log.
pub(crate) fn hide_again(
    broker: &Broker,
    check_point: &CheckPoint<'_>,
    revive_queue: i32,
) -> Result<(), JournalError> {
    journal::put_check_point(broker, check_point, revive_queue)?;
    broker.traffic.hidden(&check_point.group, &check_point.topic);
    Ok(())
}

/// Acknowledges a message; `invisible_time` is that of its check point.
///
/// # Errors
/// Says why the acknowledgement is not in the log.
pub(crate) fn acknowledge(
    broker: &Broker,
    ack: &Ack<'_>,
    invisible_time: i64,
    revive_queue: i32,
) -> Result<(), JournalError> {
    if broker.pop_buffer.lock().is_some_and(|mut buffer| buffer.ack(ack)) {
        return Ok(());
    }
    journal::put_ack(broker, ack, invisible_time, revive_queue)?;
    Ok(())
}

/// Acknowledges several messages of one check point.
///
/// # Errors
/// Says why the acknowledgement is not in the log.
pub(crate) fn acknowledge_batch(
    broker: &Broker,
    batch: &BatchAck<'_>,
    invisible_time: i64,
    revive_queue: i32,
) -> Result<(), JournalError> {
    if broker.pop_buffer.lock().is_some_and(|mut buffer| buffer.ack_batch(batch)) {
        return Ok(());
    }
    journal::put_batch_ack(broker, batch, invisible_time, revive_queue)?;
    Ok(())
}

/// Where the group's next pop of a queue begins; none before its first.
pub(crate) fn next_offset(broker: &Broker, topic: &str, group: &str, queue_id: i32) -> Option<i64> {
    // The buffer stays locked: an offset leaves it and is committed in one go.
    let buffer = broker.pop_buffer.lock();
    let latest = buffer.as_ref().and_then(|buffer| buffer.latest(topic, group, queue_id));
    let committed = broker.offsets.query(group, topic, queue_id);
    latest.max(committed)
}

/// Forgets where the next pop of a queue begins, as its offset is reset.
pub(crate) fn forget_next(broker: &Broker, topic: &str, group: &str, queue_id: i32) {
    if let Some(mut buffer) = broker.pop_buffer.lock() {
        buffer.forget_line(topic, group, queue_id);
    }
}

/// Empties the buffer as time goes by, and wholly when the broker stops.
pub(crate) async fn run_buffer(broker: Arc<Broker>, stop: Stop) {
    if broker.pop_buffer.lock().is_none() {
        return;
    }
    while !stop.pause(BUFFER_PAUSE).await {
        let begun = Instant::now();
        empty_buffer(&broker, false, now_ms());
        broker.measures.buffer_scan(begun.elapsed());
    }
    empty_buffer(&broker, true, now_ms());
}

/// Writes the check points that stayed long enough, or all of them, and commits what can be.
///
/// Those that the log refuses stay where they are.
fn empty_buffer(broker: &Broker, all: bool, now_ms: i64) {
    let Some(buffer) = broker.pop_buffer.lock() else { return };
    let leaving = buffer.leaving(now_ms, all);
    drop(buffer);
    for key in leaving {
        // One at a time, so that pops in between do not wait for all.
        let Some(mut buffer) = broker.pop_buffer.lock() else { return };
        let Some((point, revive_queue)) = buffer.find(&key) else { continue };
        match journal::put_check_point(broker, point, revive_queue) {
            Ok(_) => buffer.remove(&key),
            Err(error) => {
                tracing::error!(%error, "a check point cannot leave the buffer, trying again");
                break;
            }
        }
    }
    let Some(mut buffer) = broker.pop_buffer.lock() else { return };
    for commit in buffer.commits() {
        let buffer::Commit { topic, group, queue_id, offset } = commit;
        broker.offsets.commit(&group, &topic, queue_id, offset, now_ms);
    }
}
