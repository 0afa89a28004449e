//! Reading the log: by position, and record after record.

use std::sync::Arc;

use remoting::protocol::message::Record;
use remoting::protocol::message::record::{BLANK_HEAD_LEN, RecordError};

use super::CommitLog;
use crate::segment::{LogSlice, Segment};

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
            let load = |len| self.is_recent(&segment, position) || segment.load(start, len);
            if !load(BLANK_HEAD_LEN) {
                return false;
            }
            match Record::decode(segment.bytes(start, BLANK_HEAD_LEN)) {
                Err(RecordError::CutOff { needed, .. }) => return load(needed),
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
            // Invariant: the bytes that were decoded are written.
            let Some(slice) = segment.slice(start, len) else { return Found::End };
            return Found::Record(slice);
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
