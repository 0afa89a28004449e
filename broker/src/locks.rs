//! Queue locks of orderly consumers: one owner per group and queue, for 60 s after each renewal.
//!
//! Invariant: an unexpired lock is never taken away; only its owner renews or releases it. Time
//! comes in with every call, so that a test can let it pass.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use remoting::protocol::body::MessageQueue;

/// How long a lock lives after its last renewal.
pub(crate) const LOCK_LIFETIME_MS: i64 = 60_000;

/// The locks of this broker.
#[derive(Default)]
pub(crate) struct QueueLocks {
    groups: Mutex<HashMap<String, HashMap<MessageQueue, Lock>>>,
}

struct Lock {
    client_id: String,
    renewed_at: i64,
}

impl Lock {
    fn expired(&self, now_ms: i64) -> bool {
        now_ms - self.renewed_at > LOCK_LIFETIME_MS
    }
}

impl QueueLocks {
    /// Locks or renews what is free, expired or already the client's; returns those queues.
    pub(crate) fn lock(
        &self,
        group: &str,
        queues: &[MessageQueue],
        client_id: &str,
        now_ms: i64,
    ) -> Vec<MessageQueue> {
        let mut groups = self.groups();
        if !groups.contains_key(group) {
            groups.insert(group.to_owned(), HashMap::new());
        }
        let Some(locks) = groups.get_mut(group) else { return Vec::new() };
        let mut owned = Vec::with_capacity(queues.len());
        for queue in queues {
            let free = match locks.get_mut(queue) {
                Some(lock) if lock.client_id == client_id => {
                    lock.renewed_at = now_ms;
                    false
                }
                Some(lock) if !lock.expired(now_ms) => continue,
                _ => true,
            };
            if free {
                let lock = Lock { client_id: client_id.to_owned(), renewed_at: now_ms };
                locks.insert(queue.clone(), lock);
            }
            owned.push(queue.clone());
        }
        owned
    }

    /// Releases those of the queues that the client holds.
    pub(crate) fn unlock(&self, group: &str, queues: &[MessageQueue], client_id: &str) {
        let mut groups = self.groups();
        let Some(locks) = groups.get_mut(group) else { return };
        for queue in queues {
            if locks.get(queue).is_some_and(|lock| lock.client_id == client_id) {
                locks.remove(queue);
            }
        }
        if locks.is_empty() {
            groups.remove(group);
        }
    }

    /// Whether the group holds any unexpired lock: it consumes in order.
    pub(crate) fn any_held(&self, group: &str, now_ms: i64) -> bool {
        let groups = self.groups();
        groups.get(group).is_some_and(|locks| locks.values().any(|lock| !lock.expired(now_ms)))
    }

    /// Forgets expired locks.
    pub(crate) fn sweep(&self, now_ms: i64) {
        let mut groups = self.groups();
        groups.retain(|_, locks| {
            locks.retain(|_, lock| !lock.expired(now_ms));
            !locks.is_empty()
        });
    }

    fn groups(&self) -> MutexGuard<'_, HashMap<String, HashMap<MessageQueue, Lock>>> {
        // A panic cannot leave the table half changed: every change is one map operation.
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queues(ids: &[i32]) -> Vec<MessageQueue> {
        ids.iter()
            .map(|id| MessageQueue {
                topic: "T".to_owned(),
                broker_name: "b".to_owned(),
                queue_id: *id,
            })
            .collect()
    }

    #[test]
    fn a_lock_is_exclusive_until_it_expires() {
        let locks = QueueLocks::default();
        assert_eq!(locks.lock("g", &queues(&[0, 1]), "c1", 1_000), queues(&[0, 1]));
        assert_eq!(locks.lock("g", &queues(&[1, 2]), "c2", 2_000), queues(&[2]));
        assert_eq!(locks.lock("g", &queues(&[1]), "c2", 61_000), queues(&[]));
        assert_eq!(locks.lock("g", &queues(&[1]), "c2", 61_001), queues(&[1]));
        assert_eq!(locks.lock("g", &queues(&[1]), "c1", 61_002), queues(&[]));
    }

    #[test]
    fn renewal_prolongs_and_groups_are_apart() {
        let locks = QueueLocks::default();
        locks.lock("g", &queues(&[0]), "c1", 0);
        locks.lock("g", &queues(&[0]), "c1", 50_000);
        assert_eq!(locks.lock("g", &queues(&[0]), "c2", 100_000), queues(&[]));
        assert_eq!(locks.lock("other", &queues(&[0]), "c2", 100_000), queues(&[0]));
    }

    #[test]
    fn only_the_owner_unlocks() {
        let locks = QueueLocks::default();
        locks.lock("g", &queues(&[0]), "c1", 0);
        locks.unlock("g", &queues(&[0]), "c2");
        assert!(locks.any_held("g", 1));
        locks.unlock("g", &queues(&[0]), "c1");
        assert!(!locks.any_held("g", 1));
        assert_eq!(locks.lock("g", &queues(&[0]), "c2", 2), queues(&[0]));
    }

    #[test]
    fn an_expired_group_is_not_orderly_any_more() {
        let locks = QueueLocks::default();
        locks.lock("g", &queues(&[0]), "c1", 0);
        assert!(locks.any_held("g", 60_000));
        assert!(!locks.any_held("g", 60_001));
        locks.sweep(60_001);
        assert!(locks.groups().is_empty());
    }
}
