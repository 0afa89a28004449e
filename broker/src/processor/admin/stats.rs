//! How far topics and groups are: requests 202, 208, 317, 303, 300, 343, 43, 45, 314,
//! 315.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use remoting::net::Outcome;
use remoting::protocol::body::{
    Body, ConsumeStats, ConsumeStatsList, GroupList, MessageQueue, OffsetWrapper,
    QueryConsumeTimeSpanBody, QueueTimeSpan, TopicList, TopicOffset, TopicStatsTable,
};
use remoting::protocol::code::ResponseCode;
use remoting::protocol::command::Responder;
use remoting::protocol::header::{
    CloneGroupOffsetRequestHeader, GetConsumeStatsInBrokerHeader, GetConsumeStatsRequestHeader,
    GetTopicStatsInfoRequestHeader, QueryConsumeTimeSpanRequestHeader,
    QueryTopicConsumeByWhoRequestHeader, QueryTopicsByConsumerRequestHeader,
    ViewBrokerStatsDataRequestHeader,
};

use runtime::clock::now_ms;

use crate::broker::Broker;
use crate::call::Call;
use crate::reject::Reject;

/// Answers the bounds of all queues of a topic.
pub(crate) fn topic_stats(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let header: GetTopicStatsInfoRequestHeader = call.header()?;
    let topic = header.topic.as_str();
    let facts = broker.topics.look(topic).ok_or_else(|| {
        Reject::new(ResponseCode::TopicNotExist, format!("topic[{topic}] not exist"))
    })?;
    let bounds = |queue_id| {
        let max_offset = broker.store.max_offset(topic, queue_id).max(0);
        let last = || broker.store.store_time(topic, queue_id, max_offset - 1);
        let offset = TopicOffset {
            last_update_timestamp: if max_offset > 0 { last() } else { 0 },
            max_offset,
            min_offset: broker.store.min_offset(topic, queue_id).max(0),
        };
        (queue(broker, topic, queue_id), offset)
    };
    let offset_table = (0..facts.write_queues.max(facts.read_queues)).map(bounds).collect();
    let topic_put_tps = broker.traffic.put_rate(topic);
    out.ok_body(&TopicStatsTable { offset_table, topic_put_tps }.encode());
    Ok(Outcome::Done)
}

fn queue(broker: &Broker, topic: &str, queue_id: i32) -> MessageQueue {
    MessageQueue {
        broker_name: broker.config.broker_name.clone(),
        queue_id,
        topic: topic.to_owned(),
    }
}

/// Answers how far a group is in its topics.
pub(crate) fn consume_stats(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let header: GetConsumeStatsRequestHeader = call.header()?;
    let group = header.consumer_group.as_str();
    let mut stats = ConsumeStats::default();
    for topic in topics_of(broker, &header) {
        let Some(facts) = broker.topics.look(&topic) else { continue };
        for queue_id in 0..facts.read_queues {
            let offsets = queue_stats(broker, group, &topic, queue_id);
            stats.offset_table.insert(queue(broker, &topic, queue_id), offsets);
        }
        stats.consume_tps += broker.traffic.got_rate(group, &topic);
    }
    out.ok_body(&stats.encode());
    Ok(Outcome::Done)
}

fn topics_of(broker: &Broker, header: &GetConsumeStatsRequestHeader) -> BTreeSet<String> {
    let group = header.consumer_group.as_str();
    let listed = header.topic_list.as_deref().unwrap_or_default();
    let listed: BTreeSet<String> =
        listed.split(';').filter(|topic| !topic.trim().is_empty()).map(str::to_owned).collect();
    if !listed.is_empty() {
        return listed;
    }
    let mut topics = match header.topic.as_deref().filter(|topic| !topic.trim().is_empty()) {
        Some(topic) => BTreeSet::from([topic.to_owned()]),
        None => broker.offsets.topics_of(group),
    };
    // What a live group does not subscribe to any more is left out.
    if broker.consumers.subscription_count(group) > 0 {
        topics.retain(|topic| broker.consumers.wanted(group, topic).is_some());
    }
    topics
}

/// Answers how far all groups are, those of order topics alone if asked to.
pub(crate) fn all_consume_stats(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let header: GetConsumeStatsInBrokerHeader = call.header()?;
    let mut body = ConsumeStatsList {
        broker_addr: broker.store_host().to_string(),
        ..ConsumeStatsList::default()
    };
    for group in broker.groups.names() {
        let asked = GetConsumeStatsRequestHeader {
            consumer_group: group.clone(),
            ..GetConsumeStatsRequestHeader::default()
        };
        let mut list = Vec::new();
        for topic in topics_of(broker, &asked) {
            let Some(facts) = broker.topics.look(&topic) else { continue };
            if header.is_order && !facts.order {
                continue;
            }
            let mut stats = ConsumeStats::default();
            for queue_id in 0..facts.write_queues {
                let offsets = queue_stats(broker, &group, &topic, queue_id);
                body.total_diff += offsets.broker_offset - offsets.consumer_offset;
                body.total_inflight_diff += offsets.pull_offset - offsets.consumer_offset;
                stats.offset_table.insert(queue(broker, &topic, queue_id), offsets);
            }
            stats.consume_tps = broker.traffic.got_rate(&group, &topic);
            list.push(stats);
        }
        body.consume_stats_list.push(BTreeMap::from([(group, list)]));
    }
    out.ok_body(&body.encode());
    Ok(Outcome::Done)
}

