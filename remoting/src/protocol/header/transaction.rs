//! Headers of transactional messages.

use super::HeaderError;
use remoting_derive::Header;

/// Commits or rolls back a half message.
#[derive(Header, Clone, Debug, Default, PartialEq)]
#[header(check = Self::check)]
pub struct EndTransactionRequestHeader<'a> {
    pub producer_group: &'a str,
    pub tran_state_table_offset: i64,
    pub commit_log_offset: i64,
    pub commit_or_rollback: i32,
    #[header(default = false)]
    pub from_transaction_check: bool,
    pub msg_id: &'a str,
    pub transaction_id: Option<&'a str>,
    pub topic: Option<&'a str>,
}

impl EndTransactionRequestHeader<'_> {
    fn check(&self) -> Result<(), HeaderError> {
        match self.commit_or_rollback {
            0 | 8 | 12 => Ok(()),
            _ => Err(HeaderError::Illegal { field: "commitOrRollback" }),
        }
    }
}

/// Has no fields.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct EndTransactionResponseHeader {}

/// Asks a producer how its transaction ended.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct CheckTransactionStateRequestHeader {
    pub tran_state_table_offset: i64,
    pub commit_log_offset: i64,
    pub msg_id: Option<String>,
    pub transaction_id: Option<String>,
    pub offset_msg_id: Option<String>,
    pub topic: Option<String>,
}

/// Tells how a transaction ended.
#[derive(Header, Clone, Debug, Default, PartialEq)]
#[header(check = Self::check)]
pub struct CheckTransactionStateResponseHeader {
    pub producer_group: String,
    pub tran_state_table_offset: i64,
    pub commit_log_offset: i64,
    pub commit_or_rollback: i32,
}

impl CheckTransactionStateResponseHeader {
    fn check(&self) -> Result<(), HeaderError> {
        match self.commit_or_rollback {
            8 | 12 => Ok(()),
            _ => Err(HeaderError::Illegal { field: "commitOrRollback" }),
        }
    }
}
