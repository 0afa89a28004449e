//! Headers of lite topics, many small topics under one parent (5.5.0).

use remoting_derive::Header;

/// Pops from the lite topics a client has subscribed to.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct PopLiteMessageRequestHeader<'a> {
    pub client_id: &'a str,
    pub consumer_group: &'a str,
    pub topic: &'a str,
    #[header(default = 0, required)]
    pub max_msg_num: i32,
    #[header(default = 0, required)]
    pub invisible_time: i64,
    #[header(default = 0, required)]
    pub poll_time: i64,
    #[header(default = 0, required)]
    pub born_time: i64,
    pub attempt_id: Option<&'a str>,
}

/// Describes the messages popped from lite topics.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct PopLiteMessageResponseHeader<'a> {
    #[header(default = 0, required)]
    pub pop_time: i64,
    #[header(default = 0, required)]
    pub invisible_time: i64,
    #[header(default = 0, required)]
    pub revive_qid: i32,
    pub start_offset_info: Option<&'a str>,
    pub msg_offset_info: Option<&'a str>,
    pub order_count_info: Option<&'a str>,
}

/// Changes lite subscriptions; they are in the body.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct LiteSubscriptionCtlRequestHeader {}

/// Tells a client that it has lost a lite subscription.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct NotifyUnsubscribeLiteRequestHeader {
    pub lite_topic: String,
    pub consumer_group: String,
    pub client_id: String,
}

/// Asks for the lite subscriptions of a client.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct GetLiteClientInfoRequestHeader {
    pub parent_topic: Option<String>,
    pub group: Option<String>,
    pub client_id: Option<String>,
    #[header(default = 1000)]
    pub max_count: i32,
}

/// Asks for the lag of a group over lite topics.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct GetLiteGroupInfoRequestHeader {
    pub group: String,
    pub lite_topic: Option<String>,
    #[header(default = 0)]
    pub top_k: i32,
}

/// Asks for the state of one lite topic.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct GetLiteTopicInfoRequestHeader {
    pub parent_topic: Option<String>,
    pub lite_topic: Option<String>,
}

/// Asks for the state of a parent topic.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct GetParentTopicInfoRequestHeader {
    pub topic: String,
}

/// Makes the broker dispatch lite topics to a client now.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct TriggerLiteDispatchRequestHeader {
    pub group: String,
    pub client_id: Option<String>,
}
