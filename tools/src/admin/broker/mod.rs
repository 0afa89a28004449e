//! Brokers: what they tell of themselves, their settings, their cleaning.

mod clean;
mod config;
mod ha;
mod stats;

pub use clean::{CleanExpiredCq, CleanUnusedTopic, DeleteExpiredCommitLog, ResetMasterFlushOffset};
pub use config::{GetBrokerConfig, UpdateBrokerConfig, config_of, properties};
pub use ha::HaStatus;
pub use stats::{BrokerConsumeStats, BrokerStatus};
