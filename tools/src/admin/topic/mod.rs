//! Topics.

mod order;
mod retention;
mod show;
mod update;

pub use order::UpdateOrderConf;
pub use retention::TopicCommand;
pub use show::{
    AllocateMq, TopicClusterList, TopicList, TopicRoute, TopicStatus, is_of_group, readable,
};
pub use update::{
    DeleteTopic, UpdateTopic, UpdateTopicList, UpdateTopicPerm, changes_of_attributes,
};
