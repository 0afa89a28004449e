//! Popping: the broker keeps the offsets, the consumer acknowledges messages one by one.

mod buffer;
mod check_point;
mod journal;
mod order;
mod receipt;

use store::NewMessage;

use crate::broker::Broker;

pub(crate) use check_point::{Ack, BatchAck, CheckPoint, Differences};
pub(crate) use journal::JournalError;
pub(crate) use order::{Consumed, OrderedAck, OrderedPop, Orders};

/// Messages of one pop from one queue at most.
pub(crate) const MESSAGES_MAX: usize = 32;

/// Stands in a receipt handle for the revive queue of a pop in order, which has none.
pub(crate) const ORDER_REVIVE_QUEUE: i32 = 999;

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
    journal::put_check_point(broker, check_point, revive_queue)?;
    let (group, topic, queue_id) = (&check_point.group, &check_point.topic, check_point.queue_id);
    broker.offsets.commit(group, topic, queue_id, next_offset, now_ms);
    Ok(())
}

/// Hides one message anew, for `change invisible time`: a check point of its own, which moves no
/// offset. The old one is acknowledged afterwards by the caller.
///
/// # Errors
/// Says why the check point is not in the log.
pub(crate) fn hide_again(
    broker: &Broker,
    check_point: &CheckPoint<'_>,
    revive_queue: i32,
) -> Result<(), JournalError> {
    journal::put_check_point(broker, check_point, revive_queue)?;
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
    journal::put_batch_ack(broker, batch, invisible_time, revive_queue)?;
    Ok(())
}

/// Where the group's next pop of a queue begins; none before its first.
pub(crate) fn next_offset(broker: &Broker, topic: &str, group: &str, queue_id: i32) -> Option<i64> {
    broker.offsets.query(group, topic, queue_id)
}
