//! The two encodings of a command header.

pub(crate) mod binary;
pub(crate) mod json;
pub(crate) mod json_text;

use crate::protocol::ext_fields::{FieldSpans, Span};

/// How the header of a frame is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Encoding {
    /// A JSON object.
    #[default]
    Json = 0,
    /// Java's compact binary form, `ROCKETMQ`.
    Rocketmq = 1,
}

impl Encoding {
    /// The encoding named by the first byte of the header mark.
    pub fn from_u8(value: u8) -> Option<Self> {
        match value {
            0 => Some(Self::Json),
            1 => Some(Self::Rocketmq),
            _ => None,
        }
    }
}

/// A decoded header: numbers, and spans of the frame.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    pub(crate) code: i32,
    pub(crate) language: u8,
    pub(crate) version: i32,
    pub(crate) opaque: i32,
    pub(crate) flag: i32,
    pub(crate) remark: Option<Span>,
    pub(crate) fields: FieldSpans,
}
