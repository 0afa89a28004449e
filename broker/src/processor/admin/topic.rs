//! Topics: create, change, delete, list — requests 17, 18, 215, 21, 351, 305.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use remoting::net::Outcome;
use remoting::protocol::body::{
    Body, CreateTopicListRequestBody, DataVersion, TopicConfig,
    TopicConfigAndMappingSerializeWrapper, TopicFilterType, TopicList,
};
use remoting::protocol::code::ResponseCode;
use remoting::protocol::command::Responder;
use remoting::protocol::header::{
    CreateTopicRequestHeader, DeleteTopicRequestHeader, GetAllTopicConfigRequestHeader,
    GetAllTopicConfigResponseHeader, GetTopicConfigRequestHeader,
};

use super::{after_disk_work, not_written, ok_unset, refuse};
use crate::attributes;
use crate::broker::Broker;
use crate::call::Call;
use crate::metrics::creation;
use crate::reject::Reject;
use crate::topics::{QUEUES_MAX, RETRY_PREFIX, validate_topic};

/// How long an answer waits for name servers that are slow or down.
const TELL_PATIENCE: Duration = Duration::from_secs(3);

/// Topics of one page at most.
const PAGE_MAX: usize = 2_000;

/// Creates or changes a topic.
pub(crate) fn create_or_update(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let (begun, header) = (Instant::now(), call.header::<CreateTopicRequestHeader>()?);
    let system = broker.topics.is_system(&header.topic);
    let outcome = create_or_update_one(broker, header, out);
    creation(broker, begun, outcome, move |all, ok, took| all.topic_made(ok, system, took))
}

fn create_or_update_one(
    broker: &Arc<Broker>,
    header: CreateTopicRequestHeader,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    check_name(broker, &header.topic)?;
    let signed = attributes::parse(header.attributes.as_deref().unwrap_or_default());
    let config = TopicConfig {
        attributes: signed
            .map_err(|error| Reject::new(ResponseCode::SystemError, error.to_string()))?,
        order: header.order,
        perm: header.perm,
        read_queue_nums: header.read_queue_nums,
        topic_filter_type: TopicFilterType::from_name(&header.topic_filter_type),
        topic_name: header.topic,
        topic_sys_flag: header.topic_sys_flag.unwrap_or(0),
        write_queue_nums: header.write_queue_nums,
    };
    check_queues(&config)?;
    check_type(broker, &config)?;
    store_configs(broker, vec![config], out)
}

/// Creates or changes topics, all or none.
pub(crate) fn create_or_update_list(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let (begun, body) = (Instant::now(), CreateTopicListRequestBody::decode(call.body())?);
    let outcome = create_or_update_all(broker, body, out);
    creation(broker, begun, outcome, |all, ok, took| all.topic_made(ok, false, took))
}

fn create_or_update_all(
    broker: &Arc<Broker>,
    body: CreateTopicListRequestBody,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    for config in &body.topic_config_list {
        check_name(broker, &config.topic_name)?;
        check_queues(config)?;
        check_type(broker, config)?;
        if broker.topics.find(&config.topic_name).is_some_and(|known| *known == *config) {
            // Java quirk: one topic that is already so makes the whole list a success unread.
            ok_unset(out);
            return Ok(Outcome::Done);
        }
    }
    store_configs(broker, body.topic_config_list, out)
}

fn check_name(broker: &Broker, topic: &str) -> Result<(), Reject> {
    let invalid = |remark: String| Reject::new(ResponseCode::InvalidParameter, remark);
    validate_topic(topic).map_err(|error| invalid(error.to_string()))?;
    check_not_system(broker, topic)
}

fn check_not_system(broker: &Broker, topic: &str) -> Result<(), Reject> {
    if broker.live().validate_system_topic_when_update_topic && broker.topics.is_system(topic) {
        let remark = format!("The topic[{topic}] is conflict with system topic.");
        return Err(Reject::new(ResponseCode::InvalidParameter, remark));
    }
    Ok(())
}

