//! What a send is refused for before its properties are read, in Java's order.

use remoting::protocol::code::ResponseCode;
use runtime::clock::now_ms;

use super::Header;
use crate::broker::Broker;
use crate::call::Call;
use crate::reject::Reject;
use crate::topics::{
    self, Facts, NoSuchTopic, Template, dead_letter_topic, group_of_retry_topic, never_sent_to,
    perm, validate_topic,
};

/// First client version that sends its own retry limit.
const SENDS_RETRY_LIMIT: i32 = 121;

/// Flag bits of a topic that a unit-mode sender creates.
const UNIT: i32 = 1;
const UNIT_SUBSCRIPTION: i32 = 2;

/// The queue asked for, or one of the topic's when the sender leaves it to the broker.
pub(super) fn queue_of(broker: &Broker, header: &Header<'_>, facts: &Facts) -> Result<i32, Reject> {
    match header.queue_id {
        id if id >= 0 => Ok(id),
        _ if facts.write_queues <= 0 => Err(Reject::thrown("the topic has no queue")),
        _ => Ok(broker.next_queue(facts.write_queues)),
    }
}

/// Java's checks of a send, in its order: 1, 16, 29, 16, 17, 29.
pub(super) fn check(broker: &Broker, header: &Header<'_>) -> Result<Facts, Reject> {
    let config = broker.live();
    let from = config.start_accept_send_request_time_stamp;
    if from > 0 && from > now_ms() {
        let remark = format!("broker unable to service, until {from}");
        return Err(Reject::new(ResponseCode::SystemError, remark));
    }
    let topic = header.topic;
    let known = broker.topics.look(topic);
    if !perm::writable(config.broker_permission) && known.is_some_and(|facts| facts.order) {
        let remark = "sending to this broker is forbidden";
        return Err(Reject::new(ResponseCode::NoPermission, remark));
    }
    validate_topic(topic)
        .map_err(|error| Reject::new(ResponseCode::InvalidParameter, error.to_string()))?;
    if known.map_or_else(|| never_sent_to(topic), |facts| !facts.sendable) {
        let remark = format!("sending to topic[{topic}] is forbidden");
        return Err(Reject::new(ResponseCode::NoPermission, remark));
    }
    let facts = match known {
        Some(facts) => facts,
        None => create(broker, header)?,
    };
    let queues = facts.write_queues.max(facts.read_queues);
    if header.queue_id >= queues {
        let id = header.queue_id;
        let remark = format!("queueId[{id}] of topic[{topic}] is not below {queues}");
        return Err(Reject::new(ResponseCode::InvalidParameter, remark));
    }
    Ok(facts)
}

fn create(broker: &Broker, header: &Header<'_>) -> Result<Facts, Reject> {
    let topic = header.topic;
    let sys_flag = match (header.unit_mode, topics::is_retry_topic(topic)) {
        (false, _) => 0,
        (true, true) => UNIT_SUBSCRIPTION,
        (true, false) => UNIT,
    };
    let template =
        Template { name: header.default_topic, queues: header.default_topic_queue_nums, sys_flag };
    broker.topics.find_or_create(topic, template).map_err(|NoSuchTopic| {
        let remark = format!("topic[{topic}] not exist, apply first please!");
        Reject::new(ResponseCode::TopicNotExist, remark)
    })
}

/// The dead-letter topic, for a retry that has been tried too often or must keep an order.
pub(super) fn dead_letter(
    broker: &Broker,
    call: &Call<'_>,
    header: &Header<'_>,
) -> Result<Option<String>, Reject> {
    let Some(group) = group_of_retry_topic(header.topic) else { return Ok(None) };
    let Some(config) = broker.group(group) else {
        let remark = format!("subscription group not exist, {group}");
        return Err(Reject::new(ResponseCode::SubscriptionGroupNotExist, remark));
    };
    let sent = header.max_reconsume_times.filter(|_| call.frame.version() >= SENDS_RETRY_LIMIT);
    let limit = sent.unwrap_or(config.retry_max_times);
    let tried = header.reconsume_times.unwrap_or(0);
    // A group that holds queue locks consumes in order: a retry later would break it.
    if tried <= limit && !broker.locks.any_held(group, now_ms()) {
        return Ok(None);
    }
    let topic = dead_letter_topic(group);
    broker.topics.find_or_create_plain(&topic, 1, perm::READ_WRITE, 0, false);
    Ok(Some(topic))
}
