//! Queue locks of orderly consumers: requests 41 and 42.

use std::sync::Arc;

use remoting::net::Outcome;
use remoting::protocol::body::{
    Body, LockBatchRequestBody, LockBatchResponseBody, UnlockBatchRequestBody,
};
use remoting::protocol::command::Responder;
use runtime::clock::now_ms;

use crate::broker::Broker;
use crate::call::Call;
use crate::reject::Reject;

/// Locks or renews queues and answers which the client owns now.
pub(crate) fn lock_queues(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let body = LockBatchRequestBody::decode(call.body())?;
    let (group, client_id) = (&body.consumer_group, &body.client_id);
    let lock_ok_mq_set = broker.locks.lock(group, &body.mq_set, client_id, now_ms());
    out.ok_body(&LockBatchResponseBody { lock_ok_mq_set }.encode());
    Ok(Outcome::Done)
}

/// Releases the queues that the client owns.
pub(crate) fn unlock_queues(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let body = UnlockBatchRequestBody::decode(call.body())?;
    broker.locks.unlock(&body.consumer_group, &body.mq_set, &body.client_id);
    out.ok_empty();
    Ok(Outcome::Done)
}
