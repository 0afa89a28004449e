//! Pulling: requests 11 and 361.
//!
//! A pull that finds messages in memory is answered on the connection's thread, the records copied
//! from the mapped log behind the header; one whose messages have to come from the disk first is
//! answered by another thread. One that finds nothing and may be held subscribes to arrivals, looks
//! once more if something arrived before that, and only then leaves a wait behind; when woken, or
//! at its deadline, it looks again and answers whatever it finds.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use remoting::net::Outcome;
use remoting::protocol::body::{ConsumeType, MASTER_ID};
use remoting::protocol::code::ResponseCode;
use remoting::protocol::command::{Responder, ResponseTag};
use remoting::protocol::header::{PullMessageRequestHeader, PullMessageResponseHeader};
use runtime::clock::now_ms;
use store::{GetRequest, GetStatus, Got, Reused};
use tokio::time::{Instant, timeout_at};

use crate::broker::Broker;
use crate::call::Call;
use crate::config::LiveConfig;
use crate::filter::{Filter, FilterError, is_tag_type};
use crate::groups::pulls_unannounced;
use crate::metrics::Way;
use crate::processor::heartbeat::filter_not_enabled;
use crate::reject::Reject;
use crate::topics::perm;

/// Bits of the request's `sysFlag`.
const COMMIT_OFFSET: i32 = 1;
const SUSPEND: i32 = 2;
const SUBSCRIPTION: i32 = 4;

/// Longest time a pull is held, whatever it asks for.
const HOLD_MAX: Duration = Duration::from_secs(110);

/// How long a group that pulls waits for the next of its old messages, once it has had its share.
const COLD_PAUSE: Duration = Duration::from_secs(3);

/// What a client may be forbidden.
#[derive(Clone, Copy)]
enum Forbidden {
    Broker,
    Group,
    Topic,
    Broadcast,
    Subscription,
}

type Header<'a> = PullMessageRequestHeader<'a>;

/// Serves 11.
pub(crate) fn pull_message(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let header: Header<'_> = call.header()?;
    pull(broker, call, &header, out)
}

/// Serves 361, the pull of lite consumers.
pub(crate) fn lite_pull_message(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let header: Header<'_> = call.header()?;
    if !broker.live().lite_pull_message_enable {
        return Err(forbidden(Forbidden::Broker, "lite pull is not enabled on this broker"));
    }
    pull(broker, call, &header, out)
}

fn pull(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    header: &Header<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let (live, now_ms) = (broker.live(), now_ms());
    let ask = check(broker, &live, call, header, now_ms)?;
    let (group, topic) = (header.consumer_group, header.topic);
    broker.may_get(call, group)?;
    let commits = header.sys_flag & COMMIT_OFFSET != 0;
    // A pending reset is not overwritten by the pull that will deliver it.
    if commits && !broker.offsets.has_reset(group, topic, header.queue_id) {
        broker.offsets.commit(group, topic, header.queue_id, header.commit_offset, now_ms);
    }
    let place = Place { group, topic };
    if broker.cold_reads.exceeded(group) && !pulls_unannounced(group) && is_old(broker, topic, &ask)
    {
        return slow_down(broker, place, ask, out);
    }
    let begun = Instant::now();
    let Some(found) = look_at_once(broker, place, &ask, begun) else {
        return Ok(look_on_disk(broker, place, ask, Duration::ZERO, out));
    };
    if found.code != ResponseCode::PullNotFound || header.sys_flag & SUSPEND == 0 {
        write(&ask, &found, out);
        return Ok(Outcome::Done);
    }
    let millis = match live.long_polling_enable {
        true => header.suspend_timeout_millis,
        false => live.short_polling_time_mills,
    };
    let patience = together(now_ms, millis).min(HOLD_MAX);
    if patience.is_zero() {
        write(&ask, &found, out);
        return Ok(Outcome::Done);
    }
    Ok(hold(broker, place, ask, found, begun + patience, out))
}

/// Who reads what.
#[derive(Clone, Copy)]
struct Place<'a> {
    group: &'a str,
    topic: &'a str,
}

fn is_old(broker: &Broker, topic: &str, ask: &Ask) -> bool {
    broker.store.is_old(topic, ask.queue_id, ask.queue_offset)
}

