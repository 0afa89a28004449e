//! Settings of the broker under Java's names and defaults.
//!
//! A file may list hundreds of Java's keys. One that we know is applied; one that only Java knows
//! is named once in the log; an unknown one is warned about with its nearest neighbour. A key that
//! asks for safety we do not provide (replicas, access control) stops the start.

use std::path::{Path, PathBuf};

use remoting_derive::Properties;
use runtime::config::{self, Properties as _};
use store::StoreConfig;

use crate::request_modes::RequestMode;

/// Settings of the broker itself.
#[derive(Clone, Debug, Properties)]
pub struct BrokerConfig {
    /// Cluster the broker belongs to.
    #[property(default = "DefaultCluster", restart)]
    pub broker_cluster_name: String,
    /// Name of the broker within its cluster; the host name unless set.
    #[property(default = host_name(), restart)]
    pub broker_name: String,
    /// Number within the broker's group; 0 is the master.
    #[property(default = 0, restart)]
    pub broker_id: i64,
    /// Address that clients are told to connect to; found by the broker unless set.
    #[property(name = "brokerIP1", restart)]
    pub broker_ip1: Option<String>,
    /// Address that replicas are told to connect to; the client address unless set.
    #[property(name = "brokerIP2", restart)]
    pub broker_ip2: Option<String>,
    /// Name servers, separated by semicolons.
    #[property(default = std::env::var("NAMESRV_ADDR").ok(), restart)]
    pub namesrv_addr: Option<String>,
    /// Installation directory; only reported.
    #[property(default = std::env::var("ROCKETMQ_HOME").ok(), restart)]
    pub rocketmq_home: Option<String>,
    /// What the broker permits: 4 reading, 2 writing.
    #[property(default = 6, restart)]
    pub broker_permission: i32,
    /// Queues of the template topic, and so at most of a topic created by a send.
    #[property(default = 8, restart)]
    pub default_topic_queue_nums: i32,
    /// Whether a send to an unknown topic creates it.
    #[property(default = true, restart)]
    pub auto_create_topic_enable: bool,
    /// Whether the topic named after the cluster can be used.
    #[property(default = true, restart)]
    pub cluster_topic_enable: bool,
    /// Whether the topic named after the broker can be used.
    #[property(default = true, restart)]
    pub broker_topic_enable: bool,
    /// Whether the broker has a topic for message traces.
    #[property(default = false, restart)]
    pub trace_topic_enable: bool,
    /// Name of the topic for message traces.
    #[property(default = "RMQ_SYS_TRACE_TOPIC", restart)]
    pub msg_trace_topic_name: String,
    /// Queues of the revive topic.
    #[property(default = 8, restart)]
    pub revive_queue_num: i32,
    /// Keeps check points in memory for a while, so that what is acknowledged soon is not written.
    #[property(default = false, restart)]
    pub enable_pop_buffer_merge: bool,
    /// How long a check point stays in memory, in ms.
    #[property(default = 10_000, restart)]
    pub pop_ck_stay_buffer_time: i32,
    /// How long before its messages come back a check point leaves the memory, in ms.
    #[property(default = 3000, restart)]
    pub pop_ck_stay_buffer_time_out: i32,
    /// Check points in memory at most.
    #[property(default = 200_000, restart)]
    pub pop_ck_max_buffer_size: i32,
    /// Check points in memory for one queue and group at most.
    #[property(default = 20_000, restart)]
    pub pop_ck_offset_max_queue_size: i32,
    /// Gives popped messages up that could not be stored again 17 times.
    #[property(name = "skipWhenCKRePutReachMaxTimes", default = false, restart)]
    pub skip_when_ck_re_put_reach_max_times: bool,
    /// Names retry topics of popped messages `%RETRY%group+topic`, not `%RETRY%group_topic`.
    #[property(default = false, restart)]
    pub enable_retry_topic_v2: bool,
    /// Pops held for one topic, group and queue.
    #[property(default = 1024, restart)]
    pub pop_polling_size: i32,
    /// Pops held altogether.
    #[property(default = 100_000, restart)]
    pub max_pop_polling_size: i64,
    /// Every so many messages of a queue wake a held pop, even if it filters them out.
    #[property(default = 800, restart)]
    pub pop_long_polling_force_notify_interval: i64,
    /// Pops of a hundred that begin with what is retried.
    #[property(default = 20, restart)]
    pub pop_from_retry_probability: i32,
    /// Whether `%RETRY%group_topic` is popped from while retry topics have the other name.
    #[property(default = true, restart)]
    pub retrieve_message_from_pop_retry_topic_v1: bool,
    /// Whether retried messages show the topic they were popped from.
    #[property(default = false, restart)]
    pub pop_response_return_actual_retry_topic: bool,
    /// Whether a new group pops a young topic from its first message on.
    #[property(default = true, restart)]
    pub init_pop_offset_by_check_msg_in_mem: bool,
    /// Whether a queue with too many messages that nobody acknowledged is not popped.
    #[property(default = false, restart)]
    pub enable_pop_message_threshold: bool,
    /// How many are too many.
    #[property(default = 10_000, restart)]
    pub pop_inflight_message_threshold: i64,
    /// Whether an unknown consumer group is created when it appears.
    #[property(default = true, restart)]
    pub auto_create_subscription_group: bool,
    /// Whether the groups of Java's tools and system clients exist from the start.
    #[property(default = true, restart)]
    pub enable_create_sys_group: bool,
    /// Refuses sends until this time, in ms.
    #[property(default = 0, restart)]
    pub start_accept_send_request_time_stamp: i64,
    /// Refuses transactional messages.
    #[property(default = false, restart)]
    pub reject_transaction_message: bool,
    /// Stores replies after they were handed to their requester.
    #[property(default = true, restart)]
    pub store_reply_message_enable: bool,
    /// Age in ms from which the producer of an open half message is asked.
    #[property(default = 6000, restart)]
    pub transaction_time_out: i64,
    /// How often a producer is asked before its half message is given up.
    #[property(default = 15, restart)]
    pub transaction_check_max: i32,
    /// Pause between two rounds of questions, in ms.
    #[property(default = 30_000, restart)]
    pub transaction_check_interval: i64,
    /// Characters of one message that says which half messages have ended.
    #[property(default = 4096, restart)]
    pub transaction_op_msg_max_size: i32,
    /// Longest time such a message is put off, in ms.
    #[property(default = 3000, restart)]
    pub transaction_op_batch_interval: i64,
    /// Interval of writing the number of open half messages, in ms.
    #[property(default = 3000, restart)]
    pub transaction_metric_flush_interval: i64,
    /// Whether timer messages can be taken back.
    #[property(default = false, restart)]
    pub recall_message_enable: bool,
    /// Whether that works while sends are not permitted.
    #[property(default = true, restart)]
    pub allow_recall_when_broker_not_writeable: bool,
    /// Who gets metrics: `DISABLE` or `PROM`, a page to be fetched.
    #[property(default = "DISABLE", restart)]
    pub metrics_exporter_type: String,
    /// Port of the page of metrics, which also answers `/health/live` and `/health/ready`.
    #[property(default = 5557, restart)]
    pub metrics_prom_exporter_port: u16,
    /// Address of the page of metrics; the advertised one unless set.
    #[property(default = "", restart)]
    pub metrics_prom_exporter_host: String,
    /// Labels of every series: `name:value,name:value`.
    #[property(default = "", restart)]
    pub metrics_label: String,
    /// Series of one family at most; how many are left out is on the page.
    #[property(default = 50_000, restart)]
    pub metrics_otel_cardinality_limit: i32,
    /// Region stamped on every message.
    #[property(default = "DefaultRegion", restart)]
    pub region_id: String,
    /// Whether clients should trace their messages.
    #[property(default = true, restart)]
    pub trace_on: bool,
    /// Holds pulls that find nothing; without it they wait `shortPollingTimeMills`.
    #[property(default = true, restart)]
    pub long_polling_enable: bool,
    /// How long a pull waits when long polling is off.
    #[property(default = 1000, restart)]
    pub short_polling_time_mills: i64,
    /// Whether lite pull consumers are served.
    #[property(default = true, restart)]
    pub lite_pull_message_enable: bool,
    /// Refuses consumers that pull without heartbeat subscriptions.
    #[property(default = false, restart)]
    pub reject_pull_consumer_enable: bool,
    /// Whether clients of a group hear at once that its members changed.
    #[property(default = true, restart)]
    pub notify_consumer_ids_changed_enable: bool,
    /// Whether they hear of it at once; otherwise in rounds.
    #[property(default = true, restart)]
    pub real_time_notify_consumer_change: bool,
    /// Whether producers are known; without it only while transactions are accepted.
    #[property(default = true, restart)]
    pub enable_register_producer: bool,
    /// Tells slow consumers to read from the broker their group is set to.
    #[property(default = false, restart)]
    pub slave_read_enable: bool,
    /// How groups get messages that no administrator set: PULL or POP.
    #[property(default = RequestMode::default(), restart)]
    pub default_message_request_mode: RequestMode,
    /// How many other clients share a popping client's queues; all of them if not positive.
    #[property(default = -1, restart)]
    pub default_pop_share_queue_num: i32,
    /// Whether the broker shares queues out when asked; without it every client gets all.
    #[property(default = true, restart)]
    pub server_load_balancer_enable: bool,
    /// Interval of asking name servers for the queues that are shared out, in ms.
    #[property(default = 30_000, restart)]
    pub load_balance_poll_name_server_interval: i64,
    /// Time after which a silent client is dropped.
    #[property(default = 120_000, restart)]
    pub channel_expired_timeout: i64,
    /// Time after which the subscription of a topic no heartbeat named is dropped.
    #[property(default = 600_000, restart)]
    pub subscription_expired_timeout: i64,
    /// Interval of writing consumer offsets.
    #[property(default = 5000, restart)]
    pub flush_consumer_offset_interval: i64,
    /// Commits per version of the consumer offsets.
    #[property(default = 500, restart)]
    pub consumer_offset_update_version_step: i64,
    /// Interval of writing delay offsets, in ms.
    #[property(default = 10_000, restart)]
    pub flush_delay_offset_interval: i64,
    /// Updates per version of the delay offsets.
    #[property(default = 200, restart)]
    pub delay_offset_update_version_step: i64,
    /// Whether progress of broadcasting clients is kept.
    #[property(default = true, restart)]
    pub enable_broadcast_offset_store: bool,
    /// Whether a server-side offset reset works without the clients' help.
    #[property(default = true, restart)]
    pub use_server_side_reset_offset: bool,
    /// Refuses administrative changes of system topics.
    #[property(default = true, restart)]
    pub validate_system_topic_when_update_topic: bool,
    /// Permits topics of message type MIXED.
    #[property(default = false, restart)]
    pub enable_mixed_message_type: bool,
    /// Sends that may be unanswered at a time, before further ones are refused as too many.
    #[property(default = 10_000, restart)]
    pub send_thread_pool_queue_capacity: i32,
    /// Slows groups down that read more old data than their share.
    #[property(default = false, restart)]
    pub cold_data_flow_control_enable: bool,
    /// Bytes of old data a group may read within 5 s.
    #[property(default = 3 << 20, restart)]
    pub cg_cold_read_threshold: i64,
    /// Bytes of old data all groups together may read within 5 s.
    #[property(default = 100 << 20, restart)]
    pub global_cold_read_threshold: i64,
    /// Permits consumers to filter by SQL92 expressions over the properties of messages.
    #[property(default = false, restart)]
    pub enable_property_filter: bool,
    /// Filters retried messages by the expressions of their former topics.
    #[property(default = false, restart)]
    pub filter_support_retry: bool,
    /// Time after which the expressions of a group that has gone are forgotten, in ms.
    #[property(default = 86_400_000, restart)]
    pub filter_data_clean_time_span: i64,
    /// Subscriptions that Java's bloom filter is sized for; this broker only notes their bits.
    #[property(default = 32, restart)]
    pub expect_consumer_num_use_filter: i32,
    /// Error rate that Java's bloom filter is sized for, in percent.
    #[property(default = 20, restart)]
    pub max_error_rate_of_bloom_filter: i32,
    /// Deletes the retry topics of a topic's consumers along with the topic.
    #[property(default = true, restart)]
    pub clear_retry_topic_when_delete_topic: bool,
    /// Interval of registering with the name servers, between 10 s and 60 s.
    #[property(default = 30_000, restart)]
    pub register_name_server_period: i32,
    /// Time a registration may take.
    #[property(default = 24_000, restart)]
    pub register_broker_timeout_mills: i32,
    /// Topics per registration once there are more than fit into one.
    #[property(default = 800, restart)]
    pub split_registration_size: i32,
}

