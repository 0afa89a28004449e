//! ConsumeQueues: one sequence of fixed-size units per queue.

/// How the units of a queue look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueueKind {
    /// 20-byte units, one per message.
    #[default]
    Simple,
    /// 46-byte units, one per batch.
    Batch,
}
