//! Topics: their configuration, versions of tables, lists.

use std::collections::BTreeMap;

use super::{bodies, constants};

constants! {
    /// Whether messages of a topic have one tag or many.
    TopicFilterType {
        SingleTag = "SINGLE_TAG",
        MultiTag = "MULTI_TAG",
    }
}

bodies! {
    /// The version of a table.
    Standard DataVersion {
        counter: i64,
        state_version: i64,
        timestamp: i64,
    }

    /// The configuration of a topic.
    Standard TopicConfig {
        attributes: BTreeMap<String, String>,
        order: bool,
        perm: i32 = 6,
        read_queue_nums: i32 = 16,
        #[serde(deserialize_with = "TopicFilterType::known")]
        topic_filter_type: Option<TopicFilterType> = Some(TopicFilterType::SingleTag),
        topic_name: String,
        topic_sys_flag: i32,
        write_queue_nums: i32 = 16,
    }

    /// The topics of a broker, as they are stored and sent.
    Standard TopicConfigSerializeWrapper {
        data_version: DataVersion,
        topic_config_table: BTreeMap<String, TopicConfig>,
    }

    /// The topics of a broker with its static topics (21, and inside 103).
    BareNumbers TopicConfigAndMappingSerializeWrapper {
        data_version: DataVersion,
        mapping_data_version: DataVersion,
        topic_config_table: BTreeMap<String, TopicConfig>,
        topic_queue_mapping_detail_map: BTreeMap<String, TopicQueueMappingDetail>,
        topic_queue_mapping_info_map: BTreeMap<String, TopicQueueMappingInfo>,
    }

    /// Topics to be created at once (18).
    Standard CreateTopicListRequestBody {
        topic_config_list: Vec<TopicConfig>,
    }

    /// A topic with its static mapping (351).
    BareNumbers TopicConfigAndQueueMapping {
        attributes: BTreeMap<String, String>,
        mapping_detail: Option<TopicQueueMappingDetail>,
        order: bool,
        perm: i32 = 6,
        read_queue_nums: i32 = 16,
        #[serde(deserialize_with = "TopicFilterType::known")]
        topic_filter_type: Option<TopicFilterType> = Some(TopicFilterType::SingleTag),
        topic_name: String,
        topic_sys_flag: i32,
        write_queue_nums: i32 = 16,
    }

    /// How a static topic is spread, as routes tell it.
    BareNumbers TopicQueueMappingInfo {
        bname: String,
        curr_id_map: BTreeMap<i32, i32>,
        dirty: bool,
        epoch: i64,
        scope: String = "__global__".to_owned(),
        topic: String,
        total_queues: i32,
    }

    /// How a static topic is spread, with its history.
    BareNumbers TopicQueueMappingDetail {
        bname: String,
        curr_id_map: BTreeMap<i32, i32>,
        dirty: bool,
        epoch: i64,
        hosted_queues: BTreeMap<i32, Vec<LogicQueueMappingItem>>,
        scope: String = "__global__".to_owned(),
        topic: String,
        total_queues: i32,
    }

    /// One step in the history of a static queue.
    Standard LogicQueueMappingItem {
        bname: String,
        end_offset: i64 = -1,
        #[serde(rename = "gen")]
        generation: i32,
        logic_offset: i64,
        queue_id: i32,
        start_offset: i64,
        time_of_end: i64 = -1,
        time_of_start: i64 = -1,
    }

    /// Names of topics (206, 224, 304, 305, 311–313, 343).
    Standard TopicList {
        broker_addr: Option<String>,
        topic_list: Vec<String>,
    }

    /// Names of groups (300).
    Standard GroupList {
        group_list: Vec<String>,
    }

    /// Keys and values (28, 219, and the answer to 103).
    #[derive(Eq)]
    Standard KVTable {
        table: BTreeMap<String, String>,
    }
}

impl DataVersion {
    /// Counts one change of the table.
    pub fn bump(&mut self, now_ms: i64, state_version: i64) {
        self.timestamp = now_ms;
        self.state_version = state_version;
        self.counter += 1;
    }
}

impl Eq for DataVersion {}

impl TopicConfig {
    /// Makes the configuration of a topic with `queues` queues to read and write.
    pub fn new(topic_name: &str, queues: i32, perm: i32) -> Self {
        TopicConfig {
            topic_name: topic_name.to_owned(),
            read_queue_nums: queues,
            write_queue_nums: queues,
            perm,
            ..Self::default()
        }
    }
}
