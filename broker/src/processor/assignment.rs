//! Which queues a consumer gets, and whether it pulls or pops them: requests 400, 401 and 402.
//!
//! No assignments at all (the member is left out) tell a client to keep what it has; an empty list
//! takes everything away from it.

use std::sync::Arc;

use bytes::BytesMut;
use remoting::net::Outcome;
use remoting::protocol::body::{
    Body, MessageModel, MessageQueue, MessageQueueAssignment, MessageRequestMode,
    QueryAssignmentRequestBody, QueryAssignmentResponseBody, SetMessageRequestModeRequestBody,
};
use remoting::protocol::code::ResponseCode;
use remoting::protocol::command::Responder;
use store::light::{self, is_light};

use super::admin::{after_disk_work, not_written};
use crate::allocation::{self, Strategy};
use crate::broker::Broker;
use crate::call::Call;
use crate::reject::Reject;
use crate::routes::TopicQueues;
use crate::topics::is_retry_topic;

/// Answers the queues of a client; asks the name servers first where none are known.
pub(crate) fn query(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let asked = QueryAssignmentRequestBody::decode(call.body())?;
    if asked.topic.is_empty() {
        return Err(Reject::thrown("topic is missing"));
    }
    let model = asked.message_model.ok_or_else(|| Reject::thrown("messageModel is missing"))?;
    let light = model == MessageModel::Clustering && is_light(&asked.topic);
    let known = match light {
        true => Some(light_queue(broker, &asked.topic)),
        false => broker.routes.known(&asked.topic),
    };
    if let Some(queues) = known {
        out.ok_body(&answer(broker, &asked, model, Some(queues)).encode());
        return Ok(Outcome::Done);
    }
    let (broker, tag) = (Arc::clone(broker), out.tag());
    Ok(Outcome::Later(Box::pin(async move {
        let queues = broker.routes.ask(&broker.peers, &asked.topic).await;
        let mut bytes = BytesMut::new();
        let body = answer(&broker, &asked, model, queues).encode();
        Responder::new(tag, &mut bytes).ok_body(&body);
        bytes
    })))
}

/// The one queue of a light queue's name, which no name server knows.
fn light_queue(broker: &Broker, topic: &str) -> TopicQueues {
    let queue = MessageQueue {
        broker_name: broker.config.broker_name.clone(),
        queue_id: light::QUEUE_ID,
        topic: topic.to_owned(),
    };
    [queue].into()
}

fn answer(
    broker: &Broker,
    asked: &QueryAssignmentRequestBody,
    model: MessageModel,
    queues: Option<TopicQueues>,
) -> QueryAssignmentResponseBody {
    let wish = wish_of(broker, &asked.topic, &asked.consumer_group);
    let mine = queues.and_then(|queues| match model {
        MessageModel::Broadcasting => Some(queues.to_vec()),
        MessageModel::Clustering => share_of(broker, asked, &wish, &queues),
    });
    let assignment = |queue| MessageQueueAssignment {
        message_queue: Some(queue),
        mode: wish.mode,
        attachments: None,
    };
    let message_queue_assignments = mine.map(|queues| queues.into_iter().map(assignment).collect());
    QueryAssignmentResponseBody { message_queue_assignments }
}

/// What was set for a group on a topic, or what holds for everybody.
fn wish_of(broker: &Broker, topic: &str, group: &str) -> SetMessageRequestModeRequestBody {
    broker.request_modes.find(topic, group).unwrap_or_else(|| {
        let default = broker.live().default_message_request_mode.0;
        let mode = if is_retry_topic(topic) { MessageRequestMode::Pull } else { default };
        SetMessageRequestModeRequestBody {
            mode: Some(mode),
            pop_share_queue_num: broker.live().default_pop_share_queue_num,
            ..SetMessageRequestModeRequestBody::default()
        }
    })
}

/// The share of one client; `None` for an unknown strategy or a group without a live member.
fn share_of(
    broker: &Broker,
    asked: &QueryAssignmentRequestBody,
    wish: &SetMessageRequestModeRequestBody,
    queues: &[MessageQueue],
) -> Option<Vec<MessageQueue>> {
    if !broker.live().server_load_balancer_enable {
        return Some(queues.to_vec());
    }
    let mut clients = broker.consumers.client_ids(&asked.consumer_group);
    clients.sort_unstable();
    let strategy = Strategy::from_name(&asked.strategy_name)?;
    let client = &asked.client_id;
    if clients.is_empty() {
        return None;
    }
    match wish.mode {
        Some(MessageRequestMode::Pop) => {
            let share = wish.pop_share_queue_num;
            allocation::popped(strategy, client, queues, &clients, share)
        }
        _ => allocation::pulled(strategy, client, queues, &clients),
    }
}

/// Sets whether a group pulls or pops a topic.
pub(crate) fn set_mode(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let wish = SetMessageRequestModeRequestBody::decode(call.body())?;
    let (topic, group) = (&wish.topic, &wish.consumer_group);
    if topic.is_empty() {
        return Err(Reject::thrown("topic is missing"));
    }
    if is_retry_topic(topic) {
        let remark = "retry topic is not allowed to set mode";
        return Err(Reject::new(ResponseCode::NoPermission, remark));
    }
    if broker.topics.look(topic).is_none() {
        let remark = format!("topic[{topic}] not exist");
        return Err(Reject::new(ResponseCode::TopicNotExist, remark));
    }
    if broker.group(group).is_none() {
        let remark = "subscription group does not exist";
        return Err(Reject::new(ResponseCode::SubscriptionGroupNotExist, remark));
    }
    tracing::info!(topic, group, mode = ?wish.mode, "message request mode set");
    broker.request_modes.set(wish);
    let save =
        |broker: &Broker| broker.request_modes.persist().map_err(|error| not_written(&error));
    Ok(after_disk_work(broker, out.tag(), save, |out| out.ok_empty()))
}

/// Answers all modes that were set.
pub(crate) fn all_modes(
    broker: &Arc<Broker>,
    _call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    out.ok_body(&broker.request_modes.wrapper().encode());
    Ok(Outcome::Done)
}
