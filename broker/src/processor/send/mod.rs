//! Sending: requests 10, 310 and 320.
//!
//! A send under asynchronous flush runs to its end on the connection's thread: no spawn, no
//! channel and no allocation. Under synchronous flush only the wait for the disk is left behind.
//! The checks come in Java's order, because clients see which of several errors they get.
//!
//! Not here: transactional messages are refused, batch queues too.

mod reply;
mod stamp;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use remoting::net::Outcome;
use remoting::protocol::code::ResponseCode;
use remoting::protocol::command::{Responder, ResponseTag};
use remoting::protocol::header::{SendMessageRequestHeader, SendMessageResponseHeader, Short};
use remoting::protocol::message::batch::BatchMessages;
use remoting::protocol::message::id::OffsetMessageId;
use remoting::protocol::message::properties::property;
use remoting::protocol::message::{PropertiesBuf, sys_flag};
use runtime::clock::now_ms;
use store::{NewBatch, NewMessage, Put, QueueKind, WaitError};

pub(crate) use self::reply::{send_reply, send_reply_v2};

use self::stamp::{Stamped, stamp};
use crate::broker::Broker;
use crate::call::Call;
use crate::put::Due;
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

/// Buffers of one send, reused by the next on this thread.
#[derive(Default)]
struct Scratch {
    properties: PropertiesBuf,
    message_id: String,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::default());
}

type Header<'a> = SendMessageRequestHeader<'a>;