/// Answers from when to when a topic has messages, and where a group is in that time.
pub(crate) fn time_spans(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let header: QueryConsumeTimeSpanRequestHeader = call.header()?;
    let (group, topic) = (header.group.as_str(), header.topic.as_str());
    let facts = broker.topics.look(topic).ok_or_else(|| {
        Reject::new(ResponseCode::TopicNotExist, format!("topic[{topic}] not exist"))
    })?;
    let span = |queue_id| {
        let store = &broker.store;
        let min_time_stamp = store.earliest_store_time(topic, queue_id);
        let max_offset = store.max_offset(topic, queue_id);
        let consumed = broker.offsets.query(group, topic, queue_id).unwrap_or(-1);
        let behind = consumed < max_offset;
        QueueTimeSpan {
            consume_time_stamp: match consumed {
                ..=0 => min_time_stamp,
                consumed => store.store_time(topic, queue_id, consumed - 1),
            },
            delay_time: match behind {
                true => now_ms() - store.store_time(topic, queue_id, consumed),
                false => 0,
            },
            max_time_stamp: store.store_time(topic, queue_id, max_offset - 1),
            message_queue: Some(queue(broker, topic, queue_id)),
            min_time_stamp,
        }
    };
    let consume_time_span_set = (0..facts.write_queues).map(span).collect();
    out.ok_body(&QueryConsumeTimeSpanBody { consume_time_span_set }.encode());
    Ok(Outcome::Done)
}

fn queue_stats(broker: &Broker, group: &str, topic: &str, queue_id: i32) -> OffsetWrapper {
    let consumer_offset = broker.offsets.query(group, topic, queue_id).unwrap_or(-1).max(0);
    let pull_offset = broker.offsets.query_pull(group, topic, queue_id).unwrap_or(-1);
    let last_timestamp = match consumer_offset {
        0 => 0,
        offset => broker.store.store_time(topic, queue_id, offset - 1).max(0),
    };
    OffsetWrapper {
        broker_offset: broker.store.max_offset(topic, queue_id).max(0),
        consumer_offset,
        last_timestamp,
        pull_offset: pull_offset.max(consumer_offset),
    }
}

/// Lists the groups that have offsets on a topic.
pub(crate) fn groups_of_topic(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let header: QueryTopicConsumeByWhoRequestHeader = call.header()?;
    let mut groups = broker.offsets.groups_of(&header.topic);
    // Java quirk: the topic's own name, once anybody has subscribed to it.
    if broker.consumers.topic_seen(&header.topic) {
        groups.insert(header.topic);
    }
    out.ok_body(&GroupList { group_list: groups.into_iter().collect() }.encode());
    Ok(Outcome::Done)
}

/// Lists the topics a group has offsets on.
pub(crate) fn topics_of_group(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let header: QueryTopicsByConsumerRequestHeader = call.header()?;
    let topic_list = broker.offsets.topics_of(&header.group).into_iter().collect();
    let broker_addr = Some(broker.store_host().to_string());
    out.ok_body(&TopicList { broker_addr, topic_list }.encode());
    Ok(Outcome::Done)
}

/// Answers the committed offsets of all groups, for replicas and tools.
pub(crate) fn all_offsets(
    broker: &Arc<Broker>,
    _call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    out.ok_body(&broker.offsets.wrapper().encode());
    Ok(Outcome::Done)
}

/// Answers what was counted under a name and key in the last minute, hour and day.
pub(crate) fn counted(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let header: ViewBrokerStatsDataRequestHeader = call.header()?;
    let (name, key) = (&header.stats_name, &header.stats_key);
    let data = broker.traffic.find(name, key).ok_or_else(|| {
        let remark = format!("The stats <{name}> <{key}> not exist");
        Reject::new(ResponseCode::SystemError, remark)
    })?;
    out.ok_body(&data.encode());
    Ok(Outcome::Done)
}

/// Answers how far the delay levels are delivered.
pub(crate) fn all_delay_offsets(
    broker: &Arc<Broker>,
    _call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    out.ok_body(&broker.schedule.wrapper().encode());
    Ok(Outcome::Done)
}

/// Copies the offsets of a group to another.
pub(crate) fn clone_offsets(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let header: CloneGroupOffsetRequestHeader = call.header()?;
    let from = header.src_group.as_str();
    let topics = match header.topic.filter(|topic| !topic.trim().is_empty()) {
        Some(topic) => BTreeSet::from([topic]),
        // Better than Java, which finds the topics and then copies none of them.
        None => broker.offsets.topics_of(from),
    };
    for topic in topics {
        let known = broker.topics.look(&topic).is_some();
        let unsubscribed = || {
            broker.consumers.subscription_count(from) > 0
                && broker.consumers.wanted(from, &topic).is_none()
        };
        if known && (header.offline || !unsubscribed()) {
            broker.offsets.clone_group(from, &header.dest_group, &topic);
        }
    }
    out.ok_empty();
    Ok(Outcome::Done)
}
