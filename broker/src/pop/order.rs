//! Who holds a queue that is popped in order: `config/consumerOrderInfo.json`.
//!
//! A queue is blocked for a group while any message of the last pop is neither acknowledged nor
//! visible again. There is no check point: an acknowledgement moves the group's offset to the
//! first message that lacks one. The decisions are pure functions of the held entry and a time;
//! the table only finds the entry. Callers hold the lock of the popped queue.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use dashmap::DashMap;
use serde::{Deserialize, Serialize};
use store::json_file::{JsonFile, JsonFileError};

/// Name of the file below `config/`.
pub(crate) const FILE_NAME: &str = "consumerOrderInfo.json";

/// Time after which what was never popped again is forgotten.
const FORGET_AFTER_MS: i64 = 24 * 3600 * 1000;

const SEPARATOR: char = '@';

/// One pop in order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OrderedPop<'a> {
    /// What the client calls this try; a repeated one is not blocked by itself.
    pub attempt_id: Option<&'a str>,
    /// Time of the pop.
    pub pop_time: i64,
    /// How long the messages are hidden, in ms.
    pub invisible_time: i64,
    /// The messages, at least one.
    pub offsets: &'a [i64],
}

/// How often popped messages were popped before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Consumed {
    /// Times by offset, of those that were popped before.
    pub times: BTreeMap<i64, i32>,
    /// The fewest times of any.
    pub least: i32,
}

/// What an acknowledgement did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OrderedAck {
    /// The group goes on at this offset.
    Commit(i64),
    /// It names an earlier pop: nothing happened.
    Stale,
    /// The offset was not popped.
    Unknown,
}

/// The last pop of a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OrderInfo {
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    attempt_id: Option<String>,
    /// Bit i: the i-th message is acknowledged.
    #[serde(rename = "cm", default)]
    acked: i64,
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    invisible_time: Option<i64>,
    #[serde(rename = "l", default)]
    last_consumed: i64,
    /// The first offset, then distances from it.
    #[serde(rename = "o", default)]
    offsets: Vec<i64>,
    #[serde(rename = "oc", default, skip_serializing_if = "Option::is_none")]
    consumed: Option<BTreeMap<i64, i32>>,
    #[serde(rename = "ot", default, skip_serializing_if = "Option::is_none")]
    visible_at: Option<BTreeMap<i64, i64>>,
    #[serde(default)]
    pop_time: i64,
}

impl OrderInfo {
    fn new(pop: &OrderedPop<'_>, now_ms: i64) -> Self {
        let first = pop.offsets.first().copied().unwrap_or(0);
        let distances = pop.offsets.iter().skip(1).map(|offset| offset.saturating_sub(first));
        OrderInfo {
            attempt_id: pop.attempt_id.map(str::to_owned),
            acked: 0,
            invisible_time: Some(pop.invisible_time),
            last_consumed: now_ms,
            offsets: pop.offsets.first().copied().into_iter().chain(distances).collect(),
            consumed: None,
            visible_at: None,
            pop_time: pop.pop_time,
        }
    }

    fn offset(&self, index: usize) -> i64 {
        match (self.offsets.first(), self.offsets.get(index)) {
            (Some(first), Some(distance)) if index > 0 => first.saturating_add(*distance),
            (Some(first), _) => *first,
            (None, _) => -1,
        }
    }

    fn is_acked(&self, index: usize) -> bool {
        self.acked & bit(index) != 0
    }

    /// When the messages nobody acknowledged are visible.
    fn open_until(&self, invisible_time: i64) -> impl Iterator<Item = i64> {
        let end = self.pop_time.saturating_add(invisible_time);
        (0..self.offsets.len()).filter(|index| !self.is_acked(*index)).map(move |index| {
            let changed = self.visible_at.as_ref().and_then(|at| at.get(&self.offset(index)));
            changed.copied().unwrap_or(end)
        })
    }

    /// Whether another pop must wait; `invisible_time` stands in for one that is not known.
    pub(crate) fn blocks(
        &mut self,
        attempt_id: Option<&str>,
        invisible_time: i64,
        now: i64,
    ) -> bool {
        if self.attempt_id.is_some() && self.attempt_id.as_deref() == attempt_id {
            return false;
        }
        let known = self.invisible_time.filter(|time| *time > 0);
        let invisible_time = *self.invisible_time.insert(known.unwrap_or(invisible_time));
        self.open_until(invisible_time).any(|at| now < at)
    }