/// Settings of the listening side.
#[derive(Clone, Debug, Properties)]
pub struct NetworkConfig {
    /// Port for clients; 0 takes a free one.
    #[property(default = 10911, restart)]
    pub listen_port: u16,
    /// Address to listen on.
    #[property(default = "0.0.0.0", restart)]
    pub bind_address: String,
    /// Time after which a silent connection is closed, in seconds.
    #[property(default = 120, restart)]
    pub server_channel_max_idle_time_seconds: u32,
    /// Connections the kernel may queue.
    #[property(default = 1024, restart)]
    pub server_socket_backlog: u32,
    /// Tells clients to go away for a while before the broker stops.
    #[property(default = false, restart)]
    pub enable_shutdown_gracefully: bool,
    /// How long they are told, in seconds.
    #[property(default = 30, restart)]
    pub shutdown_wait_time_seconds: u32,
}

/// All settings of a broker process.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The broker itself.
    pub broker: BrokerConfig,
    /// The listening side.
    pub network: NetworkConfig,
    /// The store.
    pub store: StoreConfig,
}

/// Why settings stop the start.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The file is no property text.
    #[error("{path}: {source}")]
    Text {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: config::PropertiesError,
    },
    /// A key asks for something that would silently be missing.
    #[error("{key}={value}: {reason}")]
    NotHonoured {
        /// The key.
        key: String,
        /// Its value.
        value: String,
        /// What is missing.
        reason: &'static str,
    },
    /// A value is out of its range or contradicts another.
    #[error("{key}={value}: must be {expected}")]
    Illegal {
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What is allowed.
        expected: &'static str,
    },
}

