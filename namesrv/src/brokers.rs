//! The brokers of the route table: registration, heartbeats, expiry, leaving.

use std::sync::Arc;

use remoting::net::Peer;
use remoting::protocol::advertised::Advertised;
use remoting::protocol::body::{
    BrokerData, DataVersion, MASTER_ID, QueueData, RegisterBrokerBody, TopicConfig,
};
use remoting::protocol::header::RegisterBrokerRequestHeader;
use tracing::{info, warn};

use crate::config::NamesrvConfig;
use crate::route_table::{PERM_WRITE, RouteTable};

/// How long a broker lives without a sign of life unless it asks for another time.
pub(crate) const EXPIRY_MS: i64 = 120_000;

/// What the name server knows of one running broker.
#[derive(Debug)]
pub(crate) struct LiveBroker {
    pub broker_name: String,
    pub peer: Arc<Peer>,
    pub data_version: DataVersion,
    pub ha_server_addr: String,
    pub last_update_ms: i64,
    pub timeout_ms: i64,
    pub filter_servers: Vec<String>,
    /// Its addresses for other networks.
    pub advertised: Option<Advertised>,
}

/// Names a running broker: addresses are told apart per cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BrokerKey {
    pub cluster: String,
    pub addr: String,
}

impl BrokerKey {
    pub fn new(cluster: &str, addr: &str) -> Self {
        BrokerKey { cluster: cluster.to_owned(), addr: addr.to_owned() }
    }
}

/// A registration, as it came.
pub(crate) struct Registration<'a> {
    pub header: &'a RegisterBrokerRequestHeader,
    pub zone_name: Option<&'a str>,
    pub advertised: Option<Advertised>,
    pub body: RegisterBrokerBody,
    pub peer: &'a Arc<Peer>,
}

/// What became of a registration.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Registered {
    /// It is in the table, or lost against a newer broker of the same id, which is not told.
    Done {
        /// Address of the master, for a slave.
        master_addr: Option<String>,
        /// Replication address of the master, for a slave.
        ha_server_addr: Option<String>,
    },
    /// A broker must register as a whole before it announces single topics.
    Refused,
}

/// The smallest id of a group has changed; its brokers want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MinBrokerChanged {
    pub broker_name: String,
    pub min_broker_id: i64,
    pub min_broker_addr: String,
    pub offline_broker_addr: Option<String>,
    pub ha_broker_addr: Option<String>,
    /// Who is to be told.
    pub brokers: Vec<BrokerKey>,
}

impl RouteTable {
    /// Takes a broker in, or renews it; also says which group has a new smallest id.
    pub fn register(
        &mut self,
        registration: Registration<'_>,
        config: &NamesrvConfig,
        now_ms: i64,
    ) -> (Registered, Option<MinBrokerChanged>) {
        let Registration { header, zone_name, advertised, body, peer } = registration;
        let done = |master_addr, ha_server_addr| Registered::Done { master_addr, ha_server_addr };
        let key = BrokerKey::new(&header.cluster_name, &header.broker_addr);
        let version = body.topic_config_serialize_wrapper.data_version.clone();
        if self.loses_against_newer(header, &version) {
            warn!(broker = header.broker_name, addr = header.broker_addr, "older than its rival");
            self.live.remove(&key);
            return (done(None, None), None);
        }
        let group = self.groups.get(&header.broker_name);
        let known_id = group.is_some_and(|group| {
            // The same address under another id is about to be forgotten.
            group.broker_addrs.contains_key(&header.broker_id)
        });
        let topics = &body.topic_config_serialize_wrapper.topic_config_table;
        if !known_id && topics.len() == 1 {
            return (Registered::Refused, None);
        }
        let former_min = group.and_then(|group| group.broker_addrs.keys().next().copied());

        self.join_group(header, zone_name);
        let changed = !known_id || self.live_version(&key) != Some(&version);
        self.take_topics(header, &body, changed, config);
        self.advertises |= advertised.is_some();
        let former = self.live.insert(
            key,
            LiveBroker {
                broker_name: header.broker_name.clone(),
                peer: Arc::clone(peer),
                data_version: version,
                ha_server_addr: header.ha_server_addr.clone(),
                last_update_ms: now_ms,
                timeout_ms: header.heartbeat_timeout_millis.unwrap_or(EXPIRY_MS),
                filter_servers: body.filter_server_list,
                advertised,
            },
        );
        if former.is_none() {
            let (broker, addr, id) = (&header.broker_name, &header.broker_addr, header.broker_id);
            info!(broker, addr, id, cluster = header.cluster_name, "broker registered");
        }
        let answer = match self.master_of(header) {
            Some((addr, ha_server_addr)) => done(Some(addr), Some(ha_server_addr)),
            None => done(None, None),
        };
        let min_fell = former_min.is_some_and(|min| header.broker_id < min);
        let notice = min_fell.then(|| {
            let ha_broker_addr = Some(header.ha_server_addr.clone());
            self.min_broker_changed(&header.broker_name, None, ha_broker_addr)
        });
        (answer, notice.flatten())
    }

