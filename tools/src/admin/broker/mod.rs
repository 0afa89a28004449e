//! Brokers: what they tell of themselves, their settings, their cleaning.

mod clean;
mod cold;
mod config;
mod ha;
mod pop;
mod stats;

pub use clean::{CleanExpiredCq, CleanUnusedTopic, DeleteExpiredCommitLog, ResetMasterFlushOffset};
pub use cold::{
    GetColdDataFlowCtrInfo, RemoveColdDataFlowCtrGroupConfig, SetCommitLogReadAheadMode,
    UpdateColdDataFlowCtrGroupConfig,
};
pub use config::{GetBrokerConfig, UpdateBrokerConfig, config_of, properties};
pub use ha::HaStatus;
pub use pop::ExportPopRecord;
pub use stats::{BrokerConsumeStats, BrokerStatus};