impl Settings {
    /// Applies a file of Java properties; returns what someone should read.
    ///
    /// # Errors
    /// Fails when the file cannot be read or asks for safety that is not there.
    pub fn load(&mut self, path: &Path) -> Result<Vec<String>, ConfigError> {
        let bytes = std::fs::read(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let pairs = config::parse_bytes(&bytes)
            .map_err(|source| ConfigError::Text { path: path.to_owned(), source })?;
        self.apply(&pairs)
    }

    /// Applies keys and values; returns what someone should read.
    ///
    /// # Errors
    /// Fails when a key asks for safety that is not there.
    pub fn apply(&mut self, pairs: &[(String, String)]) -> Result<Vec<String>, ConfigError> {
        for (key, value) in pairs {
            refuse_missing_safety(key, value)?;
        }
        let report =
            config::apply_all(&mut [&mut self.broker, &mut self.network, &mut self.store], pairs);
        Ok(report.warnings())
    }

    /// Checks ranges and relations.
    ///
    /// # Errors
    /// Names the first key that cannot be worked with.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let broker = &self.broker;
        // Replication is not there, so a broker that is not the master would serve nothing.
        check("brokerId", broker.broker_id, |id| id == 0, "0: only masters are supported")?;
        // A broker without a queue in its template topic could not create any topic by a send.
        let queues = i64::from(broker.default_topic_queue_nums);
        check("defaultTopicQueueNums", queues, |n| (1..=65_535).contains(&n), "from 1 to 65535")?;
        let permission = i64::from(broker.broker_permission);
        check("brokerPermission", permission, |p| (0..=7).contains(&p), "from 0 to 7")?;
        let rate = i64::from(broker.max_error_rate_of_bloom_filter);
        check("maxErrorRateOfBloomFilter", rate, |r| (1..=99).contains(&r), "from 1 to 99")?;
        let expected = i64::from(broker.expect_consumer_num_use_filter);
        let allowed = |n| (1..=1 << 20).contains(&n);
        check("expectConsumerNumUseFilter", expected, allowed, "from 1 to 1048576")?;
        let revive = i64::from(broker.revive_queue_num);
        check("reviveQueueNum", revive, |n| (1..=65_535).contains(&n), "from 1 to 65535")?;
        let split = i64::from(broker.split_registration_size);
        check("splitRegistrationSize", split, |n| n > 0, "positive")?;
        // Both names become topics and parts of topics; routes could not be asked for otherwise.
        for (key, name) in [
            ("brokerName", &broker.broker_name),
            ("brokerClusterName", &broker.broker_cluster_name),
        ] {
            if name.is_empty() || name.contains(['\u{1}', '\u{2}', ';']) {
                let value = name.clone();
                return Err(ConfigError::Illegal { key, value, expected: "a plain name" });
            }
        }
        Ok(())
    }

