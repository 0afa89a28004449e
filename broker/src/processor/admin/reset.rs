//! Resetting a group on a topic: request 222.
//!
//! With `useServerSideResetOffset` the broker keeps the new offsets itself: the next pull of each
//! queue is answered with them, consumers need not be there. Without it the connected consumers
//! are told (request 220) and commit the new offsets themselves.

use std::collections::BTreeMap;
use std::sync::Arc;

use remoting::net::Outcome;
use remoting::protocol::body::{
    Body, MessageQueue, MessageQueueForC, ResetOffsetBody, ResetOffsetBodyForC,
};
use remoting::protocol::code::{LanguageCode, RequestCode, ResponseCode};
use remoting::protocol::command::Responder;
use remoting::protocol::header::ResetOffsetRequestHeader;
use store::Boundary;

use super::knows_offset_requests;
use crate::broker::Broker;
use crate::call::Call;
use crate::clients::Client;
use crate::reject::Reject;
use crate::topics::Facts;

/// Resets a group to a time, or one queue to an offset.
pub(crate) fn reset_offset(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let header: ResetOffsetRequestHeader = call.header()?;
    let (group, topic) = (&header.group, &header.topic);
    let facts = broker.topics.look(topic).ok_or_else(|| {
        Reject::new(ResponseCode::TopicNotExist, format!("Topic {topic} does not exist"))
    })?;
    let offsets = if broker.live().use_server_side_reset_offset {
        if !broker.groups.contains(group) {
            let remark = format!("Group {group} does not exist");
            return Err(Reject::new(ResponseCode::SubscriptionGroupNotExist, remark));
        }
        let offsets = server_side_offsets(broker, &header, &facts)?;
        for (&queue_id, &offset) in &offsets {
            broker.offsets.assign_reset(group, topic, queue_id, offset);
        }
        offsets
    } else {
        let offsets = client_side_offsets(broker, &header, &facts)?;
        tell_consumers(broker, call, &header, &offsets)?;
        offsets
    };
    tracing::info!(group, topic, ?offsets, "consumer offsets reset");
    out.ok_body(&body_of(broker, topic, &offsets).encode());
    Ok(Outcome::Done)
}

/// Offsets by queue.
type Offsets = BTreeMap<i32, i64>;

fn server_side_offsets(
    broker: &Broker,
    header: &ResetOffsetRequestHeader,
    facts: &Facts,
) -> Result<Offsets, Reject> {
    let topic = &header.topic;
    let error = |remark: String| Reject::new(ResponseCode::SystemError, remark);
    if header.queue_id < 0 {
        let queues = 0..facts.read_queues;
        let offsets: Offsets =
            queues.map(|id| (id, offset_at(broker, topic, id, header.timestamp))).collect();
        if offsets.is_empty() {
            return Err(error("No queues to reset.".to_owned()));
        }
        return Ok(offsets);
    }
    let queue_id = header.queue_id;
    let offset = match header.offset {
        // -1 stands for an offset that was not given.
        Some(offset) if offset != -1 => {
            let min = broker.store.min_offset(topic, queue_id);
            let max = broker.store.max_offset(topic, queue_id);
            if (min >= 0 && offset < min) || offset > max + 1 {
                let remark =
                    format!("Target offset {offset} not in consume queue range [{min}-{max}]");
                return Err(error(remark));
            }
            offset
        }
        _ => offset_at(broker, topic, queue_id, header.timestamp),
    };
    Ok(Offsets::from([(queue_id, offset)]))
}

fn client_side_offsets(
    broker: &Broker,
    header: &ResetOffsetRequestHeader,
    facts: &Facts,
) -> Result<Offsets, Reject> {
    let (group, topic) = (&header.group, &header.topic);
    let mut offsets = Offsets::new();
    for queue_id in 0..facts.write_queues {
        let known = broker.offsets.query(group, topic, queue_id).ok_or_else(|| {
            // Java's spelling.
            let remark = format!("THe consumer group <{group}> not exist");
            Reject::new(ResponseCode::SystemError, remark)
        })?;
        let wanted = offset_at(broker, topic, queue_id, header.timestamp);
        let forward = !header.is_force && wanted >= known;
        offsets.insert(queue_id, if forward { known } else { wanted });
    }
    Ok(offsets)
}

/// The offset of a time; a negative time stands for the end of the queue.
fn offset_at(broker: &Broker, topic: &str, queue_id: i32, timestamp: i64) -> i64 {
    let offset = if timestamp < 0 {
        broker.store.max_offset(topic, queue_id)
    } else {
        broker.store.offset_by_time(topic, queue_id, timestamp, Boundary::Lower)
    };
    offset.max(0)
}

fn tell_consumers(
    broker: &Broker,
    call: &Call<'_>,
    header: &ResetOffsetRequestHeader,
    offsets: &Offsets,
) -> Result<(), Reject> {
    let ResetOffsetRequestHeader { topic, group, timestamp, .. } = header;
    let members: Option<Vec<Client>> =
        broker.consumers.with_group(group, |live| live.members().cloned().collect());
    let members = members.ok_or_else(|| {
        let remark = format!(
            "Consumer not online, so can not reset offset, Group: {group} Topic: {topic} \
             Timestamp: {timestamp}"
        );
        Reject::new(ResponseCode::ConsumerNotOnline, remark)
    })?;
    members.iter().try_for_each(knows_offset_requests)?;
    let request = ResetOffsetRequestHeader {
        topic: topic.clone(),
        group: group.clone(),
        timestamp: *timestamp,
        is_force: false,
        queue_id: -1,
        offset: None,
    };
    let table = body_of(broker, topic, offsets);
    // Java quirk: the language of the administrator decides what the consumers get.
    let for_c = i32::from(call.frame.language()) == i32::from(LanguageCode::Cpp);
    let body = if for_c { list_of(table).encode() } else { table.encode() };
    for Client { peer, .. } in &members {
        if let Err(error) = peer.oneway(RequestCode::ResetConsumerClientOffset, &request, &body) {
            tracing::warn!(%error, group, peer = %peer.remote(), "consumer not told of a reset");
        }
    }
    Ok(())
}

fn body_of(broker: &Broker, topic: &str, offsets: &Offsets) -> ResetOffsetBody {
    let queue = |queue_id| MessageQueue {
        broker_name: broker.config.broker_name.clone(),
        queue_id,
        topic: topic.to_owned(),
    };
    let offset_table = offsets.iter().map(|(&id, &offset)| (queue(id), offset)).collect();
    ResetOffsetBody { offset_table }
}

fn list_of(table: ResetOffsetBody) -> ResetOffsetBodyForC {
    let entry = |(queue, offset): (MessageQueue, i64)| MessageQueueForC {
        broker_name: queue.broker_name,
        offset,
        queue_id: queue.queue_id,
        topic: queue.topic,
    };
    ResetOffsetBodyForC { offset_table: table.offset_table.into_iter().map(entry).collect() }
}
