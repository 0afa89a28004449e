//! Headers of popping: the broker keeps the offsets, the consumer acknowledges.

use remoting_derive::Header;

/// Asks for messages of any queue, invisible to others for a while.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct PopMessageRequestHeader<'a> {
    pub consumer_group: &'a str,
    pub topic: &'a str,
    #[header(default = 0, required)]
    pub queue_id: i32,
    #[header(default = 0, required)]
    pub max_msg_nums: i32,
    #[header(default = 0, required)]
    pub invisible_time: i64,
    #[header(default = 0, required)]
    pub poll_time: i64,
    #[header(default = 0, required)]
    pub born_time: i64,
    #[header(default = 0, required)]
    pub init_mode: i32,
    pub exp_type: Option<&'a str>,
    pub exp: Option<&'a str>,
    #[header(default = false)]
    pub order: bool,
    pub attempt_id: Option<&'a str>,
}

/// Describes the popped messages.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct PopMessageResponseHeader<'a> {
    #[header(default = 0, required)]
    pub pop_time: i64,
    #[header(default = 0, required)]
    pub invisible_time: i64,
    #[header(default = 0, required)]
    pub revive_qid: i32,
    #[header(default = 0, required)]
    pub rest_num: i64,
    pub start_offset_info: Option<&'a str>,
    pub msg_offset_info: Option<&'a str>,
    pub order_count_info: Option<&'a str>,
}

/// Looks at the next messages without taking them.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct PeekMessageRequestHeader {
    pub topic: String,
    #[header(default = 0, required)]
    pub queue_id: i32,
    #[header(default = 0, required)]
    pub max_msg_nums: i32,
    pub consumer_group: String,
}

/// Acknowledges one popped message.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct AckMessageRequestHeader<'a> {
    pub consumer_group: &'a str,
    pub topic: &'a str,
    pub queue_id: i32,
    pub extra_info: &'a str,
    pub offset: i64,
    pub lite_topic: Option<&'a str>,
}

/// Postpones the return of one popped message.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct ChangeInvisibleTimeRequestHeader<'a> {
    pub consumer_group: &'a str,
    pub topic: &'a str,
    pub queue_id: i32,
    pub extra_info: &'a str,
    pub offset: i64,
    pub invisible_time: i64,
    pub lite_topic: Option<&'a str>,
    #[header(default = false)]
    pub suspend: bool,
}

/// Gives the new times of a postponed message.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct ChangeInvisibleTimeResponseHeader {
    #[header(default = 0, required)]
    pub pop_time: i64,
    #[header(default = 0, required)]
    pub invisible_time: i64,
    #[header(default = 0, required)]
    pub revive_qid: i32,
}

/// Waits until there is something to pop.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct NotificationRequestHeader<'a> {
    pub consumer_group: &'a str,
    pub topic: &'a str,
    #[header(default = 0, required)]
    pub queue_id: i32,
    #[header(default = 0, required)]
    pub poll_time: i64,
    #[header(default = 0, required)]
    pub born_time: i64,
    #[header(default = false)]
    pub order: bool,
    pub attempt_id: Option<&'a str>,
    pub exp_type: Option<&'a str>,
    pub exp: Option<&'a str>,
}

/// Tells whether there is something to pop.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct NotificationResponseHeader {
    #[header(default = false, required)]
    pub has_msg: bool,
    #[header(default = false)]
    pub polling_full: bool,
}

/// Asks how many pops are waiting.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct PollingInfoRequestHeader {
    pub consumer_group: String,
    pub topic: String,
    #[header(default = 0, required)]
    pub queue_id: i32,
}

/// Tells how many pops are waiting.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct PollingInfoResponseHeader {
    #[header(default = 0, required)]
    pub polling_num: i32,
}

/// Asks for message counts of a group.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct StatisticsMessagesRequestHeader {
    pub consumer_group: String,
    pub topic: String,
    #[header(default = 0, required)]
    pub queue_id: i32,
    #[header(default = 0)]
    pub from_time: i64,
    #[header(default = 0)]
    pub to_time: i64,
}

/// Sets where the first pop of a topic begins.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct InitConsumerOffsetRequestHeader {
    pub topic: Option<String>,
    #[header(default = 0)]
    pub init_mode: i32,
}