    /// Lists every key with its present value, sorted.
    #[must_use]
    pub fn entries(&self) -> Vec<(&'static str, String)> {
        let mut entries = self.broker.entries();
        entries.extend(self.network.entries());
        entries.extend(self.store.entries());
        entries.sort();
        entries
    }

    /// Lists the keys that tell one broker from another.
    #[must_use]
    pub fn important_entries(&self) -> Vec<(&'static str, String)> {
        const IMPORTANT: [&str; 12] = [
            "autoCreateSubscriptionGroup",
            "autoCreateTopicEnable",
            "brokerClusterName",
            "brokerIP1",
            "brokerId",
            "brokerName",
            "defaultTopicQueueNums",
            "fileReservedTime",
            "flushDiskType",
            "listenPort",
            "namesrvAddr",
            "storePathRootDir",
        ];
        let mut entries = self.entries();
        entries.retain(|(key, _)| IMPORTANT.contains(key));
        entries
    }

    /// The name servers of the list, in order.
    pub fn name_servers(&self) -> Vec<&str> {
        let list = self.broker.namesrv_addr.as_deref().unwrap_or("");
        list.split(';').map(str::trim).filter(|server| !server.is_empty()).collect()
    }
}

fn check(
    key: &'static str,
    value: i64,
    allowed: impl Fn(i64) -> bool,
    expected: &'static str,
) -> Result<(), ConfigError> {
    if allowed(value) {
        return Ok(());
    }
    Err(ConfigError::Illegal { key, value: value.to_string(), expected })
}

