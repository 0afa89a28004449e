//! Settings that may change while the broker runs, by request 25.

use remoting_derive::Properties;

use crate::quotas::Rates;
use crate::request_modes::RequestMode;

const HOUR_MS: i64 = 3_600_000;
const YEAR_MS: i64 = 366 * 24 * HOUR_MS;

/// Settings that are looked at when they are needed.
#[derive(Clone, Debug, Properties)]
pub struct LiveConfig {
    /// What the broker permits: 4 reading, 2 writing.
    #[property(default = 6, range = 0..=7)]
    pub broker_permission: i32,
    /// Whether a send to an unknown topic creates it.
    #[property(default = true)]
    pub auto_create_topic_enable: bool,
    /// Gives popped messages up that could not be stored again 17 times.
    #[property(name = "skipWhenCKRePutReachMaxTimes", default = false)]
    pub skip_when_ck_re_put_reach_max_times: bool,
    /// Pops held for one topic, group and queue.
    #[property(default = 1024, range = 0..=1 << 20)]
    pub pop_polling_size: i32,
    /// Pops held altogether.
    #[property(default = 100_000, range = 0..=1 << 30)]
    pub max_pop_polling_size: i64,
    /// Pops of a hundred that begin with what is retried.
    #[property(default = 20, range = 0..=100)]
    pub pop_from_retry_probability: i32,
    /// Whether retried messages show the topic they were popped from.
    #[property(default = false)]
    pub pop_response_return_actual_retry_topic: bool,
    /// Whether a new group pops a young topic from its first message on.
    #[property(default = true)]
    pub init_pop_offset_by_check_msg_in_mem: bool,
    /// Messages a second that each topic may be sent: `NAME:NUMBER` or `NAME:NUMBER/BURST`,
    /// separated by commas, `*` for all others. More are answered 215.
    #[property(default = Rates::default())]
    pub quota_topics: Rates,
    /// Messages a second that each group may send or get.
    #[property(default = Rates::default())]
    pub quota_groups: Rates,
    /// Sends, pulls and pops a second from each address of clients.
    #[property(default = Rates::default())]
    pub quota_client_ips: Rates,
    /// Whether an unknown consumer group is created when it appears.
    #[property(default = true)]
    pub auto_create_subscription_group: bool,
    /// Whether the groups of Java's tools and system clients exist from the start.
    #[property(default = true)]
    pub enable_create_sys_group: bool,
    /// Refuses sends until this time, in ms.
    #[property(default = 0, range = 0..=i64::MAX)]
    pub start_accept_send_request_time_stamp: i64,
    /// Refuses transactional messages.
    #[property(default = false)]
    pub reject_transaction_message: bool,
    /// Stores replies after they were handed to their requester.
    #[property(default = true)]
    pub store_reply_message_enable: bool,
    /// Age in ms from which the producer of an open half message is asked.
    #[property(default = 6000, range = 0..=YEAR_MS)]
    pub transaction_time_out: i64,
    /// How often a producer is asked before its half message is given up.
    #[property(default = 15, range = 0..=i32::MAX)]
    pub transaction_check_max: i32,
    /// Pause between two rounds of questions, in ms.
    #[property(default = 30_000, range = 1..=YEAR_MS)]
    pub transaction_check_interval: i64,
    /// Whether timer messages can be taken back.
    #[property(default = false)]
    pub recall_message_enable: bool,
    /// Whether that works while sends are not permitted.
    #[property(default = true)]
    pub allow_recall_when_broker_not_writeable: bool,
    /// Holds pulls that find nothing; without it they wait `shortPollingTimeMills`.
    #[property(default = true)]
    pub long_polling_enable: bool,
    /// How long a pull waits when long polling is off.
    #[property(default = 1000, range = 0..=HOUR_MS)]
    pub short_polling_time_mills: i64,
    /// Whether lite pull consumers are served.
    #[property(default = true)]
    pub lite_pull_message_enable: bool,
    /// Refuses consumers that pull without heartbeat subscriptions.
    #[property(default = false)]
    pub reject_pull_consumer_enable: bool,
    /// Whether clients of a group hear at once that its members changed.
    #[property(default = true)]
    pub notify_consumer_ids_changed_enable: bool,
    /// Whether producers are known; without it only while transactions are accepted.
    #[property(default = true)]
    pub enable_register_producer: bool,
    /// Tells slow consumers to read from the broker their group is set to.
    #[property(default = false)]
    pub slave_read_enable: bool,
    /// How groups get messages that no administrator set: PULL or POP.
    #[property(default = RequestMode::default())]
    pub default_message_request_mode: RequestMode,
    /// How many other clients share a popping client's queues; all of them if not positive.
    #[property(default = -1, range = -1..=i32::MAX)]
    pub default_pop_share_queue_num: i32,
    /// Whether the broker shares queues out when asked; without it every client gets all.
    #[property(default = true)]
    pub server_load_balancer_enable: bool,
    /// Interval of asking name servers for the queues that are shared out, in ms.
    #[property(default = 30_000, range = 1..=YEAR_MS)]
    pub load_balance_poll_name_server_interval: i64,
    /// Time after which a silent client is dropped.
    #[property(default = 120_000, range = 1_000..=YEAR_MS)]
    pub channel_expired_timeout: i64,
    /// Time after which the subscription of a topic no heartbeat named is dropped.
    #[property(default = 600_000, range = 1_000..=YEAR_MS)]
    pub subscription_expired_timeout: i64,
    /// Whether a server-side offset reset works without the clients' help.
    #[property(default = true)]
    pub use_server_side_reset_offset: bool,
    /// Refuses administrative changes of system topics.
    #[property(default = true)]
    pub validate_system_topic_when_update_topic: bool,
    /// Permits topics of message type MIXED.
    #[property(default = false)]
    pub enable_mixed_message_type: bool,
    /// Permits consumers to filter by SQL92 expressions over the properties of messages.
    #[property(default = false)]
    pub enable_property_filter: bool,
    /// Filters retried messages by the expressions of their former topics.
    #[property(default = false)]
    pub filter_support_retry: bool,
    /// Time after which the expressions of a group that has gone are forgotten, in ms.
    #[property(default = 86_400_000, range = 1_000..=10 * YEAR_MS)]
    pub filter_data_clean_time_span: i64,
    /// Deletes the retry topics of a topic's consumers along with the topic.
    #[property(default = true)]
    pub clear_retry_topic_when_delete_topic: bool,
    /// Interval of registering with the name servers, between 10 s and 60 s.
    #[property(default = 30_000, range = 0..=i32::MAX)]
    pub register_name_server_period: i32,
    /// Time a registration may take.
    #[property(default = 24_000, range = 1..=3_600_000)]
    pub register_broker_timeout_mills: i32,
    /// Topics per registration once there are more than fit into one.
    #[property(default = 800, range = 1..=i32::MAX)]
    pub split_registration_size: i32,
}