    /// When the queue is free; none while nobody can tell.
    pub(crate) fn free_at(&self, now: i64) -> Option<i64> {
        let invisible_time = self.invisible_time.filter(|time| *time > 0);
        let invisible_time = invisible_time.or_else(|| self.done().then_some(0))?;
        Some(self.open_until(invisible_time).find(|at| now < *at).unwrap_or(now))
    }

    fn done(&self) -> bool {
        (0..self.offsets.len()).all(|index| self.is_acked(index))
    }

    /// Counts what was popped before, unless this is the same attempt again.
    fn count_from(&mut self, before: OrderInfo) {
        if before.attempt_id.is_some() && before.attempt_id == self.attempt_id {
            self.consumed = Some(before.consumed.unwrap_or_default());
            return;
        }
        let mut popped: Vec<i64> =
            (0..before.offsets.len()).map(|index| before.offset(index)).collect();
        popped.sort_unstable();
        let times = before.consumed.unwrap_or_default();
        let again = (0..self.offsets.len())
            .map(|index| self.offset(index))
            .filter(|offset| popped.binary_search(offset).is_ok())
            .map(|offset| (offset, times.get(&offset).map_or(1, |times| times.saturating_add(1))));
        self.consumed = Some(again.collect());
    }

    fn consumed(&self) -> Consumed {
        let times = self.consumed.clone().unwrap_or_default();
        // Only what was popped before is counted: fewer counts than messages means new ones.
        let least = match times.values().min() {
            Some(least) if times.len() == self.offsets.len() => *least,
            _ => 0,
        };
        Consumed { times, least }
    }

    /// Marks a message of the last pop as consumed.
    pub(crate) fn ack(&mut self, offset: i64, pop_time: i64) -> OrderedAck {
        if self.offsets.is_empty() {
            return OrderedAck::Unknown;
        }
        if pop_time != self.pop_time {
            return OrderedAck::Stale;
        }
        let Some(index) = (0..self.offsets.len()).find(|index| self.offset(*index) == offset)
        else {
            return OrderedAck::Unknown;
        };
        self.acked |= bit(index);
        let open = (0..self.offsets.len()).find(|index| !self.is_acked(*index));
        let last = self.offsets.len() - 1;
        let next = open.map_or_else(|| self.offset(last).saturating_add(1), |i| self.offset(i));
        OrderedAck::Commit(next)
    }

    /// Sets when a message of the last pop is visible again; returns whether it is that pop.
    pub(crate) fn change(&mut self, offset: i64, pop_time: i64, visible_at: i64) -> bool {
        if pop_time != self.pop_time {
            return false;
        }
        self.visible_at.get_or_insert_default().insert(offset, visible_at);
        true
    }
}

/// The bit of the i-th message. Java shifts a long, so the 65th message shares that of the first.
fn bit(index: usize) -> i64 {
    1_i64.wrapping_shl(index as u32)
}

type Queues = BTreeMap<i32, OrderInfo>;

/// The last pops of all queues that are popped in order.
pub(crate) struct Orders {
    path: PathBuf,
    /// By `topic@group`.
    table: DashMap<String, Queues>,
    changed: AtomicBool,
}

#[derive(Serialize, Deserialize, Default)]
struct OrderFile {
    /// Required: a JSON object without it is another file.
    table: BTreeMap<String, Queues>,
}

impl Orders {
    /// Loads the table of the store below `root`; a missing file means none yet.
    ///
    /// # Errors
    /// Fails when neither the file nor its copy can be read.
    pub(crate) fn load(root: &Path) -> Result<Orders, JsonFileError> {
        let path = root.join("config").join(FILE_NAME);
        let file: OrderFile = JsonFile::load(&path)?.unwrap_or_default();
        let table = file.table.into_iter().collect();
        Ok(Orders { path, table, changed: AtomicBool::new(false) })
    }

    /// Whether a pop of the queue must wait for the last one.
    pub(crate) fn blocked(
        &self,
        attempt_id: Option<&str>,
        topic: &str,
        group: &str,
        queue_id: i32,
        invisible_time: i64,
        now_ms: i64,
    ) -> bool {
        self.change_entry(topic, group, queue_id, |info| {
            info.blocks(attempt_id, invisible_time, now_ms)
        })
        .unwrap_or(false)
    }

