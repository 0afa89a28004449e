//! Shares of groups that read old data: requests 2001, 2002 and 2003.

use std::sync::Arc;

use remoting::net::Outcome;
use remoting::protocol::code::ResponseCode;
use remoting::protocol::command::Responder;
use remoting::protocol::header::NoHeader;

use crate::broker::Broker;
use crate::call::Call;
use crate::reject::Reject;

/// Gives groups shares of their own: properties of group and bytes in a round.
pub(crate) fn set_shares(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let pairs = runtime::config::parse_bytes(call.body())
        .map_err(|error| Reject::new(ResponseCode::SystemError, error.to_string()))?;
    for (group, share) in pairs {
        // Java quirk: a share that is no number is passed over without a word.
        if let Ok(share) = share.parse() {
            broker.cold_reads.set_share(&group, share);
        }
    }
    out.ok_empty();
    Ok(Outcome::Done)
}

/// Takes the share of a group away; the body is its name.
pub(crate) fn remove_share(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    broker.cold_reads.remove_share(&String::from_utf8_lossy(call.body()));
    out.ok_empty();
    Ok(Outcome::Done)
}

/// Lists who reads old data, and the shares.
pub(crate) fn info(
    broker: &Arc<Broker>,
    _call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let body = serde_json::to_vec(&broker.cold_reads.info())
        .map_err(|error| Reject::thrown(error.to_string()))?;
    out.respond(ResponseCode::Success, None, &NoHeader, &[], &body);
    Ok(Outcome::Done)
}
