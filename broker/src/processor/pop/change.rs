//! Request 200053: a popped message stays hidden for another time, or comes back sooner.
//!
//! The message gets a check point of its own, and then the old one is told that it is consumed.
//! In between it is hidden by both, so a crash there shows it twice rather than never.

use std::sync::Arc;

use remoting::net::Outcome;
use remoting::protocol::code::ResponseCode;
use remoting::protocol::command::Responder;
use remoting::protocol::header::{
    ChangeInvisibleTimeRequestHeader, ChangeInvisibleTimeResponseHeader,
};
use runtime::clock::now_ms;
use smallvec::smallvec;

use super::{NO_REMARK, check_acked};
use crate::broker::Broker;
use crate::call::Call;
use crate::pop::receipt::Receipt;
use crate::pop::{self, Ack, CheckPoint};
use crate::reject::Reject;

/// How far ahead of the clock the last pop time may be.
const AHEAD_MS_MAX: i64 = 1000;

type Header<'a> = ChangeInvisibleTimeRequestHeader<'a>;
type Answer = ChangeInvisibleTimeResponseHeader;

/// Serves 200053.
pub(crate) fn change_invisible_time(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let header: Header<'_> = call.header()?;
    match change(broker, &header) {
        Ok(answer) => out.respond(ResponseCode::Success, Some(NO_REMARK), &answer, &[], &[]),
        Err(refusal) => refusal.write_with(&Answer::default(), out),
    }
    Ok(Outcome::Done)
}

fn change(broker: &Broker, header: &Header<'_>) -> Result<Answer, Reject> {
    let (topic, queue_id, offset) = (header.topic, header.queue_id, header.offset);
    check_acked(broker, topic, queue_id)?;
    let min = broker.store.min_offset(topic, queue_id).max(0);
    let max = broker.store.max_offset(topic, queue_id);
    if !(min..max).contains(&offset) {
        return Err(Reject::new(ResponseCode::NoMessage, NO_REMARK));
    }
    let receipt = Receipt::decode(header.extra_info)?;
    match receipt.is_orderly() {
        true => Ok(change_in_order(broker, header, &receipt)),
        false => hide_again(broker, header, &receipt),
    }
}

fn hide_again(
    broker: &Broker,
    header: &Header<'_>,
    receipt: &Receipt<'_>,
) -> Result<Answer, Reject> {
    let (group, topic, queue_id) = (header.consumer_group, header.topic, header.queue_id);
    let now = now_ms();
    let pop_time = pop_time_after(receipt.pop_time, now);
    let check_point = CheckPoint {
        start_offset: header.offset,
        pop_time,
        invisible_time: header.invisible_time,
        acked: 0,
        count: 1,
        queue_id,
        topic: topic.into(),
        group: group.into(),
        differences: smallvec![0],
        broker_name: Some(receipt.broker_name.into()),
        re_puts: 0,
    };
    pop::hide_again(broker, &check_point, receipt.revive_queue)?;
    let ack = Ack {
        offset: header.offset,
        start_offset: receipt.start_offset,
        group: group.into(),
        topic: topic.into(),
        queue_id,
        pop_time: receipt.pop_time,
        broker_name: Some(receipt.broker_name.into()),
    };
    pop::acknowledge(broker, &ack, receipt.invisible_time, receipt.revive_queue)?;
    broker.traffic.acked(group, topic, 1);
    Ok(Answer { pop_time, invisible_time: header.invisible_time, revive_qid: receipt.revive_queue })
}

/// The time of the new check point: now, but never that of the old one.
///
/// Better than Java: a check point is known by its pop time and first offset, so a change within
/// the millisecond of the pop would be taken for consumed with the old one.
fn pop_time_after(last: i64, now: i64) -> i64 {
    let ahead = last.saturating_sub(now);
    if (0..AHEAD_MS_MAX).contains(&ahead) { last + 1 } else { now }
}

fn change_in_order(broker: &Broker, header: &Header<'_>, receipt: &Receipt<'_>) -> Answer {
    let (group, topic, queue_id) = (header.consumer_group, header.topic, header.queue_id);
    let _one = broker.pops.locks.lock(topic, group, queue_id);
    let committed = broker.offsets.query(group, topic, queue_id).unwrap_or(-1);
    if header.offset < committed {
        // Java quirk: success with nothing in it (`a_change_in_order_moves_one_message`).
        return Answer::default();
    }
    let visible_at = now_ms().saturating_add(header.invisible_time);
    let pop_time = receipt.pop_time;
    broker.orders.change(topic, group, queue_id, header.offset, pop_time, visible_at);
    Answer {
        pop_time,
        invisible_time: visible_at.saturating_sub(pop_time),
        revive_qid: receipt.revive_queue,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_check_point_has_a_time_of_its_own() {
        assert_eq!(pop_time_after(1_000, 5_000), 5_000);
        assert_eq!(pop_time_after(5_000, 5_000), 5_001);
        // Changed again within the same millisecond.
        assert_eq!(pop_time_after(5_001, 5_000), 5_002);
        assert_eq!(pop_time_after(i64::MAX, 5_000), 5_000);
        assert_eq!(pop_time_after(i64::MIN, 5_000), 5_000);
    }
}
