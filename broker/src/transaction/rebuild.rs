//! Finding out at start which transactions are open.
//!
//! 1. Read the half topic from its progress on: which records are of one transaction, and which of
//!    them is the newest. Older ones are passed: a kill in the middle of a round of questions left
//!    them behind the progress in the file.
//! 2. Read the op topic from its progress on: what it names has ended.
//! 3. Read the end of the log for messages committed or given up that no op message names, because
//!    the broker was killed before it wrote one.
//!
//! How far back step 3 goes: an end that is not named is newer than the oldest open half, and
//! newer than the last op message but one that was not full. Op messages are written with the
//! ledger locked and name everything that ended before, unless they are full and others follow; a
//! Java broker may leave what ended at that moment to the next one. An open half is parked again
//! at every round of questions, so this is the log of a minute or so.

use std::collections::{BTreeMap, HashMap};
use std::hash::RandomState;
use std::ops::ControlFlow;

use remoting::protocol::message::record::Record;
use store::MessageStore;
use store::commit_log::Found;

use super::half::{Half, Identity};
use super::ledger::{Ledger, offsets_of};
use super::walk::{look, walk};
use super::{GROUP, OP_TAG, is_commit};
use crate::offsets::ConsumerOffsets;
use crate::topics::{CHECKED_OUT_TOPIC, HALF_TOPIC, OP_TOPIC};

/// Op messages before the progress whose place is looked at.
const OPS_BEFORE: i64 = 2;

/// What the start found.
pub(super) struct Rebuilt {
    /// Open transactions.
    pub ledger: Ledger,
    /// Number of open transactions by topic.
    pub open: BTreeMap<String, i64>,
}

/// What it works on.
struct Rebuild<'a> {
    store: &'a MessageStore,
    keys: &'a RandomState,
    ledger: Ledger,
    half_start: i64,
    half_end: i64,
    /// The transaction of each record from `half_start` on.
    identities: Vec<Identity>,
    open: HashMap<Identity, Open>,
}

/// An open transaction.
struct Open {
    /// Its newest record.
    offset: i64,
    /// Where its oldest record lies in the log, and its newest.
    since: i64,
    until: i64,
    copied: bool,
    topic: String,
}

/// Reads what the store says about transactions; op messages of `op_len_max` may be followed by
/// others that belong to them.
pub(super) fn rebuild(
    store: &MessageStore,
    offsets: &ConsumerOffsets,
    keys: &RandomState,
    op_len_max: usize,
) -> Rebuilt {
    let half_start = start(store, offsets, HALF_TOPIC);
    let op_start = start(store, offsets, OP_TOPIC);
    let mut rebuild = Rebuild {
        store,
        keys,
        ledger: Ledger::new(half_start, op_start),
        half_start,
        half_end: half_start,
        identities: Vec::new(),
        open: HashMap::new(),
    };
    rebuild.read_halves();
    let complete = rebuild.read_ops(op_start, op_len_max);
    let unnamed = rebuild.read_ends(complete);
    let open_count = rebuild.open.len();
    tracing::info!(half_start, op_start, open_count, unnamed, "read the open transactions");
    rebuild.finish()
}

/// Where the progress in a topic stands, within what is there.
fn start(store: &MessageStore, offsets: &ConsumerOffsets, topic: &str) -> i64 {
    let min = store.min_offset(topic, 0).max(0);
    let max = store.max_offset(topic, 0).max(min);
    let stored = offsets.of(GROUP, topic).and_then(|queues| queues.get(&0).copied());
    stored.unwrap_or(min).clamp(min, max)
}

