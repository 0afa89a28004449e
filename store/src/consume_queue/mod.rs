//! ConsumeQueues: one sequence of fixed-size units per queue.
//!
//! ```text
//! consumequeue/TOPIC/ID/00000000000000000000        6,000,000 bytes, 20-byte units
//! batchconsumequeue/TOPIC/ID/00000000000000000000  13,800,000 bytes, 46-byte units
//!
//!   files (pwrite, no mapping)            | tail buffer, at most 4 KiB
//!   first ........................ tail_from ............ end
//! ```
//!
//! A unit goes into the tail buffer and is visible at once; the buffer is written when it is full
//! or on the next tick. A file comes into being with its first units, never empty: Java takes an
//! all-zero file for a unit. What is cut off is zeroed, because the end of a queue is found by its
//! first invalid unit.

mod at_once;
mod batch;
mod bounds;
mod dates;
mod deferred;
mod deletion;
mod files;
mod flush;
mod handles;
mod load;
mod pending;
mod place;
mod queue;
mod queues;
mod simple;
mod unit;
mod units;

#[cfg(test)]
mod tests;

pub use deletion::Doomed;
pub use queue::Queue;
pub use queues::{Queues, QueuesConfig};
pub use unit::Unit;
pub use units::Units;

/// How the units of a queue look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueueKind {
    /// 20-byte units, one per message.
    #[default]
    Simple,
    /// 46-byte units, one per batch.
    Batch,
}
