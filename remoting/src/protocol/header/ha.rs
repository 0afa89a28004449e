//! Headers between a master and its slaves.

use remoting_derive::Header;

/// Tells the other side about addresses and the flush offset.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct ExchangeHAInfoRequestHeader {
    pub master_ha_address: Option<String>,
    pub master_flush_offset: Option<i64>,
    pub master_address: Option<String>,
}

/// Answers with the own addresses and flush offset.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct ExchangeHAInfoResponseHeader {
    pub master_ha_address: Option<String>,
    pub master_flush_offset: Option<i64>,
    pub master_address: Option<String>,
}

/// Tells that the acting master of a group has changed.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct NotifyMinBrokerIdChangeRequestHeader {
    pub min_broker_id: Option<i64>,
    pub broker_name: Option<String>,
    pub min_broker_addr: Option<String>,
    pub offline_broker_addr: Option<String>,
    pub ha_broker_addr: Option<String>,
}

/// Tells a broker of its new role.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct NotifyBrokerRoleChangedRequestHeader {
    pub master_address: Option<String>,
    pub master_epoch: Option<i32>,
    pub sync_state_set_epoch: Option<i32>,
    pub master_broker_id: Option<i64>,
}
