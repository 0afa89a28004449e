//! Headers between the broker and its clients: registration, locks, what clients are doing.

use remoting_derive::Header;

/// Announces a client; the announcement is in the body.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct HeartbeatRequestHeader {}

/// Says that a client leaves.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct UnregisterClientRequestHeader {
    #[header(name = "clientID")]
    pub client_id: String,
    pub producer_group: Option<String>,
    pub consumer_group: Option<String>,
}

/// Has no fields.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct UnregisterClientResponseHeader {}

/// Locks queues for ordered consumption; they are in the body.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct LockBatchMqRequestHeader {}

/// Unlocks queues; they are in the body.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct UnlockBatchMqRequestHeader {}

/// Tells a client that its group has changed.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct NotifyConsumerIdsChangedRequestHeader {
    pub consumer_group: String,
}

/// Asks for the client ids of a group.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct GetConsumerListByGroupRequestHeader {
    pub consumer_group: String,
}

/// Has no fields.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct GetConsumerListByGroupResponseHeader {}

/// Asks a client what it is doing.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct GetConsumerRunningInfoRequestHeader {
    pub consumer_group: String,
    pub client_id: String,
    #[header(default = false)]
    pub jstack_enable: bool,
}

/// Asks clients for the offsets they have reached.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct GetConsumerStatusRequestHeader {
    pub topic: String,
    pub group: String,
    pub client_addr: Option<String>,
}

/// Asks for the consumers of a group.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct GetConsumerConnectionListRequestHeader {
    pub consumer_group: String,
}

/// Asks for the producers of a group.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct GetProducerConnectionListRequestHeader {
    pub producer_group: String,
}

/// Asks for all producers.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct GetAllProducerInfoRequestHeader {}
