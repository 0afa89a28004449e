//! Replicas, of which a broker without any tells the truth: requests 907, 908 and 1007.

use std::sync::Arc;

use remoting::net::Outcome;
use remoting::protocol::body::{Body, HARuntimeInfo};
use remoting::protocol::code::ResponseCode;
use remoting::protocol::command::Responder;

use crate::broker::Broker;
use crate::call::Call;
use crate::reject::Reject;

/// Answers how far the replicas are.
pub(crate) fn status(
    broker: &Arc<Broker>,
    _call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let info = HARuntimeInfo {
        master: true,
        master_commit_log_max_offset: broker.store.max_physical_offset(),
        ..HARuntimeInfo::default()
    };
    out.ok_body(&info.encode());
    Ok(Outcome::Done)
}

/// Tells a replica how far its master has flushed; a master has nothing to change.
pub(crate) fn reset_master_flush_offset(
    _broker: &Arc<Broker>,
    _call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    out.ok_empty();
    Ok(Outcome::Done)
}

/// Refused as Java refuses it without a controller.
pub(crate) fn epochs(
    _broker: &Arc<Broker>,
    _call: &Call<'_>,
    _out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    Err(Reject::new(ResponseCode::SystemError, "this request only for controllerMode "))
}
