//! The bytes of a queue: a run of fixed-size files and the tail buffer behind them.

use smallvec::SmallVec;

use super::place::Place;
use crate::dispatch::ViewError;
use crate::faults::{self, Point};

/// The tail buffer is written when it would grow beyond this.
pub(super) const TAIL_MAX: usize = 4096;

/// Sizes of the tail buffer, which is doubled behind the last and so ends at exactly `TAIL_MAX`:
/// finer steps while there may be 100,000 of them.
const TAIL_STEPS: [usize; 4] = [128, 192, 320, 512];

static ZEROS: [u8; 16 * 1024] = [0; 16 * 1024];

/// The bytes of one queue. Positions count from the queue's very first byte.
// Invariant: `tail_from + tail.len() == end`. The tail is short and lies within one file, unless a
// write of it failed and is to be tried again.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// Where each file on disk starts, ascending. The file of the tail may not be there yet.
    pub(super) starts: SmallVec<[i64; 2]>,
    pub(super) tail: Vec<u8>,
    pub(super) tail_from: i64,
    pub(super) end: i64,
    /// Everything before is on disk.
    pub(super) synced: i64,
    /// A file has been made or deleted since the directories were synced.
    pub(super) dirs_changed: bool,
    /// End of the zeros that have been written behind `tail_from` since the last sync.
    pub(super) zeroed: i64,
}

impl Files {
    /// Position of the first unit that may be there.
    pub(super) fn first(&self) -> i64 {
        self.starts.first().copied().unwrap_or(self.tail_from)
    }

    /// Starts an empty queue at a position other than 0.
    pub(super) fn start_at(&mut self, position: i64) {
        self.tail_from = position;
        self.end = position;
        self.synced = position;
    }

    /// Appends a unit, writing the buffer first if it is full. After an error of that write the
    /// unit is in the buffer all the same.
    pub(super) fn push(&mut self, place: &Place<'_>, unit: &[u8]) -> Result<(), ViewError> {
        let full = self.tail.len() + unit.len() > TAIL_MAX;
        let file_ends = !self.tail.is_empty() && self.end % place.disk.file_size == 0;
        let written = if full || file_ends { self.write_tail(place) } else { Ok(()) };
        let len = self.tail.len() + unit.len();
        if len > self.tail.capacity()
            && let Some(step) = TAIL_STEPS.iter().find(|step| **step >= len)
        {
            self.tail.reserve_exact(step - self.tail.len());
        }
        self.tail.extend_from_slice(unit);
        self.end += unit.len() as i64;
        written
    }

    /// Writes the buffer into its file, which is made now if it is not there.
    pub(super) fn write_tail(&mut self, place: &Place<'_>) -> Result<(), ViewError> {
        while !self.tail.is_empty() {
            let start = place.start_of(self.tail_from);
            let room = start + place.disk.file_size - self.tail_from;
            let units = &self.tail[..self.tail.len().min(room as usize)];
            let (at, len) = ((self.tail_from - start) as u64, units.len());
            if self.starts.last() == Some(&start) {
                let written = place.open(start)?.write_at(units, at);
                written.map_err(|source| ViewError::io(&place.path(start), "write", source))?;
            } else {
                place.create(start, at, units)?;
                self.starts.push(start);
                self.dirs_changed = true;
            }
            faults::pass(Point::TailWritten);
            self.tail_from += len as i64;
            self.tail.drain(..len);
        }
        Ok(())
    }

    /// Cuts everything from `position` on: deletes later files, zeroes the rest of its own. On
    /// disk with the next sync only: until then a start cuts again.
    pub(super) fn cut(&mut self, place: &Place<'_>, position: i64) -> Result<(), ViewError> {
        if position >= self.tail_from {
            self.tail.truncate((position - self.tail_from) as usize);
            self.end = position;
            return Ok(());
        }
        let written_end = self.tail_from;
        self.tail.clear();
        // The queue offsets of a queue without a file would start at 0 again: the last file of a
        // queue that starts elsewhere stays, although it is all zeros.
        while let Some(&last) = self.starts.last()
            && last >= position
            && (self.starts.len() > 1 || last == 0)
        {
            place.remove(last)?;
            self.starts.pop();
            self.dirs_changed = true;
        }
        if let Some(&last) = self.starts.last() {
            let end = written_end.min(last + place.disk.file_size);
            zero(place, last, position.max(last), end)?;
            self.zeroed = self.zeroed.max(end);
        }
        self.tail_from = position;
        self.end = position;
        self.synced = self.synced.min(position);
        Ok(())
    }

    /// Whether a sync has anything to do.
    pub(super) fn unsynced(&self) -> bool {
        self.synced < self.tail_from.max(self.zeroed) || self.dirs_changed
    }

    /// Deletes the first file, unless it is the only one.
    pub(super) fn remove_first(&mut self, place: &Place<'_>) -> Result<(), ViewError> {
        if self.starts.len() > 1 {
            place.remove(self.starts[0])?;
            faults::pass(Point::QueueFileDeleted);
            self.starts.remove(0);
            self.dirs_changed = true;
        }
        Ok(())
    }
}

/// Overwrites positions `from..to` of the file at `start` with zeros.
fn zero(place: &Place<'_>, start: i64, from: i64, to: i64) -> Result<(), ViewError> {
    let file = place.open(start)?;
    let mut at = from;
    while at < to {
        let len = (to - at).min(ZEROS.len() as i64);
        file.write_at(&ZEROS[..len as usize], (at - start) as u64)
            .map_err(|source| ViewError::io(&place.path(start), "write", source))?;
        at += len;
    }
    Ok(())
}
