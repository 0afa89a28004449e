//! Headers about queue offsets.

use super::FieldValue;
use crate::protocol::ext_fields::FieldSink;
use remoting_derive::Header;

/// Asks for the committed offset of a group.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct QueryConsumerOffsetRequestHeader<'a> {
    pub consumer_group: &'a str,
    pub topic: &'a str,
    pub queue_id: i32,
    pub set_zero_if_not_found: Option<bool>,
}

/// Gives the committed offset.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct QueryConsumerOffsetResponseHeader {
    pub offset: i64,
}

/// Commits an offset of a group.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct UpdateConsumerOffsetRequestHeader<'a> {
    pub consumer_group: &'a str,
    pub topic: &'a str,
    #[header(required)]
    pub queue_id: Option<i32>,
    #[header(required)]
    pub commit_offset: Option<i64>,
}

/// Has no fields.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct UpdateConsumerOffsetResponseHeader {}

/// Asks for the offset at a store time.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct SearchOffsetRequestHeader {
    pub topic: String,
    pub queue_id: i32,
    pub timestamp: i64,
    pub boundary_type: Option<BoundaryType>,
    pub lite_topic: Option<String>,
}

/// Gives the offset at a store time.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct SearchOffsetResponseHeader {
    pub offset: i64,
}

/// Asks for the offset behind the last message.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct GetMaxOffsetRequestHeader {
    pub topic: String,
    pub queue_id: i32,
    #[header(default = true)]
    pub committed: bool,
}

/// Gives the offset behind the last message.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct GetMaxOffsetResponseHeader {
    pub offset: i64,
}

/// Asks for the offset of the first message.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct GetMinOffsetRequestHeader {
    pub topic: String,
    pub queue_id: i32,
}

/// Gives the offset of the first message.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct GetMinOffsetResponseHeader {
    pub offset: i64,
}

/// Asks when the first message was stored.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct GetEarliestMsgStoretimeRequestHeader {
    pub topic: String,
    pub queue_id: i32,
}

/// Tells when the first message was stored.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct GetEarliestMsgStoretimeResponseHeader {
    pub timestamp: i64,
}

/// Asks for the lowest offsets over groups.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct QueryCorrectionOffsetHeader {
    pub filter_groups: Option<String>,
    pub compare_group: String,
    pub topic: String,
}

/// Copies the offsets of a group to another.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct CloneGroupOffsetRequestHeader {
    pub src_group: String,
    pub dest_group: String,
    pub topic: Option<String>,
    #[header(default = false)]
    pub offline: bool,
}

/// Which of several messages stored at one time is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BoundaryType {
    /// The first.
    #[default]
    Lower,
    /// The last.
    Upper,
}

impl FieldValue<'_> for BoundaryType {
    // Java quirk: anything but `upper`, in any case, is the lower one.
    fn parse(text: &[u8]) -> Option<Self> {
        let upper = text.eq_ignore_ascii_case(b"upper");
        Some(if upper { Self::Upper } else { Self::Lower })
    }

    fn put<S: FieldSink>(&self, name: &'static str, sink: &mut S) {
        sink.put(name, if matches!(self, Self::Upper) { "UPPER" } else { "LOWER" });
    }
}