const NO_REPLICAS: &str = "replication is not supported";
const NO_ACCESS_CONTROL: &str = "access control is not supported";
const NO_OTHER_POP: &str = "the state of popping is kept in the revive topic only";
const NO_OTHER_STORE: &str = "only the file store is supported";

/// Refuses what a user would believe to have: replicas, access control, another store.
fn refuse_missing_safety(key: &str, value: &str) -> Result<(), ConfigError> {
    let value = value.trim();
    let on = value.eq_ignore_ascii_case("true");
    let above_one = value.parse::<i64>().is_ok_and(|count| count > 1);
    let reason = match key {
        "aclEnable" | "authenticationEnabled" | "authorizationEnabled" if on => NO_ACCESS_CONTROL,
        "brokerRole" if matches!(value, "SLAVE" | "SYNC_MASTER") => NO_REPLICAS,
        "inSyncReplicas" | "minInSyncReplicas" | "totalReplicas" if above_one => NO_REPLICAS,
        "enableControllerMode" | "enableDLegerCommitLog" | "duplicationEnable" if on => NO_REPLICAS,
        "enableSlaveActingMaster" | "allAckInSyncStateSet" if on => NO_REPLICAS,
        "storeType" if !value.eq_ignore_ascii_case("default") => NO_OTHER_STORE,
        "messageStorePlugIn" if !value.is_empty() => NO_OTHER_STORE,
        "configManagerVersion" if value != "v1" => NO_OTHER_STORE,
        "timerRocksDBEnable" | "transRocksDBEnable" | "indexRocksDBEnable" if on => NO_OTHER_STORE,
        "popConsumerKVServiceEnable" | "popConsumerKVServiceInit" if on => NO_OTHER_POP,
        _ => return Ok(()),
    };
    Err(ConfigError::NotHonoured { key: key.to_owned(), value: value.to_owned(), reason })
}

