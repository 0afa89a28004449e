//! Requests of administrators.

use std::sync::Arc;

use bytes::BytesMut;
use remoting::net::Outcome;
use remoting::protocol::code::ResponseCode;
use remoting::protocol::command::{Responder, ResponseTag};
use remoting::protocol::header::NoHeader;
use store::json_file::JsonFileError;

use crate::broker::Broker;
use crate::reject::Reject;

pub(crate) mod clean;
pub(crate) mod connections;
pub(crate) mod forward;
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

/// Does work that waits for the disk where blocking is allowed, and answers afterwards.
pub(super) fn after_disk_work(
    broker: &Arc<Broker>,
    tag: ResponseTag,
    work: impl FnOnce(&Broker) -> Result<(), Reject> + Send + 'static,
    answer: impl FnOnce(&mut Responder<'_>) + Send + 'static,
) -> Outcome {
    let broker = Arc::clone(broker);
    Outcome::Later(Box::pin(async move {
        let worker = Arc::clone(&broker);
        let done = tokio::task::spawn_blocking(move || work(&worker)).await;
        let mut bytes = BytesMut::new();
        let mut out = Responder::new(tag, &mut bytes);
        match done {
            Ok(Ok(())) => answer(&mut out),
            Ok(Err(reject)) => reject.write(&mut out),
            Err(panic) => Reject::thrown(panic.to_string()).write(&mut out),
        }
        bytes
    }))
}

/// Encodes a refusal for a request that was held.
fn refuse(tag: ResponseTag, reject: &Reject) -> BytesMut {
    let mut bytes = BytesMut::new();
    reject.write(&mut Responder::new(tag, &mut bytes));
    bytes
}

/// Java throws when a file cannot be written.
pub(super) fn not_written(error: &JsonFileError) -> Reject {
    tracing::error!(%error, "a change was made and could not be written");
    Reject::thrown(error.to_string())
}
