//! Taking timer messages back, request 370, and what replicas ask of the timer, 60 and 61.
//!
//! A recall is a timer message of its own in the slot of the one it takes back. Success means
//! that it is stored; the other message may be delivered already.

use std::sync::Arc;

use bytes::BytesMut;
use remoting::net::Outcome;
use remoting::protocol::body::Body;
use remoting::protocol::code::ResponseCode;
use remoting::protocol::command::Responder;
use remoting::protocol::header::{RecallMessageRequestHeader, RecallMessageResponseHeader};
use remoting::protocol::message::PropertiesBuf;
use remoting::protocol::message::properties::property;
use remoting::protocol::message::recall::RecallHandle;
use runtime::clock::now_ms;
use store::NewMessage;
use store::timer::Timer;

use super::send::{born_host, flush_patience};
use crate::broker::Broker;
use crate::call::Call;
use crate::put::Due;
use crate::reject::Reject;
use crate::topics::perm;

/// Tag of the message that takes another one back.
const TAG: &str = "_RECALL_TAG_";
const BODY: &[u8] = b"0";

/// Serves 370.
pub(crate) fn recall(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let region = || broker.config.region_id.clone();
    let header: RecallMessageRequestHeader = call.header()?;
    let handle =
        check(broker, &header).map_err(|reject| reject.with(property::MSG_REGION, region()))?;
    let mut properties = PropertiesBuf::new();
    let now = now_ms();
    write_properties(&header, &handle, now, &mut properties);
    let message = NewMessage {
        topic: &handle.topic,
        queue_id: 0,
        flag: 0,
        sys_flag: 0,
        born_timestamp: now,
        born_host: born_host(call),
        store_host: broker.store_host(),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: BODY,
        properties: properties.as_str(),
    };
    let put = match broker.store.timer() {
        Some(_) => broker.put_due(&message, Due::At(handle.timestamp)).ok(),
        None => None,
    };
    let Some(put) = put else {
        let reject = Reject::new(ResponseCode::SystemError, "recall failed, execute error");
        return Err(reject.with(property::MSG_REGION, region()));
    };
    let taken_back = RecallMessageResponseHeader { msg_id: handle.unique_key };
    if broker.store.durable(put.end) {
        answer(broker, &taken_back, out);
        return Ok(Outcome::Done);
    }
    let (broker, tag) = (Arc::clone(broker), out.tag());
    Ok(Outcome::Later(Box::pin(async move {
        // Stored it is in any case: Java answers the same after a time-out.
        let _ = broker.store.wait_durable(put.end, flush_patience(&broker)).await;
        let mut bytes = BytesMut::new();
        answer(&broker, &taken_back, &mut Responder::new(tag, &mut bytes));
        bytes
    })))
}

fn answer(broker: &Broker, taken_back: &RecallMessageResponseHeader, out: &mut Responder<'_>) {
    // Java quirk: success with the remark of a missing code.
    let remark = Some("not set any response code");
    let region = [(property::MSG_REGION, broker.config.region_id.as_str())];
    out.respond(ResponseCode::Success, remark, taken_back, &region, &[]);
}

/// Java's checks, in its order.
fn check(broker: &Broker, header: &RecallMessageRequestHeader) -> Result<RecallHandle, Reject> {
    let config = broker.live();
    let refuse = |code, remark: &'static str| Err(Reject::new(code, remark));
    if !config.recall_message_enable {
        let remark = "recall failed, operation is forbidden";
        return refuse(ResponseCode::NoPermission, remark);
    }
    let now = now_ms();
    let embargo = now < config.start_accept_send_request_time_stamp;
    let closed =
        !perm::writable(config.broker_permission) && !config.allow_recall_when_broker_not_writeable;
    if embargo || closed {
        let remark = "recall failed, broker service not available";
        return refuse(ResponseCode::ServiceNotAvailable, remark);
    }
    let topic = &header.topic;
    if broker.topics.look(topic).is_none() {
        let remark = format!("recall failed, the topic[{topic}] not exist");
        return Err(Reject::new(ResponseCode::TopicNotExist, remark));
    }
    let handle = RecallHandle::decode(&header.recall_handle)
        .map_err(|error| Reject::new(ResponseCode::IllegalOperation, error.to_string()))?;
    if handle.topic != *topic {
        return refuse(ResponseCode::IllegalOperation, "recall failed, topic not match");
    }
    if handle.broker_name != broker.config.broker_name {
        let remark = "recall failed, broker service not available";
        return refuse(ResponseCode::IllegalOperation, remark);
    }
    let max_ms = i64::from(broker.store.config().timer_max_delay_sec) * 1000;
    let left_ms = handle.timestamp.saturating_sub(now);
    if left_ms <= 0 || left_ms >= max_ms {
        return refuse(ResponseCode::IllegalOperation, "recall failed, timestamp invalid");
    }
    // It becomes a property: its separators would end it early.
    if handle.unique_key.contains(['\u{1}', '\u{2}']) {
        return refuse(ResponseCode::IllegalOperation, "recall handle is invalid");
    }
    Ok(handle)
}

fn write_properties(
    header: &RecallMessageRequestHeader,
    handle: &RecallHandle,
    now: i64,
    out: &mut PropertiesBuf,
) {
    let mut digits = itoa::Buffer::new();
    out.push(property::TAGS, TAG);
    out.push(property::TIMER_DEL_UNIQKEY, &format!("{}+{}", handle.topic, handle.unique_key));
    out.push(property::UNIQ_KEY, &handle.unique_key);
    out.push(property::TIMER_DELIVER_MS, digits.format(handle.timestamp));
    out.push(property::BORN_TIMESTAMP, digits.format(now));
    let group = header.producer_group.as_deref().unwrap_or("");
    if !group.is_empty() && !group.contains(['\u{1}', '\u{2}']) {
        out.push(property::PRODUCER_GROUP, group);
    }
}

/// Serves 60: how far the timer is, in the bytes of its file.
pub(crate) fn timer_check(
    broker: &Arc<Broker>,
    _call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    out.ok_body(&timer(broker)?.check());
    Ok(Outcome::Done)
}

/// Serves 61: how many messages wait for each topic.
pub(crate) fn timer_metrics(
    broker: &Arc<Broker>,
    _call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    out.ok_body(&timer(broker)?.metrics().encode());
    Ok(Outcome::Done)
}

fn timer(broker: &Broker) -> Result<&Timer, Reject> {
    let off = || Reject::new(ResponseCode::SystemError, "The timer message store is null");
    broker.store.timer().ok_or_else(off)
}
