//! What all pops share, beside the check points.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use super::in_flight::InFlight;
use super::locks::PopLocks;
use crate::config::BrokerConfig;

/// The state of popping that lives in memory.
pub(crate) struct Pops {
    /// One pop at a time from a queue.
    pub locks: PopLocks,
    /// Messages nobody has acknowledged.
    pub in_flight: InFlight,
    revive_queues: i32,
    turn: AtomicU64,
    throws: AtomicU64,
    seed: RandomState,
}

impl Pops {
    /// Nobody has popped yet.
    pub(crate) fn new(config: &BrokerConfig, now_ms: i64) -> Pops {
        let threshold = config.pop_inflight_message_threshold;
        let threshold = config.enable_pop_message_threshold.then_some(threshold);
        Pops {
            locks: PopLocks::default(),
            in_flight: InFlight::new(threshold, config.measures(), now_ms),
            revive_queues: config.revive_queue_num.max(1),
            turn: AtomicU64::new(0),
            throws: AtomicU64::new(0),
            seed: RandomState::new(),
        }
    }

    /// The queue for the next check points, one after the other.
    pub(crate) fn next_revive_queue(&self) -> i32 {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        (turn % u64::from(self.revive_queues.unsigned_abs())) as i32
    }

    /// A number below a hundred that nobody can guess.
    pub(crate) fn chance(&self) -> i32 {
        let throws = self.throws.fetch_add(1, Ordering::Relaxed);
        (self.seed.hash_one(throws) % 100) as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revive_queues_take_turns_and_chances_vary() {
        let pops = Pops::new(&BrokerConfig { revive_queue_num: 3, ..BrokerConfig::default() }, 0);
        let queues: Vec<i32> = (0..4).map(|_| pops.next_revive_queue()).collect();
        assert_eq!(queues, [0, 1, 2, 0]);
        let chances: std::collections::BTreeSet<i32> = (0..1000).map(|_| pops.chance()).collect();
        assert!(chances.len() > 50 && chances.iter().all(|chance| (0..100).contains(chance)));
    }
}
