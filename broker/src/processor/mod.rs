//! What each request means, one file per family.

pub(crate) mod admin;
pub(crate) mod assignment;
pub(crate) mod consumer;
pub(crate) mod heartbeat;
pub(crate) mod lock;
pub(crate) mod offset;
pub(crate) mod pop;
pub(crate) mod pull;
pub(crate) mod query;
pub(crate) mod recall;
pub(crate) mod send;
pub(crate) mod send_back;
pub(crate) mod transaction;
