//! Who is connected, and what the broker has.

use std::collections::BTreeMap;
use std::fmt;

use remoting::protocol::body::ConsumeType;
use remoting::protocol::code::version_name;

use super::{Labels, Page, is_system, label};
use crate::broker::Broker;
use crate::clients::Client;

/// Writes numbers of clients, topics and groups.
pub(super) fn write(broker: &Broker, page: &mut Page<'_, '_>) -> fmt::Result {
    let one = |value: f64| [(Labels::new(), value)];
    let permission = f64::from(broker.live().broker_permission);
    page.gauge("rocketmq_broker_permission", "Permission bits of the broker", one(permission))?;
    let topics = broker.topics.all().len() as f64;
    page.gauge("rocketmq_topic_number", "Topics, those of the system too", one(topics))?;
    let groups = broker.groups.names();
    page.gauge("rocketmq_consumer_group_number", "Consumer groups", one(groups.len() as f64))?;

    let mut producers: BTreeMap<Labels, u32> = BTreeMap::new();
    for (_, clients) in broker.producers.all() {
        for client in &clients {
            *producers.entry(language_and_version(client)).or_default() += 1;
        }
    }
    let help = "Connections of producers";
    page.gauge("rocketmq_producer_connections", help, counts(producers))?;

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
    let help = "Connections of consumers";
    page.gauge("rocketmq_consumer_connections", help, counts(consumers))
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