/// Slows down a group that has read its share of old data: one that pushes is refused, one that
/// pulls waits and gets a single message.
fn slow_down(
    broker: &Arc<Broker>,
    place: Place<'_>,
    ask: Ask,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let kind = broker.consumers.with_group(place.group, |members| members.consume_type);
    if kind.flatten() == Some(ConsumeType::Passively) {
        let remark = "This consumer group is reading cold data. It has been flow control";
        return Err(Reject::new(ResponseCode::SystemBusy, remark));
    }
    Ok(look_on_disk(broker, place, Ask { count_max: 1, ..ask }, COLD_PAUSE, out))
}

/// Looks into the queue, after a while, on a thread that may wait for the disk.
fn look_on_disk(
    broker: &Arc<Broker>,
    place: Place<'_>,
    ask: Ask,
    pause: Duration,
    out: &mut Responder<'_>,
) -> Outcome {
    let (group, topic) = (place.group.to_owned(), place.topic.to_owned());
    let (broker, tag) = (Arc::clone(broker), out.tag());
    Outcome::Later(Box::pin(async move {
        tokio::time::sleep(pause).await;
        answer_from_disk(broker, group, topic, ask, tag).await
    }))
}

/// Looks, and encodes the answer, where waiting for the disk holds nobody up.
async fn answer_from_disk(
    broker: Arc<Broker>,
    group: String,
    topic: String,
    ask: Ask,
    tag: ResponseTag,
) -> BytesMut {
    let turn = Arc::clone(&broker);
    let _turn = turn.cold_reads.turn(&group).await;
    let work = move || {
        let mut bytes = BytesMut::new();
        let found = look(&broker, Place { group: &group, topic: &topic }, &ask);
        write(&ask, &found, &mut Responder::new(tag, &mut bytes));
        bytes
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(bytes) => bytes,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// What is asked of a queue, checked.
struct Ask {
    queue_id: i32,
    queue_offset: i64,
    count_max: i32,
    filter: Filter,
    topic_sys_flag: i32,
    group_sys_flag: i32,
    /// The broker to read from next, while the group keeps up and when it does not.
    next_broker: [i64; 2],
}

impl Ask {
    fn request<'a>(&self, topic: &'a str) -> GetRequest<'a> {
        GetRequest {
            topic,
            queue_id: self.queue_id,
            queue_offset: self.queue_offset,
            count_max: self.count_max,
            bytes_max: i32::MAX,
        }
    }
}

/// Java's checks of a pull, in its order.
fn check(
    broker: &Broker,
    live: &LiveConfig,
    call: &Call<'_>,
    header: &Header<'_>,
    now_ms: i64,
) -> Result<Ask, Reject> {
    let (group, topic) = (header.consumer_group, header.topic);
    if !perm::readable(live.broker_permission) {
        return Err(forbidden(Forbidden::Broker, "pulling from this broker is forbidden"));
    }
    let Some(group_config) = broker.group(group) else {
        let remark = format!("subscription group [{group}] does not exist");
        return Err(Reject::new(ResponseCode::SubscriptionGroupNotExist, remark));
    };
    if !group_config.consume_enable {
        let remark = format!("subscription group no permission, {group}");
        return Err(forbidden(Forbidden::Group, remark));
    }
    let Some(facts) = broker.topics.look(topic) else {
        let remark = format!("topic[{topic}] not exist, apply first please!");
        return Err(Reject::new(ResponseCode::TopicNotExist, remark));
    };
    if !perm::readable(facts.perm) {
        let remark = format!("the topic[{topic}] pulling message is forbidden");
        return Err(forbidden(Forbidden::Topic, remark));
    }
    if header.queue_id < 0 || header.queue_id >= facts.read_queues {
        let (id, queues) = (header.queue_id, facts.read_queues);
        let remark = format!("queueId[{id}] of topic[{topic}] is not below {queues}");
        return Err(Reject::new(ResponseCode::InvalidParameter, remark));
    }
    let filter = if header.sys_flag & SUBSCRIPTION != 0 {
        filter_of_request(broker, header, now_ms)?
    } else {
        filter_of_group(broker, header, group_config.consume_broadcast_enable)?
    };
    if live.reject_pull_consumer_enable {
        refuse_pull_consumer(broker, call, group)?;
    }
    let next_broker = match live.slave_read_enable {
        true => [group_config.broker_id, group_config.which_broker_when_consume_slowly],
        false => [MASTER_ID; 2],
    };
    Ok(Ask {
        queue_id: header.queue_id,
        queue_offset: header.queue_offset,
        // A count of nothing delivers one message, as in Java.
        count_max: header.max_msg_nums.max(1),
        filter,
        topic_sys_flag: facts.sys_flag,
        group_sys_flag: group_config.group_sys_flag,
        next_broker,
    })
}