/// Better than Java, which takes any numbers and then lists as many queues as they say.
fn check_queues(config: &TopicConfig) -> Result<(), Reject> {
    let numbers =
        [("readQueueNums", config.read_queue_nums), ("writeQueueNums", config.write_queue_nums)];
    match numbers.into_iter().find(|(_, queues)| !(0..=QUEUES_MAX).contains(queues)) {
        Some((name, queues)) => {
            let remark = format!("{name}={queues}: expected a number from 0 to {QUEUES_MAX}");
            Err(Reject::new(ResponseCode::InvalidParameter, remark))
        }
        None => Ok(()),
    }
}

fn check_type(broker: &Broker, config: &TopicConfig) -> Result<(), Reject> {
    let key = format!("+{}", attributes::MESSAGE_TYPE);
    let mixed = config.attributes.get(&key).is_some_and(|value| value == attributes::MIXED);
    if mixed && !broker.live().enable_mixed_message_type {
        let remark = "MIXED message type is not supported.";
        return Err(Reject::new(ResponseCode::InvalidParameter, remark));
    }
    Ok(())
}

/// Stores configurations with signed attributes; they are in the file before the answer.
fn store_configs(
    broker: &Arc<Broker>,
    mut configs: Vec<TopicConfig>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    for config in &mut configs {
        let known = broker.topics.find(&config.topic_name);
        let current = known.as_ref().map(|known| &known.attributes);
        let altered = attributes::alter(&attributes::TOPIC, current, &config.attributes);
        config.attributes =
            altered.map_err(|error| Reject::new(ResponseCode::SystemError, error.to_string()))?;
    }
    let mut change = None;
    for config in configs {
        let topic = config.topic_name.clone();
        if broker.topics.set(config) {
            tracing::info!(topic, "topic configured");
            change = Some(broker.topics.change_count());
        } else {
            // Another request, or a send, has made it like this and waits as well.
            change = change.max(broker.topics.unsaved(&topic));
        }
    }
    let Some(change) = change else {
        ok_unset(out);
        return Ok(Outcome::Done);
    };
    // Name servers are told before the answer, so that the route is there when a tool asks.
    let (broker, tag) = (Arc::clone(broker), out.tag());
    Ok(Outcome::Later(Box::pin(async move {
        let told = broker.peers.told(change, TELL_PATIENCE);
        let ((), saved) = tokio::join!(told, broker.topics.saved(change));
        if let Err(error) = saved {
            return refuse(tag, &Reject::thrown(error.to_string()));
        }
        let mut bytes = BytesMut::new();
        ok_unset(&mut Responder::new(tag, &mut bytes));
        bytes
    })))
}

/// Deletes a topic with its queues and the offsets on it.
pub(crate) fn delete(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let header: DeleteTopicRequestHeader = call.header()?;
    let topic = header.topic.as_str();
    if topic.trim().is_empty() {
        let remark = "The specified topic is blank.";
        return Err(Reject::new(ResponseCode::InvalidParameter, remark));
    }
    check_not_system(broker, topic)?;
    let mut doomed = vec![topic.to_owned()];
    if broker.live().clear_retry_topic_when_delete_topic {
        let groups = broker.offsets.groups_of(topic);
        let retries = groups.iter().flat_map(|group| {
            ['+', '_'].map(|separator| format!("{RETRY_PREFIX}{group}{separator}{topic}"))
        });
        doomed.extend(retries.filter(|retry| broker.topics.look(retry).is_some()));
    }
    let work = move |broker: &Broker| {
        for topic in &doomed {
            broker.topics.remove(topic);
            broker.offsets.remove_topic(topic);
            broker.traffic.topic_deleted(topic);
            let deleted = broker.store.delete_topic(topic);
            deleted.map_err(|error| Reject::new(ResponseCode::SystemError, error.to_string()))?;
            tracing::info!(topic, "topic deleted");
        }
        broker.topics.save().map_err(|error| not_written(&error))
    };
    Ok(after_disk_work(broker, out.tag(), work, |out| out.ok_empty()))
}

