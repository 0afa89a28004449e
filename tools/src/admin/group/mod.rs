//! Consumer groups.

mod progress;
mod show;
mod status;
mod update;

pub use progress::ConsumerProgress;
pub use show::{ConsumerConnections, GetConsumerConfig, ProducerConnections, Producers};
pub use status::ConsumerStatus;
pub use update::{DeleteSubGroup, SetConsumeMode, UpdateSubGroup, UpdateSubGroupList};
