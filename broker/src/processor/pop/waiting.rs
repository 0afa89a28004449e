//! Request 200055: how many pops are held.

use std::sync::Arc;

use remoting::net::Outcome;
use remoting::protocol::code::ResponseCode;
use remoting::protocol::command::Responder;
use remoting::protocol::header::{PollingInfoRequestHeader, PollingInfoResponseHeader};

use super::{NO_REMARK, check_broker, check_queue};
use crate::arrivals::{ANY_QUEUE, Line, Purpose};
use crate::broker::Broker;
use crate::call::Call;
use crate::reject::Reject;

/// Serves 200055.
pub(crate) fn polling_info(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let header: PollingInfoRequestHeader = call.header()?;
    let (group, topic) = (header.consumer_group.as_str(), header.topic.as_str());
    let checked =
        check_broker(broker).and_then(|()| check_queue(broker, group, topic, header.queue_id));
    if let Err(refusal) = checked {
        refusal.write_with(&PollingInfoResponseHeader::default(), out);
        return Ok(Outcome::Done);
    }
    let queue_id = header.queue_id.max(ANY_QUEUE);
    let held = broker.arrivals.line_len(&Line { purpose: Purpose::Pop, group, topic, queue_id });
    let answer = PollingInfoResponseHeader { polling_num: i32::try_from(held).unwrap_or(i32::MAX) };
    out.respond(ResponseCode::Success, Some(NO_REMARK), &answer, &[], &[]);
    Ok(Outcome::Done)
}
