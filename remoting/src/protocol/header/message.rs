//! Headers of finding messages.

use remoting_derive::Header;

/// Asks for the messages of a key.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct QueryMessageRequestHeader {
    pub topic: String,
    pub key: String,
    pub max_num: i32,
    pub begin_timestamp: i64,
    pub end_timestamp: i64,
    pub index_type: Option<String>,
    pub last_key: Option<String>,
}

/// Tells how far the index has come.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct QueryMessageResponseHeader {
    pub index_last_update_timestamp: i64,
    pub index_last_update_phyoffset: i64,
}

/// Asks for the message at a physical offset.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct ViewMessageRequestHeader {
    pub offset: i64,
    pub topic: Option<String>,
}

/// Has no fields.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct ViewMessageResponseHeader {}

/// Asks for units of a consume queue.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct QueryConsumeQueueRequestHeader {
    pub topic: Option<String>,
    #[header(default = 0)]
    pub queue_id: i32,
    #[header(default = 0)]
    pub index: i64,
    #[header(default = 0)]
    pub count: i32,
    pub consumer_group: Option<String>,
}

/// Has a client consume one message now.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct ConsumeMessageDirectlyResultRequestHeader {
    pub consumer_group: String,
    pub client_id: Option<String>,
    pub msg_id: Option<String>,
    pub broker_name: Option<String>,
    pub topic: Option<String>,
    pub topic_sys_flag: Option<i32>,
    pub group_sys_flag: Option<i32>,
}

/// Puts a half message back into checking.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct ResumeCheckHalfMessageRequestHeader {
    pub msg_id: Option<String>,
    pub topic: Option<String>,
}
