//! What the hot path knows of a topic.

use std::sync::Arc;

use remoting::protocol::body::{TopicConfig, TopicFilterType};
use remoting::protocol::message::sys_flag;
use store::QueueKind;

use super::names::never_sent_to;
use super::perm;

/// What is known of a light queue as a topic.
pub(super) const LIGHT: Facts = Facts {
    perm: perm::READ_WRITE,
    read_queues: 1,
    write_queues: 1,
    sys_flag: 0,
    order: false,
    compacted: false,
    kind: QueueKind::Simple,
    multi_tags: false,
    sendable: true,
};

/// What a send or a pull needs to know of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Permission bits.
    pub perm: i32,
    /// Queues that are read.
    pub read_queues: i32,
    /// Queues that are written.
    pub write_queues: i32,
    /// Flag bits told to consumers.
    pub sys_flag: i32,
    /// Whether the order of its messages matters more than their acceptance.
    pub order: bool,
    /// Whether only the last message of a key is kept.
    pub compacted: bool,
    /// Kind of its queues.
    pub kind: QueueKind,
    /// Whether the TAGS of a message may be several.
    pub multi_tags: bool,
    /// Whether clients may send to it at all.
    pub sendable: bool,
}

impl Facts {
    /// Flag bits that every message of the topic gets.
    pub(crate) fn message_sys_flag(&self) -> i32 {
        if self.multi_tags { sys_flag::MULTI_TAGS } else { 0 }
    }
}

/// A topic in the table.
pub(super) struct Known {
    pub config: Arc<TopicConfig>,
    pub facts: Facts,
    /// The change that made it; 0 if it was loaded.
    pub made: u64,
}

impl Known {
    pub fn new(config: TopicConfig, made: u64) -> Self {
        let attribute = |key: &str| config.attributes.get(key).map(String::as_str);
        let facts = Facts {
            perm: config.perm,
            read_queues: config.read_queue_nums,
            write_queues: config.write_queue_nums,
            sys_flag: config.topic_sys_flag,
            order: config.order,
            compacted: attribute("cleanup.policy") == Some("COMPACTION"),
            kind: match attribute("queue.type") {
                Some("BatchCQ") => QueueKind::Batch,
                _ => QueueKind::Simple,
            },
            multi_tags: config.topic_filter_type == Some(TopicFilterType::MultiTag),
            sendable: !never_sent_to(&config.topic_name),
        };
        Known { config: Arc::new(config), facts, made }
    }
}
