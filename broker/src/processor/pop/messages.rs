//! Request 200050: take messages, or wait for some.
//!
//! A pop that finds messages is answered at once. One that finds nothing stands in its line,
//! looks once more, and only then leaves a wait behind. Called or out of time it looks again; it
//! is answered when it found something or when the client is about to give up.

use std::sync::Arc;

use bytes::BytesMut;
use remoting::net::Outcome;
use remoting::protocol::code::ResponseCode;
use remoting::protocol::command::{Responder, ResponseTag};
use remoting::protocol::header::{PopMessageRequestHeader, PopMessageResponseHeader};
use runtime::clock::now_ms;

use super::take::{Ask, Taken, Visit};
use super::{check_broker, check_queue, retried};
use crate::arrivals::{ANY_QUEUE, Line, Purpose};
use crate::broker::Broker;
use crate::call::Call;
use crate::filter::Filter;
use crate::pop::polling::{Held, Patience, retry_topics};
use crate::pop::receipt::Receipt;
use crate::pop::{MESSAGES_MAX, ORDER_REVIVE_QUEUE};
use crate::reject::Reject;

/// `initMode` of a group that begins at the first message.
const INIT_MIN: i32 = 0;
/// Longest name of a try.
const ATTEMPT_ID_LEN_MAX: usize = 1024;

type Header<'a> = PopMessageRequestHeader<'a>;

/// Serves 200050.
pub(crate) fn pop_message(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let header: Header<'_> = call.header()?;
    broker.may_get(call, header.consumer_group)?;
    let patience = Patience::new(header.born_time, header.poll_time, now_ms());
    let served = check(broker, &header, patience).and_then(|ask| {
        let taken = pop(broker, &ask)?;
        match taken.count {
            0 => hold(broker, ask, taken, patience, out),
            _ => Ok(answer(broker, ask, taken, out)),
        }
    });
    Ok(served.unwrap_or_else(|refusal| {
        refusal.write_with(&PopMessageResponseHeader::default(), out);
        Outcome::Done
    }))
}

/// Java's checks of a pop, in its order.
fn check(broker: &Broker, header: &Header<'_>, patience: Patience) -> Result<Ask, Reject> {
    let (group, topic) = (header.consumer_group, header.topic);
    let now = now_ms();
    if patience.is_long_over(now) {
        let remark = "the pop message is timeout too much";
        return Err(Reject::new(ResponseCode::PollingTimeout, remark));
    }
    check_broker(broker)?;
    if usize::try_from(header.max_msg_nums).is_ok_and(|count| count > MESSAGES_MAX) {
        let remark = format!("the pop message's num is greater than {MESSAGES_MAX}");
        return Err(Reject::new(ResponseCode::InvalidParameter, remark));
    }
    if !broker.store.config().timer_wheel_enable {
        let remark = "the pop message is forbidden because timerWheelEnable is false";
        return Err(Reject::new(ResponseCode::SystemError, remark));
    }
    check_queue(broker, group, topic, header.queue_id)?;
    if header.attempt_id.is_some_and(|id| id.len() > ATTEMPT_ID_LEN_MAX) {
        return Err(Reject::new(ResponseCode::InvalidParameter, "the attemptId is too long"));
    }
    let expression = header.exp.filter(|text| !text.is_empty());
    let kind = header.exp_type.filter(|_| expression.is_some());
    let filter = Filter::parse(kind, expression).map_err(|_| {
        let remark = "parse the consumer's subscription failed";
        Reject::new(ResponseCode::SubscriptionParseFailed, remark)
    })?;
    let assumed = &broker.consumers.assumed;
    assumed.note(group, topic, kind, expression, now);
    if let Some(retry) = retry_topics(broker, group, topic).first() {
        assumed.note(group, retry, None, None, now);
    }
    let count_max = usize::try_from(header.max_msg_nums)
        .map_err(|_| Reject::thrown(format!("Illegal Capacity: {}", header.max_msg_nums)))?;
    Ok(Ask {
        group: group.into(),
        topic: topic.into(),
        queue_id: header.queue_id.max(ANY_QUEUE),
        count_max,
        invisible_time: header.invisible_time,
        from_min: header.init_mode == INIT_MIN,
        order: header.order,
        attempt_id: header.attempt_id.map(Into::into),
        filter,
    })
}

/// Visits the queues of the topic and of its retry topics.
fn pop(broker: &Broker, ask: &Ask) -> Result<Taken, Reject> {
    let revive_queue = match ask.order {
        true => ORDER_REVIVE_QUEUE,
        false => broker.pops.next_revive_queue(),
    };
    let mut taken = Taken::new(now_ms(), revive_queue);
    let chance = broker.pops.chance();
    let mut retries = match ask.order {
        true => Vec::new(),
        false => retry_topics(broker, &ask.group, &ask.topic),
    };
    // Of two retry topics each has its turn: an answer can describe one only beside the topic.
    if chance % 2 == 0 {
        retries.reverse();
    }
    let mut retries = retries.iter();
    let retry_first = chance < broker.live().pop_from_retry_probability;
    if retry_first && let Some(retry) = retries.next() {
        visit(broker, ask, retry, ANY_QUEUE, true, chance, &mut taken);
    }
    visit(broker, ask, &ask.topic, ask.queue_id, false, chance, &mut taken);
    if !retry_first
        && !taken.is_full(ask)
        && let Some(retry) = retries.next()
    {
        visit(broker, ask, retry, ANY_QUEUE, true, chance, &mut taken);
    }
    // Better than Java, which leaves the other one to a later pop.
    for retry in retries {
        if taken.count == 0 {
            visit(broker, ask, retry, ANY_QUEUE, true, chance, &mut taken);
        }
    }
    match taken.refused.take() {
        Some(refusal) if taken.count == 0 => Err(refusal),
        _ => Ok(taken),
    }
}

