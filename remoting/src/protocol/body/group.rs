//! Consumer groups: their configuration and lists.

use std::collections::BTreeMap;

use super::{DataVersion, bodies, constants};

constants! {
    /// How the delays between retries are chosen.
    GroupRetryPolicyType {
        Exponential = "EXPONENTIAL",
        Customized = "CUSTOMIZED",
    }
}

bodies! {
    /// The configuration of a consumer group.
    Standard SubscriptionGroupConfig {
        attributes: BTreeMap<String, String>,
        broker_id: i64,
        consume_broadcast_enable: bool = true,
        consume_enable: bool = true,
        consume_from_min_enable: bool = true,
        consume_message_orderly: bool,
        consume_timeout_minute: i32 = 15,
        group_name: String,
        group_retry_policy: GroupRetryPolicy,
        group_sys_flag: i32,
        notify_consumer_ids_changed_enable: bool = true,
        retry_max_times: i32 = 16,
        retry_queue_nums: i32 = 1,
        subscription_data_set: Option<Vec<SimpleSubscriptionData>>,
        which_broker_when_consume_slowly: i64 = 1,
    }

    /// The delays between retries of a group.
    Standard GroupRetryPolicy {
        customized_retry_policy: Option<CustomizedRetryPolicy>,
        exponential_retry_policy: Option<ExponentialRetryPolicy>,
        #[serde(rename = "type", deserialize_with = "GroupRetryPolicyType::known")]
        policy_type: Option<GroupRetryPolicyType> = Some(GroupRetryPolicyType::Customized),
    }

    /// Delays given one by one, in ms.
    Standard CustomizedRetryPolicy {
        next: Vec<i64> = RETRY_DELAYS_MS.to_vec(),
    }

    /// Delays that grow, in ms.
    Standard ExponentialRetryPolicy {
        initial: i64 = 5_000,
        max: i64 = 7_200_000,
        multiplier: i64 = 2,
    }

    /// A subscription that is part of a group's configuration.
    Standard SimpleSubscriptionData {
        expression: String,
        expression_type: String,
        topic: String,
        version: i64,
    }

    /// All groups of a broker (201), also as they are stored.
    Standard SubscriptionGroupWrapper {
        data_version: DataVersion,
        forbidden_table: BTreeMap<String, BTreeMap<String, i32>>,
        subscription_group_table: BTreeMap<String, SubscriptionGroupConfig>,
    }

    /// Groups to be created at once (225).
    Standard SubscriptionGroupList {
        group_config_list: Vec<SubscriptionGroupConfig>,
    }

    /// Whether a group may read a topic (353).
    Standard GroupForbidden {
        group: String,
        readable: Option<bool>,
        topic: String,
    }
}

const RETRY_DELAYS_MS: [i64; 18] = [
    1_000, 5_000, 10_000, 30_000, 60_000, 120_000, 180_000, 240_000, 300_000, 360_000, 420_000,
    480_000, 540_000, 600_000, 1_200_000, 1_800_000, 3_600_000, 7_200_000,
];

impl SubscriptionGroupConfig {
    /// Makes the configuration that a group gets when it is created without one.
    pub fn new(group_name: &str) -> Self {
        SubscriptionGroupConfig { group_name: group_name.to_owned(), ..Self::default() }
    }
}
