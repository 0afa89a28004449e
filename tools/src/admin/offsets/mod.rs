//! Offsets of groups.

mod clone;
mod compare;
mod reset;
mod saved;

pub use clone::CloneGroupOffset;
pub use compare::OffsetsCommand;
pub use reset::{ResetOffsetByTime, SkipAccumulatedMessage};
