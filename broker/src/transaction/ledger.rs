//! Which transactions are open, and what is still to be written about those that ended.
//!
//! A half message is open unless the ledger says otherwise: sending one costs nothing here. The
//! offset of every record that needs nothing more is in `ended`: committed, rolled back, given up,
//! or parked again further back. `copies` leads from a transaction to the newest of its records
//! if it was parked again, so that an answer about an older one still counts, and counts once.
//!
//! The op topic says the same on disk, in batches: `unwritten` is what it does not say yet.

use std::collections::{HashMap, VecDeque};

use super::ended::Ended;
use super::half::Identity;

/// Ends one offset in the body of an op message.
pub(super) const SEPARATOR: char = ',';

/// The state of all transactions from the oldest open one on.
#[derive(Debug)]
pub(super) struct Ledger {
    /// Offsets of the half topic that need nothing more.
    pub ended: Ended,
    /// The newest record of open transactions that were parked again.
    pub copies: HashMap<Identity, i64>,
    /// The op messages that are not used up.
    pub ops: Ops,
    unwritten: VecDeque<i64>,
    /// Characters of `unwritten` in the body of a message.
    unwritten_len: usize,
    /// When an op message was written last.
    pub written_at: i64,
}

/// Op messages from the first on that says something about a half that may be open.
#[derive(Debug)]
pub(super) struct Ops {
    /// Offset of the first.
    pub start: i64,
    /// The highest half offset each of them names.
    highest: VecDeque<i64>,
}

impl Ledger {
    /// A ledger without open transactions.
    pub(super) fn new(half_start: i64, op_start: i64) -> Ledger {
        Ledger {
            ended: Ended::below(half_start),
            copies: HashMap::new(),
            ops: Ops { start: op_start, highest: VecDeque::new() },
            unwritten: VecDeque::new(),
            unwritten_len: 0,
            written_at: 0,
        }
    }

    /// The record that stands for a transaction now, if the transaction is open; `offset` is any
    /// of its records.
    pub(super) fn open(&self, offset: i64, identity: Identity) -> Option<i64> {
        if self.ended.contains(offset) {
            return self.copies.get(&identity).copied();
        }
        Some(offset)
    }

    /// Notes that a transaction has ended; `offset` is the record that stands for it.
    pub(super) fn end(&mut self, offset: i64, identity: Identity) {
        self.ended.insert(offset);
        if self.copies.get(&identity) == Some(&offset) {
            self.copies.remove(&identity);
        }
        self.unwritten.push_back(offset);
        self.unwritten_len += text_len(offset);
    }

    /// Notes that a transaction was parked again at `copy`.
    pub(super) fn moved(&mut self, offset: i64, identity: Identity, copy: i64) {
        self.ended.insert(offset);
        self.copies.insert(identity, copy);
    }

    /// Characters that wait to be written.
    pub(super) fn unwritten_len(&self) -> usize {
        self.unwritten_len
    }

    /// The body of the next op message, up to the first offset that reaches `len_max`.
    pub(super) fn op_body(&self, len_max: usize) -> (String, usize) {
        let mut body = String::with_capacity(self.unwritten_len.min(len_max + 20));
        let mut digits = itoa::Buffer::new();
        let mut count = 0;
        for offset in &self.unwritten {
            if body.len() >= len_max.max(1) {
                break;
            }
            body.push_str(digits.format(*offset));
            body.push(SEPARATOR);
            count += 1;
        }
        (body, count)
    }

    /// Notes that an op message names the first `count` offsets that waited.
    pub(super) fn op_written(&mut self, op_offset: i64, count: usize) {
        let mut highest = 0;
        for offset in self.unwritten.drain(..count) {
            self.unwritten_len -= text_len(offset);
            highest = offset.max(highest);
        }
        self.ops.push(op_offset, highest);
    }

    /// Moves on as far as everything is ended; returns the progress in both topics.
    pub(super) fn advance(&mut self, half_end: i64) -> (i64, i64) {
        self.ended.advance(half_end);
        let half = self.ended.start();
        self.ops.use_up(half);
        (half, self.ops.start)
    }
}

impl Ops {
    /// Adds the op message at an offset, which may lie behind a gap.
    pub(super) fn push(&mut self, op_offset: i64, highest: i64) {
        let end = self.start + self.highest.len() as i64;
        // What is not there says nothing.
        let gap = usize::try_from(op_offset - end).unwrap_or(0);
        self.highest.resize(self.highest.len() + gap, -1);
        self.highest.push_back(highest);
    }

    fn use_up(&mut self, half_start: i64) {
        while self.highest.front().is_some_and(|highest| *highest < half_start) {
            self.highest.pop_front();
            self.start += 1;
        }
    }
}

fn text_len(offset: i64) -> usize {
    itoa::Buffer::new().format(offset).len() + SEPARATOR.len_utf8()
}

/// The half offsets an op message names; Java 4 wrote one without a separator.
pub(super) fn offsets_of(body: &[u8]) -> impl Iterator<Item = i64> {
    let parts = body.split(|byte| *byte == SEPARATOR as u8);
    parts.filter_map(|part| std::str::from_utf8(part).ok()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_ends_once_whichever_record_is_named() {
        let mut ledger = Ledger::new(0, 0);
        assert_eq!(ledger.open(3, 77), Some(3));
        ledger.moved(3, 77, 9);
        assert_eq!((ledger.open(3, 77), ledger.open(9, 77)), (Some(9), Some(9)));
        ledger.moved(9, 77, 12);
        assert_eq!(ledger.open(3, 77), Some(12));
        ledger.end(12, 77);
        for offset in [3, 9, 12] {
            assert_eq!(ledger.open(offset, 77), None);
        }
        assert!(ledger.copies.is_empty());
        assert_eq!(ledger.op_body(100).0, "12,");
    }

    #[test]
    fn op_messages_are_cut_behind_the_offset_that_fills_them() {
        let mut ledger = Ledger::new(0, 5);
        for offset in [10, 8, 100, 9] {
            ledger.end(offset, offset as u64);
        }
        assert_eq!(ledger.unwritten_len(), 11);
        assert_eq!(ledger.op_body(5), ("10,8,".to_owned(), 2));
        ledger.op_written(5, 2);
        assert_eq!(ledger.op_body(4096), ("100,9,".to_owned(), 2));
        ledger.op_written(6, 2);
        assert_eq!((ledger.unwritten_len(), ledger.op_body(4096).1), (0, 0));
    }

    #[test]
    fn progress_stops_at_the_first_open_half_and_the_op_that_names_one_behind_it() {
        let mut ledger = Ledger::new(0, 20);
        for offset in [0, 1, 3] {
            ledger.end(offset, 0);
        }
        ledger.op_written(20, 2);
        ledger.op_written(21, 1);
        assert_eq!(ledger.advance(5), (2, 21));
        ledger.end(2, 0);
        ledger.op_written(24, 1);
        assert_eq!(ledger.advance(5), (4, 25));
    }

    #[test]
    fn bodies_of_all_versions_are_read() {
        let read = |body: &str| offsets_of(body.as_bytes()).collect::<Vec<_>>();
        assert_eq!(read("12"), [12]);
        assert_eq!(read("0,7,6,"), [0, 7, 6]);
        assert_eq!(read(",x,99999999999999999999,4"), [4]);
        assert_eq!(read(""), [] as [i64; 0]);
    }
}