/// Serves 10, whose header has long names.
pub(crate) fn send_message(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    send(broker, call, &call.header::<Header<'_>>()?, out)
}

/// Serves 310 and 320, whose header has one-letter names.
pub(crate) fn send_message_v2(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    send(broker, call, &call.header::<Short<Header<'_>>>()?.0, out)
}

fn send(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    header: &Header<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    // Java quirk: an absent body is looked at before anything else and ends in an exception.
    if call.body().is_empty() {
        return Err(Reject::thrown("the message has no body"));
    }
    SCRATCH
        .with_borrow_mut(|scratch| store(broker, call, header, scratch, out))
        .map_err(|reject| with_region(broker, reject))
}

/// Every refusal says the region, too.
fn with_region(broker: &Broker, reject: Reject) -> Reject {
    reject
        .with(property::MSG_REGION, broker.config.region_id.clone())
        .with(property::TRACE_ON, traced(broker))
}

/// Whether clients should trace, as text.
fn traced(broker: &Broker) -> &'static str {
    if broker.config.trace_on { "true" } else { "false" }
}

/// Checks, stores and answers; or leaves behind the wait for the disk.
fn store(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    header: &Header<'_>,
    scratch: &mut Scratch,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let facts = check(broker, header)?;
    let queue_id = queue_of(broker, header, &facts)?;
    let redirect = dead_letter(broker, call, header)?;
    let raw = header.properties.unwrap_or("");
    let dead = redirect.is_some();
    let stamped = stamp(broker, raw, !header.batch, dead, &mut scratch.properties)?;
    refuse_unsupported(header, &facts, &stamped)?;
    let due = due(broker, header, &stamped)?;

    let message = NewMessage {
        topic: redirect.as_deref().unwrap_or(header.topic),
        queue_id: if redirect.is_some() { 0 } else { queue_id },
        flag: header.flag,
        sys_flag: header.sys_flag,
        born_timestamp: header.born_timestamp,
        born_host: born_host(call),
        store_host: broker.store_host(),
        reconsume_times: header.reconsume_times.unwrap_or(0),
        prepared_transaction_offset: 0,
        body: call.body(),
        properties: scratch.properties.as_str(),
    };
    let put = if header.batch {
        check_batch(broker, message.body)?;
        broker.put_batch_due(&NewBatch { message }, due)
    } else {
        broker.put_due(&message, due)
    }?;
    write_ids(broker, &put, &mut scratch.message_id);
    let unique = &scratch.properties.as_str()[stamped.unique_key];
    let sent = SendMessageResponseHeader {
        msg_id: &scratch.message_id,
        queue_id,
        queue_offset: put.queue_offset,
        transaction_id: (!unique.is_empty()).then_some(unique),
        batch_uniq_id: None,
        recall_handle: None,
    };
    if !stamped.waits || broker.store.durable(put.end) {
        answer(broker, ResponseCode::Success, None, &sent, out);
        return Ok(Outcome::Done);
    }
    Ok(wait_durable(broker, put.end, &sent, out.tag()))
}

/// The queue asked for, or one of the topic's when the sender leaves it to the broker.
fn queue_of(broker: &Broker, header: &Header<'_>, facts: &Facts) -> Result<i32, Reject> {
    match header.queue_id {
        id if id >= 0 => Ok(id),
        _ if facts.write_queues <= 0 => Err(Reject::thrown("the topic has no queue")),
        _ => Ok(broker.next_queue(facts.write_queues)),
    }
}

/// Java's checks of a send, in its order: 1, 16, 29, 16, 17, 29.
fn check(broker: &Broker, header: &Header<'_>) -> Result<Facts, Reject> {
    let config = &broker.config;
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
fn dead_letter(
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

fn refuse_unsupported(
    header: &Header<'_>,
    facts: &Facts,
    stamped: &Stamped<'_>,
) -> Result<(), Reject> {
    let illegal = |remark: &'static str| Err(Reject::new(ResponseCode::MessageIllegal, remark));
    if facts.compacted && !stamped.has_keys {
        return illegal("a message of a compaction topic needs KEYS");
    }
    if header.batch {
        if topics::is_retry_topic(header.topic) {
            return illegal("a batch cannot be sent to a retry topic");
        }
        if stamped.timing.level() > 0 {
            return illegal("a batch cannot be delayed");
        }
    }
    let delayed_retry = header.reconsume_times.unwrap_or(0) > 0 && stamped.timing.level() > 0;
    if stamped.transactional && !delayed_retry {
        let remark = "this broker does not accept transactional messages";
        return Err(Reject::new(ResponseCode::NoPermission, remark));
    }
    if facts.kind == QueueKind::Batch {
        let remark = "batch queues are not supported by this broker";
        return Err(Reject::new(ResponseCode::SystemError, remark));
    }
    Ok(())
}

/// When the message is to be visible; what waits for its transaction waits for nothing else.
fn due(broker: &Broker, header: &Header<'_>, stamped: &Stamped<'_>) -> Result<Due, Reject> {
    match sys_flag::transaction(header.sys_flag) {
        sys_flag::TRANSACTION_PREPARED | sys_flag::TRANSACTION_ROLLBACK => Ok(Due::Now),
        _ => Ok(stamped.timing.due(broker, now_ms())?),
    }
}

/// What Java finds out by an exception: a batch that is too large or no batch.
fn check_batch(broker: &Broker, body: &[u8]) -> Result<(), Reject> {
    let len_max = usize::try_from(broker.store.config().max_message_size).unwrap_or(0);
    if body.len() > len_max {
        let len = body.len();
        return Err(Reject::thrown(format!("a batch of {len} bytes, the limit is {len_max}")));
    }
    match BatchMessages::new(body).find_map(Result::err) {
        Some(error) => Err(Reject::thrown(error.to_string())),
        None => Ok(()),
    }
}

/// The peer of the connection, also behind a proxy that announces another source.
fn born_host(call: &Call<'_>) -> SocketAddr {
    call.peer.remote()
}

/// Writes the offset ids of the stored records, joined by commas.
fn write_ids(broker: &Broker, put: &Put, out: &mut String) {
    out.clear();
    let store_host = broker.store_host();
    if put.ids.is_empty() {
        return OffsetMessageId { store_host, physical_offset: put.physical_offset }.append_to(out);
    }
    for (at, &physical_offset) in put.ids.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        OffsetMessageId { store_host, physical_offset }.append_to(out);
    }
}

fn answer(
    broker: &Broker,
    code: ResponseCode,
    remark: Option<&str>,
    sent: &SendMessageResponseHeader<'_>,
    out: &mut Responder<'_>,
) {
    let region = broker.config.region_id.as_str();
    let extra = [(property::MSG_REGION, region), (property::TRACE_ON, traced(broker))];
    out.respond(code, remark, sent, &extra, &[]);
}

/// Answers once the record is on disk, or says that it is not known to be.
fn wait_durable(
    broker: &Arc<Broker>,
    end: i64,
    sent: &SendMessageResponseHeader<'_>,
    tag: ResponseTag,
) -> Outcome {
    let broker = Arc::clone(broker);
    let message_id = sent.msg_id.to_owned();
    let transaction_id = sent.transaction_id.map(str::to_owned);
    let (queue_id, queue_offset) = (sent.queue_id, sent.queue_offset);
    Outcome::Later(Box::pin(async move {
        let waited = broker.store.wait_durable(end, flush_patience(&broker)).await;
        let (code, remark) = match waited {
            Ok(()) => (ResponseCode::Success, None),
            Err(WaitError::TimedOut) => {
                (ResponseCode::FlushDiskTimeout, Some("not flushed in time"))
            }
            Err(WaitError::Poisoned) => {
                (ResponseCode::ServiceNotAvailable, Some("the store could not flush"))
            }
        };
        let sent = SendMessageResponseHeader {
            msg_id: &message_id,
            queue_id,
            queue_offset,
            transaction_id: transaction_id.as_deref(),
            batch_uniq_id: None,
            recall_handle: None,
        };
        let mut bytes = BytesMut::new();
        answer(&broker, code, remark, &sent, &mut Responder::new(tag, &mut bytes));
        bytes
    }))
}

/// How long a sender waits for the disk.
fn flush_patience(broker: &Broker) -> Duration {
    Duration::from_millis(broker.store.config().sync_flush_timeout.max(0).unsigned_abs().into())
}
