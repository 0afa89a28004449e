//! Offsets of groups and queues, and figures about them.

use std::collections::BTreeMap;

use super::dialect::{bean_keys, nested_bean_keys};
use super::{DataVersion, SubscriptionData, bodies};

bodies! {
    /// One queue of a topic on a broker.
    #[derive(Eq, PartialOrd, Ord, Hash)]
    Standard MessageQueue {
        broker_name: String,
        queue_id: i32,
        topic: String,
    }

    /// Bounds of one queue.
    Standard TopicOffset {
        last_update_timestamp: i64,
        max_offset: i64,
        min_offset: i64,
    }

    /// Bounds of all queues of a topic (202).
    BareBeans TopicStatsTable {
        #[serde(with = "bean_keys")]
        offset_table: BTreeMap<MessageQueue, TopicOffset>,
        topic_put_tps: f64,
    }

    /// How far a group is in one queue.
    Standard OffsetWrapper {
        broker_offset: i64,
        consumer_offset: i64,
        last_timestamp: i64,
        pull_offset: i64,
    }

    /// How far a group is (208).
    BareBeans ConsumeStats {
        consume_tps: f64,
        #[serde(with = "bean_keys")]
        offset_table: BTreeMap<MessageQueue, OffsetWrapper>,
    }

    /// How far all groups of a broker are (317).
    BareBeans ConsumeStatsList {
        broker_addr: String,
        consume_stats_list: Vec<BTreeMap<String, Vec<ConsumeStats>>>,
        total_diff: i64,
        total_inflight_diff: i64,
    }

    /// Offsets a group is reset to (220, 222).
    BareBeans ResetOffsetBody {
        #[serde(with = "bean_keys")]
        offset_table: BTreeMap<MessageQueue, i64>,
    }

    /// The same for clients that read lists only.
    Standard ResetOffsetBodyForC {
        offset_table: Vec<MessageQueueForC>,
    }

    /// One offset of such a list.
    Standard MessageQueueForC {
        broker_name: String,
        offset: i64,
        queue_id: i32,
        topic: String,
    }

    /// Where the members of a group are (221, 223).
    BareBeans GetConsumerStatusBody {
        #[serde(with = "nested_bean_keys")]
        consumer_table: BTreeMap<String, BTreeMap<MessageQueue, i64>>,
        #[serde(with = "bean_keys")]
        message_queue_table: BTreeMap<MessageQueue, i64>,
    }

    /// Offsets of all groups (43), also as they are stored; keys are `topic@group`.
    BareNumbers ConsumerOffsetSerializeWrapper {
        data_version: Option<DataVersion>,
        offset_table: BTreeMap<String, BTreeMap<i32, i64>>,
    }

    /// Offsets of the delay levels (45), also as they are stored.
    BareNumbers DelayOffsetSerializeWrapper {
        data_version: Option<DataVersion>,
        offset_table: BTreeMap<i32, i64>,
    }

    /// Messages that wait in the timer for a topic.
    #[derive(Eq)]
    Standard TimingCount {
        count: i64,
        time_stamp: i64,
    }

    /// Messages that wait in the timer (61), also as they are stored.
    Standard TimerMetricsSerializeWrapper {
        data_version: DataVersion,
        timing_count: BTreeMap<String, TimingCount>,
    }

    /// Offsets of the queues of a topic (308).
    BareNumbers QueryCorrectionOffsetBody {
        correction_offsets: BTreeMap<i32, i64>,
    }

    /// Times of what a group has yet to consume in one queue.
    Standard QueueTimeSpan {
        consume_time_stamp: i64,
        delay_time: i64,
        max_time_stamp: i64,
        message_queue: Option<MessageQueue>,
        min_time_stamp: i64,
    }

    /// Times of what a group has yet to consume (303).
    Standard QueryConsumeTimeSpanBody {
        consume_time_span_set: Vec<QueueTimeSpan>,
    }

    /// Entries of a consume queue (321).
    Standard QueryConsumeQueueResponseBody {
        filter_data: Option<String>,
        max_queue_index: i64,
        min_queue_index: i64,
        queue_data: Vec<ConsumeQueueData>,
        subscription_data: Option<SubscriptionData>,
    }

    /// One entry of a consume queue.
    Standard ConsumeQueueData {
        bit_map: Option<String>,
        eval: bool,
        extend_data_json: Option<String>,
        msg: Option<String>,
        physic_offset: i64,
        physic_size: i32,
        tags_code: i64,
    }

    /// How far the replicas of a master are (907).
    Standard HARuntimeInfo {
        ha_client_runtime_info: HAClientRuntimeInfo,
        ha_connection_info: Vec<HAConnectionRuntimeInfo>,
        in_sync_slave_nums: i32,
        master: bool,
        master_commit_log_max_offset: i64,
    }

    /// How far a replica is, in its own words.
    Standard HAClientRuntimeInfo {
        last_read_timestamp: i64,
        last_write_timestamp: i64,
        master_addr: Option<String>,
        master_flush_offset: i64,
        max_offset: i64,
        transferred_byte_in_second: i64,
    }

    /// How far one replica is, as its master sees it.
    Standard HAConnectionRuntimeInfo {
        addr: Option<String>,
        diff: i64,
        in_sync: bool,
        slave_ack_offset: i64,
        transfer_from_where: i64,
        transferred_byte_in_second: i64,
    }

    /// Figures of one statistic (315).
    Standard BrokerStatsData {
        stats_day: Option<BrokerStatsItem>,
        stats_hour: Option<BrokerStatsItem>,
        stats_minute: Option<BrokerStatsItem>,
    }

    /// Figures over one period.
    Standard BrokerStatsItem {
        avgpt: f64,
        sum: i64,
        tps: f64,
    }

    /// What a consumer tells about itself (307); brokers forward it unread.
    BareBeans ConsumerRunningInfo {
        jstack: Option<String>,
        #[serde(with = "bean_keys")]
        mq_pop_table: BTreeMap<MessageQueue, PopProcessQueueInfo>,
        #[serde(with = "bean_keys")]
        mq_table: BTreeMap<MessageQueue, ProcessQueueInfo>,
        properties: BTreeMap<String, String>,
        status_table: BTreeMap<String, ConsumeStatus>,
        subscription_set: Vec<SubscriptionData>,
        user_consumer_info: BTreeMap<String, String>,
    }

    /// A queue being popped.
    Standard PopProcessQueueInfo {
        droped: bool,
        last_pop_timestamp: i64,
        wait_ack_count: i32,
    }

    /// A queue being pulled.
    Standard ProcessQueueInfo {
        cached_msg_count: i32,
        cached_msg_max_offset: i64,
        cached_msg_min_offset: i64,
        #[serde(rename = "cachedMsgSizeInMiB")]
        cached_msg_size_in_mib: i32,
        commit_offset: i64,
        droped: bool,
        last_consume_timestamp: i64,
        last_lock_timestamp: i64,
        last_pull_timestamp: i64,
        locked: bool,
        transaction_msg_count: i32,
        transaction_msg_max_offset: i64,
        transaction_msg_min_offset: i64,
        try_unlock_times: i64,
    }

    /// How consuming a topic goes.
    Standard ConsumeStatus {
        consume_failed_msgs: i64,
        #[serde(rename = "consumeFailedTPS")]
        consume_failed_tps: f64,
        #[serde(rename = "consumeOKTPS")]
        consume_ok_tps: f64,
        #[serde(rename = "consumeRT")]
        consume_rt: f64,
        #[serde(rename = "pullRT")]
        pull_rt: f64,
        #[serde(rename = "pullTPS")]
        pull_tps: f64,
    }
}
