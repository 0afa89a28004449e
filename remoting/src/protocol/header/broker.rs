//! Headers of operating a broker.

use remoting_derive::Header;

/// Gives the version of the settings in the body.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct GetBrokerConfigResponseHeader {
    pub version: String,
}

/// Asks for one of the broker's counters.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct ViewBrokerStatsDataRequestHeader {
    pub stats_name: String,
    pub stats_key: String,
}

/// Writes settings out of the embedded database.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct ExportRocksDBConfigToJsonRequestHeader {
    pub config_type: String,
}

/// Starts a broker in a container.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct AddBrokerRequestHeader {
    pub config_path: Option<String>,
}

/// Stops a broker in a container.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct RemoveBrokerRequestHeader {
    pub broker_name: String,
    pub broker_cluster_name: String,
    pub broker_id: i64,
}