    /// Notes a pop; returns how often its messages were popped before.
    pub(crate) fn record(
        &self,
        topic: &str,
        group: &str,
        queue_id: i32,
        pop: &OrderedPop<'_>,
        now_ms: i64,
    ) -> Consumed {
        let mut queues = self.table.entry(key(topic, group)).or_default();
        let mut info = OrderInfo::new(pop, now_ms);
        if let Some(before) = queues.remove(&queue_id) {
            info.count_from(before);
        }
        let consumed = info.consumed();
        queues.insert(queue_id, info);
        self.changed.store(true, Ordering::Release);
        consumed
    }

    /// Marks a message as consumed.
    pub(crate) fn ack(
        &self,
        topic: &str,
        group: &str,
        queue_id: i32,
        offset: i64,
        pop_time: i64,
    ) -> OrderedAck {
        self.change_entry(topic, group, queue_id, |info| info.ack(offset, pop_time))
            .unwrap_or(OrderedAck::Commit(offset.saturating_add(1)))
    }

    /// Sets when a message is visible again; returns whether the last pop is meant.
    pub(crate) fn change(
        &self,
        topic: &str,
        group: &str,
        queue_id: i32,
        offset: i64,
        pop_time: i64,
        visible_at: i64,
    ) -> bool {
        self.change_entry(topic, group, queue_id, |info| info.change(offset, pop_time, visible_at))
            .unwrap_or(false)
    }

    /// When the queue can be popped again: `now_ms` or before if it can.
    pub(crate) fn free_at(
        &self,
        topic: &str,
        group: &str,
        queue_id: i32,
        now_ms: i64,
    ) -> Option<i64> {
        self.table.get(&key(topic, group))?.get(&queue_id)?.free_at(now_ms)
    }

    /// Forgets the last pop of a queue, so that the next is not blocked.
    pub(crate) fn clear(&self, topic: &str, group: &str, queue_id: i32) {
        if let Some(mut queues) = self.table.get_mut(&key(topic, group)) {
            queues.remove(&queue_id);
            self.changed.store(true, Ordering::Release);
        }
    }

    fn change_entry<R>(
        &self,
        topic: &str,
        group: &str,
        queue_id: i32,
        change: impl FnOnce(&mut OrderInfo) -> R,
    ) -> Option<R> {
        let mut queues = self.table.get_mut(&key(topic, group))?;
        let changed = change(queues.get_mut(&queue_id)?);
        self.changed.store(true, Ordering::Release);
        Some(changed)
    }

    /// Forgets what no consumer can need: old entries, and those `queues_of(topic, group)` does
    /// not know (none) or whose queue is not among as many as it says.
    pub(crate) fn tidy(&self, now_ms: i64, queues_of: impl Fn(&str, &str) -> Option<i32>) {
        self.table.retain(|key, queues| {
            let Some((topic, group)) = split_key(key) else { return true };
            let count = queues_of(topic, group).unwrap_or(0);
            let before = queues.len();
            queues.retain(|queue_id, info| {
                *queue_id < count && now_ms.saturating_sub(info.last_consumed) <= FORGET_AFTER_MS
            });
            if before != queues.len() {
                self.changed.store(true, Ordering::Release);
            }
            !queues.is_empty()
        });
    }

    /// Writes the file when something changed since the last time.
    ///
    /// # Errors
    /// Returns what the disk said; the next call tries again.
    pub(crate) fn persist(&self) -> Result<(), JsonFileError> {
        if !self.changed.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let table =
            self.table.iter().map(|entry| (entry.key().clone(), entry.value().clone())).collect();
        JsonFile::save(&self.path, &OrderFile { table }).inspect_err(|_| {
            self.changed.store(true, Ordering::Release);
        })
    }
}

fn key(topic: &str, group: &str) -> String {
    format!("{topic}{SEPARATOR}{group}")
}

fn split_key(key: &str) -> Option<(&str, &str)> {
    let (topic, group) = key.split_once(SEPARATOR)?;
    (!group.contains(SEPARATOR)).then_some((topic, group))
}

#[cfg(test)]
mod tests;
