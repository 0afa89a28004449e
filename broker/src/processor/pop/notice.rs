//! Request 200054: is there something to pop? Answered at once if so, else when there is or when
//! the client is about to give up.

use std::sync::Arc;

use bytes::BytesMut;
use remoting::net::Outcome;
use remoting::protocol::code::ResponseCode;
use remoting::protocol::command::Responder;
use remoting::protocol::header::{NotificationRequestHeader, NotificationResponseHeader};
use runtime::clock::now_ms;

use super::{NO_REMARK, check_broker, check_queue};
use crate::arrivals::{ANY_QUEUE, Line, Purpose};
use crate::broker::Broker;
use crate::call::Call;
use crate::filter::Filter;
use crate::pop;
use crate::pop::polling::{Held, Patience, retry_topics};
use crate::reject::Reject;

type Header<'a> = NotificationRequestHeader<'a>;
type Answer = NotificationResponseHeader;

/// What is asked for, checked.
struct Ask {
    group: Box<str>,
    topic: Box<str>,
    queue_id: i32,
    order: bool,
    attempt_id: Option<Box<str>>,
}

/// Serves 200054.
pub(crate) fn notification(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let header: Header<'_> = call.header()?;
    let ask = match check(broker, &header) {
        Ok(ask) => ask,
        Err(refusal) => {
            refusal.write_with(&Answer::default(), out);
            return Ok(Outcome::Done);
        }
    };
    if has_messages(broker, &ask) {
        answer(true, false, out);
        return Ok(Outcome::Done);
    }
    let patience = Patience::new(header.born_time, header.poll_time, now_ms());
    Ok(hold(broker, ask, patience, out))
}

fn check(broker: &Broker, header: &Header<'_>) -> Result<Ask, Reject> {
    check_broker(broker)?;
    let (group, topic, queue_id) = (header.consumer_group, header.topic, header.queue_id);
    check_queue(broker, group, topic, queue_id)?;
    Ok(Ask {
        group: group.into(),
        topic: topic.into(),
        queue_id: queue_id.max(ANY_QUEUE),
        order: header.order,
        attempt_id: header.attempt_id.map(Into::into),
    })
}

fn answer(has_msg: bool, polling_full: bool, out: &mut Responder<'_>) {
    let header = Answer { has_msg, polling_full };
    out.respond(ResponseCode::Success, Some(NO_REMARK), &header, &[], &[]);
}

fn hold(broker: &Arc<Broker>, ask: Ask, patience: Patience, out: &mut Responder<'_>) -> Outcome {
    let line = Line {
        purpose: Purpose::Notice,
        group: &ask.group,
        topic: &ask.topic,
        queue_id: ask.queue_id,
    };
    let held = match Held::new(broker, &line, Filter::ALL, patience) {
        Ok(held) => held,
        Err(code) => {
            answer(false, code == ResponseCode::PollingFull, out);
            return Outcome::Done;
        }
    };
    if has_messages(broker, &ask) {
        answer(true, false, out);
        return Outcome::Done;
    }
    out.hold();
    let (broker, tag) = (Arc::clone(broker), out.tag());
    Outcome::Later(Box::pin(async move {
        let mut bytes = BytesMut::new();
        loop {
            held.wait(free_at(&broker, &ask).unwrap_or(i64::MAX)).await;
            let last = held.is_over(&broker);
            let has_msg = has_messages(&broker, &ask);
            if has_msg || last {
                answer(has_msg, false, &mut Responder::new(tag, &mut bytes));
                return bytes;
            }
        }
    }))
}

/// Whether a pop would find something.
fn has_messages(broker: &Broker, ask: &Ask) -> bool {
    if in_topic(broker, ask, &ask.topic, ask.queue_id) {
        return true;
    }
    let retries = retry_topics(broker, &ask.group, &ask.topic);
    retries.iter().any(|retry| in_topic(broker, ask, retry, ANY_QUEUE))
}

/// When the first of the queues that wait in order is free.
fn free_at(broker: &Broker, ask: &Ask) -> Option<i64> {
    if !ask.order {
        return None;
    }
    let now = now_ms();
    let queues = match ask.queue_id {
        ANY_QUEUE => 0..broker.topics.look(&ask.topic)?.read_queues,
        one => one..one + 1,
    };
    let free = |queue_id| broker.orders.free_at(&ask.topic, &ask.group, queue_id, now);
    queues.filter_map(free).filter(|at| *at > now).min()
}

fn in_topic(broker: &Broker, ask: &Ask, topic: &str, queue_id: i32) -> bool {
    if queue_id != ANY_QUEUE {
        return in_queue(broker, ask, topic, queue_id);
    }
    let queues = broker.topics.look(topic).map_or(0, |facts| facts.read_queues);
    (0..queues).any(|queue_id| in_queue(broker, ask, topic, queue_id))
}

fn in_queue(broker: &Broker, ask: &Ask, topic: &str, queue_id: i32) -> bool {
    let Ask { group, attempt_id, .. } = ask;
    // Java quirk: a retry topic is asked for what holds the topic itself
    // (`a_notification_waits_for_the_order`).
    let blocked = || {
        let attempt = attempt_id.as_deref();
        broker.orders.blocked(attempt, &ask.topic, group, queue_id, 0, now_ms())
    };
    if ask.order && blocked() {
        return false;
    }
    let next = pop::next_offset(broker, topic, group, queue_id).filter(|offset| *offset >= 0);
    let next = next.unwrap_or_else(|| broker.store.min_offset(topic, queue_id).max(0));
    broker.store.max_offset(topic, queue_id) > next
}