/// Refuses who pulls without being a member of a group that pushes.
fn refuse_pull_consumer(broker: &Broker, call: &Call<'_>, group: &str) -> Result<(), Reject> {
    let accepted = broker.consumers.with_group(group, |members| {
        members.consume_type != Some(ConsumeType::Actively) || members.has(call.peer.id())
    });
    if accepted == Some(true) || pulls_unannounced(group) {
        return Ok(());
    }
    let remark = "the consumer's group info not exist, or the pull consumer is rejected by server.";
    Err(Reject::new(ResponseCode::SubscriptionNotExist, remark))
}

/// The filter that the request itself carries.
fn filter_of_request(broker: &Broker, header: &Header<'_>, now_ms: i64) -> Result<Filter, Reject> {
    let (kind, text) = (header.expression_type, header.subscription);
    let parsed = Filter::parse(kind, text);
    let empty = !is_tag_type(kind) && text.is_none_or(str::is_empty);
    if empty || matches!(parsed, Err(FilterError::NoTags)) {
        let remark = "parse the consumer's subscription failed";
        return Err(Reject::new(ResponseCode::SubscriptionParseFailed, remark));
    }
    broker.consumers.assumed.note(header.consumer_group, header.topic, kind, text, now_ms);
    if !is_tag_type(kind) && !broker.live().enable_property_filter {
        return Err(filter_not_enabled(kind.unwrap_or_default()));
    }
    // Java quirk: an expression that does not compile, or of an unknown type, filters nothing
    // (`an_illegal_expression_in_a_pull_filters_nothing`).
    Ok(match parsed.unwrap_or(Filter::ALL) {
        Filter::Sql(sql) => broker.sql_filter(header.topic, sql),
        tags => tags,
    })
}

/// The filter that the group's heartbeats brought.
fn filter_of_group(
    broker: &Broker,
    header: &Header<'_>,
    broadcast_enabled: bool,
) -> Result<Filter, Reject> {
    let (group, topic) = (header.consumer_group, header.topic);
    let missing = || {
        broker.consumers.forget_fingerprint(group);
        let remark =
            format!("the consumer's subscription to {topic} does not exist, group {group}");
        Reject::new(ResponseCode::SubscriptionNotExist, remark)
    };
    let broadcasts = broker.consumers.with_group(group, |members| members.broadcasts());
    if broadcasts.ok_or_else(missing)? && !broadcast_enabled {
        let remark = format!("the consumer group[{group}] cannot consume by broadcasting");
        return Err(forbidden(Forbidden::Broadcast, remark));
    }
    if broker.groups.read_forbidden(group, topic) {
        let remark = format!("the consumer group[{group}] is forbidden for topic[{topic}]");
        return Err(forbidden(Forbidden::Subscription, remark));
    }
    let subscription = broker.consumers.subscription(group, topic).ok_or_else(missing)?;
    if subscription.data.sub_version < header.sub_version {
        broker.consumers.forget_fingerprint(group);
        let remark = "the consumer's subscription not latest";
        return Err(Reject::new(ResponseCode::SubscriptionNotLatest, remark));
    }
    if is_tag_type(Some(&subscription.data.expression_type)) {
        return Ok(subscription.filter.clone());
    }
    registered_filter(broker, header, &subscription.data.expression_type)
}

/// The compiled expression of the group's heartbeats. What the request says its type is does not
/// count: Go's pulls say TAG.
fn registered_filter(broker: &Broker, header: &Header<'_>, kind: &str) -> Result<Filter, Reject> {
    let Some(registered) = broker.filters.find(header.consumer_group, header.topic) else {
        let remark = "the broker has no filter of this consumer, its expression may be wrong";
        return Err(Reject::new(ResponseCode::FilterDataNotExist, remark));
    };
    if registered.client_version < header.sub_version {
        broker.consumers.forget_fingerprint(header.consumer_group);
        let remark = "the consumer's filter data not latest";
        return Err(Reject::new(ResponseCode::FilterDataNotLatest, remark));
    }
    if !broker.live().enable_property_filter {
        return Err(filter_not_enabled(kind));
    }
    Ok(broker.sql_filter(header.topic, registered.sql))
}

