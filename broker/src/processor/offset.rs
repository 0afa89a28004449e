//! Where the messages of a queue begin and end: requests 29 to 32 and 308.

use std::sync::Arc;

use remoting::net::Outcome;
use remoting::protocol::body::{Body, QueryCorrectionOffsetBody};
use remoting::protocol::code::ResponseCode;
use remoting::protocol::command::Responder;
use remoting::protocol::header::{
    BoundaryType, GetEarliestMsgStoretimeRequestHeader, GetEarliestMsgStoretimeResponseHeader,
    GetMaxOffsetRequestHeader, GetMaxOffsetResponseHeader, GetMinOffsetRequestHeader,
    GetMinOffsetResponseHeader, NoHeader, QueryCorrectionOffsetHeader, SearchOffsetRequestHeader,
    SearchOffsetResponseHeader,
};
use store::{Boundary, QueueKind};

use crate::broker::Broker;
use crate::call::Call;
use crate::reject::Reject;

/// Answers the offset of the message stored at a time.
pub(crate) fn search_by_timestamp(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let header: SearchOffsetRequestHeader = call.header()?;
    let boundary = match header.boundary_type {
        Some(BoundaryType::Upper) => Boundary::Upper,
        Some(BoundaryType::Lower) | None => Boundary::Lower,
    };
    let SearchOffsetRequestHeader { topic, queue_id, timestamp, .. } = &header;
    let offset = broker.store.offset_by_time(topic, *queue_id, *timestamp, boundary);
    out.ok(&SearchOffsetResponseHeader { offset });
    Ok(Outcome::Done)
}

/// Answers the offset behind the last message; 0 for an unknown queue.
pub(crate) fn max_offset(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let header: GetMaxOffsetRequestHeader = call.header()?;
    let offset = broker.store.max_offset(&header.topic, header.queue_id).max(0);
    out.ok(&GetMaxOffsetResponseHeader { offset });
    Ok(Outcome::Done)
}

/// Answers the offset of the first message; 0 for an unknown queue.
///
/// Java quirk: -1 for one of a BatchCQ topic. `cargo xtask compare --cleaning` asks for it.
pub(crate) fn min_offset(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let header: GetMinOffsetRequestHeader = call.header()?;
    let least = match broker.topics.queue_kind(&header.topic) {
        QueueKind::Simple => 0,
        QueueKind::Batch => -1,
    };
    let offset = broker.store.min_offset(&header.topic, header.queue_id).max(least);
    let header = GetMinOffsetResponseHeader { offset };
    // Java quirk: an empty remark instead of none.
    out.respond(ResponseCode::Success, Some(""), &header, &[], &[]);
    Ok(Outcome::Done)
}

/// Answers the store time of a queue's first message; -1 when it has none.
pub(crate) fn earliest_store_time(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let header: GetEarliestMsgStoretimeRequestHeader = call.header()?;
    let timestamp = broker.store.earliest_store_time(&header.topic, header.queue_id);
    out.ok(&GetEarliestMsgStoretimeResponseHeader { timestamp });
    Ok(Outcome::Done)
}

/// Answers the smallest offset of any group per queue of a topic, or the largest number where
/// the compared group is behind it.
pub(crate) fn query_correction(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let header: QueryCorrectionOffsetHeader = call.header()?;
    let topic = &header.topic;
    let filter = header.filter_groups.as_deref().unwrap_or_default();
    let min = |queue_id| broker.store.min_offset(topic, queue_id);
    let mut correction_offsets = broker.offsets.min_of_all_groups(topic, filter, min);
    for (queue_id, offset) in broker.offsets.of(&header.compare_group, topic).unwrap_or_default() {
        // Java throws for a queue nobody else has an offset in; such a queue is left out here.
        if let Some(least) = correction_offsets.get_mut(&queue_id)
            && *least > offset
        {
            *least = i64::MAX;
        }
    }
    let body = QueryCorrectionOffsetBody { correction_offsets }.encode();
    out.respond(ResponseCode::Success, None, &NoHeader, &[], &body);
    Ok(Outcome::Done)
}
