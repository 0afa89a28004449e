//! What a send is answered: ids and offsets, at once or when the disk has it.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use remoting::net::Outcome;
use remoting::protocol::code::ResponseCode;
use remoting::protocol::command::{Responder, ResponseTag};
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

/// Answers once the record up to its end, and the change that made its topic, are on disk, or
/// says that they are not known to be.
pub(super) fn wait_durable(
    broker: &Arc<Broker>,
    (to_flush, to_save): (Option<i64>, Option<u64>),
    sent: &SendMessageResponseHeader<'_>,
    place: Unanswered,
    tag: ResponseTag,
) -> Outcome {
    let broker = Arc::clone(broker);
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let message_id = sent.msg_id.to_owned();
    let transaction_id = owned(sent.transaction_id);
    let batch_uniq_id = owned(sent.batch_uniq_id);
    let recall_handle = owned(sent.recall_handle);
    let (queue_id, queue_offset) = (sent.queue_id, sent.queue_offset);
    Outcome::Later(Box::pin(async move {
        let patience = flush_patience(&broker);
        let mut waited = match to_save {
            Some(change) => broker.topics.wait_saved(change, patience).await,
            None => Ok(()),
        };
        if let (Ok(()), Some(end)) = (&waited, to_flush) {
            waited = broker.store.wait_durable(end, patience).await;
        }
        drop(place);
        let (code, remark) = match waited {
            Ok(()) => (ResponseCode::Success, None),
            Err(WaitError::TimedOut) => {
                (ResponseCode::FlushDiskTimeout, Some("not flushed in time"))
            }
            Err(WaitError::Poisoned) => {
                (ResponseCode::ServiceNotAvailable, Some("the store could not flush"))
            }
        };
        let sent = SendMessageResponseHeader {
            msg_id: &message_id,
            queue_id,
            queue_offset,
            transaction_id: transaction_id.as_deref(),
            batch_uniq_id: batch_uniq_id.as_deref(),
            recall_handle: recall_handle.as_deref(),
        };
        let mut bytes = BytesMut::new();
        answer(&broker, code, remark, &sent, &mut Responder::new(tag, &mut bytes));
        bytes
    }))
}

/// How long a sender waits for the disk.
pub(crate) fn flush_patience(broker: &Broker) -> Duration {
    Duration::from_millis(broker.store.config().sync_flush_timeout.max(0).unsigned_abs().into())
}
