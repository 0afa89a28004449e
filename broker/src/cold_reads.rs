//! Readers of old data: how much each group may read, and in which order the disk serves them.
//!
//! Data further back than memory holds comes from the disk. With `coldDataFlowControlEnable` a
//! group that has read more of it than its share within a round, or any such group once all
//! together have read too much, is slowed down until the next round. With or without it no group
//! keeps more than a few of the threads that read from the disk, so that one that catches up
//! does not make the others wait.
//!
//! Locks: each is held for a look-up only, none while another is held.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::BrokerConfig;

/// Length of a round.
pub(crate) const ROUND: Duration = Duration::from_secs(5);
/// A group that reads nothing old for so long, in ms, is forgotten.
const FORGET_AFTER: i64 = 60_000;
/// Reads from the disk at a time, of all groups and of one group.
const READS_AT_ONCE: usize = 8;
const READS_AT_ONCE_OF_GROUP: usize = 2;

/// Who reads old data, and how much of it.
#[derive(Debug)]
pub(crate) struct ColdReads {
    limited: bool,
    /// Bytes a group may read in a round, unless an administrator gave it a share of its own.
    group_share: i64,
    /// Bytes all groups together may read in a round.
    share_of_all: i64,
    read_by_all: AtomicI64,
    groups: Mutex<BTreeMap<String, Reading>>,
    own_shares: Mutex<BTreeMap<String, i64>>,
    places: Arc<Semaphore>,
    places_of_groups: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// What a group reads.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Reading {
    /// Bytes read in this round.
    #[serde(rename = "coldAcc")]
    bytes: i64,
    #[serde(rename = "createTimeMills")]
    since_ms: i64,
    #[serde(rename = "lastColdReadTimeMills")]
    last_ms: i64,
}

/// The state as administrators get it (2003).
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ColdReadInfo {
    runtime_table: BTreeMap<String, Reading>,
    config_table: BTreeMap<String, i64>,
    cg_cold_read_threshold: i64,
    global_cold_read_threshold: i64,
    global_acc: i64,
}

/// A place among those who read from the disk; given back when dropped.
pub(crate) struct Turn {
    _of_group: Option<OwnedSemaphorePermit>,
    _of_all: Option<OwnedSemaphorePermit>,
}

impl ColdReads {
    /// Limits the groups as the settings say.
    pub(crate) fn new(config: &BrokerConfig) -> ColdReads {
        ColdReads {
            limited: config.cold_data_flow_control_enable,
            group_share: config.cg_cold_read_threshold,
            share_of_all: config.global_cold_read_threshold,
            read_by_all: AtomicI64::new(0),
            groups: Mutex::default(),
            own_shares: Mutex::default(),
            places: Arc::new(Semaphore::new(READS_AT_ONCE)),
            places_of_groups: Mutex::default(),
        }
    }

    /// Notes that a group has read old data.
    pub(crate) fn note(&self, group: &str, bytes: usize, now_ms: i64) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.read_by_all.fetch_add(bytes, Ordering::Relaxed);
        let mut groups = lock(&self.groups);
        if let Some(reading) = groups.get_mut(group) {
            reading.bytes = reading.bytes.saturating_add(bytes);
            reading.last_ms = now_ms;
            return;
        }
        groups.insert(group.to_owned(), Reading { bytes, since_ms: now_ms, last_ms: now_ms });
    }

    /// Whether a group has read its share of this round.
    pub(crate) fn exceeded(&self, group: &str) -> bool {
        if !self.limited {
            return false;
        }
        let Some(read) = lock(&self.groups).get(group).map(|reading| reading.bytes) else {
            return false;
        };
        let own_share = lock(&self.own_shares).get(group).copied();
        read >= own_share.unwrap_or(self.group_share)
            || self.read_by_all.load(Ordering::Relaxed) >= self.share_of_all
    }

    /// Begins a round: everybody may read again, the idle are forgotten.
    pub(crate) fn begin_round(&self, now_ms: i64) {
        self.read_by_all.store(0, Ordering::Relaxed);
        lock(&self.groups).retain(|_, reading| {
            reading.bytes = 0;
            now_ms.saturating_sub(reading.last_ms) < FORGET_AFTER
        });
        lock(&self.places_of_groups).retain(|_, places| Arc::strong_count(places) > 1);
    }

    /// Gives a group a share of its own.
    pub(crate) fn set_share(&self, group: &str, bytes: i64) {
        lock(&self.own_shares).insert(group.to_owned(), bytes);
    }

    /// Takes it away.
    pub(crate) fn remove_share(&self, group: &str) {
        lock(&self.own_shares).remove(group);
    }

    /// Returns the state as administrators get it.
    pub(crate) fn info(&self) -> ColdReadInfo {
        ColdReadInfo {
            runtime_table: lock(&self.groups).clone(),
            config_table: lock(&self.own_shares).clone(),
            cg_cold_read_threshold: self.group_share,
            global_cold_read_threshold: self.share_of_all,
            global_acc: self.read_by_all.load(Ordering::Relaxed),
        }
    }

    /// Waits until the disk may be read for a group: first come, first served within the group.
    pub(crate) async fn turn(&self, group: &str) -> Turn {
        let places = {
            let mut groups = lock(&self.places_of_groups);
            let places = groups.entry(group.to_owned());
            Arc::clone(places.or_insert_with(|| Arc::new(Semaphore::new(READS_AT_ONCE_OF_GROUP))))
        };
        // Nobody closes them, so a place always comes. A group waits for its own place first:
        // it never keeps one of all while it waits for itself.
        let of_group = places.acquire_owned().await.ok();
        let of_all = Arc::clone(&self.places).acquire_owned().await.ok();
        Turn { _of_group: of_group, _of_all: of_all }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limited() -> ColdReads {
        ColdReads::new(&BrokerConfig {
            cold_data_flow_control_enable: true,
            cg_cold_read_threshold: 100,
            global_cold_read_threshold: 1000,
            ..BrokerConfig::default()
        })
    }

    #[test]
    fn a_group_reads_its_share_in_a_round() {
        let reads = limited();
        assert!(!reads.exceeded("g"));
        reads.note("g", 99, 1);
        assert!(!reads.exceeded("g"));
        reads.note("g", 1, 2);
        assert!(reads.exceeded("g"));
        reads.note("h", 1, 2);
        assert!(!reads.exceeded("h"));
        reads.set_share("g", 500);
        assert!(!reads.exceeded("g"));
        reads.remove_share("g");
        assert!(reads.exceeded("g"));
        reads.begin_round(3);
        assert!(!reads.exceeded("g"));
        reads.begin_round(2 + FORGET_AFTER);
        assert!(reads.info().runtime_table.is_empty());
    }

    #[test]
    fn all_groups_together_have_a_share_and_none_without_the_setting() {
        let reads = limited();
        reads.set_share("g", 10_000);
        reads.note("g", 1000, 1);
        assert!(reads.exceeded("g"));
        assert!(!reads.exceeded("h"), "who reads nothing old is not concerned");
        let free = ColdReads::new(&BrokerConfig::default());
        free.note("g", usize::MAX, 1);
        assert!(!free.exceeded("g"));
    }

    #[tokio::test]
    async fn a_group_leaves_places_to_the_others() {
        let reads = limited();
        let first = reads.turn("g").await;
        let _second = reads.turn("g").await;
        let third = tokio::time::timeout(Duration::from_millis(20), reads.turn("g")).await;
        assert!(third.is_err(), "two at a time");
        let _other = reads.turn("h").await;
        drop(first);
        let _third = reads.turn("g").await;
    }
}
