//! Writes check points and acknowledgements to the revive topic.
//!
//! They are messages for a time: a check point reaches the revive topic a second before its
//! messages come back, an acknowledgement when they would. Whoever is late goes there at once.

use std::cell::RefCell;

use remoting::protocol::message::PropertiesBuf;
use remoting::protocol::message::properties::property;
use runtime::clock::now_ms;
use store::{NewMessage, Put, PutError};

use crate::broker::Broker;
use crate::metrics::Revival;
use crate::pop::check_point::{ACK_TAG, BATCH_ACK_TAG, CHECK_POINT_TAG};
use crate::pop::{Ack, BatchAck, CheckPoint};
use crate::put::{CountedFor, Due, DueError, PutStatus};

/// How long before the messages come back their check point is read, in ms.
pub(crate) const ACK_TIME_MS: i64 = 1000;

/// Why a check point or an acknowledgement is not in the log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalError {
    /// The store refuses it.
    #[error(transparent)]
    Put(#[from] PutError),
    /// The timer does not take it: too far away, or switched off.
    #[error(transparent)]
    Due(#[from] DueError),
    /// The revive topic has no such queue: the handle is not from here.
    #[error("no revive queue {0}")]
    NoQueue(i32),
}

/// What a record is made of, reused by the thread.
#[derive(Default)]
struct Parts {
    key: String,
    body: Vec<u8>,
    properties: PropertiesBuf,
}

thread_local! {
    static PARTS: RefCell<Parts> = RefCell::default();
}

/// Writes a check point to a queue of the revive topic.
///
/// # Errors
/// Says why it is not in the log; its messages must not be delivered then.
pub(crate) fn put_check_point(
    broker: &Broker,
    check_point: &CheckPoint<'_>,
    revive_queue: i32,
) -> Result<Put, JournalError> {
    let due = check_point.revive_time().saturating_sub(ACK_TIME_MS);
    put_check_point_at(broker, check_point, due, revive_queue)
}

/// Writes a check point that was read too early, to be read again when it should have been, or as
/// late as the timer can.
///
/// # Errors
/// Says why it is not in the log.
pub(crate) fn put_check_point_early(
    broker: &Broker,
    check_point: &CheckPoint<'_>,
    revive_queue: i32,
) -> Result<Put, JournalError> {
    let horizon = i64::from(broker.store.config().timer_max_delay_sec) * 1000;
    let due = check_point.revive_time().saturating_sub(ACK_TIME_MS);
    put_check_point_at(broker, check_point, due.min(now_ms().saturating_add(horizon)), revive_queue)
}

fn put_check_point_at(
    broker: &Broker,
    check_point: &CheckPoint<'_>,
    due: i64,
    revive_queue: i32,
) -> Result<Put, JournalError> {
    let put = PARTS.with_borrow_mut(|parts| {
        check_point.encode(&mut parts.body);
        check_point.write_unique_key(&mut parts.key);
        put(broker, parts, CHECK_POINT_TAG, due, revive_queue)
    });
    count(broker, (&check_point.group, &check_point.topic), Revival::CheckPoint, &put);
    put
}

/// Writes an acknowledgement; `invisible_time` is that of its check point.
///
/// # Errors
/// Says why it is not in the log.
pub(crate) fn put_ack(
    broker: &Broker,
    ack: &Ack<'_>,
    invisible_time: i64,
    revive_queue: i32,
) -> Result<Put, JournalError> {
    let due = ack.pop_time.saturating_add(invisible_time);
    let put = PARTS.with_borrow_mut(|parts| {
        ack.encode(&mut parts.body);
        ack.write_unique_key(&mut parts.key);
        put(broker, parts, ACK_TAG, due, revive_queue)
    });
    count(broker, (&ack.group, &ack.topic), Revival::Ack, &put);
    put
}

/// Writes an acknowledgement of several messages of one check point.
///
/// # Errors
/// Says why it is not in the log.
pub(crate) fn put_batch_ack(
    broker: &Broker,
    batch: &BatchAck<'_>,
    invisible_time: i64,
    revive_queue: i32,
) -> Result<Put, JournalError> {
    let due = batch.ack.pop_time.saturating_add(invisible_time);
    let put = PARTS.with_borrow_mut(|parts| {
        batch.encode(&mut parts.body);
        batch.ack.write_unique_key(&mut parts.key);
        put(broker, parts, BATCH_ACK_TAG, due, revive_queue)
    });
    count(broker, (&batch.ack.group, &batch.ack.topic), Revival::Ack, &put);
    put
}

/// Counts a record for metrics.
fn count(
    broker: &Broker,
    (group, topic): (&str, &str),
    kind: Revival,
    put: &Result<Put, JournalError>,
) {
    if broker.measures.on {
        let status = match put {
            Ok(_) => PutStatus::Ok,
            Err(JournalError::Put(error)) => PutStatus::of(error),
            Err(JournalError::Due(_) | JournalError::NoQueue(_)) => PutStatus::MessageIllegal,
        };
        broker.traffic.revived(group, topic, |revived| revived.put(kind, status));
    }
}

fn put(
    broker: &Broker,
    parts: &mut Parts,
    tag: &str,
    deliver_ms: i64,
    revive_queue: i32,
) -> Result<Put, JournalError> {
    if !broker.revive.has_queue(revive_queue) {
        return Err(JournalError::NoQueue(revive_queue));
    }
    let mut digits = itoa::Buffer::new();
    let properties = &mut parts.properties;
    properties.clear();
    properties.push(property::TIMER_DELIVER_MS, digits.format(deliver_ms));
    properties.push(property::UNIQ_KEY, &parts.key);
    properties.push(property::TAGS, tag);
    let now = now_ms();
    let due = Due::of(broker, properties.as_str(), now)?;
    let host = broker.store_host();
    let message = NewMessage {
        topic: &broker.revive_topic,
        queue_id: revive_queue,
        flag: 0,
        sys_flag: 0,
        born_timestamp: now,
        born_host: host,
        store_host: host,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: &parts.body,
        properties: properties.as_str(),
    };
    Ok(broker.put_due_counted(&message, due, CountedFor::Nothing)?)
}
