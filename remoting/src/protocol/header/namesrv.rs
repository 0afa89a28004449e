//! Headers of the name server.

use remoting_derive::Header;

/// Asks where the queues of a topic are.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct GetRouteInfoRequestHeader {
    pub topic: String,
    pub accept_standard_json_only: Option<bool>,
}

/// Registers a broker; its topics are in the body.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct RegisterBrokerRequestHeader {
    pub broker_name: String,
    pub broker_addr: String,
    pub cluster_name: String,
    pub ha_server_addr: String,
    pub broker_id: i64,
    #[header(default = false)]
    pub compressed: bool,
    #[header(default = 0)]
    pub body_crc32: i32,
    pub heartbeat_timeout_millis: Option<i64>,
    pub enable_acting_master: Option<bool>,
}

/// Names the master of a registered broker.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct RegisterBrokerResponseHeader {
    pub ha_server_addr: Option<String>,
    pub master_addr: Option<String>,
}

/// Takes a broker out.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct UnRegisterBrokerRequestHeader {
    pub broker_name: String,
    pub broker_addr: String,
    pub cluster_name: String,
    pub broker_id: i64,
}

/// Keeps a broker alive between registrations.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct BrokerHeartbeatRequestHeader {
    pub cluster_name: String,
    pub broker_addr: String,
    pub broker_name: String,
    pub broker_id: Option<i64>,
    pub epoch: Option<i32>,
    pub max_offset: Option<i64>,
    pub confirm_offset: Option<i64>,
    pub heartbeat_timeout_mills: Option<i64>,
    pub election_priority: Option<i32>,
}

/// Asks whether the topics of a broker have changed.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct QueryDataVersionRequestHeader {
    pub broker_name: String,
    pub broker_addr: String,
    pub cluster_name: String,
    pub broker_id: i64,
}

/// Tells whether the topics of a broker have changed.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct QueryDataVersionResponseHeader {
    pub changed: bool,
}

/// Asks for the members of a broker group.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct GetBrokerMemberGroupRequestHeader {
    pub cluster_name: String,
    pub broker_name: String,
}

/// Sets a key of the shared configuration.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct PutKVConfigRequestHeader {
    pub namespace: String,
    pub key: String,
    pub value: String,
}

/// Asks for a key of the shared configuration.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct GetKVConfigRequestHeader {
    pub namespace: String,
    pub key: String,
}

/// Gives a key of the shared configuration.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct GetKVConfigResponseHeader {
    pub value: Option<String>,
}

/// Deletes a key of the shared configuration.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct DeleteKVConfigRequestHeader {
    pub namespace: String,
    pub key: String,
}

/// Asks for all keys of a namespace.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct GetKVListByNamespaceRequestHeader {
    pub namespace: String,
}

/// Announces a topic; its queues are in the body.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct RegisterTopicRequestHeader {
    pub topic: String,
}

/// Announces the layout of an order topic.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct RegisterOrderTopicRequestHeader {
    pub topic: String,
    pub order_topic_string: String,
}

/// Deletes a topic of the name server.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct DeleteTopicFromNamesrvRequestHeader {
    pub topic: String,
    pub cluster_name: Option<String>,
}

/// Asks for the topics of a cluster.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct GetTopicsByClusterRequestHeader {
    pub cluster: String,
}

/// Takes the write permission from a broker.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct WipeWritePermOfBrokerRequestHeader {
    pub broker_name: String,
}

/// Tells how many topics have changed.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct WipeWritePermOfBrokerResponseHeader {
    pub wipe_topic_count: i32,
}

/// Gives the write permission back to a broker.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct AddWritePermOfBrokerRequestHeader {
    pub broker_name: String,
}

/// Tells how many topics have changed.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct AddWritePermOfBrokerResponseHeader {
    pub add_topic_count: i32,
}
