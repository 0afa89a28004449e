//! Moving the state of pops from a key-value store into the revive topic: request 200056.

use std::sync::Arc;

use remoting::net::Outcome;
use remoting::protocol::command::Responder;

use super::ok_unset;
use crate::broker::Broker;
use crate::call::Call;
use crate::reject::Reject;

/// Moves nothing: the state is in the revive topic, as in a Java broker with its defaults.
pub(crate) fn pop_rollback(
    _broker: &Arc<Broker>,
    _call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    ok_unset(out);
    Ok(Outcome::Done)
}
