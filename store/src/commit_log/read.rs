//! Reading the log: by position, and record after record.

use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;

use remoting::protocol::message::Record;
use remoting::protocol::message::record::{BLANK_HEAD_LEN, RecordError};

use super::CommitLog;
use crate::segment::{LogSlice, Segment};

/// Old records are brought into memory by chunks of so many bytes, which start at multiples of it.
pub(super) const CHUNK: i64 = 64 << 10;

/// The part of the log that one request has brought into memory: neighbours of a record need no
/// call of their own.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    range: Cell<(i64, i64)>,
    at_once: bool,
    missed: Cell<bool>,
}

impl CommitLog {
    /// The file that holds a log position.
    pub fn segment_at(&self, position: i64) -> Option<Arc<Segment>> {
        let segments = self.segments.load();
        let index = segments.partition_point(|segment| segment.limit() <= position);
        segments.get(index).filter(|segment| segment.base() <= position).cloned()
    }

    /// Whether the disk gives the record that starts at a log position, if there is one; behind the
    /// blank at the end of a file, the first of the next.
    pub fn can_read(&self, position: i64) -> bool {
        let mut position = position;
        loop {
            let Some(segment) = self.segment_at(position) else { return true };
            let start = (position - segment.base()) as usize;
            if !segment.load(start, BLANK_HEAD_LEN) {
                return false;
            }
            match Record::decode(segment.bytes(start, BLANK_HEAD_LEN)) {
                Err(RecordError::CutOff { needed, .. }) => return segment.load(start, needed),
                // Nobody reads on in a blank, which may be nearly all of a file.
                Err(RecordError::Blank { .. }) => position = segment.limit(),
                _ => return true,
            }
        }
    }

    /// The record that starts at a log position, its body not checked.
    pub fn read(&self, position: i64) -> Option<LogSlice> {
        let segment = self.segment_at(position)?;
        let start = (position - segment.base()) as usize;
        let record = Record::decode(segment.bytes(start, usize::MAX)).ok()?;
        if record.physical_offset != position {
            return None;
        }
        segment.slice(start, record.total_size as usize)
    }

    /// Store time of the record that starts at a log position.
    pub fn store_time(&self, position: i64) -> Option<i64> {
        let slice = self.read(position)?;
        Record::decode(slice.as_ref()).ok().map(|record| record.store_timestamp)
    }

    /// Reads on from a log position.
    pub fn records(&self, position: i64) -> Records<'_> {
        Records { log: self, position, segment: None }
    }
}

impl Loaded {
    /// Of a request that does not wait for the disk, or of one that does.
    pub(super) fn new(at_once: bool) -> Loaded {
        Loaded { at_once, ..Loaded::default() }
    }

    /// Whether the request would have had to wait; what it has found then is not to be used.
    pub(super) fn missed(&self) -> bool {
        self.missed.get()
    }

    /// Notes that it would have had to.
    pub(super) fn miss(&self) {
        self.missed.set(true);
    }

    /// Whether a range is in memory for all that this request knows.
    pub(super) fn holds(&self, position: i64, len: usize) -> bool {
        let (from, to) = self.range.get();
        from <= position && position + len as i64 <= to
    }

    /// Brings a range and what follows it into memory; false when the disk does not give it.
    pub(super) fn load(
        &self,
        log: &CommitLog,
        segment: &Segment,
        position: i64,
        len: usize,
    ) -> bool {
        if self.holds(position, len) {
            return true;
        }
        let end = position + len as i64;
        if segment.is_recent((position - segment.base()) as usize) {
            self.range.set((position, end.max(position + CHUNK).min(segment.end())));
            return true;
        }
        self.load_old(log, segment, position..end)
    }

    /// The same for what may have to come from the disk.
    fn load_old(&self, log: &CommitLog, segment: &Segment, wanted: Range<i64>) -> bool {
        let numbers = wanted.start / CHUNK..(wanted.end - 1) / CHUNK + 1;
        let chunks =
            (numbers.start * CHUNK).max(segment.base())..(numbers.end * CHUNK).min(segment.end());
        if !log.lately_read.all(numbers.clone()) {
            let place = |range: &Range<i64>| {
                ((range.start - segment.base()) as usize, (range.end - range.start) as usize)
            };
            let resident = |range: &Range<i64>| {
                let (start, len) = place(range);
                segment.resident(start, len) == len
            };
            let fetch = |range: &Range<i64>| {
                let (start, len) = place(range);
                segment.fetch(start, len)
            };
            let cold = !resident(&chunks);
            if cold && self.at_once && !resident(&wanted) {
                self.miss();
                return false;
            }
            log.read_ahead.note(chunks.clone(), cold);
            if cold && self.at_once {
                return true;
            }
            // What is in memory is not asked for: that costs more than all else of a pull.
            if cold && !fetch(&chunks) {
                // What is beside it may be what is not there, or cannot be read.
                return fetch(&wanted);
            }
            log.lately_read.note(numbers);
            if cold {
                // What the connections' threads have to do goes first.
                std::thread::yield_now();
            }
        }
        let (from, to) = self.range.get();
        let from = if from <= chunks.start && chunks.start <= to { from } else { chunks.start };
        self.range.set((from, chunks.end));
        true
    }
}

/// What stands at a log position.
#[derive(Debug)]
pub enum Found {
    /// A whole record, its body not checked.
    Record(LogSlice),
    /// Nothing: the end of the log.
    End,
    /// Bytes that are no record, or one that belongs elsewhere.
    Damaged(Damage),
}

/// Why bytes are not the record of their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Not a record.
    #[error("{0}")]
    Record(#[from] RecordError),
    /// A record that says it stands elsewhere.
    #[error("the record of log position {0}")]
    Place(i64),
}

/// A walk along the log.
#[derive(Debug)]
pub struct Records<'a> {
    log: &'a CommitLog,
    position: i64,
    segment: Option<Arc<Segment>>,
}

impl Records<'_> {
    /// Where the next record is looked for.
    pub fn position(&self) -> i64 {
        self.position
    }

    /// The next record; blanks at the end of files are passed over. After `Damaged` the walk
    /// stays where it is.
    pub fn advance(&mut self) -> Found {
        loop {
            let Some(segment) = self.current() else { return Found::End };
            let start = (self.position - segment.base()) as usize;
            let bytes = segment.bytes(start, usize::MAX);
            if bytes.is_empty() {
                return Found::End;
            }
            let record = match Record::decode(bytes) {
                Ok(record) => record,
                Err(RecordError::Blank { size }) if size > 0 && size as usize <= bytes.len() => {
                    if self.log.segment_at(segment.limit()).is_none() {
                        return Found::End;
                    }
                    self.position = segment.limit();
                    continue;
                }
                Err(error) => return Found::Damaged(error.into()),
            };
            if record.physical_offset != self.position {
                return Found::Damaged(Damage::Place(record.physical_offset));
            }
            let len = record.total_size as usize;
            self.position += len as i64;
            return Found::Record(LogSlice { segment: Arc::clone(&segment), start, len });
        }
    }

    fn current(&mut self) -> Option<Arc<Segment>> {
        let holds =
            |segment: &Segment, position| (segment.base()..segment.limit()).contains(&position);
        if self.segment.as_deref().is_none_or(|segment| !holds(segment, self.position)) {
            self.segment = self.log.segment_at(self.position);
        }
        self.segment.clone()
    }
}
