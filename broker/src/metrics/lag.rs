//! How far consumer groups are behind (`ConsumerLagCalculator.java`).
//!
//! Of groups that are connected, every topic they subscribe to, without their retry topics. What a
//! filter drops is not estimated: a message counts until the group has passed it.

use std::fmt;

use runtime::clock::now_ms;

use super::{Labels, Page, is_system, label};
use crate::broker::Broker;
use crate::pop;
use crate::topics::{is_retry_topic, pop_retry_topics};

/// How far a group is in one topic.
#[derive(Default)]
struct Lag {
    /// Not consumed.
    messages: i64,
    /// Handed out, not consumed.
    inflight: i64,
    /// Not handed out.
    ready: i64,
    /// Age of the oldest that is not consumed, and of the oldest not handed out, in ms.
    latency_ms: i64,
    queueing_ms: i64,
}

/// Writes how far groups are.
pub(super) fn write(broker: &Broker, page: &mut Page<'_, '_>) -> fmt::Result {
    let mut all: Vec<(Labels, Lag)> = Vec::new();
    for (group, pops, topics) in groups(broker) {
        for topic in topics {
            let labels = |is_retry: bool| {
                vec![
                    label("consumer_group", &group),
                    label("topic", &topic),
                    label("is_retry", is_retry.to_string()),
                    is_system(broker, &topic, Some(&group)),
                ]
            };
            all.push((labels(false), lag(broker, &group, std::slice::from_ref(&topic), pops)));
            if pops {
                let retries = pop_retry_topics(&group, &topic);
                all.push((labels(true), lag(broker, &group, &retries, pops)));
            }
        }
    }
    let mut family = |name: &str, help: &str, value: fn(&Lag) -> i64| {
        let series = all.iter().map(|(labels, lag)| (labels.clone(), value(lag) as f64));
        page.gauge(name, help, series)
    };
    family("rocketmq_consumer_lag_messages", "Messages not consumed", |lag| lag.messages)?;
    let help = "Age of the oldest message that is not consumed";
    family("rocketmq_consumer_lag_latency_milliseconds", help, |lag| lag.latency_ms)?;
    let help = "Messages handed out and not consumed";
    family("rocketmq_consumer_inflight_messages", help, |lag| lag.inflight)?;
    let help = "Age of the oldest message that is not handed out";
    family("rocketmq_consumer_queueing_latency_milliseconds", help, |lag| lag.queueing_ms)?;
    family("rocketmq_consumer_ready_messages", "Messages not handed out", |lag| lag.ready)
}

/// The connected groups, whether they pop, and their topics.
fn groups(broker: &Broker) -> Vec<(String, bool, Vec<String>)> {
    let mut groups = Vec::new();
    broker.consumers.each_group(|name, group| {
        let topics = group.topics().filter(|topic| !is_retry_topic(topic));
        groups.push((name.to_owned(), group.pops(), topics.map(str::to_owned).collect()));
    });
    groups
}

fn lag(broker: &Broker, group: &str, topics: &[String], pops: bool) -> Lag {
    let now = now_ms();
    let mut sum = Lag::default();
    for topic in topics {
        let Some(facts) = broker.topics.look(topic) else { continue };
        for queue_id in 0..facts.write_queues {
            let store = &broker.store;
            let end = store.max_offset(topic, queue_id).max(0);
            let committed = broker.offsets.query(group, topic, queue_id).filter(|at| *at >= 0);
            let (consumed, handed_out, inflight) = if pops {
                let next = pop::next_offset(broker, topic, group, queue_id).unwrap_or(end);
                let inflight = broker.pops.in_flight.count(topic, group, queue_id);
                (next - inflight, next, inflight)
            } else {
                // Java quirk: a group without an offset is not behind.
                let committed = committed.unwrap_or(end);
                let pulled = broker.offsets.query_pull(group, topic, queue_id).unwrap_or(committed);
                let pulled = pulled.max(committed);
                (committed, pulled, pulled - committed)
            };
            sum.messages += (end - consumed).max(0);
            sum.inflight += inflight.max(0);
            sum.ready += (end - handed_out).max(0);
            let age = |offset: i64| match store.store_time(topic, queue_id, offset) {
                time if offset < end && time > 0 => (now - time).max(0),
                _ => 0,
            };
            sum.latency_ms = sum.latency_ms.max(age(consumed));
            sum.queueing_ms = sum.queueing_ms.max(age(handed_out));
        }
    }
    sum
}
