//! Headers of sending messages and of replies.

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
