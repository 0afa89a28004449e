//! Messages by key and by place: requests 12 and 33.

use std::sync::Arc;

use remoting::net::Outcome;
use remoting::protocol::code::ResponseCode;
use remoting::protocol::command::Responder;
use remoting::protocol::header::{
    NoHeader, QueryMessageRequestHeader, QueryMessageResponseHeader, ViewMessageRequestHeader,
};
use remoting::protocol::message::record::Record;

use crate::broker::Broker;
use crate::call::Call;
use crate::reject::Reject;

/// Answers the messages of a topic that have a key.
pub(crate) fn query_message(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let header: QueryMessageRequestHeader = call.header()?;
    let by_unique_key = call.frame.field("_UNIQUE_KEY_QUERY") == Some("true");
    let wanted =
        if by_unique_key { broker.store.config().default_query_max_num } else { header.max_num };
    let count = wanted.max(0).unsigned_abs() as usize;
    let QueryMessageRequestHeader { topic, key, begin_timestamp, end_timestamp, .. } = &header;
    let found = broker.store.query(topic, key, count, *begin_timestamp, *end_timestamp);
    let (timestamp, physical_offset) = match found.is_empty() {
        true => (0, 0),
        false => broker.store.index_position(),
    };
    let header = QueryMessageResponseHeader {
        index_last_update_timestamp: timestamp,
        index_last_update_phyoffset: physical_offset,
    };
    if found.is_empty() {
        let remark = Some("can not find message, maybe time range not correct");
        out.respond(ResponseCode::QueryNotFound, remark, &header, &[], &[]);
        return Ok(Outcome::Done);
    }
    let mut answer = out.begin(ResponseCode::Success, None, &header, &[]);
    for record in &found {
        answer.body().extend_from_slice(record.as_ref());
    }
    answer.finish();
    Ok(Outcome::Done)
}

/// Answers the record at a place in the log.
pub(crate) fn view_message(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let header: ViewMessageRequestHeader = call.header()?;
    let offset = header.offset;
    let not_found = || {
        let remark = format!("can not find message by the offset, {offset}");
        Reject::new(ResponseCode::SystemError, remark)
    };
    let slice = broker.store.read(offset).ok_or_else(not_found)?;
    // A place inside a record may look like one; only a whole record is shown.
    Record::decode(slice.as_ref()).map_err(|_| not_found())?;
    out.respond(ResponseCode::Success, None, &NoHeader, &[], slice.as_ref());
    Ok(Outcome::Done)
}
