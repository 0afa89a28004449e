//! The log as one request reads it.

use std::cell::Cell;
use std::hint::black_box;
use std::sync::Arc;

use arc_swap::Guard;

use super::CommitLog;
use super::loaded::{Loaded, Place};
use crate::segment::{LogSlice, Segment};

/// Bytes that the processor fetches at a time.
const LINE: usize = 64;
/// So much of a record is touched at most; of what follows the processor sees itself that it is
/// read in order.
const TOUCHED_MAX: usize = 4096;

/// The files that the log had when it was made; they stay readable for as long as it lives.
///
/// Records that come later may be in files that it does not know.
#[derive(Debug)]
pub struct Window<'a> {
    log: &'a CommitLog,
    segments: Guard<Arc<Vec<Arc<Segment>>>>,
    end: i64,
    /// Index of the file that was read last: most reads go on in it.
    last: Cell<usize>,
    loaded: Loaded,
}

impl CommitLog {
    /// The log as it is now, for a request that does not wait for the disk, or for one that does.
    pub fn window(&self, at_once: bool) -> Window<'_> {
        let (segments, loaded) = (self.segments.load(), Loaded::new(at_once));
        Window { log: self, segments, end: self.end(), last: Cell::new(0), loaded }
    }
}

impl Window<'_> {
    /// First log position.
    pub fn min(&self) -> i64 {
        self.segments.first().map_or(0, |segment| segment.base())
    }

    /// Log position after the last record.
    pub fn end(&self) -> i64 {
        self.end
    }

    /// The bytes of a range of one file, if all of it is written and the disk gives it.
    pub fn bytes(&self, position: i64, len: usize) -> Option<&[u8]> {
        let segment = self.segment_at(position)?;
        let bytes = segment.bytes((position - segment.base()) as usize, len);
        if bytes.len() < len {
            return None;
        }
        match self.loaded.load(self.log, segment, position, len)? {
            Place::Mapping => Some(bytes),
            Place::Block(block) => block.bytes(position, len),
        }
    }

    /// The same, to be kept.
    pub fn slice(&self, position: i64, len: usize) -> Option<LogSlice> {
        let segment = self.segment_at(position)?;
        let slice = segment.slice((position - segment.base()) as usize, len)?;
        match self.loaded.load(self.log, segment, position, len)? {
            Place::Mapping => Some(slice),
            Place::Block(block) => Some(slice.in_block(block)),
        }
    }

    /// Whether the request would have had to wait; what it has found then is not to be used.
    pub fn missed(&self) -> bool {
        self.loaded.missed()
    }

    /// Notes that the request would have to wait for something else than the log.
    pub fn miss(&self) {
        self.loaded.miss();
    }

    /// Lets the processor fetch a record: all of it, or with `properties` what a reader of those
    /// needs. False where that would touch what this request has not brought into memory.
    pub fn touch(&self, position: i64, len: usize, properties: bool) -> bool {
        let Some(place) = self.loaded.known(position, len) else { return false };
        let Some(segment) = self.segment_at(position) else { return false };
        let record = match place {
            Place::Mapping => segment.bytes((position - segment.base()) as usize, len),
            Place::Block(block) => block.bytes(position, len).unwrap_or_default(),
        };
        let byte = |at: usize| record.get(at).copied().unwrap_or(0);
        if !properties {
            let lines = record[..record.len().min(TOUCHED_MAX)].iter().step_by(LINE);
            black_box(lines.fold(0, |all, byte| all | byte));
        }
        // The length of the body stands at 84 or later, the properties at the end.
        let end = |back: usize| byte(len.saturating_sub(back));
        black_box(byte(0) | byte(88) | end(1) | end(65) | end(129));
        true
    }

    fn segment_at(&self, position: i64) -> Option<&Arc<Segment>> {
        let holds = |segment: &&Arc<Segment>| (segment.base()..segment.limit()).contains(&position);
        if let Some(segment) = self.segments.get(self.last.get()).filter(holds) {
            return Some(segment);
        }
        let index = self.segments.partition_point(|segment| segment.limit() <= position);
        self.last.set(index);
        self.segments.get(index).filter(holds)
    }
}