fn host_name() -> String {
    let system = rustix::system::uname();
    match system.nodename().to_str() {
        Ok(name) if !name.is_empty() => name.to_owned(),
        _ => "DEFAULT_BROKER".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        config::parse(text).unwrap()
    }

    #[test]
    fn defaults_are_valid_and_javas() {
        let settings = Settings::default();
        settings.validate().unwrap();
        let entries = settings.entries();
        let value = |key| entries.iter().find(|(k, _)| *k == key).map(|(_, v)| v.as_str());
        assert_eq!(value("brokerClusterName"), Some("DefaultCluster"));
        assert_eq!(value("listenPort"), Some("10911"));
        assert_eq!(value("defaultTopicQueueNums"), Some("8"));
        assert_eq!(value("autoCreateTopicEnable"), Some("true"));
        assert_eq!(value("maxMessageSize"), Some("4194304"));
    }

    #[test]
    fn keys_reach_all_three_parts() {
        let mut settings = Settings::default();
        let text = "brokerName=b\nlistenPort=7\nflushDiskType=SYNC_FLUSH\nbrokerIP1=10.0.0.1";
        assert_eq!(settings.apply(&pairs(text)).unwrap(), Vec::<String>::new());
        assert_eq!(settings.broker.broker_name, "b");
        assert_eq!(settings.network.listen_port, 7);
        assert_eq!(settings.store.flush_disk_type, store::FlushDiskType::SyncFlush);
        assert_eq!(settings.broker.broker_ip1.as_deref(), Some("10.0.0.1"));
    }

    #[test]
    fn an_unknown_key_is_named_with_its_neighbour() {
        let warnings = Settings::default().apply(&pairs("brokerNmae=b")).unwrap();
        assert_eq!(warnings, ["unknown key brokerNmae, did you mean brokerName?"]);
    }

    #[test]
    fn safety_that_is_not_there_stops_the_start() {
        for text in [
            "brokerRole=SLAVE",
            "aclEnable=true",
            "authenticationEnabled=TRUE",
            "inSyncReplicas=2",
            "enableControllerMode=true",
            "storeType=defaultRocksDB",
            "timerRocksDBEnable=true",
            "transRocksDBEnable=true",
            "indexRocksDBEnable=true",
            "popConsumerKVServiceEnable=true",
            "popConsumerKVServiceInit=true",
        ] {
            let error = Settings::default().apply(&pairs(text)).unwrap_err();
            assert!(matches!(error, ConfigError::NotHonoured { .. }), "{text}: {error}");
        }
        for text in ["brokerRole=ASYNC_MASTER", "aclEnable=false", "inSyncReplicas=1"] {
            Settings::default().apply(&pairs(text)).unwrap();
        }
    }

    #[test]
    fn validation_names_the_key() {
        let mut settings = Settings::default();
        settings.broker.broker_id = 1;
        let error = settings.validate().unwrap_err().to_string();
        assert_eq!(error, "brokerId=1: must be 0: only masters are supported");
    }

    #[test]
    fn the_list_of_name_servers_is_split() {
        let mut settings = Settings::default();
        settings.broker.namesrv_addr = Some(" a:1; b:2;;".to_owned());
        assert_eq!(settings.name_servers(), ["a:1", "b:2"]);
    }
}
