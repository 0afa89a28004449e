//! Requests of administrators.

use remoting::protocol::code::ResponseCode;
use remoting::protocol::command::Responder;
use remoting::protocol::header::NoHeader;
use store::json_file::JsonFileError;

use crate::reject::Reject;

pub(crate) mod connections;
pub(crate) mod group;
pub(crate) mod reset;
pub(crate) mod runtime_info;
pub(crate) mod stats;
pub(crate) mod topic;

/// Success as Java answers it where a handler sets nothing but the code.
fn ok_unset(out: &mut Responder<'_>) {
    // Java quirk: success with the remark of a missing code.
    let remark = Some("not set any response code");
    out.respond(ResponseCode::Success, remark, &NoHeader, &[], &[]);
}

/// Java throws when a file cannot be written.
fn not_written(error: &JsonFileError) -> Reject {
    tracing::error!(%error, "a change was made and could not be written");
    Reject::thrown(error.to_string())
}
