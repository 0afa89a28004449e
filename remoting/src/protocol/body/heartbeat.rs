//! What clients tell about themselves: heartbeats (34) and subscription checks (46).

use super::{bodies, constants};

constants! {
    /// How a group gets its messages.
    ConsumeType {
        Actively = "CONSUME_ACTIVELY",
        Passively = "CONSUME_PASSIVELY",
        Pop = "CONSUME_POP",
    }

    /// Whether every consumer of a group gets every message.
    MessageModel {
        Broadcasting = "BROADCASTING",
        Clustering = "CLUSTERING",
    }

    /// Where a group without stored offsets begins.
    ConsumeFromWhere {
        LastOffset = "CONSUME_FROM_LAST_OFFSET",
        LastOffsetAndMinOffset = "CONSUME_FROM_LAST_OFFSET_AND_FROM_MIN_WHEN_BOOT_FIRST",
        MinOffset = "CONSUME_FROM_MIN_OFFSET",
        MaxOffset = "CONSUME_FROM_MAX_OFFSET",
        FirstOffset = "CONSUME_FROM_FIRST_OFFSET",
        Timestamp = "CONSUME_FROM_TIMESTAMP",
    }
}

bodies! {
    /// One heartbeat of a client.
    Standard HeartbeatData {
        #[serde(rename = "clientID")]
        client_id: String,
        consumer_data_set: Vec<ConsumerData>,
        heartbeat_fingerprint: i32,
        producer_data_set: Vec<ProducerData>,
        without_sub: bool,
    }

    /// A consumer group in a heartbeat.
    Standard ConsumerData {
        #[serde(deserialize_with = "ConsumeFromWhere::known")]
        consume_from_where: Option<ConsumeFromWhere>,
        #[serde(deserialize_with = "ConsumeType::known")]
        consume_type: Option<ConsumeType>,
        group_name: String,
        #[serde(deserialize_with = "MessageModel::known")]
        message_model: Option<MessageModel>,
        subscription_data_set: Vec<SubscriptionData>,
        unit_mode: bool,
    }

    /// A producer group in a heartbeat.
    Standard ProducerData {
        group_name: String,
    }

    /// The subscription of a group to one topic.
    Standard SubscriptionData {
        class_filter_mode: bool,
        code_set: Vec<i32>,
        expression_type: String = "TAG".to_owned(),
        sub_string: String,
        sub_version: i64,
        tags_set: Vec<String>,
        topic: String,
    }

    /// A subscription to be checked before its consumer starts.
    Standard CheckClientRequestBody {
        client_id: String,
        group: String,
        namespace: Option<String>,
        subscription_data: Option<SubscriptionData>,
    }
}
