//! Requests of administrators.

use std::sync::Arc;

use bytes::BytesMut;
use remoting::net::Outcome;
use remoting::protocol::code::ResponseCode;
use remoting::protocol::command::{Responder, ResponseTag};
use remoting::protocol::header::NoHeader;
use store::json_file::JsonFileError;

use crate::broker::Broker;
use crate::clients::Client;
use crate::reject::Reject;

pub(crate) mod clean;
pub(crate) mod cold_reads;
pub(crate) mod config;
pub(crate) mod connections;
pub(crate) mod foreign;
pub(crate) mod forward;
pub(crate) mod group;
pub(crate) mod pop_rollback;
pub(crate) mod replicas;
pub(crate) mod reset;
pub(crate) mod runtime_info;
pub(crate) mod stats;
pub(crate) mod topic;
pub(crate) mod units;

/// Success as Java answers it where a handler sets nothing but the code.
pub(super) fn ok_unset(out: &mut Responder<'_>) {
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

/// First client version that is told of resets and asked for offsets (Java's V3_0_7_SNAPSHOT).
const OFFSET_REQUESTS: i32 = 28;

/// Refuses where a client is too old for the requests 220 and 221.
fn knows_offset_requests(client: &Client) -> Result<(), Reject> {
    if client.version >= OFFSET_REQUESTS {
        return Ok(());
    }
    let remark = format!("the client does not support this feature. version={}", client.version);
    Err(Reject::new(ResponseCode::SystemError, remark))
}

/// Java throws when a file cannot be written.
pub(super) fn not_written(error: &JsonFileError) -> Reject {
    tracing::error!(%error, "a change was made and could not be written");
    Reject::thrown(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use remoting::net::Peer;
    use remoting::protocol::code::LanguageCode;

    use super::*;

    #[test]
    fn clients_of_old_are_not_asked_for_offsets() {
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
        let client = |version| Client {
            peer: Arc::new(Peer::unconnected(nowhere)),
            client_id: "c".to_owned(),
            language: LanguageCode::Java,
            version,
            last_seen: 0,
        };
        assert!(knows_offset_requests(&client(27)).is_err());
        assert!(knows_offset_requests(&client(28)).is_ok());
    }
}