impl Rebuild<'_> {
    /// Reads the half topic; passes over everything but the newest record of each transaction.
    fn read_halves(&mut self) {
        let (store, start) = (self.store, self.half_start);
        let mut expected = start;
        let end = walk(store, HALF_TOPIC, start, &mut |record| {
            self.pass(expected, record.queue_offset);
            expected = record.queue_offset + 1;
            self.read_half(record);
        });
        self.pass(expected, end);
        self.half_end = end;
    }

    /// Passes over what is no longer there.
    fn pass(&mut self, from: i64, to: i64) {
        self.ledger.ended.insert_range(from, to);
        self.identities.resize((to - self.half_start).max(0).unsigned_abs() as usize, 0);
    }

    fn read_half(&mut self, record: &Record<'_>) {
        // One that is none stays open without being listed: the round of questions gives it up.
        let half = Half::parked(*record);
        let identity = half.as_ref().map_or(0, |half| half.identity(self.keys));
        self.identities.push(identity);
        let Some(half) = half else { return };
        let mut open = Open {
            offset: record.queue_offset,
            since: record.physical_offset,
            until: record.physical_offset,
            copied: half.copied,
            topic: half.topic.to_owned(),
        };
        if let Some(older) = self.open.get(&identity) {
            self.ledger.ended.insert(older.offset);
            open.since = older.since;
            open.copied = true;
        }
        self.open.insert(identity, open);
    }

    /// Reads the op topic; returns a log position before everything it does not name.
    fn read_ops(&mut self, start: i64, len_max: usize) -> i64 {
        let store = self.store;
        let first = (start - OPS_BEFORE).max(store.min_offset(OP_TOPIC, 0)).max(0);
        let (mut last, mut last_but_one) = (0, 0);
        walk(store, OP_TOPIC, first, &mut |record| {
            if record.body.len() < len_max {
                last_but_one = std::mem::replace(&mut last, record.physical_offset);
            }
            if record.queue_offset >= start {
                let highest = self.read_op(record);
                self.ledger.ops.push(record.queue_offset, highest);
            }
        });
        last_but_one
    }

    /// Ends what an op message names; returns the highest offset.
    fn read_op(&mut self, record: &Record<'_>) -> i64 {
        let mut highest = -1;
        if record.tags() != Some(OP_TAG) {
            return highest;
        }
        for offset in offsets_of(record.body).filter(|offset| (0..self.half_end).contains(offset)) {
            highest = offset.max(highest);
            let identity = self.identity_of(offset);
            self.ledger.ended.insert(offset);
            if let Some(open) = identity.and_then(|identity| self.open.remove(&identity)) {
                self.ledger.ended.insert(open.offset);
            }
        }
        highest
    }

    /// The transaction of a record, also of one before the progress: a Java broker may have ended
    /// a transaction by an older record than its newest.
    fn identity_of(&self, offset: i64) -> Option<Identity> {
        if let Ok(at) = usize::try_from(offset - self.half_start) {
            return self.identities.get(at).copied();
        }
        let mut found = None;
        look(self.store, HALF_TOPIC, offset, &mut |record| {
            if record.queue_offset == offset {
                found = Half::parked(*record).map(|half| half.identity(self.keys));
            }
            ControlFlow::Break(())
        });
        found
    }

    /// Reads the log from a position on for ends that no op message names; returns how many.
    fn read_ends(&mut self, complete: i64) -> usize {
        let Some(since) = self.open.values().map(|open| open.since).min() else { return 0 };
        let mut unnamed = 0;
        let mut log = self.store.log().records(since.max(complete));
        while let Found::Record(slice) = log.advance() {
            let Ok(record) = Record::decode(slice.as_ref()) else { break };
            let ended = if is_commit(&record) {
                self.committed(record.prepared_transaction_offset)
            } else if record.topic == CHECKED_OUT_TOPIC {
                self.given_up(record)
            } else {
                false
            };
            unnamed += usize::from(ended);
        }
        unnamed
    }

    /// Ends the transaction of the half message at a log position.
    fn committed(&mut self, half_position: i64) -> bool {
        let Some(slice) = self.store.read(half_position) else { return false };
        let half = Record::decode(slice.as_ref()).ok().and_then(Half::parked);
        half.is_some_and(|half| self.end(half.identity(self.keys)))
    }

    /// Ends the transaction that was given up here, unless it has been resumed since.
    fn given_up(&mut self, record: Record<'_>) -> bool {
        let position = record.physical_offset;
        let Some(half) = Half::of(record) else { return false };
        let identity = half.identity(self.keys);
        let resumed = self.open.get(&identity).is_none_or(|open| open.until > position);
        !resumed && self.end(identity)
    }

    fn end(&mut self, identity: Identity) -> bool {
        let Some(open) = self.open.remove(&identity) else { return false };
        self.ledger.end(open.offset, identity);
        true
    }

    fn finish(mut self) -> Rebuilt {
        let mut counts = BTreeMap::new();
        for (identity, open) in self.open {
            *counts.entry(open.topic).or_default() += 1;
            if open.copied {
                self.ledger.copies.insert(identity, open.offset);
            }
        }
        Rebuilt { ledger: self.ledger, open: counts }
    }
}
