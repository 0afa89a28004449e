//! Headers about consumer groups.

use remoting_derive::Header;

/// Asks for the settings of a group.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct GetSubscriptionGroupConfigRequestHeader {
    pub group: String,
}

/// Asks for a page of all groups; absent fields ask for all.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct GetAllSubscriptionGroupRequestHeader {
    #[header(required)]
    pub group_seq: Option<i32>,
    pub data_version: Option<String>,
    pub max_group_num: Option<i32>,
}

/// Tells how many groups there are.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct GetAllSubscriptionGroupResponseHeader {
    #[header(required)]
    pub total_group_num: Option<i32>,
}

/// Deletes a group.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct DeleteSubscriptionGroupRequestHeader {
    pub group_name: String,
    #[header(default = false)]
    pub clean_offset: bool,
}

/// Forbids or allows a group to read a topic.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct UpdateGroupForbiddenRequestHeader {
    pub group: String,
    pub topic: String,
    pub readable: Option<bool>,
}

/// Asks how far a group has come.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct GetConsumeStatsRequestHeader {
    pub consumer_group: String,
    pub topic: Option<String>,
    pub topic_list: Option<String>,
}

/// Asks how far all groups have come.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct GetConsumeStatsInBrokerHeader {
    #[header(default = false, required)]
    pub is_order: bool,
}

/// Asks for the times of what a group has consumed.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct QueryConsumeTimeSpanRequestHeader {
    pub topic: String,
    pub group: String,
}

/// Asks which topics a group consumes.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct QueryTopicsByConsumerRequestHeader {
    pub group: String,
}

/// Asks what a group has subscribed to.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct QuerySubscriptionByConsumerRequestHeader {
    pub group: String,
    pub topic: Option<String>,
}
