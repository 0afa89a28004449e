//! What tools ask of parts that are not here: requests 354, 355, 2004, and 3001 to 3010.

use std::sync::Arc;

use remoting::net::Outcome;
use remoting::protocol::code::ResponseCode;
use remoting::protocol::command::Responder;
use remoting::protocol::header::NoHeader;

use crate::broker::Broker;
use crate::call::Call;
use crate::reject::Reject;

/// Java answers that the check goes on, and writes to its log that there is no RocksDB.
pub(crate) fn check_rocksdb(
    _broker: &Arc<Broker>,
    _call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    out.ok_body(br#"{"checkStatus":2}"#);
    Ok(Outcome::Done)
}

/// Java exports what is in RocksDB, here nothing.
pub(crate) fn export_rocksdb(
    _broker: &Arc<Broker>,
    _call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    out.respond(ResponseCode::Success, Some("export done."), &NoHeader, &[], &[]);
    Ok(Outcome::Done)
}

/// How the system reads ahead of a mapped log. Ours reads with its own calls, so nothing changes.
pub(crate) fn read_ahead(
    _broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let failed = |remark: &'static str| Reject::new(ResponseCode::SystemError, remark);
    let mode = call
        .frame
        .field("READ_AHEAD_MODE")
        .and_then(|mode| mode.parse::<i32>().ok())
        .ok_or_else(|| failed("set commitlog readahead mode failed"))?;
    if !(0..=1).contains(&mode) {
        let remark = "set commitlog readahead mode param value error";
        return Err(Reject::new(ResponseCode::InvalidParameter, remark));
    }
    let remark = format!("set commitlog readahead mode success, mode: {mode}");
    out.respond(ResponseCode::Success, Some(&remark), &NoHeader, &[], &[]);
    Ok(Outcome::Done)
}

/// The answer of a Java broker to requests for users and rules when access control is off.
pub(crate) fn no_access_control() -> Reject {
    Reject::new(ResponseCode::SystemError, "An system error occurred, please try again later.")
}
