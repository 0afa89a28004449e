//! The route table: which broker has which queues of a topic.
//!
//! All of it is in memory and comes from registrations; it is lost with the process and comes
//! back with the next round of them. The table knows neither sockets nor codes, and is handed the
//! time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use remoting::net::Peer;
use remoting::protocol::body::{
    BrokerData, BrokerMemberGroup, ClusterInfo, MASTER_ID, QueueData, TopicQueueMappingInfo,
    TopicRouteData,
};

use crate::brokers::{BrokerKey, LiveBroker};
use crate::networks::Origin;
use crate::topic::Topic;

/// The permission bit for writing.
pub(crate) const PERM_WRITE: i32 = 2;
/// Reading and writing.
const PERM_READ_WRITE: i32 = 6;
/// Topics that tell replicas about each other, which must see who is really there.
const SYNC_TOPIC_PREFIX: &str = "rmq_sys_SYNC_BROKER_MEMBER_";
/// Bit of a topic's sys flag: it belongs to a unit.
pub(crate) const TOPIC_UNIT: i32 = 1;
/// Bit of a topic's sys flag: a unit subscribes to it.
pub(crate) const TOPIC_UNIT_SUB: i32 = 2;

/// Topics, brokers and clusters.
#[derive(Debug, Default)]
pub(crate) struct RouteTable {
    /// The topics by name.
    pub(crate) topics: BTreeMap<String, Topic>,
    /// Static topic → broker name → how it is spread.
    pub(crate) mappings: BTreeMap<String, BTreeMap<String, TopicQueueMappingInfo>>,
    /// Broker name → addresses by id.
    pub(crate) groups: BTreeMap<String, BrokerData>,
    /// Cluster → broker names.
    pub(crate) clusters: BTreeMap<String, BTreeSet<String>>,
    /// Running brokers.
    pub(crate) live: BTreeMap<BrokerKey, LiveBroker>,
    /// Whether a broker has ever named addresses for other networks.
    pub(crate) advertises: bool,
    /// How often it may have been changed.
    pub(crate) version: u64,
}

impl RouteTable {
    /// Returns the route of a topic, unless no known broker has it.
    pub fn route(&self, topic: &str, acting_master: bool) -> Option<TopicRouteData> {
        let found = self.topics.get(topic)?;
        let names = found.queues().iter().map(|queues| &queues.broker_name);
        let groups = names.filter_map(|name| self.groups.get(name));
        let mut route = TopicRouteData {
            broker_datas: groups.cloned().collect(),
            queue_datas: found.queues().to_vec(),
            topic_queue_mapping_by_broker: self.mappings.get(topic).cloned(),
            ..TopicRouteData::default()
        };
        if route.broker_datas.is_empty() {
            return None;
        }
        for group in &route.broker_datas {
            for addr in group.broker_addrs.values() {
                let live = self.live.get(&BrokerKey::new(&group.cluster, addr));
                if let Some(live) = live.filter(|live| !live.filter_servers.is_empty()) {
                    route.filter_server_table.insert(addr.clone(), live.filter_servers.clone());
                }
            }
        }
        if acting_master && !topic.starts_with(SYNC_TOPIC_PREFIX) {
            route.broker_datas.iter_mut().for_each(|group| act_as_master(group, found));
        }
        Some(route)
    }

    /// Returns every broker and cluster, with the addresses for a client.
    pub fn cluster_info(&self, origin: Origin) -> ClusterInfo {
        let names = |names: &BTreeSet<String>| names.iter().cloned().collect();
        let clusters = self.clusters.iter().map(|(cluster, set)| (cluster.clone(), names(set)));
        let mut broker_addr_table = self.groups.clone();
        self.translate(broker_addr_table.values_mut(), origin);
        ClusterInfo { broker_addr_table, cluster_addr_table: clusters.collect() }
    }

    /// Returns the brokers of one name, none if it is unknown.
    pub fn member_group(&self, cluster: &str, broker_name: &str) -> BrokerMemberGroup {
        let group = self.groups.get(broker_name);
        BrokerMemberGroup {
            broker_addrs: group.map(|group| group.broker_addrs.clone()).unwrap_or_default(),
            broker_name: broker_name.to_owned(),
            cluster: cluster.to_owned(),
        }
    }

    /// Returns the names of all topics.
    pub fn topic_names(&self) -> Vec<String> {
        self.topics.keys().cloned().collect()
    }

    /// Returns the names of the topics of a cluster.
    pub fn topics_of_cluster(&self, cluster: &str) -> Vec<String> {
        let Some(names) = self.clusters.get(cluster) else { return Vec::new() };
        let here = |queues: &QueueData| names.contains(&queues.broker_name);
        let topics = self.topics.iter().filter(|(_, topic)| topic.queues().iter().any(here));
        topics.map(|(topic, _)| topic.clone()).collect()
    }

