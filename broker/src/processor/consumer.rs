//! What a consumer asks about its group: members (38) and offsets (14, 15).

use std::sync::Arc;

use remoting::net::Outcome;
use remoting::protocol::body::{Body, GetConsumerListByGroupResponseBody};
use remoting::protocol::code::ResponseCode;
use remoting::protocol::command::Responder;
use remoting::protocol::header::{
    GetConsumerListByGroupRequestHeader, NoHeader, QueryConsumerOffsetRequestHeader,
    QueryConsumerOffsetResponseHeader, UpdateConsumerOffsetRequestHeader,
};
use runtime::clock::now_ms;
use store::{GetRequest, GetStatus};

use crate::broker::Broker;
use crate::call::Call;
use crate::reject::Reject;

/// Lists the client ids of a group.
pub(crate) fn consumer_list(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let header: GetConsumerListByGroupRequestHeader = call.header()?;
    let group = &header.consumer_group;
    let consumer_id_list = broker.consumers.client_ids(group);
    if consumer_id_list.is_empty() {
        let remark = format!("no consumer for this group, {group}");
        return Err(Reject::new(ResponseCode::SystemError, remark));
    }
    out.ok_body(&GetConsumerListByGroupResponseBody { consumer_id_list }.encode());
    Ok(Outcome::Done)
}

/// Answers where a group goes on in a queue.
pub(crate) fn query_offset(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let header: QueryConsumerOffsetRequestHeader<'_> = call.header()?;
    let QueryConsumerOffsetRequestHeader { consumer_group: group, topic, queue_id, .. } = header;
    let stored = broker.offsets.query(group, topic, queue_id).filter(|offset| *offset >= 0);
    if let Some(offset) = stored {
        out.ok(&QueryConsumerOffsetResponseHeader { offset });
        return Ok(Outcome::Done);
    }
    let not_found = |remark| Err(Reject::new(ResponseCode::QueryNotFound, remark));
    if header.set_zero_if_not_found == Some(false) {
        return not_found("Not found, do not set to zero, maybe this group boot first");
    }
    // Java quirk: a new group on a young topic begins at 0, whatever it is set to begin at.
    if broker.store.min_offset(topic, queue_id) <= 0 && first_in_memory(broker, topic, queue_id) {
        out.ok(&QueryConsumerOffsetResponseHeader { offset: 0 });
        return Ok(Outcome::Done);
    }
    not_found("Not found, V3_0_6_SNAPSHOT maybe this group consumer boot first")
}

/// Whether the message at offset 0 is there and not so old that it has left the memory.
pub(super) fn first_in_memory(broker: &Broker, topic: &str, queue_id: i32) -> bool {
    let first = GetRequest { topic, queue_id, queue_offset: 0, count_max: 1, bytes_max: 1 };
    let got = broker.store.get(&first, &|_| true);
    got.status == GetStatus::Found && !got.from_disk
}

/// Stores what a group has consumed of a queue.
pub(crate) fn update_offset(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let header: UpdateConsumerOffsetRequestHeader<'_> = call.header()?;
    let UpdateConsumerOffsetRequestHeader { consumer_group: group, topic, .. } = header;
    if !broker.groups.contains(group) {
        let remark = format!("Group {group} not exist!");
        return Err(Reject::new(ResponseCode::SubscriptionGroupNotExist, remark));
    }
    if broker.topics.look(topic).is_none() {
        let remark = format!("Topic {topic} not exist!");
        return Err(Reject::new(ResponseCode::TopicNotExist, remark));
    }
    let missing = |what| {
        let remark = format!("{what} is null, topic is {topic}");
        Reject::new(ResponseCode::InvalidParameter, remark)
    };
    let queue_id = header.queue_id.ok_or_else(|| missing("QueueId"))?;
    let offset = header.commit_offset.ok_or_else(|| missing("Offset"))?;
    if broker.offsets.has_reset(group, topic, queue_id) {
        // Success without effect, until a pull has taken the reset.
        let remark = Some("Offset has been previously reset");
        out.respond(ResponseCode::Success, remark, &NoHeader, &[], &[]);
        return Ok(Outcome::Done);
    }
    broker.offsets.commit(group, topic, queue_id, offset, now_ms());
    out.ok_empty();
    Ok(Outcome::Done)
}