fn forbidden(what: Forbidden, remark: impl Into<Cow<'static, str>>) -> Reject {
    // Wire: Java's numbers of the reasons.
    let number = match what {
        Forbidden::Broker => "1",
        Forbidden::Group => "2",
        Forbidden::Topic => "3",
        Forbidden::Broadcast => "4",
        Forbidden::Subscription => "5",
    };
    Reject::new(ResponseCode::NoPermission, remark).with("forbiddenType", number)
}

/// What a look into the queue found and the code it has.
struct Found {
    got: Got,
    code: ResponseCode,
    remark: &'static str,
}

/// Looks into the queue, and waits for the disk where that has to be.
fn look(broker: &Broker, place: Place<'_>, ask: &Ask) -> Found {
    moved_by_reset(broker, place, ask).unwrap_or_else(|| {
        let begun = Instant::now();
        let got = broker.get(&ask.request(place.topic), &ask.filter);
        note(broker, place, ask, got, begun.elapsed())
    })
}

/// Looks into the queue, beginning now; `None` if the disk would have to be waited for.
fn look_at_once(broker: &Broker, place: Place<'_>, ask: &Ask, begun: Instant) -> Option<Found> {
    if let Some(moved) = moved_by_reset(broker, place, ask) {
        return Some(moved);
    }
    let got = broker.get_at_once(&ask.request(place.topic), &ask.filter)?;
    Some(note(broker, place, ask, got, begun.elapsed()))
}

/// Notes what a group got, and after how long.
fn note(broker: &Broker, place: Place<'_>, ask: &Ask, got: Got, took: Duration) -> Found {
    let Place { group, topic } = place;
    if got.from_disk {
        broker.cold_reads.note(group, got.bytes, now_ms());
    }
    let code = code_of(got.status, ask.queue_offset);
    broker.count_got(group, (topic, topic), Way::Pull, &got, took);
    broker.offsets.commit_pull(group, topic, ask.queue_id, got.next_offset);
    let remark = name_of(got.status);
    Found { got, code, remark }
}

/// What a pull finds after an administrator has reset the queue.
fn moved_by_reset(broker: &Broker, place: Place<'_>, ask: &Ask) -> Option<Found> {
    let (topic, queue_id) = (place.topic, ask.queue_id);
    let offset = broker.offsets.take_reset(place.group, topic, queue_id)?;
    let got = Got {
        status: GetStatus::NoMatchedMessage,
        next_offset: offset,
        min_offset: broker.store.min_offset(topic, queue_id).max(0),
        max_offset: broker.store.max_offset(topic, queue_id).max(0),
        slices: Reused::default(),
        count: 0,
        bytes: 0,
        from_disk: false,
    };
    Some(Found { got, code: ResponseCode::PullOffsetMoved, remark: "OFFSET_RESET" })
}

fn code_of(status: GetStatus, queue_offset: i64) -> ResponseCode {
    match status {
        GetStatus::Found => ResponseCode::Success,
        GetStatus::NoMatchedMessage | GetStatus::MessageWasRemoving => {
            ResponseCode::PullRetryImmediately
        }
        GetStatus::NoMatchedLogicQueue | GetStatus::NoMessageInQueue if queue_offset != 0 => {
            ResponseCode::PullOffsetMoved
        }
        GetStatus::NoMatchedLogicQueue
        | GetStatus::NoMessageInQueue
        | GetStatus::OffsetFoundNull
        | GetStatus::OffsetOverflowOne => ResponseCode::PullNotFound,
        GetStatus::OffsetOverflowBadly | GetStatus::OffsetTooSmall => ResponseCode::PullOffsetMoved,
    }
}

