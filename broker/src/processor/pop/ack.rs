//! Requests 200051 and 200151: popped messages are consumed.
//!
//! An acknowledgement is stored whatever the receipt says; one that fits no check point has no
//! effect. That of a pop in order moves the group's offset, and so is checked against the pop.

use std::sync::Arc;

use remoting::net::Outcome;
use remoting::protocol::body::{self, BatchAckMessageRequestBody, Body};
use remoting::protocol::code::ResponseCode;
use remoting::protocol::command::Responder;
use remoting::protocol::header::AckMessageRequestHeader;
use runtime::clock::now_ms;

use super::check_acked;
use crate::arrivals::{ANY_QUEUE, Line, Purpose};
use crate::broker::Broker;
use crate::call::Call;
use crate::pop::receipt::{Receipt, retry_of_flag};
use crate::pop::{self, Ack, BatchAck, ORDER_REVIVE_QUEUE, OrderedAck};
use crate::reject::Reject;
use crate::topics::pop_retry_topic;

/// Longest text of the bits of a batch; a pop spans fewer offsets than this has bits.
const BITS_LEN_MAX: usize = 16 * 1024;
/// Offsets of one pop that are acknowledged at most; a pop takes fewer.
const OFFSETS_MAX: usize = 1024;

/// Serves 200051.
pub(crate) fn ack_message(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let header: AckMessageRequestHeader<'_> = call.header()?;
    let AckMessageRequestHeader { consumer_group: group, topic, queue_id, offset, .. } = header;
    check_acked(broker, topic, queue_id)?;
    let (min, max) = bounds(broker, topic, queue_id);
    if !(min..=max).contains(&offset) {
        let remark = format!(
            "offset is illegal, key:{topic}@{queue_id}, commit:{offset}, store:{min}~{max}"
        );
        return Err(Reject::new(ResponseCode::NoMessage, remark));
    }
    let receipt = Receipt::decode(header.extra_info)?;
    if receipt.is_orderly() {
        ack_in_order(broker, group, topic, queue_id, offset, receipt.pop_time)?;
    } else {
        let ack = Ack {
            offset,
            start_offset: receipt.start_offset,
            group: group.into(),
            topic: topic.into(),
            queue_id,
            pop_time: receipt.pop_time,
            broker_name: Some(receipt.broker_name.into()),
        };
        let Receipt { invisible_time, revive_queue, .. } = receipt;
        pop::acknowledge(broker, &ack, invisible_time, revive_queue)?;
        acked(broker, &ack, 1);
    }
    out.ok_empty();
    Ok(Outcome::Done)
}

/// Serves 200151.
pub(crate) fn batch_ack_message(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let nothing = || Reject::new(ResponseCode::NoMessage, "nothing to acknowledge");
    if call.body().is_empty() {
        return Err(nothing());
    }
    let body = BatchAckMessageRequestBody::decode(call.body())?;
    if body.acks.is_empty() {
        return Err(nothing());
    }
    // One that is refused does not keep the others from being consumed.
    let mut refused = Ok(());
    for ack in &body.acks {
        if let Err(refusal) = ack_batch(broker, ack, &body.broker_name) {
            refused = Err(refusal);
        }
    }
    refused?;
    out.ok_empty();
    Ok(Outcome::Done)
}

