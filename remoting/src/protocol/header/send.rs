//! Headers of sending, replying, sending back and recalling.

use remoting_derive::Header;

/// Stores a message or a batch; in its short spelling Java's `SendMessageRequestHeaderV2`.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct SendMessageRequestHeader<'a> {
    #[header(short = "a")]
    pub producer_group: &'a str,
    #[header(short = "b")]
    pub topic: &'a str,
    #[header(short = "c")]
    pub default_topic: &'a str,
    #[header(short = "d")]
    pub default_topic_queue_nums: i32,
    #[header(short = "e")]
    pub queue_id: i32,
    #[header(short = "f")]
    pub sys_flag: i32,
    #[header(short = "g")]
    pub born_timestamp: i64,
    #[header(short = "h")]
    pub flag: i32,
    #[header(short = "i")]
    pub properties: Option<&'a str>,
    #[header(short = "j")]
    pub reconsume_times: Option<i32>,
    #[header(short = "k", default = false)]
    pub unit_mode: bool,
    #[header(short = "m", default = false)]
    pub batch: bool,
    #[header(short = "l")]
    pub max_reconsume_times: Option<i32>,
    #[header(short = "n", name = "bname")]
    pub broker_name: Option<&'a str>,
}

/// Says where a sent message was stored.
#[derive(Header, Clone, Debug, Default, PartialEq)]
#[header(strict)]
pub struct SendMessageResponseHeader<'a> {
    pub msg_id: &'a str,
    pub queue_id: i32,
    pub queue_offset: i64,
    pub transaction_id: Option<&'a str>,
    pub batch_uniq_id: Option<&'a str>,
    pub recall_handle: Option<&'a str>,
}

/// Carries a reply on to the client that asked.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct ReplyMessageRequestHeader {
    pub producer_group: String,
    pub topic: String,
    pub default_topic: String,
    pub default_topic_queue_nums: i32,
    pub queue_id: i32,
    pub sys_flag: i32,
    pub born_timestamp: i64,
    pub flag: i32,
    pub properties: Option<String>,
    pub reconsume_times: Option<i32>,
    #[header(default = false)]
    pub unit_mode: bool,
    pub born_host: String,
    pub store_host: String,
    #[header(default = 0, required)]
    pub store_timestamp: i64,
}

/// Gives a message back for another attempt.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct ConsumerSendMsgBackRequestHeader {
    pub offset: i64,
    pub group: String,
    pub delay_level: i32,
    pub origin_msg_id: Option<String>,
    pub origin_topic: Option<String>,
    #[header(default = false)]
    pub unit_mode: bool,
    pub max_reconsume_times: Option<i32>,
}

/// Takes back a timer message before its time.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct RecallMessageRequestHeader {
    pub producer_group: Option<String>,
    pub topic: String,
    pub recall_handle: String,
}

/// Names the recalled message.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct RecallMessageResponseHeader {
    pub msg_id: String,
}
