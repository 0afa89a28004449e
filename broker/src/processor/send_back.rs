//! Messages a consumer failed on: request 36.
//!
//! A failed message is stored again, for its group alone: in the group's retry topic after a
//! delay that grows with each failure, and after too many failures in its dead-letter topic.
//!
//! Delays are levels. Java quirk: the retry policy of the group is kept for clients of the proxy
//! and not asked here
//! (`settings_of_other_servers_and_clients_are_kept_and_do_nothing_here`).

use std::sync::Arc;

use remoting::net::Outcome;
use remoting::protocol::code::ResponseCode;
use remoting::protocol::command::Responder;
use remoting::protocol::header::ConsumerSendMsgBackRequestHeader;
use remoting::protocol::message::id::OffsetMessageId;
use remoting::protocol::message::properties::{PropertiesBuf, property};
use remoting::protocol::message::record::Record;
use store::{NewMessage, PutError};

use super::heartbeat::UNIT_SUB;
use crate::broker::Broker;
use crate::call::Call;
use crate::put::{CountedFor, Due, PutStatus};
use crate::reject::Reject;
use crate::topics::{dead_letter_topic, perm, retry_topic};

/// First client version that may set its own limit of retries (Java's V3_4_9).
const OWN_LIMIT_VERSION: i32 = 121;

/// Level of the first retry.
const FIRST_RETRY_LEVEL: i32 = 3;

const HELP: &str = "See https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details.";

/// Where a failed message goes.
struct Destination {
    topic: String,
    queue_id: i32,
    /// 0 for a dead letter.
    delay_level: i32,
}

/// Stores a failed message for another try, or as a dead letter.
pub(crate) fn send_back(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let _place = broker.admit()?;
    let header: ConsumerSendMsgBackRequestHeader = call.header()?;
    let group = &header.group;
    let config = broker.group(group).ok_or_else(|| unknown_group(group))?;
    if !perm::writable(broker.live().broker_permission) {
        let address = broker.store_host().ip();
        let remark = format!("the broker[{address}] sending message is forbidden");
        return Err(Reject::new(ResponseCode::NoPermission, remark));
    }
    if config.retry_queue_nums <= 0 {
        // The group wants no retries: success without effect.
        out.ok_empty();
        return Ok(Outcome::Done);
    }
    let queues = config.retry_queue_nums;
    let sys_flag = if header.unit_mode { UNIT_SUB } else { 0 };
    let topic = retry_topic(group);
    let retry =
        broker.topics.find_or_create_plain(&topic, queues, perm::READ_WRITE, sys_flag, false);
    if !perm::writable(retry.perm) {
        let remark = format!("the topic[{topic}] sending message is forbidden");
        return Err(Reject::new(ResponseCode::NoPermission, remark));
    }
    let gone = || {
        let remark = format!("look message by offset failed, {}", header.offset);
        Reject::new(ResponseCode::SystemError, remark)
    };
    let slice = broker.store.read(header.offset).ok_or_else(gone)?;
    let record = Record::decode(slice.as_ref()).map_err(|_| gone())?;
    let own_limit =
        header.max_reconsume_times.filter(|_| call.frame.version() >= OWN_LIMIT_VERSION);
    let limit = own_limit.unwrap_or(config.retry_max_times);
    let destination = if record.reconsume_times >= limit || header.delay_level < 0 {
        dead_letter(broker, group)
    } else {
        let grown = FIRST_RETRY_LEVEL.saturating_add(record.reconsume_times);
        let delay_level = if header.delay_level == 0 { grown } else { header.delay_level };
        Destination { topic, queue_id: broker.next_queue(queues), delay_level }
    };
    if destination.delay_level == 0 && broker.measures.on {
        // As Java, before it is stored.
        let origin = header.origin_topic.as_deref().unwrap_or(record.topic);
        broker.traffic.dead(group, origin);
    }
    store_again(broker, &record, &destination).map_err(|error| refused(&error))?;
    let origin = record.properties().get(property::RETRY_TOPIC).unwrap_or(record.topic);
    broker.traffic.sent_back(group, origin);
    out.ok_empty();
    Ok(Outcome::Done)
}

fn dead_letter(broker: &Broker, group: &str) -> Destination {
    let topic = dead_letter_topic(group);
    broker.topics.find_or_create_plain(&topic, 1, perm::READ_WRITE, 0, false);
    Destination { topic, queue_id: 0, delay_level: 0 }
}

fn store_again(
    broker: &Broker,
    record: &Record<'_>,
    destination: &Destination,
) -> Result<store::Put, PutError> {
    let mut properties = PropertiesBuf::from_raw(record.properties);
    let known = record.properties();
    if !known.contains(property::RETRY_TOPIC) {
        properties.push(property::RETRY_TOPIC, record.topic);
    }
    if known.get(property::ORIGIN_MESSAGE_ID).is_none_or(|id| id.trim().is_empty()) {
        let id = OffsetMessageId {
            store_host: record.store_host,
            physical_offset: record.physical_offset,
        };
        properties.set(property::ORIGIN_MESSAGE_ID, &id.to_string());
    }
    properties.set(property::WAIT, "false");
    if destination.delay_level == 0 {
        properties.set(property::DELAY, "0");
    }
    let message = NewMessage {
        store_host: broker.store_host(),
        reconsume_times: record.reconsume_times.saturating_add(1),
        ..NewMessage::copy_of(record, &destination.topic, destination.queue_id, properties.as_str())
    };
    // Java quirk: what waits for its retry counts for its topic alone, a dead letter for none.
    if destination.delay_level > 0 {
        broker.put_due_counted(&message, Due::Level(destination.delay_level), CountedFor::Topic)
    } else {
        broker.put_counted(&message, CountedFor::Nothing)
    }
}

/// Java answers the name of its put status.
fn refused(error: &PutError) -> Reject {
    Reject::new(ResponseCode::SystemError, PutStatus::of(error).name())
}

fn unknown_group(group: &str) -> Reject {
    let remark = format!("subscription group not exist, {group} {HELP}");
    Reject::new(ResponseCode::SubscriptionGroupNotExist, remark)
}
