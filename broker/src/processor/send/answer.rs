//! What a send is answered: ids and offsets, at once or when the disk has it.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use remoting::net::{Outcome, Waited};
use remoting::protocol::code::ResponseCode;
use remoting::protocol::command::Responder;
use remoting::protocol::header::SendMessageResponseHeader;
use remoting::protocol::message::id::OffsetMessageId;
use remoting::protocol::message::properties::property;
use store::{Put, WaitError};

use crate::admission::Unanswered;
use crate::broker::Broker;
use crate::reject::Reject;

/// Every refusal says the region, too.
pub(super) fn with_region(broker: &Broker, reject: Reject) -> Reject {
    reject
        .with(property::MSG_REGION, broker.config.region_id.clone())
        .with(property::TRACE_ON, traced(broker))
}

/// Whether clients should trace, as text.
pub(super) fn traced(broker: &Broker) -> &'static str {
    if broker.config.trace_on { "true" } else { "false" }
}

/// Writes the offset ids of the stored records, joined by commas.
pub(super) fn write_ids(broker: &Broker, put: &Put, out: &mut String) {
    out.clear();
    let store_host = broker.store_host();
    match &put.ids[..] {
        [] => OffsetMessageId { store_host, physical_offset: put.physical_offset }.append_to(out),
        ids => OffsetMessageId::append_all(store_host, ids, out),
    }
}

pub(super) fn answer(
    broker: &Broker,
    code: ResponseCode,
    remark: Option<&str>,
    sent: &SendMessageResponseHeader<'_>,
    out: &mut Responder<'_>,
) {
    let region = broker.config.region_id.as_str();
    let extra = [(property::MSG_REGION, region), (property::TRACE_ON, traced(broker))];
    out.respond(code, remark, sent, &extra, &[]);
}

/// What has to be on disk before a send is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Waits {
    /// The log, up to the end of the record.
    pub to_flush: Option<i64>,
    /// The change that made the topic: after a kill nobody would know it, and so not the message.
    pub to_save: Option<u64>,
}

impl Waits {
    /// Waits; fails where it is not known to be on disk.
    pub(super) async fn end(self, broker: &Broker) -> Waited {
        let patience = flush_patience(broker);
        let mut waited = match self.to_save {
            Some(change) => broker.topics.wait_saved(change, patience).await,
            None => Ok(()),
        };
        if let (Ok(()), Some(end)) = (&waited, self.to_flush) {
            waited = broker.store.wait_durable(end, patience).await;
        }
        waited.map_err(|error| match error {
            WaitError::TimedOut => (ResponseCode::FlushDiskTimeout, "not flushed in time"),
            WaitError::Poisoned => (ResponseCode::ServiceNotAvailable, "the store could not flush"),
        })
    }

    /// Takes the answer back that was written from `start` on; it leaves when the wait is over.
    pub(super) fn hold(
        self,
        broker: &Arc<Broker>,
        place: Unanswered,
        start: usize,
        out: &mut Responder<'_>,
    ) -> Outcome {
        let (broker, tag) = (Arc::clone(broker), out.tag());
        let written = out.buffer();
        let answer = BytesMut::from(&written[start..]);
        written.truncate(start);
        Outcome::Later(Box::pin(async move {
            let ended = self.end(&broker).await;
            drop(place);
            match ended {
                Ok(()) => answer,
                Err((code, remark)) => tag.failed(answer, code, remark),
            }
        }))
    }
}

/// How long a sender waits for the disk.
pub(crate) fn flush_patience(broker: &Broker) -> Duration {
    Duration::from_millis(broker.store.config().sync_flush_timeout.max(0).unsigned_abs().into())
}
