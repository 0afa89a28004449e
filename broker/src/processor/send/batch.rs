//! Batches: one record per message, or one for all of them in a topic of type BatchCQ.
//!
//! A batch is taken apart before anything is stored: all of it is stored or nothing. Clients
//! unwrap the one record for all (an inner batch) themselves, so nobody may store one whose body
//! does not hold as many messages as it says.

use remoting::protocol::code::ResponseCode;
use remoting::protocol::message::batch::BatchMessages;
use remoting::protocol::message::sys_flag::{INNER_BATCH, NEED_UNWRAP};
use store::QueueKind;

use super::Header;
use super::stamp::Stamped;
use crate::broker::Broker;
use crate::reject::Reject;
use crate::topics::Facts;

/// How the messages of a send become records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// One message, one record.
    Single,
    /// A record for each of several messages.
    Batch,
    /// One record for so many messages.
    InnerBatch(i16),
}

impl Shape {
    /// The shape a send asks for, if its body has it.
    pub(super) fn of(
        broker: &Broker,
        header: &Header<'_>,
        facts: &Facts,
        stamped: &Stamped<'_>,
        body: &[u8],
    ) -> Result<Shape, Reject> {
        let illegal = |remark: &'static str| Err(Reject::new(ResponseCode::MessageIllegal, remark));
        let says_inner = header.sys_flag & INNER_BATCH != 0;
        if !header.batch {
            if says_inner && inner_count(body).ok() != stamped.inner_num {
                return illegal("INNER_NUM is not the number of messages in the body");
            }
            return Ok(Shape::Single);
        }
        if stamped.inner_num.is_some() {
            return illegal("INNER_NUM on a message that is no inner batch");
        }
        // Java quirk: without a unique key, which its clients always give, even such a topic gets
        // a record per message. Pinned by `a_batch_without_a_key_becomes_single_records`.
        if facts.kind == QueueKind::Batch && !stamped.unique_key.is_empty() {
            return inner_count(body).map(Shape::InnerBatch);
        }
        if says_inner {
            return illegal("an inner batch needs a topic of type BatchCQ and a unique key");
        }
        check_len(broker, body)?;
        Ok(Shape::Batch)
    }

    /// Flag bits of the records.
    pub(super) fn sys_flag(self) -> i32 {
        match self {
            Shape::Single | Shape::Batch => 0,
            Shape::InnerBatch(_) => NEED_UNWRAP | INNER_BATCH,
        }
    }
}

/// What Java finds out by an exception.
fn check_len(broker: &Broker, body: &[u8]) -> Result<(), Reject> {
    let len_max = usize::try_from(broker.store.config().max_message_size).unwrap_or(0);
    if body.len() > len_max {
        let len = body.len();
        return Err(Reject::thrown(format!("a batch of {len} bytes, the limit is {len_max}")));
    }
    Ok(())
}

/// Number of messages in a body that is to be one record.
fn inner_count(body: &[u8]) -> Result<i16, Reject> {
    let counted = BatchMessages::new(body).try_fold(0, |count, message| message.map(|_| count + 1));
    let count: usize = counted.map_err(|error| Reject::thrown(error.to_string()))?;
    let too_many =
        || Reject::thrown(format!("a batch of {count} messages, the limit is {}", i16::MAX));
    i16::try_from(count).map_err(|_| too_many())
}