    /// Returns the names of the topics whose sys flag, of one broker, is as wanted.
    pub fn topics_by_flag(&self, wanted: impl Fn(i32) -> bool) -> Vec<String> {
        let flag = |topic: &Topic| topic.queues().first().map_or(0, |queues| queues.topic_sys_flag);
        let topics = self.topics.iter().filter(|(_, topic)| wanted(flag(topic)));
        topics.map(|(topic, _)| topic.clone()).collect()
    }

    /// Returns the topics that are named after clusters and brokers, and one address for a client.
    pub fn system_topics(&self, origin: Origin) -> (Vec<String>, Option<String>) {
        let mut topics = Vec::new();
        for (cluster, names) in &self.clusters {
            topics.push(cluster.clone());
            topics.extend(names.iter().filter(|name| *name != cluster).cloned());
        }
        let first = self.groups.values().find(|group| !group.broker_addrs.is_empty()).cloned();
        let mut first = first.into_iter().collect::<Vec<_>>();
        self.translate(&mut first, origin);
        let addr = first.into_iter().find_map(|mut group| group.broker_addrs.pop_first());
        (topics, addr.map(|(_, addr)| addr))
    }

    /// Takes the queues of a topic as they are told, if all of their brokers are known.
    pub fn put_topic(&mut self, topic: &str, queues: Vec<QueueData>) {
        let known = queues.iter().all(|queues| self.groups.contains_key(&queues.broker_name));
        if queues.is_empty() || !known {
            return;
        }
        let of_topic = self.topics.entry(topic.to_owned()).or_default();
        queues.into_iter().for_each(|queues| of_topic.put(queues));
    }

    /// Forgets a topic, in one cluster or everywhere.
    pub fn delete_topic(&mut self, topic: &str, cluster: Option<&str>) {
        let Some(cluster) = cluster else {
            self.topics.remove(topic);
            self.mappings.remove(topic);
            return;
        };
        let Some(names) = self.clusters.get(cluster) else { return };
        if let Some(queues) = self.topics.get_mut(topic) {
            queues.remove(|broker_name| names.contains(broker_name));
            if queues.is_empty() {
                self.topics.remove(topic);
                self.mappings.remove(topic);
            }
        }
    }

    /// Takes the write permission from a broker; returns how many topics it has.
    pub fn wipe_write_perm(&mut self, broker_name: &str) -> i32 {
        self.change_perms(broker_name, |perm| perm & !PERM_WRITE)
    }

    /// Lets a broker be read and written; returns how many topics it has.
    pub fn add_write_perm(&mut self, broker_name: &str) -> i32 {
        // Java quirk: it is set to read and write, whatever it was before.
        self.change_perms(broker_name, |_| PERM_READ_WRITE)
    }

    pub(crate) fn change_perms(&mut self, broker_name: &str, change: impl Fn(i32) -> i32) -> i32 {
        let mut count = 0;
        for queues in self.topics.values_mut().filter_map(|topic| topic.of_mut(broker_name)) {
            queues.perm = change(queues.perm);
            count += 1;
        }
        count
    }

    pub(crate) fn has_queues(&self, topic: &str, broker_name: &str) -> bool {
        self.topics.get(topic).is_some_and(|topic| topic.of(broker_name).is_some())
    }

    /// Takes a broker out of the topics that `wanted` names; topics without queues go.
    pub(crate) fn remove_queues_of(&mut self, broker_name: &str, wanted: impl Fn(&str) -> bool) {
        self.topics.retain(|topic, queues| {
            if wanted(topic) {
                queues.remove(|name| name == broker_name);
            }
            !queues.is_empty()
        });
        let topics = &self.topics;
        self.mappings.retain(|topic, brokers| {
            if wanted(topic) {
                brokers.remove(broker_name);
            }
            !brokers.is_empty() && topics.contains_key(topic)
        });
    }

    /// Returns the connection of a running broker.
    pub fn peer(&self, key: &BrokerKey) -> Option<Arc<Peer>> {
        self.live.get(key).map(|broker| Arc::clone(&broker.peer))
    }
}

/// Shows the first slave of a group without master as its master, for reading.
fn act_as_master(group: &mut BrokerData, topic: &Topic) {
    let acts = group.enable_acting_master && !group.broker_addrs.contains_key(&MASTER_ID);
    let writable = topic.of(&group.broker_name).is_none_or(|queues| queues.perm & PERM_WRITE != 0);
    if acts
        && !writable
        && let Some((_, addr)) = group.broker_addrs.pop_first()
    {
        group.broker_addrs.insert(MASTER_ID, addr);
    }
}

/// Leaves only brokers of one zone in a route, and groups without master, which are read anywhere.
pub(crate) fn keep_zone(route: &mut TopicRouteData, zone: &str) {
    let near = |group: &BrokerData| {
        let same = group.zone_name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(zone));
        same || !group.broker_addrs.contains_key(&MASTER_ID)
    };
    let (kept, removed): (Vec<_>, Vec<_>) =
        std::mem::take(&mut route.broker_datas).into_iter().partition(near);
    route.broker_datas = kept;
    for group in removed {
        route.queue_datas.retain(|queues| queues.broker_name != group.broker_name);
        for addr in group.broker_addrs.values() {
            route.filter_server_table.remove(addr);
        }
    }
}
