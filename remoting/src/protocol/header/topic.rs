//! Headers about topics.

use super::HeaderError;
use remoting_derive::Header;

/// Creates a topic or changes it.
#[derive(Header, Clone, Debug, Default, PartialEq)]
#[header(check = Self::check)]
pub struct CreateTopicRequestHeader {
    pub topic: String,
    pub default_topic: String,
    pub read_queue_nums: i32,
    pub write_queue_nums: i32,
    pub perm: i32,
    pub topic_filter_type: String,
    pub topic_sys_flag: Option<i32>,
    #[header(default = false, required)]
    pub order: bool,
    pub attributes: Option<String>,
    #[header(default = false)]
    pub force: bool,
}

impl CreateTopicRequestHeader {
    fn check(&self) -> Result<(), HeaderError> {
        match self.topic_filter_type.as_str() {
            "SINGLE_TAG" | "MULTI_TAG" => Ok(()),
            _ => Err(HeaderError::Illegal { field: "topicFilterType" }),
        }
    }
}

/// Creates topics or changes them; they are in the body.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct CreateTopicListRequestHeader {}

/// Deletes a topic of the broker.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct DeleteTopicRequestHeader {
    pub topic: String,
}

/// Asks for the settings of a topic.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct GetTopicConfigRequestHeader {
    pub topic: String,
}

/// Asks for a page of all topics; absent fields ask for all.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct GetAllTopicConfigRequestHeader {
    #[header(required)]
    pub topic_seq: Option<i32>,
    pub data_version: Option<String>,
    pub max_topic_num: Option<i32>,
}

/// Tells how many topics there are.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct GetAllTopicConfigResponseHeader {
    pub total_topic_num: Option<i32>,
}

/// Asks for the offsets of all queues of a topic.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct GetTopicStatsInfoRequestHeader {
    pub topic: String,
}

/// Asks which groups consume a topic.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct QueryTopicConsumeByWhoRequestHeader {
    pub topic: String,
}

/// Compares the two kinds of consume queues.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct CheckRocksdbCqWriteProgressRequestHeader {
    pub topic: String,
    #[header(default = 0)]
    pub check_store_time: i64,
}
