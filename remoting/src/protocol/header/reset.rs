//! Headers of resetting consumption.

use remoting_derive::Header;

/// Resets a group to a time or an offset, in the broker and in its clients.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct ResetOffsetRequestHeader {
    pub topic: String,
    pub group: String,
    #[header(default = 0, required)]
    pub timestamp: i64,
    #[header(default = false, required)]
    pub is_force: bool,
    #[header(default = -1)]
    pub queue_id: i32,
    pub offset: Option<i64>,
}

/// Sets the flush offset a slave believes of its master.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct ResetMasterFlushOffsetHeader {
    pub master_flush_offset: i64,
}