/// Acknowledges messages of one pop; those that cannot be there are left out.
fn ack_batch(broker: &Broker, ack: &body::BatchAck, broker_name: &str) -> Result<(), Reject> {
    let group = ack.consumer_group.as_str();
    let retry = retry_of_flag(&ack.retry)?;
    let topic = match retry {
        None => ack.topic.clone(),
        Some(version) => pop_retry_topic(group, &ack.topic, version),
    };
    if check_acked(broker, &topic, ack.queue_id).is_err() {
        return Ok(());
    }
    let unreadable = || Reject::thrown("the bits of the offsets are not readable");
    if ack.bits.len() > BITS_LEN_MAX {
        return Err(unreadable());
    }
    let (min, max) = bounds(broker, &topic, ack.queue_id);
    let distances = ack.distances().ok_or_else(unreadable)?;
    let offsets = distances.map(|distance| ack.start_offset.saturating_add(i64::from(distance)));
    let offsets: Vec<i64> =
        offsets.filter(|offset| (min..=max).contains(offset)).take(OFFSETS_MAX).collect();
    if ack.revive_queue_id == ORDER_REVIVE_QUEUE {
        // All are tried; the last refusal is told.
        let mut refused = Ok(());
        for offset in offsets {
            let acked = ack_in_order(broker, group, &topic, ack.queue_id, offset, ack.pop_time);
            refused = acked.and(refused);
        }
        return refused;
    }
    if offsets.is_empty() {
        return Ok(());
    }
    let count = offsets.len();
    let first = Ack {
        // Wire: what a batch has instead of its offset.
        offset: -1,
        start_offset: ack.start_offset,
        group: group.into(),
        topic: topic.into(),
        queue_id: ack.queue_id,
        pop_time: ack.pop_time,
        broker_name: Some(broker_name).filter(|name| !name.is_empty()).map(Into::into),
    };
    let batch = BatchAck { ack: first, offsets };
    let (invisible_time, revive_queue) = (ack.invisible_time, ack.revive_queue_id);
    pop::acknowledge_batch(broker, &batch, invisible_time, revive_queue)?;
    acked(broker, &batch.ack, count);
    Ok(())
}

/// First and last offset that can be acknowledged.
fn bounds(broker: &Broker, topic: &str, queue_id: i32) -> (i64, i64) {
    let min = broker.store.min_offset(topic, queue_id).max(0);
    // Java quirk: the offset after the last message too (`acks_are_checked`).
    (min, broker.store.max_offset(topic, queue_id))
}

/// Counts what was acknowledged; a queue that had too many may be popped again.
fn acked(broker: &Broker, ack: &Ack<'_>, count: usize) {
    let Ack { topic, group, queue_id, pop_time, .. } = ack;
    broker.traffic.acked(group, topic, count as u64);
    if broker.pops.in_flight.done(topic, group, *queue_id, count, *pop_time) {
        call_next(broker, group, topic, *queue_id);
    }
}

/// Marks a message of a pop in order, and goes on behind all that are marked.
fn ack_in_order(
    broker: &Broker,
    group: &str,
    topic: &str,
    queue_id: i32,
    offset: i64,
    pop_time: i64,
) -> Result<(), Reject> {
    let lock = broker.pops.locks.lock(topic, group, queue_id);
    let committed = broker.offsets.query(group, topic, queue_id).unwrap_or(-1);
    if offset < committed {
        // Consumed long ago.
        return Ok(());
    }
    match broker.orders.ack(topic, group, queue_id, offset, pop_time) {
        OrderedAck::Stale => return Ok(()),
        OrderedAck::Unknown => {
            let remark = format!(
                "offset is illegal, key:{topic}@{group}@{queue_id}, old:{committed}, \
                 commit:{offset}, next:-1"
            );
            return Err(Reject::new(ResponseCode::MessageIllegal, remark));
        }
        OrderedAck::Commit(next) => {
            let now = now_ms();
            if !broker.offsets.has_reset(group, topic, queue_id) {
                broker.offsets.commit(group, topic, queue_id, next, now);
            }
            let blocked = broker.orders.blocked(None, topic, group, queue_id, 0, now);
            drop(lock);
            if !blocked {
                call_next(broker, group, topic, queue_id);
            }
        }
    }
    broker.traffic.acked(group, topic, 1);
    broker.pops.in_flight.done(topic, group, queue_id, 1, pop_time);
    Ok(())
}

/// Calls those who wait for the queue, or for any.
fn call_next(broker: &Broker, group: &str, topic: &str, queue_id: i32) {
    for queue_id in [ANY_QUEUE, queue_id] {
        for purpose in [Purpose::Pop, Purpose::Notice] {
            broker.arrivals.call_next(&Line { purpose, group, topic, queue_id });
        }
    }
}
