//! Looking at topics: names, routes, bounds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Formatter};

use anyhow::{Result, bail};
use clap::Args;
use remoting::protocol::body::{ClusterInfo, MessageQueue, TopicOffset, TopicRouteData};
use serde::Serialize;

use crate::admin::client::Admin;
use crate::admin::output::Out;
use crate::admin::{java, java_json};

/// Lists all topics.
#[derive(Args, Debug)]
pub struct TopicList {
    /// With their clusters and the groups that consume them.
    #[arg(short, long = "clusterModel")]
    cluster_model: bool,
}

/// A topic and who consumes it.
#[derive(Serialize)]
struct Consumed {
    cluster: String,
    topic: String,
    groups: Vec<String>,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Topics(Vec<String>);

#[derive(Serialize)]
#[serde(transparent)]
struct ConsumedTopics(Vec<Consumed>);

impl TopicList {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let mut topics = admin.topic_names().await?;
        java::hash_order(&mut topics, java::CAPACITY, |topic| topic);
        if !self.cluster_model {
            return out.print(&Topics(topics));
        }
        let clusters = admin.cluster_info().await?;
        let mut all = Vec::new();
        for topic in topics.into_iter().filter(|topic| !is_of_group(topic)) {
            // What cannot be asked is left empty, as Java does.
            let (cluster, groups) = match admin.route(&topic).await {
                Ok(route) => {
                    let cluster = cluster_of(&route, &clusters).unwrap_or_default();
                    (cluster, admin.groups_on(&topic, &route).await.unwrap_or_default())
                }
                Err(_) => (String::new(), Vec::new()),
            };
            all.push(Consumed { cluster, topic, groups });
        }
        out.print(&ConsumedTopics(all))
    }
}

/// Whether a topic holds what a group is to try again, or what it gave up.
pub fn is_of_group(topic: &str) -> bool {
    topic.starts_with("%RETRY%") || topic.starts_with("%DLQ%")
}

fn cluster_of(route: &TopicRouteData, clusters: &ClusterInfo) -> Option<String> {
    let name = &route.broker_datas.first()?.broker_name;
    let mut all = clusters.cluster_addr_table.iter();
    all.find(|(_, brokers)| brokers.contains(name)).map(|(cluster, _)| cluster.clone())
}

impl Display for Topics {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|topic| writeln!(f, "{topic}"))
    }
}

impl Display for ConsumedTopics {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let head = ("#Cluster Name", "#Topic", "#Consumer Group");
        writeln!(f, "{:<20}  {:<48}  {:<48}", head.0, head.1, head.2)?;
        for Consumed { cluster, topic, groups } in &self.0 {
            let none = [String::new()];
            let groups = if groups.is_empty() { &none[..] } else { groups };
            for group in groups {
                let (cluster, topic) = (java::cut(cluster, 20), java::cut(topic, 64));
                writeln!(f, "{cluster:<20}  {topic:<64}  {:<64}", java::cut(group, 64))?;
            }
        }
        Ok(())
    }
}

/// Shows where the queues of a topic are.
#[derive(Args, Debug)]
pub struct TopicRoute {
    /// Name of the topic.
    #[arg(short, long)]
    topic: String,
    /// As a table.
    #[arg(short, long)]
    list: bool,
}

#[derive(Serialize)]
struct Route {
    #[serde(flatten)]
    route: TopicRouteData,
    #[serde(skip)]
    list: bool,
}

impl TopicRoute {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let route = admin.route(&self.topic).await?;
        out.print(&Route { route, list: self.list })
    }
}

/// One row of the list of brokers.
fn route_row(f: &mut Formatter<'_>, cells: [&dyn Display; 6]) -> fmt::Result {
    let [cluster, broker, addresses, read, write, perm] = cells.map(|cell| cell.to_string());
    writeln!(f, "{cluster:<45} {broker:<32} {addresses:<50} {read:<10} {write:<11} {perm:<5}")
}

impl Display for Route {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if !self.list {
            return writeln!(f, "{}", java_json::pretty(&self.route));
        }
        let heads =
            ["#ClusterName", "#BrokerName", "#BrokerAddrs", "#ReadQueue", "#WriteQueue", "#Perm"];
        route_row(f, heads.each_ref().map(|head| head as &dyn Display))?;
        let queues: BTreeMap<_, _> =
            self.route.queue_datas.iter().map(|queues| (&queues.broker_name, queues)).collect();
        let mut brokers: Vec<_> = self.route.broker_datas.iter().collect();
        brokers.sort_by_key(|broker| &broker.broker_name);
        let mut total = (0, 0);
        for broker in brokers {
            let Some(queues) = queues.get(&broker.broker_name) else { continue };
            let addresses = broker.broker_addrs.iter();
            let addresses = java::map(addresses.map(|(id, address)| (id.to_string(), address)));
            let (read, write) = (queues.read_queue_nums, queues.write_queue_nums);
            total = (total.0 + read, total.1 + write);
            let (cluster, name) = (&broker.cluster, &broker.broker_name);
            route_row(f, [cluster, name, &addresses, &read, &write, &queues.perm])?;
        }
        writeln!(f, "{}", "-".repeat(158))?;
        route_row(f, [&"Total:", &queues.len(), &"", &total.0, &total.1, &""])
    }
}

/// Shows the bounds of the queues of a topic.
#[derive(Args, Debug)]
pub struct TopicStatus {
    /// Name of the topic.
    #[arg(short, long)]
    topic: String,
    /// Name of a cluster, or of the topic that a light queue belongs to: its route is used.
    #[arg(short, long)]
    cluster: Option<String>,
}

