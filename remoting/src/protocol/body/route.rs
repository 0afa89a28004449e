//! Who holds a topic: routes (105), clusters (106), broker groups (901).

use std::collections::BTreeMap;

use super::{TopicQueueMappingInfo, bodies};

bodies! {
    /// Brokers and queues of a topic.
    BareNumbers TopicRouteData {
        broker_datas: Vec<BrokerData>,
        filter_server_table: BTreeMap<String, Vec<String>>,
        order_topic_conf: Option<String>,
        queue_datas: Vec<QueueData>,
        topic_queue_mapping_by_broker: Option<BTreeMap<String, TopicQueueMappingInfo>>,
    }

    /// The addresses of the brokers of one name; id 0 is the master.
    BareNumbers BrokerData {
        broker_addrs: BTreeMap<i64, String>,
        broker_name: String,
        cluster: String,
        enable_acting_master: bool,
        zone_name: Option<String>,
    }

    /// The queues of a topic on the brokers of one name.
    Standard QueueData {
        broker_name: String,
        perm: i32,
        read_queue_nums: i32,
        topic_sys_flag: i32,
        write_queue_nums: i32,
    }

    /// All brokers and clusters (106).
    BareNumbers ClusterInfo {
        broker_addr_table: BTreeMap<String, BrokerData>,
        cluster_addr_table: BTreeMap<String, Vec<String>>,
    }

    /// The brokers of one name, as other brokers see them.
    BareNumbers BrokerMemberGroup {
        broker_addrs: BTreeMap<i64, String>,
        broker_name: String,
        cluster: String,
    }

    /// The brokers of one name (901).
    BareNumbers GetBrokerMemberGroupResponseBody {
        broker_member_group: Option<BrokerMemberGroup>,
    }

    /// Key-value configuration of a name server, as it is stored.
    Standard KVConfigSerializeWrapper {
        config_table: BTreeMap<String, BTreeMap<String, String>>,
    }
}

/// The id of a master.
pub const MASTER_ID: i64 = 0;
