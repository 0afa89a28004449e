//! The ends of transactions: requests 37 and 323.

use std::sync::Arc;

use bytes::BytesMut;
use remoting::net::Outcome;
use remoting::protocol::code::ResponseCode;
use remoting::protocol::command::{Responder, ResponseTag};
use remoting::protocol::header::{
    EndTransactionRequestHeader, NoHeader, ResumeCheckHalfMessageRequestHeader,
};
use remoting::protocol::message::id::OffsetMessageId;
use remoting::protocol::message::record::Record;
use remoting::protocol::message::sys_flag;
use runtime::clock::now_ms;
use store::WaitError;

use super::admin::ok_unset;
use super::send::flush_patience;
use crate::broker::Broker;
use crate::call::Call;
use crate::reject::Reject;
use crate::transaction::{End, Half, immunity_at_end_ms};

type Header<'a> = EndTransactionRequestHeader<'a>;

/// Commits or rolls back a half message.
pub(crate) fn end_transaction(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let header: Header<'_> = call.header()?;
    if header.from_transaction_check {
        broker.transactions.note_answer();
    }
    let how = match header.commit_or_rollback {
        sys_flag::TRANSACTION_COMMIT => End::Commit,
        sys_flag::TRANSACTION_ROLLBACK => End::Rollback,
        // Java quirk: who does not know yet is not answered; pinned by
        // `an_undecided_end_is_not_answered`.
        _ => return Ok(Outcome::Done),
    };
    let refused = |remark: &'static str| Reject::new(ResponseCode::SystemError, remark);
    let missing = || refused("Find prepared transaction message failed");
    let slice = broker.store.read(header.commit_log_offset).ok_or_else(missing)?;
    let record = Record::decode(slice.as_ref()).map_err(|_| missing())?;
    let half = Half::parked(record).ok_or_else(missing)?;
    refuse_late(broker, &header, &half)?;
    if half.group != Some(header.producer_group) {
        return Err(refused("The producer group wrong"));
    }
    if half.record.queue_offset != header.tran_state_table_offset {
        return Err(refused("The transaction state table offset wrong"));
    }
    let put = broker.transactions.end(broker, &half, how)?;
    match (how, put) {
        (End::Commit, Some(put)) if !broker.store.durable(put.end) => {
            return Ok(wait_durable(broker, put.end, out.tag()));
        }
        (End::Commit, _) => out.ok_empty(),
        (End::Rollback, _) => ok_unset(out),
    }
    Ok(Outcome::Done)
}

/// A half message with an immunity of its own is left to the check once that is over.
fn refuse_late(broker: &Broker, header: &Header<'_>, half: &Half<'_>) -> Result<(), Reject> {
    let Some(immunity) = half.immunity.filter(|_| !header.from_transaction_check) else {
        return Ok(());
    };
    let age = now_ms().saturating_sub(half.record.born_timestamp);
    if age <= immunity_at_end_ms(immunity, broker.live().transaction_time_out) {
        return Ok(());
    }
    let remark = "the time to end this transaction is over, its producer will be asked";
    Err(Reject::new(ResponseCode::IllegalOperation, remark))
}

/// Answers once the message is on disk; as in Java also when that takes too long.
fn wait_durable(broker: &Arc<Broker>, end: i64, tag: ResponseTag) -> Outcome {
    let broker = Arc::clone(broker);
    Outcome::Later(Box::pin(async move {
        let waited = broker.store.wait_durable(end, flush_patience(&broker)).await;
        let mut bytes = BytesMut::new();
        let mut out = Responder::new(tag, &mut bytes);
        match waited {
            Ok(()) | Err(WaitError::TimedOut) => out.ok_empty(),
            Err(WaitError::Poisoned) => {
                let code = ResponseCode::ServiceNotAvailable;
                out.respond(code, Some("the store could not flush"), &NoHeader, &[], &[]);
            }
        }
        bytes
    }))
}

/// Has a producer asked again whose half message was given up.
pub(crate) fn resume_check(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let header: ResumeCheckHalfMessageRequestHeader = call.header()?;
    let refused = |remark: &'static str| Reject::new(ResponseCode::SystemError, remark);
    let none =
        || refused("Exception was thrown when putting message back to RMQ_SYS_TRANS_HALF_TOPIC.");
    let id = header.msg_id.as_deref().and_then(OffsetMessageId::parse).ok_or_else(none)?;
    let slice = broker.store.read(id.physical_offset).ok_or_else(none)?;
    let record = Record::decode(slice.as_ref()).map_err(|_| none())?;
    let half = Half::of(record).filter(Half::waits).ok_or_else(none)?;
    let put = broker.transactions.resume(broker, &half);
    match put {
        Ok(Some(_)) => out.ok_empty(),
        Ok(None) => return Err(refused("the transaction has ended")),
        Err(_) => return Err(refused("Put message back to RMQ_SYS_TRANS_HALF_TOPIC failed.")),
    }
    Ok(Outcome::Done)
}