#[derive(Serialize)]
struct Status {
    queues: Vec<QueueStatus>,
}

#[derive(Serialize)]
struct QueueStatus {
    #[serde(flatten)]
    queue: MessageQueue,
    #[serde(flatten)]
    bounds: TopicOffset,
}

impl TopicStatus {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let route = admin.route(self.cluster.as_deref().unwrap_or(&self.topic)).await?;
        let stats = admin.topic_stats(&self.topic, &route).await?;
        if stats.offset_table.is_empty() {
            bail!("Not found the topic stats info");
        }
        let all = stats.offset_table.into_iter();
        let mut queues: Vec<_> = all.map(|(queue, bounds)| QueueStatus { queue, bounds }).collect();
        queues.sort_by(|a, b| {
            let key = |q: &QueueStatus| {
                (q.queue.topic.clone(), q.queue.broker_name.clone(), q.queue.queue_id)
            };
            key(a).cmp(&key(b))
        });
        out.print(&Status { queues })
    }
}

impl Display for Status {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let [name, id, min, max, last] =
            ["#Broker Name", "#QID", "#Min Offset", "#Max Offset", "#Last Updated"];
        writeln!(f, "{name:<32}  {id:<4}  {min:<20}  {max:<20}    {last}")?;
        for QueueStatus { queue, bounds } in &self.queues {
            let last = match bounds.last_update_timestamp {
                at if at > 0 => java::date_ms(at),
                _ => String::new(),
            };
            let (name, id) = (java::cut(&queue.broker_name, 32), queue.queue_id);
            let (min, max) = (bounds.min_offset, bounds.max_offset);
            writeln!(f, "{name:<32}  {id:<4}  {min:<20}  {max:<20}    {last}")?;
        }
        // Java quirk: the rate of puts is never added up.
        writeln!(f, "\nTopic Put TPS: 0.0")
    }
}

/// Names the clusters that have a topic.
#[derive(Args, Debug)]
pub struct TopicClusterList {
    /// Name of the topic.
    #[arg(short, long)]
    topic: String,
}

impl TopicClusterList {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let info = admin.cluster_info().await?;
        let route = admin.route(&self.topic).await?;
        let names: BTreeSet<&String> =
            route.broker_datas.iter().map(|broker| &broker.broker_name).collect();
        let clusters = info.cluster_addr_table.iter();
        let has = clusters.filter(|(_, brokers)| brokers.iter().any(|name| names.contains(name)));
        out.print(&Topics(has.map(|(cluster, _)| cluster.clone()).collect()))
    }
}

/// Shows which of some consumers would get which queues of a topic.
#[derive(Args, Debug)]
pub struct AllocateMq {
    /// Name of the topic.
    #[arg(short, long)]
    topic: String,
    /// Consumers, commas between.
    #[arg(short, long = "ipList")]
    ip_list: String,
}

/// Who would get what.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Share {
    consumer: String,
    queues: Vec<MessageQueue>,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Allocation(Vec<Share>);

impl AllocateMq {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let route = admin.route(&self.topic).await?;
        let mut queues = readable(&self.topic, &route);
        java::queue_order(&mut queues, |queue| queue);
        let consumers: Vec<&str> = self.ip_list.split(',').map(str::trim).collect();
        let ranges = shares(queues.len(), consumers.len());
        let all = consumers.iter().zip(ranges).map(|(consumer, range)| Share {
            consumer: consumer.to_string(),
            queues: queues[range].to_vec(),
        });
        let mut all: Vec<Share> = all.collect();
        java::hash_order(&mut all, java::CAPACITY, |share| &share.consumer);
        out.print(&Allocation(all))
    }
}

/// The queues of a topic that can be read, in the order of broker and id.
pub fn readable(topic: &str, route: &TopicRouteData) -> Vec<MessageQueue> {
    let mut brokers: Vec<_> =
        route.queue_datas.iter().filter(|queues| queues.perm & 4 != 0).collect();
    brokers.sort_by_key(|queues| &queues.broker_name);
    let of = |name: &str, count: i32| {
        let name = name.to_owned();
        (0..count).map(move |queue_id| MessageQueue {
            broker_name: name.clone(),
            queue_id,
            topic: topic.to_owned(),
        })
    };
    brokers.iter().flat_map(|queues| of(&queues.broker_name, queues.read_queue_nums)).collect()
}

/// Neighbouring queues for each consumer, the first ones getting one more.
fn shares(queues: usize, consumers: usize) -> Vec<std::ops::Range<usize>> {
    let (each, more) = (queues / consumers.max(1), queues % consumers.max(1));
    let mut at = 0;
    let share = |n| {
        let len = each + usize::from(n < more);
        at += len;
        at - len..at
    };
    (0..consumers).map(share).collect()
}

impl Display for Allocation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let shares = self.0.iter().map(|Share { consumer, queues }| {
            let queues = serde_json::to_string(queues).unwrap_or_default();
            format!("{}:{queues}", serde_json::Value::from(consumer.as_str()))
        });
        writeln!(f, "{{\"result\":{{{}}}}}", shares.collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::shares;

    #[test]
    fn every_queue_has_one_consumer() {
        assert_eq!(shares(8, 3), [0..3, 3..6, 6..8]);
        assert_eq!(shares(2, 3), [0..1, 1..2, 2..2]);
        assert_eq!(shares(0, 2), [0..0, 0..0]);
    }
}
