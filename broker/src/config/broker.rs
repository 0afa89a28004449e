//! Settings that the broker has from its start on.

use remoting_derive::Properties;
use runtime::config::{PropertyValue as _, system_property};

/// Settings of the broker itself that do not change while it runs.
#[derive(Clone, Debug, Properties)]
pub struct BrokerConfig {
    /// Cluster the broker belongs to.
    #[property(default = "DefaultCluster", fixed)]
    pub broker_cluster_name: String,
    /// Name of the broker within its cluster; the host name unless set.
    #[property(default = host_name(), fixed)]
    pub broker_name: String,
    /// Number within the broker's group; 0 is the master.
    #[property(default = 0, fixed)]
    pub broker_id: i64,
    /// Address that clients are told to connect to; found by the broker unless set.
    #[property(name = "brokerIP1", fixed)]
    pub broker_ip1: Option<String>,
    /// Addresses for clients of several networks: `NAME://HOST:PORT`, separated by commas. Our name
    /// server tells each client the one of its network; Java's tells all `brokerIP1`.
    #[property(default = "", fixed)]
    pub advertised_listeners: String,
    /// Who is told which: `NAME:ADDRESS/BITS` or `NAME:*` for addresses of clients,
    /// `NAME:port=NUMBER` for the port of the name server they come to, separated by commas.
    #[property(default = "", fixed)]
    pub advertised_networks: String,
    /// Address that replicas are told to connect to; the client address unless set.
    #[property(name = "brokerIP2", fixed)]
    pub broker_ip2: Option<String>,
    /// Name servers, separated by semicolons.
    #[property(default = given("rocketmq.namesrv.addr", "NAMESRV_ADDR"), fixed)]
    pub namesrv_addr: Option<String>,
    /// Whether the name servers are asked from an address server, where none is given.
    #[property(default = false, restart)]
    pub fetch_namesrv_addr_by_address_server: bool,
    /// Interval of asking it, in ms.
    #[property(default = 10_000, restart, range = 100..=86_400_000)]
    pub fetch_namesrv_addr_interval: i64,
    /// Host of the address server, with a port unless it is 8080.
    #[property(default = domain(), fixed)]
    pub rmq_address_server_domain: String,
    /// Last part of the path it is asked for.
    #[property(default = sub_group(), fixed)]
    pub rmq_address_server_sub_group: String,
    /// Further keys that no request may change, separated by semicolons.
    #[property(default = "configBlackList;brokerConfigPath", fixed)]
    pub config_black_list: String,
    /// Installation directory; only reported.
    #[property(default = given("rocketmq.home.dir", "ROCKETMQ_HOME"), fixed)]
    pub rocketmq_home: Option<String>,
    /// Queues of the template topic, and so at most of a topic created by a send.
    #[property(default = 8, restart, range = 1..=65_535)]
    pub default_topic_queue_nums: i32,
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
    #[property(default = 8, restart, range = 1..=65_535)]
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
    /// Names retry topics of popped messages `%RETRY%group+topic`, not `%RETRY%group_topic`.
    #[property(default = false, restart)]
    pub enable_retry_topic_v2: bool,
    /// Every so many messages of a queue wake a held pop, even if it filters them out.
    #[property(default = 800, restart)]
    pub pop_long_polling_force_notify_interval: i64,
    /// Whether `%RETRY%group_topic` is popped from while retry topics have the other name.
    #[property(default = true, restart)]
    pub retrieve_message_from_pop_retry_topic_v1: bool,
    /// Whether a queue with too many messages that nobody acknowledged is not popped.
    #[property(default = false, restart)]
    pub enable_pop_message_threshold: bool,
    /// How many are too many.
    #[property(default = 10_000, restart, range = 0..=i64::MAX)]
    pub pop_inflight_message_threshold: i64,
    /// Characters of one message that says which half messages have ended.
    #[property(default = 4096, restart)]
    pub transaction_op_msg_max_size: i32,
    /// Longest time such a message is put off, in ms.
    #[property(default = 3000, restart)]
    pub transaction_op_batch_interval: i32,
    /// Interval of writing the number of open half messages, in ms.
    #[property(default = 3000, restart)]
    pub transaction_metric_flush_interval: i64,
    /// Who gets metrics: `DISABLE` (0), `OTLP_GRPC` (1) a collector, `PROM` (2) who fetches a page,
    /// `LOG` (3) the log.
    #[property(default = "DISABLE", restart)]
    pub metrics_exporter_type: String,
    /// Whether what is sent or logged are differences since the last time, not sums; every series
    /// says so by a label.
    #[property(default = false, restart)]
    pub metrics_in_delta: bool,
    /// Port of the page of metrics, which also answers `/health/live` and `/health/ready`.
    #[property(default = 5557, fixed)]
    pub metrics_prom_exporter_port: u16,
    /// Address of the page of metrics; the advertised one unless set.
    #[property(default = "", fixed)]
    pub metrics_prom_exporter_host: String,
    /// Labels of every series: `name:value,name:value`.
    #[property(default = "", restart)]
    pub metrics_label: String,
    /// Series of one family at most; how many are left out is on the page.
    #[property(default = 50_000, restart)]
    pub metrics_otel_cardinality_limit: i32,
    /// Where metrics are sent: `http://host:port` of a collector.
    #[property(default = "", fixed)]
    pub metrics_grpc_exporter_target: String,
    /// Headers of what is sent: `name:value,name:value`.
    #[property(default = "", fixed)]
    pub metrics_grpc_exporter_header: String,
    /// Time that the collector may take, in ms.
    #[property(default = 3000, restart, range = 1..=86_400_000)]
    pub metric_grpc_exporter_time_out_in_mills: i64,
    /// Interval of sending metrics, in ms.
    #[property(default = 60_000, restart, range = 10..=86_400_000)]
    pub metric_grpc_exporter_interval_in_mills: i64,
    /// Interval of writing metrics to the log, in ms.
    #[property(default = 10_000, restart, range = 10..=86_400_000)]
    pub metric_logging_exporter_interval_in_mills: i64,
    /// Whether metrics tell of requests.
    #[property(default = true, restart)]
    pub enable_remoting_metrics: bool,
    /// Whether metrics tell of the store and the timer.
    #[property(default = true, restart)]
    pub enable_message_store_metrics: bool,
    /// Whether metrics tell of popping.
    #[property(default = true, restart)]
    pub enable_pop_metrics: bool,
    /// Whether metrics tell of connections.
    #[property(default = true, restart)]
    pub enable_connection_metrics: bool,
    /// Whether metrics tell of transactions.
    #[property(default = true, restart)]
    pub enable_transaction_metrics: bool,
    /// Whether metrics tell of permission, topics, groups and waiting requests.
    #[property(default = true, restart)]
    pub enable_stats_metrics: bool,
    /// Whether metrics tell of messages in and out.
    #[property(default = true, restart)]
    pub enable_request_metrics: bool,
    /// Whether metrics tell of lag and dead letters.
    #[property(default = true, restart)]
    pub enable_lag_and_dlq_metrics: bool,
    /// Region stamped on every message.
    #[property(default = "DefaultRegion", restart)]
    pub region_id: String,
    /// Whether clients should trace their messages.
    #[property(default = true, restart)]
    pub trace_on: bool,
    /// Whether they hear of it at once; otherwise in rounds.
    #[property(default = true, restart)]
    pub real_time_notify_consumer_change: bool,
    /// Interval of writing consumer offsets.
    #[property(default = 5000, restart)]
    pub flush_consumer_offset_interval: i32,
    /// Commits per version of the consumer offsets.
    #[property(default = 500, restart)]
    pub consumer_offset_update_version_step: i64,
    /// Interval of writing delay offsets, in ms.
    #[property(default = 10_000, restart)]
    pub flush_delay_offset_interval: i64,
    /// Updates per version of the delay offsets.
    #[property(default = 200, restart)]
    pub delay_offset_update_version_step: i64,
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
    /// Subscriptions that Java's bloom filter is sized for; this broker only notes their bits.
    #[property(default = 32, restart, range = 1..=1 << 20)]
    pub expect_consumer_num_use_filter: i32,
    /// Error rate that Java's bloom filter is sized for, in percent.
    #[property(default = 20, restart, range = 1..=99)]
    pub max_error_rate_of_bloom_filter: i32,
}

