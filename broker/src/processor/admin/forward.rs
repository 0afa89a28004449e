//! Questions that only a connected consumer can answer: requests 307, 309 and 223.
//!
//! The broker hands the request on over the connection the client opened, and the client's answer
//! back, with its own code, remark, fields and body.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use remoting::net::{CallError, Outcome};
use remoting::protocol::body::{Body, GetConsumerStatusBody};
use remoting::protocol::code::{RequestCode, ResponseCode};
use remoting::protocol::command::{Frame, Responder, ResponseTag};
use remoting::protocol::ext_fields::FieldSink;
use remoting::protocol::header::{
    ConsumeMessageDirectlyResultRequestHeader, EncodeHeader, GetConsumerRunningInfoRequestHeader,
    GetConsumerStatusRequestHeader,
};
use remoting::protocol::message::id::OffsetMessageId;

use super::{knows_offset_requests, refuse};
use crate::broker::Broker;
use crate::call::Call;
use crate::clients::Client;
use crate::reject::Reject;

/// How long a client may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long it may take to tell where it is.
const STATUS_PATIENCE: Duration = Duration::from_secs(5);

/// First client version that answers questions (Java's V3_1_8_SNAPSHOT).
const ANSWERS_QUESTIONS: i32 = 62;

/// Fields handed on as they came.
struct Fields(Vec<(String, String)>);

impl Fields {
    fn of(frame: &Frame) -> Fields {
        Fields(frame.fields().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    fn set(&mut self, name: &str, value: String) {
        self.0.retain(|(known, _)| known != name);
        self.0.push((name.to_owned(), value));
    }
}

impl EncodeHeader for Fields {
    fn encode<S: FieldSink>(&self, sink: &mut S) {
        for (name, value) in &self.0 {
            sink.put(name, value);
        }
    }
}

/// Asks a consumer what it is doing.
pub(crate) fn running_info(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let header: GetConsumerRunningInfoRequestHeader = call.header()?;
    let group = header.consumer_group;
    let client = online(broker, &group, &header.client_id)?;
    let body = call.body().to_vec();
    let code = RequestCode::GetConsumerRunningInfo;
    Ok(hand_on(client, group, code, Fields::of(call.frame), body, out.tag()))
}

/// Has a consumer consume one stored message now.
pub(crate) fn consume_directly(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let header: ConsumeMessageDirectlyResultRequestHeader = call.header()?;
    let message_id = header.msg_id.as_deref().and_then(OffsetMessageId::parse);
    let place = message_id.ok_or_else(|| Reject::thrown("msgId is no offset message id"))?;
    let record = broker.store.read(place.physical_offset);
    let record = record.ok_or_else(|| Reject::thrown("no message is stored at that msgId"))?;
    let body = record.as_ref().to_vec();
    let group = header.consumer_group;
    let mut fields = Fields::of(call.frame);
    fields.set("brokerName", broker.config.broker_name.clone());
    if let Some(facts) = header.topic.as_deref().and_then(|topic| broker.topics.look(topic)) {
        fields.set("topicSysFlag", facts.sys_flag.to_string());
    }
    if let Some(config) = broker.groups.find(&group) {
        fields.set("groupSysFlag", config.group_sys_flag.to_string());
    }
    let client = online(broker, &group, header.client_id.as_deref().unwrap_or_default())?;
    Ok(hand_on(client, group, RequestCode::ConsumeMessageDirectly, fields, body, out.tag()))
}

fn online(broker: &Broker, group: &str, client_id: &str) -> Result<Client, Reject> {
    let client = broker.consumers.client(group, client_id).ok_or_else(|| {
        let remark = format!("The Consumer <{group}> <{client_id}> not online");
        Reject::new(ResponseCode::SystemError, remark)
    })?;
    if client.version < ANSWERS_QUESTIONS {
        let remark = format!(
            "The Consumer <{client_id}> Version <{}> too low to finish, please upgrade it to \
             V3_1_8_SNAPSHOT",
            client.version
        );
        return Err(Reject::new(ResponseCode::SystemError, remark));
    }
    Ok(client)
}

fn hand_on(
    client: Client,
    group: String,
    code: RequestCode,
    fields: Fields,
    body: Vec<u8>,
    tag: ResponseTag,
) -> Outcome {
    Outcome::Later(Box::pin(async move {
        match client.peer.request(code, &fields, &body, PATIENCE).await {
            Ok(answer) => hand_back(&answer, tag),
            Err(error) => refuse(tag, &silent(&group, &client.client_id, &error)),
        }
    }))
}

fn hand_back(answer: &Frame, tag: ResponseTag) -> BytesMut {
    let mut bytes = BytesMut::new();
    let mut out = Responder::new(tag, &mut bytes);
    out.respond(answer.code(), answer.remark(), &Fields::of(answer), &[], answer.body());
    bytes
}

fn silent(group: &str, client_id: &str, error: &CallError) -> Reject {
    match error {
        CallError::Timeout(_) => {
            let remark = format!("consumer <{group}> <{client_id}> Timeout: {error}");
            Reject::new(ResponseCode::ConsumeMsgTimeout, remark)
        }
        _ => {
            let remark = format!("invoke consumer <{group}> <{client_id}> Exception: {error}");
            Reject::new(ResponseCode::SystemError, remark)
        }
    }
}

/// Asks the members of a group, or one of them, where they are in a topic.
pub(crate) fn consumer_status(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let GetConsumerStatusRequestHeader { topic, group, client_addr } = call.header()?;
    let wanted = client_addr.unwrap_or_default();
    let members: Option<Vec<Client>> =
        broker.consumers.with_group(&group, |live| live.members().cloned().collect());
    let mut members = members.ok_or_else(|| {
        let remark = format!("No Any Consumer online in the consumer group: [{group}]");
        Reject::new(ResponseCode::SystemError, remark)
    })?;
    members.retain(|client| wanted.trim().is_empty() || client.client_id == wanted);
    members.iter().try_for_each(knows_offset_requests)?;
    let request = GetConsumerStatusRequestHeader { topic, group, client_addr: None };
    let tag = out.tag();
    Ok(Outcome::Later(Box::pin(async move {
        let mut consumer_table = BTreeMap::new();
        for client in members {
            let code = RequestCode::GetConsumerStatusFromClient;
            match client.peer.request(code, &request, &[], STATUS_PATIENCE).await {
                Ok(answer) if answer.code() != i32::from(ResponseCode::Success) => {
                    tracing::warn!(code = answer.code(), client.client_id, "status refused");
                }
                Ok(answer) => match GetConsumerStatusBody::decode(answer.body()) {
                    Ok(body) => {
                        consumer_table.insert(client.client_id, body.message_queue_table);
                    }
                    Err(error) => tracing::warn!(%error, client.client_id, "status unreadable"),
                },
                Err(error) => tracing::warn!(%error, client.client_id, "status not told"),
            }
        }
        let body = GetConsumerStatusBody { consumer_table, ..GetConsumerStatusBody::default() };
        let mut bytes = BytesMut::new();
        Responder::new(tag, &mut bytes).ok_body(&body.encode());
        bytes
    })))
}
