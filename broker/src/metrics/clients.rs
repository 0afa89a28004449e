//! Who is connected, and what the broker has.

use std::collections::BTreeMap;

use remoting::protocol::body::ConsumeType;
use remoting::protocol::code::version_name;

use super::family::{Families, Labels, label};
use super::is_system;
use crate::broker::Broker;
use crate::clients::Client;

/// Java's thread pools. Here requests wait in no pool, so that their queues are empty; sends that
/// wait for the disk count as queued.
const POOLS: [&str; 12] = [
    "send",
    "async_put",
    "pull",
    "ack",
    "query_message",
    "client_manager",
    "heartbeat",
    "lite_pull",
    "transaction",
    "consumer_manager",
    "admin",
    "reply",
];

/// Collects numbers of topics and groups, and what waits.
pub(super) fn collect_state(broker: &Broker, families: &mut Families) {
    let one = |value: f64| [(Labels::new(), value)];
    let waiting = broker.admission.waiting() as f64;
    let pools = POOLS.map(|pool| {
        let waiting = if pool == "send" { waiting } else { 0.0 };
        (vec![label("processor", pool)], waiting)
    });
    families.gauge(("rocketmq_processor_watermark", ""), "Requests that wait", pools);
    let permission = f64::from(broker.live().broker_permission);
    let help = "Permission bits of the broker";
    families.gauge(("rocketmq_broker_permission", ""), help, one(permission));
    let topics = broker.topics.all().len() as f64;
    families.gauge(("rocketmq_topic_number", ""), "Topics, those of the system too", one(topics));
    let groups = broker.groups.names().len() as f64;
    families.gauge(("rocketmq_consumer_group_number", ""), "Consumer groups", one(groups));
    let refused = [(Labels::new(), broker.quotas.refused())];
    families.counter("raptormq_quota_refusals_total", "Requests beyond a quota", refused);
}

/// Collects numbers of clients.
pub(super) fn collect_connections(broker: &Broker, families: &mut Families) {
    let mut producers: BTreeMap<Labels, u32> = BTreeMap::new();
    for (_, clients) in broker.producers.all() {
        for client in &clients {
            *producers.entry(language_and_version(client)).or_default() += 1;
        }
    }
    let name = ("rocketmq_producer_connections", "");
    families.gauge(name, "Connections of producers", counts(producers));

    let mut consumers: BTreeMap<Labels, u32> = BTreeMap::new();
    broker.consumers.each_group(|name, group| {
        let mode = match group.consume_type {
            Some(ConsumeType::Passively) => "push",
            Some(ConsumeType::Pop) => "pop",
            Some(ConsumeType::Actively) | None => "pull",
        };
        for client in group.members() {
            let mut labels = language_and_version(client);
            labels.push(label("consumer_group", name));
            labels.push(label("consume_mode", mode));
            labels.push(is_system(broker, "", Some(name)));
            *consumers.entry(labels).or_default() += 1;
        }
    });
    let name = ("rocketmq_consumer_connections", "");
    families.gauge(name, "Connections of consumers", counts(consumers));
    let conflicts = &broker.consumers.conflicts;
    let help = "Groups whose members subscribe to different things";
    let present = [(Labels::new(), conflicts.present().len() as f64)];
    families.gauge(("raptormq_groups_in_conflict", ""), help, present);
    let help = "How often members of a group began to subscribe to different things";
    let total = [(Labels::new(), conflicts.total())];
    families.counter("raptormq_subscription_conflicts_total", help, total);
}

fn language_and_version(client: &Client) -> Labels {
    let language = client.language.java_name().to_lowercase();
    vec![
        label("language", language),
        label("version", version_name(client.version).to_lowercase()),
        label("protocol_type", "remoting"),
    ]
}

fn counts(series: BTreeMap<Labels, u32>) -> impl Iterator<Item = (Labels, f64)> {
    series.into_iter().map(|(labels, count)| (labels, f64::from(count)))
}
