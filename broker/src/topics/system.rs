//! Topics that every broker has, and names that administration leaves alone.

use remoting::protocol::body::TopicConfig;

use super::names::{
    CHECKED_OUT_TOPIC, HALF_TOPIC, OP_TOPIC, SCHEDULE_TOPIC, TIMER_TOPIC, revive_topic,
};
use super::{perm, plain};
use crate::config::BrokerConfig;

/// Template of topics that come into being by a send.
pub(super) const TEMPLATE_TOPIC: &str = "TBW102";

/// Every name that starts like this belongs to the system.
const SYSTEM_PREFIX: &str = "rmq_sys_";

const ALWAYS: [&str; 11] = [
    TEMPLATE_TOPIC,
    SCHEDULE_TOPIC,
    "BenchmarkTest",
    HALF_TOPIC,
    "RMQ_SYS_TRACE_TOPIC",
    OP_TOPIC,
    CHECKED_OUT_TOPIC,
    "SELF_TEST_TOPIC",
    "OFFSET_MOVED_EVENT",
    "CHECKPOINT_TOPIC",
    TIMER_TOPIC,
];

/// The names that belong to the system.
pub(super) struct SystemTopics {
    own: Vec<String>,
}

impl SystemTopics {
    /// The names of a broker with these settings.
    pub(super) fn new(config: &BrokerConfig) -> Self {
        let cluster = &config.broker_cluster_name;
        let mut own = vec![
            cluster.clone(),
            config.broker_name.clone(),
            format!("{cluster}_REPLY_TOPIC"),
            revive_topic(cluster),
            member_topic(&config.broker_name),
        ];
        if config.trace_topic_enable {
            own.push(config.msg_trace_topic_name.clone());
        }
        SystemTopics { own }
    }

    /// Whether a name belongs to the system.
    pub(super) fn contains(&self, topic: &str) -> bool {
        topic.starts_with(SYSTEM_PREFIX) || self.names().any(|name| name == topic)
    }

    /// The names that are listed.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        ALWAYS.into_iter().chain(self.own.iter().map(String::as_str))
    }

    /// The topics a broker with these settings has from its start.
    pub(super) fn wanted(&self, config: &BrokerConfig, auto_create: bool) -> Vec<TopicConfig> {
        let cluster = &config.broker_cluster_name;
        let name = &config.broker_name;
        let usable = |enabled| perm::INHERIT | if enabled { perm::READ_WRITE } else { 0 };
        let inherited = perm::INHERIT | perm::READ_WRITE;
        let mut wanted = vec![
            plain("SELF_TEST_TOPIC", 1, perm::READ_WRITE, 0),
            plain("BenchmarkTest", 1024, perm::READ_WRITE, 0),
            plain(cluster, 16, usable(config.cluster_topic_enable), 0),
            plain(name, 1, usable(config.broker_topic_enable), 0),
            plain("OFFSET_MOVED_EVENT", 1, perm::READ_WRITE, 0),
            plain(SCHEDULE_TOPIC, 18, perm::READ_WRITE, 0),
            plain(&format!("{cluster}_REPLY_TOPIC"), 1, perm::READ_WRITE, 0),
            plain(&revive_topic(cluster), config.revive_queue_num, perm::READ_WRITE, 0),
            plain(&member_topic(name), 1, perm::INHERIT, 0),
            plain(HALF_TOPIC, 1, perm::READ_WRITE, 0),
            plain(OP_TOPIC, 1, perm::READ_WRITE, 0),
            plain(TIMER_TOPIC, 1, perm::READ_WRITE, 0),
        ];
        if auto_create {
            wanted.push(plain(TEMPLATE_TOPIC, config.default_topic_queue_nums, inherited, 0));
        }
        if config.trace_topic_enable {
            wanted.push(plain(&config.msg_trace_topic_name, 1, perm::READ_WRITE, 0));
        }
        wanted
    }
}

/// Where Java's brokers of a group would tell each other who they are.
fn member_topic(broker_name: &str) -> String {
    format!("{SYSTEM_PREFIX}SYNC_BROKER_MEMBER_{broker_name}")
}