/// Settings of the listening side.
#[derive(Clone, Debug, Properties)]
pub struct NetworkConfig {
    /// Port for clients; 0 takes a free one.
    #[property(default = 10911, fixed)]
    pub listen_port: u16,
    /// Address to listen on.
    #[property(default = "0.0.0.0", fixed)]
    pub bind_address: String,
    /// Time after which a silent connection is closed, in seconds.
    #[property(default = 120, restart)]
    pub server_channel_max_idle_time_seconds: u32,
    /// Connections the kernel may queue.
    #[property(default = backlog(), restart)]
    pub server_socket_backlog: u32,
    /// Tells clients to go away for a while before the broker stops.
    #[property(default = false, restart)]
    pub enable_shutdown_gracefully: bool,
    /// How long they are told, in seconds.
    #[property(default = 30, restart)]
    pub shutdown_wait_time_seconds: u32,
}

fn host_name() -> String {
    let system = rustix::system::uname();
    match system.nodename().to_str() {
        Ok(name) if !name.is_empty() => name.to_owned(),
        _ => "DEFAULT_BROKER".to_owned(),
    }
}

fn backlog() -> u32 {
    let given = system_property("com.rocketmq.remoting.socket.backlog");
    given.and_then(|text| u32::parse(&text).ok()).unwrap_or(1024)
}

/// A system property of Java or, without it, a variable of the environment.
fn given(property: &str, variable: &str) -> Option<String> {
    system_property(property).or_else(|| std::env::var(variable).ok())
}

fn domain() -> String {
    system_property("rocketmq.namesrv.domain").unwrap_or_else(|| "jmenv.tbsite.net".to_owned())
}

fn sub_group() -> String {
    system_property("rocketmq.namesrv.domain.subgroup").unwrap_or_else(|| "nsaddr".to_owned())
}
