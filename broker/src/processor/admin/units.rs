//! The units of a queue as they are: request 321.

use std::sync::Arc;

use remoting::net::Outcome;
use remoting::protocol::body::{Body, ConsumeQueueData, QueryConsumeQueueResponseBody};
use remoting::protocol::code::ResponseCode;
use remoting::protocol::command::Responder;
use remoting::protocol::header::{NoHeader, QueryConsumeQueueRequestHeader};

use crate::broker::Broker;
use crate::call::Call;
use crate::reject::Reject;

/// Units of one answer at most; Java has no bound.
const COUNT_MAX: i64 = 100_000;

/// Answers the units of a queue from an offset on.
pub(crate) fn units(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let header: QueryConsumeQueueRequestHeader = call.header()?;
    let topic = header.topic.as_deref().unwrap_or_default();
    let (queue_id, index) = (header.queue_id, header.index);
    let queue = broker.store.queues().find(topic, queue_id).ok_or_else(|| {
        let remark = format!("{queue_id}@{topic} is not exist!");
        Reject::new(ResponseCode::SystemError, remark)
    })?;
    let (min_queue_index, max_queue_index) = (queue.min_offset(), queue.next_offset());
    if !(min_queue_index..max_queue_index).contains(&index) {
        let remark = format!("Index {index} of {queue_id}@{topic} is not exist!");
        out.respond(ResponseCode::Success, Some(&remark), &NoHeader, &[], &[]);
        return Ok(Outcome::Done);
    }
    let mut body = QueryConsumeQueueResponseBody {
        max_queue_index,
        min_queue_index,
        ..QueryConsumeQueueResponseBody::default()
    };
    if let Some(group) = &header.consumer_group {
        body.subscription_data = broker.consumers.wanted(group, topic);
        body.filter_data = Some(match &body.subscription_data {
            None => format!("{group}@{topic} is not online!"),
            Some(_) => broker.filters.describe(group, topic),
        });
    }
    let end = index.saturating_add(i64::from(header.count).clamp(0, COUNT_MAX));
    let unreadable = |error: store::dispatch::ViewError| Reject::thrown(error.to_string());
    for unit in queue.units_from(index).map_err(unreadable)? {
        let unit = unit.map_err(unreadable)?;
        if unit.queue_offset >= end {
            break;
        }
        body.queue_data.push(ConsumeQueueData {
            physic_offset: unit.physical_offset,
            physic_size: unit.size,
            tags_code: unit.tags_code,
            ..ConsumeQueueData::default()
        });
    }
    out.ok_body(&body.encode());
    Ok(Outcome::Done)
}