/// The remark of every answer, also of a successful one.
fn name_of(status: GetStatus) -> &'static str {
    match status {
        GetStatus::Found => "FOUND",
        GetStatus::NoMatchedMessage => "NO_MATCHED_MESSAGE",
        GetStatus::MessageWasRemoving => "MESSAGE_WAS_REMOVING",
        GetStatus::OffsetFoundNull => "OFFSET_FOUND_NULL",
        GetStatus::OffsetOverflowBadly => "OFFSET_OVERFLOW_BADLY",
        GetStatus::OffsetOverflowOne => "OFFSET_OVERFLOW_ONE",
        GetStatus::OffsetTooSmall => "OFFSET_TOO_SMALL",
        GetStatus::NoMatchedLogicQueue => "NO_MATCHED_LOGIC_QUEUE",
        GetStatus::NoMessageInQueue => "NO_MESSAGE_IN_QUEUE",
    }
}

fn write(ask: &Ask, found: &Found, out: &mut Responder<'_>) {
    let Found { got, code, remark } = found;
    let header = PullMessageResponseHeader {
        suggest_which_broker_id: ask.next_broker[usize::from(got.from_disk)],
        next_begin_offset: got.next_offset,
        min_offset: got.min_offset,
        max_offset: got.max_offset,
        offset_delta: None,
        topic_sys_flag: Some(ask.topic_sys_flag),
        group_sys_flag: Some(ask.group_sys_flag),
        forbidden_type: None,
    };
    let mut answer = out.begin(*code, Some(*remark), &header, &[]);
    for slice in &got.slices {
        answer.body().extend_from_slice(slice.as_ref());
    }
    answer.finish();
}

/// How long a pull is held that may wait for so many ms: long waits end together with others, at a
/// full second, so that many idle consumers wake the broker once. Java is up to 5 s late.
fn together(now_ms: i64, millis: i64) -> Duration {
    const LONG_MS: i64 = 5_000;
    const GRID_MS: i64 = 1_000;
    let late_ms = if millis >= LONG_MS { -(now_ms + millis % GRID_MS) } else { 0 };
    let millis = millis.saturating_add(late_ms.rem_euclid(GRID_MS));
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

/// Room for the header of an answer.
const HEADER_ROOM: usize = 512;

/// Subscribes, looks once more if something has arrived, and waits.
fn hold(
    broker: &Arc<Broker>,
    place: Place<'_>,
    ask: Ask,
    found: Found,
    deadline: Instant,
    out: &mut Responder<'_>,
) -> Outcome {
    let waiter = broker.arrivals.subscribe(place.topic, ask.queue_id, ask.filter.clone());
    let Some(waiter) = waiter else {
        write(&ask, &found, out);
        return Outcome::Done;
    };
    // An append between the look and the subscription woke nobody.
    if broker.store.max_offset(place.topic, ask.queue_id) != found.got.max_offset {
        let Some(found) = look_at_once(broker, place, &ask, Instant::now()) else {
            return look_on_disk(broker, place, ask, Duration::ZERO, out);
        };
        if found.code != ResponseCode::PullNotFound {
            write(&ask, &found, out);
            return Outcome::Done;
        }
    }
    out.hold();
    let (group, topic) = (place.group.to_owned(), place.topic.to_owned());
    let (broker, tag) = (Arc::clone(broker), out.tag());
    Outcome::Later(Box::pin(async move {
        // Woken, out of time, or stopping: the answer is what the queue holds then.
        let _ = timeout_at(deadline, waiter.woken()).await;
        drop(waiter);
        let place = Place { group: &group, topic: &topic };
        let Some(found) = look_at_once(&broker, place, &ask, Instant::now()) else {
            return answer_from_disk(broker, group, topic, ask, tag).await;
        };
        let mut bytes = BytesMut::with_capacity(HEADER_ROOM + found.got.bytes);
        write(&ask, &found, &mut Responder::new(tag, &mut bytes));
        bytes
    }))
}

#[cfg(test)]
mod tests {
    use super::together;

    #[test]
    fn long_waits_end_at_a_full_second_and_short_ones_as_asked() {
        for (now_ms, millis, held_ms) in [
            (12_300, 15_000, 15_700),
            (12_300, 15_250, 15_700),
            (12_000, 15_000, 15_000),
            (12_300, 4_999, 4_999),
            (12_300, 0, 0),
            (12_300, -1, 0),
            (12_300, i64::MIN, 0),
        ] {
            let held = together(now_ms, millis);
            assert_eq!(held.as_millis(), held_ms, "{now_ms} {millis}");
        }
        assert!(together(12_300, i64::MAX).as_millis() > 1 << 60);
    }
}