    /// A broker of the same id but another address wins if its state is newer.
    fn loses_against_newer(
        &self,
        header: &RegisterBrokerRequestHeader,
        version: &DataVersion,
    ) -> bool {
        let rival = self
            .groups
            .get(&header.broker_name)
            .and_then(|group| group.broker_addrs.get(&header.broker_id))
            .filter(|addr| **addr != header.broker_addr)
            .and_then(|addr| self.live_version(&BrokerKey::new(&header.cluster_name, addr)));
        rival.is_some_and(|rival| rival.state_version > version.state_version)
    }

    fn join_group(&mut self, header: &RegisterBrokerRequestHeader, zone_name: Option<&str>) {
        let names = self.clusters.entry(header.cluster_name.clone()).or_default();
        names.insert(header.broker_name.clone());
        let group = self.groups.entry(header.broker_name.clone()).or_insert_with(|| BrokerData {
            broker_name: header.broker_name.clone(),
            cluster: header.cluster_name.clone(),
            ..BrokerData::default()
        });
        group.enable_acting_master = header.enable_acting_master.unwrap_or(false);
        group.zone_name = zone_name.map(str::to_owned);
        // A broker that changes its id moves: an address stands once in its group.
        let addr = &header.broker_addr;
        group.broker_addrs.retain(|id, known| known != addr || *id == header.broker_id);
        group.broker_addrs.insert(header.broker_id, addr.clone());
    }

    /// Takes over the topics of a master, or of the first slave of a group that wants one to act.
    fn take_topics(
        &mut self,
        header: &RegisterBrokerRequestHeader,
        body: &RegisterBrokerBody,
        changed: bool,
        config: &NamesrvConfig,
    ) {
        let Some(group) = self.groups.get(&header.broker_name) else { return };
        let is_master = header.broker_id == MASTER_ID;
        let is_first = group.broker_addrs.keys().next() == Some(&header.broker_id);
        let is_prime_slave = !is_master && header.enable_acting_master.is_some() && is_first;
        if !is_master && !is_prime_slave {
            return;
        }
        let read_only = is_prime_slave && group.enable_acting_master;
        let wrapper = &body.topic_config_serialize_wrapper;
        let mappings = &wrapper.topic_queue_mapping_info_map;
        if config.delete_topic_with_broker_registration && mappings.is_empty() {
            let topics = &wrapper.topic_config_table;
            self.remove_queues_of(&header.broker_name, |topic| !topics.contains_key(topic));
        }
        for topic in wrapper.topic_config_table.values() {
            if changed || !self.has_queues(&topic.topic_name, &header.broker_name) {
                self.put_queues(&header.broker_name, topic, read_only);
            }
        }
        if changed {
            for (topic, mapping) in mappings {
                let of_topic = self.mappings.entry(topic.clone()).or_default();
                of_topic.insert(mapping.bname.clone(), mapping.clone());
            }
        }
    }

    fn put_queues(&mut self, broker_name: &str, topic: &TopicConfig, read_only: bool) {
        let perm = if read_only { topic.perm & !PERM_WRITE } else { topic.perm };
        let queues = QueueData {
            broker_name: broker_name.to_owned(),
            perm,
            read_queue_nums: topic.read_queue_nums,
            topic_sys_flag: topic.topic_sys_flag,
            write_queue_nums: topic.write_queue_nums,
        };
        let of_topic = self.topics.entry(topic.topic_name.clone()).or_default();
        of_topic.put(queues);
    }

    /// Returns address and replication address of the live master of a slave.
    fn master_of(&self, header: &RegisterBrokerRequestHeader) -> Option<(String, String)> {
        if header.broker_id == MASTER_ID {
            return None;
        }
        let addr = self.groups.get(&header.broker_name)?.broker_addrs.get(&MASTER_ID)?;
        let master = self.live.get(&BrokerKey::new(&header.cluster_name, addr))?;
        Some((addr.clone(), master.ha_server_addr.clone()))
    }

    /// Returns the version of the topics that a broker registered last.
    pub fn live_version(&self, key: &BrokerKey) -> Option<&DataVersion> {
        self.live.get(key).map(|broker| &broker.data_version)
    }

    /// Notes a sign of life; an unknown broker is not taken in.
    pub fn touch(&mut self, key: &BrokerKey, now_ms: i64) {
        if let Some(broker) = self.live.get_mut(key) {
            broker.last_update_ms = now_ms;
        }
    }

