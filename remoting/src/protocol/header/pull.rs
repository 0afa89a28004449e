//! Headers of pulling messages.

use remoting_derive::Header;

/// Asks one queue for messages from `queue_offset` on.
#[derive(Header, Clone, Debug, Default, PartialEq)]
#[header(strict)]
pub struct PullMessageRequestHeader<'a> {
    pub consumer_group: &'a str,
    pub topic: &'a str,
    pub queue_id: i32,
    pub queue_offset: i64,
    pub max_msg_nums: i32,
    pub sys_flag: i32,
    pub commit_offset: i64,
    pub suspend_timeout_millis: i64,
    pub subscription: Option<&'a str>,
    pub sub_version: i64,
    pub expression_type: Option<&'a str>,
    pub max_msg_bytes: Option<i32>,
    pub request_source: Option<i32>,
    // Wire: spelled like this.
    pub proxy_froward_client_id: Option<&'a str>,
    pub lite_topic: Option<&'a str>,
}

/// Tells where the queue stands and where to go on.
#[derive(Header, Clone, Debug, Default, PartialEq)]
#[header(strict)]
pub struct PullMessageResponseHeader {
    pub suggest_which_broker_id: i64,
    pub next_begin_offset: i64,
    pub min_offset: i64,
    pub max_offset: i64,
    pub offset_delta: Option<i64>,
    pub topic_sys_flag: Option<i32>,
    pub group_sys_flag: Option<i32>,
    pub forbidden_type: Option<i32>,
}
