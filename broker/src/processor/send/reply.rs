//! Replies: requests 324 and 325.
//!
//! A requester waits for its reply on the connection that its heartbeat came on. The broker hands
//! the reply over by 326, tells the replier what became of it, and keeps a copy in the topic of
//! replies. Whether the copy could be stored changes nothing but the ids of the answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use remoting::net::Outcome;
use remoting::protocol::code::{RequestCode, ResponseCode};
use remoting::protocol::command::{Responder, ResponseTag};
use remoting::protocol::header::{ReplyMessageRequestHeader, SendMessageResponseHeader, Short};
use remoting::protocol::message::properties::property;
use remoting::protocol::message::{Properties, PropertiesBuf};
use runtime::clock::now_ms;
use store::{NewMessage, Put};

use super::answer::{answer, flush_patience, traced, with_region, write_ids};
use super::check::{check, queue_of};
use super::{Header, born_host};
use crate::broker::Broker;
use crate::call::Call;
use crate::put::Due;
use crate::reject::Reject;

/// How long the requester may take to say that it has the reply.
const PATIENCE: Duration = Duration::from_secs(10);

/// A reply on its way.
struct Reply {
    /// What the requester is told; its queue is the one the replier asked for.
    header: ReplyMessageRequestHeader,
    body: Vec<u8>,
    /// The queue of the copy.
    queue_id: i32,
    born_host: SocketAddr,
    /// Properties of the copy.
    properties: String,
}

/// Serves 324, whose header has long names.
pub(crate) fn send_reply(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    reply(broker, call, &call.header::<Header<'_>>()?, out)
}

/// Serves 325, whose header has one-letter names.
pub(crate) fn send_reply_v2(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    reply(broker, call, &call.header::<Short<Header<'_>>>()?.0, out)
}

fn reply(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    header: &Header<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    if call.body().is_empty() {
        return Err(Reject::thrown("the reply has no body"));
    }
    let checked = check(broker, header).and_then(|facts| queue_of(broker, header, &facts));
    let queue_id = checked.map_err(|reject| with_region(broker, reject))?;
    let reply = Reply::of(broker, call, header, queue_id);
    Ok(Outcome::Later(Box::pin(deliver(Arc::clone(broker), reply, out.tag()))))
}

/// Hands the reply over, stores the copy, and answers.
async fn deliver(broker: Arc<Broker>, mut reply: Reply, tag: ResponseTag) -> BytesMut {
    let pushed = reply.push(&broker).await;
    let put =
        if broker.live().store_reply_message_enable { reply.store(&broker).await } else { None };
    let mut message_id = "0".to_owned();
    if let Some(put) = &put {
        write_ids(&broker, put, &mut message_id);
    }
    let sent = SendMessageResponseHeader {
        msg_id: &message_id,
        queue_id: reply.queue_id,
        queue_offset: put.as_ref().map_or(0, |put| put.queue_offset),
        ..SendMessageResponseHeader::default()
    };
    let mut bytes = BytesMut::new();
    let mut out = Responder::new(tag, &mut bytes);
    match pushed {
        Ok(()) => answer(&broker, ResponseCode::Success, None, &sent, &mut out),
        Err(remark) if put.is_some() => {
            answer(&broker, ResponseCode::SystemError, Some(&remark), &sent, &mut out);
        }
        Err(remark) => {
            with_region(&broker, Reject::new(ResponseCode::SystemError, remark)).write(&mut out);
        }
    }
    bytes
}

impl Reply {
    fn of(broker: &Broker, call: &Call<'_>, header: &Header<'_>, queue_id: i32) -> Reply {
        let born_host = born_host(call);
        let mut properties = PropertiesBuf::new();
        for (name, value) in Properties::new(header.properties.unwrap_or("")) {
            if name != property::MSG_REGION && name != property::TRACE_ON {
                properties.push(name, value);
            }
        }
        properties.push(property::MSG_REGION, &broker.config.region_id);
        properties.push(property::TRACE_ON, traced(broker));
        Reply {
            header: ReplyMessageRequestHeader {
                producer_group: header.producer_group.to_owned(),
                topic: header.topic.to_owned(),
                default_topic: header.default_topic.to_owned(),
                default_topic_queue_nums: header.default_topic_queue_nums,
                queue_id: header.queue_id,
                sys_flag: header.sys_flag,
                born_timestamp: header.born_timestamp,
                flag: header.flag,
                properties: None,
                reconsume_times: header.reconsume_times,
                unit_mode: header.unit_mode,
                born_host: host_and_port(born_host),
                store_host: host_and_port(broker.store_host()),
                store_timestamp: 0,
            },
            body: call.body().to_vec(),
            queue_id,
            born_host,
            properties: properties.into_string(),
        }
    }

    /// Hands the reply to who waits for it; an error is the remark of the answer.
    async fn push(&mut self, broker: &Broker) -> Result<(), String> {
        let name = property::REPLY_TO_CLIENT;
        let Some(client_id) = Properties::new(&self.properties).get(name).map(str::to_owned) else {
            return Err(format!("reply message properties[{name}] is null"));
        };
        let Some(requester) = broker.producers.connection_of(&client_id) else {
            let remark = format!("push reply message fail, channel of <{client_id}> not found.");
            return Err(remark);
        };
        let now = now_ms();
        let mut properties = PropertiesBuf::from_raw(&self.properties);
        properties.set(property::PUSH_REPLY_TIME, itoa::Buffer::new().format(now));
        self.header.properties = Some(properties.into_string());
        self.header.store_timestamp = now;
        let code = RequestCode::PushReplyMessageToClient;
        let answer = requester.request(code, &self.header, &self.body, PATIENCE).await;
        match answer {
            Ok(answer) if answer.code() == i32::from(ResponseCode::Success) => return Ok(()),
            Ok(answer) => tracing::warn!(client_id, remark = answer.remark(), "reply not taken"),
            Err(error) => tracing::warn!(client_id, %error, "reply not handed over"),
        }
        Err(format!("push reply message to {client_id}fail."))
    }

    /// Stores the copy, if the store takes it.
    async fn store(&self, broker: &Broker) -> Option<Put> {
        let message = NewMessage {
            topic: &self.header.topic,
            queue_id: self.queue_id,
            flag: self.header.flag,
            // Java quirk: the copy loses its flags, whatever the sender said of the body.
            // Pinned by `a_reply_reaches_its_requester_and_is_stored`.
            sys_flag: 0,
            born_timestamp: self.header.born_timestamp,
            born_host: self.born_host,
            store_host: broker.store_host(),
            reconsume_times: self.header.reconsume_times.unwrap_or(0),
            prepared_transaction_offset: 0,
            body: &self.body,
            properties: &self.properties,
        };
        let due = Due::of(broker, &self.properties, now_ms()).map_err(Reject::from);
        let put = due
            .and_then(|due| Ok(broker.put_due(&message, due)?))
            .inspect_err(|reject| tracing::warn!(?reject, "the copy of a reply is not stored"))
            .ok()?;
        if Properties::new(&self.properties).waits_for_store() {
            // Late or failed, it is known to be delivered or not; the disk changes nothing.
            let _ = broker.store.wait_durable(put.end, flush_patience(broker)).await;
        }
        Some(put)
    }
}

/// An address as Java's clients split it: at the last colon, without brackets.
fn host_and_port(address: SocketAddr) -> String {
    format!("{}:{}", address.ip(), address.port())
}
