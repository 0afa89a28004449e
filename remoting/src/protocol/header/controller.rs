//! Headers of the controller, which elects masters.

use remoting_derive::Header;

/// Changes the set of replicas in sync.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct AlterSyncStateSetRequestHeader {
    pub broker_name: Option<String>,
    pub master_broker_id: Option<i64>,
    pub master_epoch: Option<i32>,
    pub invoke_time: Option<i64>,
}

/// Gives the epoch of the new set.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct AlterSyncStateSetResponseHeader {
    #[header(default = 0)]
    pub new_sync_state_set_epoch: i32,
}

/// Asks for an election.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct ElectMasterRequestHeader {
    #[header(default = String::new(), required)]
    pub cluster_name: String,
    #[header(default = String::new(), required)]
    pub broker_name: String,
    #[header(default = -1, required)]
    pub broker_id: i64,
    #[header(default = false, required)]
    pub designate_elect: bool,
    pub invoke_time: Option<i64>,
}

/// Names the elected master.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct ElectMasterResponseHeader {
    pub master_broker_id: Option<i64>,
    pub master_address: Option<String>,
    pub master_epoch: Option<i32>,
    pub sync_state_set_epoch: Option<i32>,
}

/// Asks for the replicas of a broker.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct GetReplicaInfoRequestHeader {
    pub broker_name: Option<String>,
}

/// Names the master of a broker.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct GetReplicaInfoResponseHeader {
    pub master_broker_id: Option<i64>,
    pub master_address: Option<String>,
    pub master_epoch: Option<i32>,
}

/// Names the leader among the controllers.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct GetMetaDataResponseHeader {
    pub group: Option<String>,
    pub controller_leader_id: Option<String>,
    pub controller_leader_address: Option<String>,
    #[header(default = false)]
    pub is_leader: bool,
    pub peers: Option<String>,
}

/// Asks for an unused broker id.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct GetNextBrokerIdRequestHeader {
    pub cluster_name: Option<String>,
    pub broker_name: Option<String>,
}

/// Gives an unused broker id.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct GetNextBrokerIdResponseHeader {
    pub cluster_name: Option<String>,
    pub broker_name: Option<String>,
    pub next_broker_id: Option<i64>,
}

/// Claims a broker id.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct ApplyBrokerIdRequestHeader {
    pub cluster_name: Option<String>,
    pub broker_name: Option<String>,
    pub applied_broker_id: Option<i64>,
    pub register_check_code: Option<String>,
}

/// Confirms a broker id.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct ApplyBrokerIdResponseHeader {
    pub cluster_name: Option<String>,
    pub broker_name: Option<String>,
}

/// Registers a broker with its id.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct RegisterBrokerToControllerRequestHeader {
    pub cluster_name: Option<String>,
    pub broker_name: Option<String>,
    pub broker_id: Option<i64>,
    pub broker_address: Option<String>,
    #[header(default = 0)]
    pub invoke_time: i64,
}

/// Names the master of a registered broker.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct RegisterBrokerToControllerResponseHeader {
    pub cluster_name: Option<String>,
    pub broker_name: Option<String>,
    pub master_broker_id: Option<i64>,
    pub master_address: Option<String>,
    pub master_epoch: Option<i32>,
    pub sync_state_set_epoch: Option<i32>,
}

/// Forgets brokers.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct CleanControllerBrokerDataRequestHeader {
    pub cluster_name: Option<String>,
    pub broker_name: String,
    pub broker_controller_ids_to_clean: Option<String>,
    #[header(default = false)]
    pub is_clean_living_broker: bool,
    pub invoke_time: Option<i64>,
}