/// Visits one queue of a topic, or all of them, beginning anywhere.
fn visit(
    broker: &Broker,
    ask: &Ask,
    topic: &str,
    queue_id: i32,
    retried: bool,
    chance: i32,
    to: &mut Taken,
) {
    let Some(facts) = broker.topics.look(topic) else { return };
    let visit = |queue_id| Visit { broker, ask, topic, queue_id, retried };
    if queue_id != ANY_QUEUE {
        return visit(queue_id).take(to);
    }
    let queues = facts.read_queues;
    (0..queues).for_each(|turn| visit((chance + turn) % queues).take(to));
}

/// Answers with messages, here, or on another thread when they have to come from the disk first.
fn answer(broker: &Arc<Broker>, ask: Ask, taken: Taken, out: &mut Responder<'_>) -> Outcome {
    if taken.rest > 0 {
        broker.arrivals.call_next(&line(&ask));
    }
    if !taken.batches.iter().any(|batch| batch.from_disk) {
        write(broker, &ask, &taken, ResponseCode::Success, out);
        return Outcome::Done;
    }
    let (broker, tag) = (Arc::clone(broker), out.tag());
    Outcome::Later(Box::pin(async move {
        let read = tokio::task::spawn_blocking(move || {
            let mut bytes = BytesMut::new();
            let mut out = Responder::new(tag, &mut bytes);
            write(&broker, &ask, &taken, ResponseCode::Success, &mut out);
            bytes
        });
        match read.await {
            Ok(bytes) => bytes,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }))
}

fn write(broker: &Broker, ask: &Ask, taken: &Taken, code: ResponseCode, out: &mut Responder<'_>) {
    let header = PopMessageResponseHeader {
        pop_time: taken.pop_time,
        invisible_time: ask.invisible_time,
        revive_qid: taken.revive_queue,
        rest_num: taken.rest,
        start_offset_info: Some(&taken.places.starts),
        msg_offset_info: Some(&taken.places.offsets),
        order_count_info: ask.order.then_some(taken.counts.as_str()),
    };
    let remark = if taken.count > 0 { "FOUND" } else { "NO_MESSAGE_IN_QUEUE" };
    let mut answer = out.begin(code, Some(remark), &header, &[]);
    for batch in &taken.batches {
        if batch.retried && !broker.live().pop_response_return_actual_retry_topic {
            let receipt = Receipt {
                start_offset: batch.start_offset,
                pop_time: taken.pop_time,
                invisible_time: ask.invisible_time,
                revive_queue: taken.revive_queue,
                broker_name: &broker.config.broker_name,
            };
            retried::append(batch, &ask.topic, &receipt, answer.body());
        } else {
            let body = answer.body();
            batch.slices.iter().for_each(|slice| body.extend_from_slice(slice.as_ref()));
        }
    }
    answer.finish();
}

fn line(ask: &Ask) -> Line<'_> {
    Line { purpose: Purpose::Pop, group: &ask.group, topic: &ask.topic, queue_id: ask.queue_id }
}

/// Stands in line, looks once more, and waits.
fn hold(
    broker: &Arc<Broker>,
    ask: Ask,
    taken: Taken,
    patience: Patience,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let held = match Held::new(broker, &line(&ask), ask.filter.clone(), patience) {
        Ok(held) => held,
        Err(code) => {
            write(broker, &ask, &taken, code, out);
            return Ok(Outcome::Done);
        }
    };
    // A message between the first look and the place in the line called nobody.
    let taken = pop(broker, &ask)?;
    if taken.count > 0 {
        drop(held);
        return Ok(answer(broker, ask, taken, out));
    }
    out.hold();
    let waiting = wait(Arc::clone(broker), ask, taken, held, out.tag());
    Ok(Outcome::Later(Box::pin(waiting)))
}

/// Looks again and again until there is something to say.
async fn wait(
    broker: Arc<Broker>,
    ask: Ask,
    mut taken: Taken,
    held: Held,
    tag: ResponseTag,
) -> BytesMut {
    let mut bytes = BytesMut::new();
    loop {
        if taken.passed_over && taken.rest > 0 {
            // The filter left out as many as one look takes: the next ones may be wanted.
            tokio::task::yield_now().await;
        } else {
            held.wait(taken.free_at.unwrap_or(i64::MAX)).await;
        }
        let last = held.is_over(&broker);
        let mut out = Responder::new(tag, &mut bytes);
        let looked = check_queue(&broker, &ask.group, &ask.topic, ask.queue_id)
            .and_then(|_| pop(&broker, &ask));
        match looked {
            Err(refusal) => {
                refusal.write_with(&PopMessageResponseHeader::default(), &mut out);
                return bytes;
            }
            Ok(found) if found.count > 0 => {
                drop(held);
                return match answer(&broker, ask, found, &mut out) {
                    Outcome::Done => bytes,
                    Outcome::Later(read) => read.await,
                };
            }
            Ok(nothing) if last => {
                write(&broker, &ask, &nothing, ResponseCode::PollingTimeout, &mut out);
                return bytes;
            }
            Ok(nothing) => taken = nothing,
        }
    }
}