/// Answers all topics, or the page asked for.
pub(crate) fn all(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let header: GetAllTopicConfigRequestHeader = call.header()?;
    let data_version = broker.topics.version();
    let all: BTreeMap<String, Arc<TopicConfig>> =
        broker.topics.all().into_iter().map(|topic| (topic.topic_name.clone(), topic)).collect();
    let total = all.len();
    let page = page(
        total,
        &data_version,
        header.topic_seq,
        header.max_topic_num,
        header.data_version.as_deref(),
    );
    let topics = all.into_iter().skip(page.start).take(page.len());
    let body = TopicConfigAndMappingSerializeWrapper {
        data_version,
        topic_config_table: topics.map(|(name, topic)| (name, (*topic).clone())).collect(),
        ..TopicConfigAndMappingSerializeWrapper::default()
    };
    let header = GetAllTopicConfigResponseHeader { total_topic_num: i32::try_from(total).ok() };
    out.respond(ResponseCode::Success, None, &header, &[], &body.encode());
    Ok(Outcome::Done)
}

/// Returns the range of sorted entries that a 5.5.0 caller asks for; older ones get everything.
///
/// A caller whose version is not the present one starts over.
pub(super) fn page(
    total: usize,
    version: &DataVersion,
    first: Option<i32>,
    count: Option<i32>,
    seen: Option<&str>,
) -> std::ops::Range<usize> {
    if first.is_none() && count.is_none() && seen.is_none() {
        return 0..total;
    }
    let same = seen
        .and_then(|json| DataVersion::decode(json.as_bytes()).ok())
        .is_some_and(|seen| seen == *version);
    let first = first.and_then(|first| usize::try_from(first).ok()).filter(|_| same).unwrap_or(0);
    let count = count.and_then(|count| usize::try_from(count).ok()).unwrap_or(PAGE_MAX);
    let first = first.min(total);
    let end = first.saturating_add(count.clamp(1, PAGE_MAX)).min(total);
    // Java quirk: its client stops one short of the total, so the last entry never comes alone.
    let end = if end + 1 == total { total } else { end };
    first..end
}

/// Answers the configuration of a topic.
pub(crate) fn config(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let header: GetTopicConfigRequestHeader = call.header()?;
    let config = broker.topics.find(&header.topic).ok_or_else(|| {
        let remark = format!("No topic in this broker. topic: {}", header.topic);
        Reject::new(ResponseCode::TopicNotExist, remark)
    })?;
    out.ok_body(&config.encode());
    Ok(Outcome::Done)
}

/// Lists the topics that belong to the system.
pub(crate) fn system_list(
    broker: &Arc<Broker>,
    _call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let topic_list = broker.topics.system_names().map(str::to_owned).collect();
    out.ok_body(&TopicList { broker_addr: None, topic_list }.encode());
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_and_never_leave_one_over() {
        let version = DataVersion { counter: 7, ..DataVersion::default() };
        let seen = r#"{"counter":7,"stateVersion":0,"timestamp":0}"#;
        assert_eq!(page(10, &version, None, None, None), 0..10);
        assert_eq!(page(10, &version, Some(0), Some(4), Some("")), 0..4);
        assert_eq!(page(10, &version, Some(4), Some(4), Some(seen)), 4..8);
        assert_eq!(page(10, &version, Some(8), Some(4), Some(seen)), 8..10);
        assert_eq!(page(10, &version, Some(4), Some(5), Some(seen)), 4..10);
        assert_eq!(page(10, &version, Some(4), Some(4), Some("{\"counter\":6}")), 0..4);
        assert_eq!(page(10, &version, Some(99), Some(4), Some(seen)), 10..10);
        assert_eq!(page(5_000, &version, Some(-1), Some(-1), Some(seen)), 0..2_000);
    }
}