    /// Takes a broker out.
    pub fn unregister(&mut self, key: &BrokerKey, broker_name: &str) -> Option<MinBrokerChanged> {
        let former = self.live.remove(key);
        info!(
            addr = key.addr,
            broker = broker_name,
            live = former.is_some(),
            "broker unregistered"
        );
        let group = self.groups.get_mut(broker_name)?;
        let former_min = group.broker_addrs.keys().next().copied();
        group.broker_addrs.retain(|_, addr| *addr != key.addr);
        let min = group.broker_addrs.keys().next().copied();
        if min.is_none() {
            self.groups.remove(broker_name);
            self.leave_cluster(&key.cluster, broker_name);
            self.remove_queues_of(broker_name, |_| true);
            return None;
        }
        if group.enable_acting_master && min != Some(MASTER_ID) {
            self.change_perms(broker_name, |perm| perm & !PERM_WRITE);
        }
        if min == former_min {
            return None;
        }
        self.min_broker_changed(broker_name, Some(key.addr.clone()), None)
    }

    fn leave_cluster(&mut self, cluster: &str, broker_name: &str) {
        if let Some(names) = self.clusters.get_mut(cluster) {
            names.remove(broker_name);
            if names.is_empty() {
                self.clusters.remove(cluster);
            }
        }
    }

    /// Whether the last registration of a broker came over a connection.
    pub fn has_peer(&self, peer: &Peer) -> bool {
        self.live.values().any(|broker| broker.peer.id() == peer.id())
    }

    /// Takes out the brokers whose last registration came over a connection that is gone.
    pub fn peer_closed(&mut self, peer: &Peer) -> Vec<MinBrokerChanged> {
        self.unregister_where(|broker| broker.peer.id() == peer.id())
    }

    /// Takes out the brokers that have gone silent, and closes their connections.
    pub fn expire(&mut self, now_ms: i64) -> Vec<MinBrokerChanged> {
        self.unregister_where(|broker| {
            let expired = broker.last_update_ms.saturating_add(broker.timeout_ms) < now_ms;
            if expired {
                warn!(broker = broker.broker_name, timeout_ms = broker.timeout_ms, "broker silent");
                broker.peer.close();
            }
            expired
        })
    }

    fn unregister_where(&mut self, gone: impl Fn(&LiveBroker) -> bool) -> Vec<MinBrokerChanged> {
        let gone = self.live.iter().filter(|(_, broker)| gone(broker));
        let gone: Vec<_> =
            gone.map(|(key, broker)| (key.clone(), broker.broker_name.clone())).collect();
        gone.iter().filter_map(|(key, name)| self.unregister(key, name)).collect()
    }

    /// Says who must hear of the smallest id of a group: after a loss everyone who is left, after
    /// a gain everyone but the new one.
    fn min_broker_changed(
        &self,
        broker_name: &str,
        offline_broker_addr: Option<String>,
        ha_broker_addr: Option<String>,
    ) -> Option<MinBrokerChanged> {
        let group = self.groups.get(broker_name)?;
        let (min_id, min_addr) = group.broker_addrs.first_key_value()?;
        let all = offline_broker_addr.is_some() || group.broker_addrs.len() == 1;
        let told = group.broker_addrs.iter().filter(|(id, _)| all || *id != min_id);
        Some(MinBrokerChanged {
            broker_name: broker_name.to_owned(),
            min_broker_id: *min_id,
            min_broker_addr: min_addr.clone(),
            offline_broker_addr,
            ha_broker_addr,
            brokers: told.map(|(_, addr)| BrokerKey::new(&group.cluster, addr)).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn register(table: &mut RouteTable, heartbeat_timeout_millis: Option<i64>) -> BrokerKey {
        let header = RegisterBrokerRequestHeader {
            broker_name: "b".to_owned(),
            broker_addr: "1.1.1.1:1".to_owned(),
            cluster_name: "c".to_owned(),
            heartbeat_timeout_millis,
            ..Default::default()
        };
        let mut body = RegisterBrokerBody::default();
        for name in ["T", "U"] {
            let topics = &mut body.topic_config_serialize_wrapper.topic_config_table;
            topics.insert(name.to_owned(), TopicConfig::new(name, 8, 6));
        }
        let peer = &Arc::new(Peer::unconnected(([127, 0, 0, 1], 1).into()));
        let registration =
            Registration { header: &header, zone_name: None, advertised: None, body, peer };
        table.register(registration, &NamesrvConfig::default(), 0);
        BrokerKey::new("c", "1.1.1.1:1")
    }

    #[test]
    fn a_broker_expires_after_its_time_without_a_sign() {
        for (asked, timeout_ms) in [(None, 120_000), (Some(3_000), 3_000)] {
            let mut table = RouteTable::default();
            register(&mut table, asked);
            table.expire(timeout_ms);
            assert!(table.route("T", false).is_some());
            table.expire(timeout_ms + 1);
            assert!(table.route("T", false).is_none());
        }
    }

    #[test]
    fn a_sign_of_life_renews_the_time() {
        let mut table = RouteTable::default();
        let key = register(&mut table, None);
        table.touch(&key, 100_000);
        table.expire(220_000);
        assert!(table.route("T", false).is_some());
        table.expire(220_001);
        assert!(table.route("T", false).is_none());
        table.touch(&key, 300_000);
        assert!(table.live.is_empty());
    }
}
