//! Request 200052: what a pop would find, left where it is.

use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use remoting::net::Outcome;
use remoting::protocol::code::ResponseCode;
use remoting::protocol::command::Responder;
use remoting::protocol::header::{PeekMessageRequestHeader, PopMessageResponseHeader};
use smallvec::SmallVec;
use store::{GetRequest, GetStatus, LogSlice};

use super::take::BYTES_ENOUGH;
use super::{check_broker, check_queue};
use crate::arrivals::ANY_QUEUE;
use crate::broker::Broker;
use crate::call::Call;
use crate::filter::Filter;
use crate::metrics::Way;
use crate::pop;
use crate::pop::polling::retry_topics;
use crate::reject::Reject;
use crate::traffic::Counted;

/// What was seen of the queues visited so far.
struct Seen {
    slices: SmallVec<[LogSlice; 8]>,
    count: usize,
    bytes: usize,
    rest: i64,
    from_disk: bool,
}

/// Serves 200052.
pub(crate) fn peek_message(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let header: PeekMessageRequestHeader = call.header()?;
    let seen = match check(broker, &header) {
        Ok(count_max) => peek(broker, &header, count_max),
        Err(refusal) => {
            refusal.write_with(&PopMessageResponseHeader::default(), out);
            return Ok(Outcome::Done);
        }
    };
    if !seen.from_disk {
        write(&seen, out);
        return Ok(Outcome::Done);
    }
    let tag = out.tag();
    Ok(Outcome::Later(Box::pin(async move {
        let read = tokio::task::spawn_blocking(move || {
            let mut bytes = BytesMut::new();
            write(&seen, &mut Responder::new(tag, &mut bytes));
            bytes
        });
        match read.await {
            Ok(bytes) => bytes,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    })))
}

/// Java's checks of a peek, in its order; returns how many messages are wanted.
fn check(broker: &Broker, header: &PeekMessageRequestHeader) -> Result<usize, Reject> {
    check_broker(broker)?;
    check_queue(broker, &header.consumer_group, &header.topic, header.queue_id)?;
    usize::try_from(header.max_msg_nums)
        .map_err(|_| Reject::thrown(format!("Illegal Capacity: {}", header.max_msg_nums)))
}

/// Visits the queues of the topic and of its retry topic, one of both first.
fn peek(broker: &Broker, header: &PeekMessageRequestHeader, count_max: usize) -> Seen {
    let (group, topic) = (header.consumer_group.as_str(), header.topic.as_str());
    let mut seen = Seen { slices: SmallVec::new(), count: 0, bytes: 0, rest: 0, from_disk: false };
    let chance = broker.pops.chance();
    let retries = retry_topics(broker, group, topic);
    let retry = retries.first().map(|retry| (retry.as_str(), ANY_QUEUE));
    let asked = Some((topic, header.queue_id.max(ANY_QUEUE)));
    let order = if chance % 5 == 0 { [retry, asked] } else { [asked, retry] };
    for (topic, queue_id) in order.into_iter().flatten() {
        let queues = broker.topics.look(topic).map_or(0, |facts| facts.read_queues);
        let visits = if queue_id == ANY_QUEUE { queues } else { 1 };
        for turn in 0..visits {
            let queue_id = if queue_id == ANY_QUEUE { (chance + turn) % queues } else { queue_id };
            let before = Counted { messages: seen.count as u64, bytes: seen.bytes as u64 };
            look(broker, group, topic, queue_id, count_max, &mut seen);
            let found = seen.count as u64 > before.messages;
            // Java quirk: metrics count at each queue what those before it gave.
            if found && before.messages > 0 && topic == header.topic && broker.measures.on {
                broker.traffic.handed(group, topic, Way::Pull, before);
            }
        }
    }
    if seen.count > 0 {
        let counted = Counted { messages: seen.count as u64, bytes: seen.bytes as u64 };
        broker.traffic.got(group, topic, broker.topics.is_system(topic), Way::Pop, counted);
    }
    seen
}

fn look(
    broker: &Broker,
    group: &str,
    topic: &str,
    queue_id: i32,
    count_max: usize,
    seen: &mut Seen,
) {
    let next = pop::next_offset(broker, topic, group, queue_id).filter(|offset| *offset >= 0);
    let offset = next.unwrap_or_else(|| broker.store.min_offset(topic, queue_id).max(0));
    seen.rest += broker.store.max_offset(topic, queue_id) - offset;
    if seen.count >= count_max || seen.bytes >= BYTES_ENOUGH {
        return;
    }
    let get = |queue_offset| {
        let count_max = i32::try_from(count_max - seen.count).unwrap_or(i32::MAX);
        let request = GetRequest { topic, queue_id, queue_offset, count_max, bytes_max: i32::MAX };
        let begun = Instant::now();
        let got = broker.get(&request, &Filter::ALL);
        broker.stats.got(u64::try_from(got.count).unwrap_or(0), begun.elapsed());
        got
    };
    let mut got = get(offset);
    if matches!(got.status, GetStatus::OffsetTooSmall | GetStatus::OffsetOverflowBadly) {
        got = get(got.next_offset);
    }
    seen.count += usize::try_from(got.count).unwrap_or(0);
    seen.bytes += got.bytes;
    seen.from_disk |= got.from_disk;
    seen.slices.extend(got.slices.drain(..));
}

fn write(seen: &Seen, out: &mut Responder<'_>) {
    let header = PopMessageResponseHeader { rest_num: seen.rest, ..Default::default() };
    let (code, remark) = match seen.slices.is_empty() {
        false => (ResponseCode::Success, "FOUND"),
        true => (ResponseCode::PullNotFound, "NO_MESSAGE_IN_QUEUE"),
    };
    let mut answer = out.begin(code, Some(remark), &header, &[]);
    for slice in &seen.slices {
        answer.body().extend_from_slice(slice.as_ref());
    }
    answer.finish();
}
