//! What moves the bounds of a queue other than an append: truncation, expiry, search by time.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Queue, QueueKind, Unit};
use crate::dispatch::ViewError;
use crate::get::Boundary;

/// Units are looked through backwards in steps of so many.
const BACK_STEP: i64 = 200;

impl Queue {
    /// Offset of the message stored at `timestamp`, within the bounds of the queue. `time_of`
    /// reads the store time of the record at a log position.
    ///
    /// Lower: the first message stored at or after the time, the end if there is none. Upper: the
    /// last one stored at or before the time, the first message if there is none.
    pub fn offset_by_time(
        &self,
        timestamp: i64,
        boundary: Boundary,
        min_physical_offset: i64,
        time_of: &dyn Fn(i64, i32) -> Option<i64>,
    ) -> Result<i64, ViewError> {
        let (min, next) = (self.min_offset(), self.next_offset());
        if min == next {
            return Ok(min);
        }
        let first = self.first_index();
        let before = |unit: &Unit| {
            if unit.is_filler()
                || unit.physical_offset < min_physical_offset
                || unit.queue_offset < min
            {
                return true;
            }
            let time = unit.store_timestamp.or_else(|| time_of(unit.physical_offset, unit.size));
            time.is_none_or(|time| match boundary {
                Boundary::Lower => time < timestamp,
                Boundary::Upper => time <= timestamp,
            })
        };
        let index = self.partition(first, before)?;
        let index = match boundary {
            // Java quirk: a batch queue has no offset behind its last message to offer.
            Boundary::Lower if self.kind() == QueueKind::Simple => index,
            Boundary::Lower => index.min(self.end_index() - 1),
            Boundary::Upper => index - 1,
        };
        let offset = match self.unit_at(index)? {
            Some(unit) => unit.queue_offset,
            None if index < first => min,
            None => next,
        };
        Ok(offset.clamp(min, next))
    }

    /// Number of the first unit from `first` on that `before` is false for, if `before` is true
    /// for a run of units at the beginning only. Units that cannot be read count as before.
    pub(super) fn partition(
        &self,
        first: i64,
        mut before: impl FnMut(&Unit) -> bool,
    ) -> Result<i64, ViewError> {
        let (mut low, mut high) = (first, self.end_index());
        while low < high {
            let middle = low.midpoint(high);
            if self.is_before(middle, first, &mut before)? {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        // Beside a damaged unit the votes are off by one: better a unit too many.
        for index in first.max(low - 2)..low {
            if self.unit_at(index)?.is_some_and(|unit| !before(&unit)) {
                return Ok(index);
            }
        }
        Ok(low)
    }

    /// Asks `before` about a unit. A damaged one is outvoted by the two beside it.
    fn is_before(
        &self,
        index: i64,
        first: i64,
        before: &mut impl FnMut(&Unit) -> bool,
    ) -> Result<bool, ViewError> {
        let mut ask = |index: i64| -> Result<Option<bool>, ViewError> {
            let unit = if index < first { None } else { self.unit_at(index)? };
            Ok(unit.map(|unit| before(&unit)))
        };
        let own = ask(index)?;
        let (near, far) = if own == Some(false) { (1, -1) } else { (-1, 1) };
        Ok(match (own, ask(index + near)?) {
            (Some(own), Some(beside)) if own != beside => ask(index + far)?.unwrap_or(own),
            (Some(own), _) => own,
            (None, beside) => beside.unwrap_or(true),
        })
    }

    /// Cuts the units of records that end behind a log position.
    pub(super) fn truncate_to(self: &Arc<Self>, physical_offset: i64) -> Result<(), ViewError> {
        if self.max_physical_offset() > physical_offset {
            self.cut_while(|unit| unit.ends_behind(physical_offset))?;
        }
        Ok(())
    }

    /// Cuts units from the end as long as `cut` says so. Returns how many.
    pub(super) fn cut_while(
        self: &Arc<Self>,
        cut: impl Fn(&Unit) -> bool,
    ) -> Result<i64, ViewError> {
        let end = self.end_index();
        let keep = self.end_without(cut)?;
        if keep < end {
            let mut state = self.lock();
            state.files.cut(&self.place(), keep * self.place().unit_len())?;
            self.note_unsynced(&mut state);
            drop(state);
            self.refresh()?;
        }
        Ok(end - keep)
    }

    /// Number of the first of the units at the end that `cut` says yes to.
    pub(super) fn end_without(&self, cut: impl Fn(&Unit) -> bool) -> Result<i64, ViewError> {
        let (first, end) = (self.first_index(), self.end_index());
        let unit_len = self.place().unit_len();
        let mut keep = end;
        while keep > first {
            let from = (keep - BACK_STEP).max(first);
            let mut bytes = vec![0; ((keep - from) * unit_len) as usize];
            let mut read = 0;
            while read < bytes.len() {
                match self.read(from * unit_len + read as i64, &mut bytes[read..], false)? {
                    0 => break,
                    len => read += len,
                }
            }
            for (at, bytes) in bytes.chunks_exact(unit_len as usize).enumerate().rev() {
                let index = from + at as i64;
                if self.kind().decode(bytes, index).is_some_and(|unit| !cut(&unit)) {
                    return Ok(keep);
                }
                keep = index;
            }
        }
        Ok(keep)
    }

    /// Moves the first offset past records that are no longer in the log.
    pub(super) fn correct_min(&self, min_physical_offset: i64) -> Result<(), ViewError> {
        let (min, next) = (self.min_offset(), self.next_offset());
        if next == 0 {
            return Ok(());
        }
        if self.max_physical_offset() <= min_physical_offset {
            // Also when only fillers are left: there is nothing to read.
            if self.gone_before(self.end_index(), min_physical_offset)? {
                self.set_min(next);
                return Ok(());
            }
        }
        let gone = |unit: &Unit| unit.is_filler() || unit.physical_offset < min_physical_offset;
        let first = self.first_index();
        let from = match self.kind() {
            QueueKind::Simple => first.max(min),
            QueueKind::Batch => first,
        };
        let here = self.unit_at(from)?;
        let index = match here {
            Some(unit) if !gone(&unit) => from,
            _ => self.partition(from, gone)?,
        };
        let offset = self.unit_at(index)?.map_or(next, |unit| unit.queue_offset);
        // Never back: another thread may have moved it on meanwhile.
        self.min.fetch_max(offset.min(next), Ordering::Relaxed);
        Ok(())
    }

    /// Moves the first offset past messages stored before a time. Returns where the first one is
    /// that was not; `time_of` reads the store time of the record at a log position, and one that
    /// cannot be read is not old.
    pub(crate) fn pass_over(
        &self,
        oldest_ms: i64,
        min_physical_offset: i64,
        time_of: &dyn Fn(i64) -> Option<i64>,
    ) -> Result<Option<i64>, ViewError> {
        // Before the search: what is appended meanwhile is not passed over.
        let end = self.max_physical_offset();
        let old = |unit: &Unit| {
            let time = || unit.store_timestamp.or_else(|| time_of(unit.physical_offset));
            unit.is_filler()
                || unit.physical_offset < min_physical_offset
                || time().is_some_and(|time| time < oldest_ms)
        };
        let first = self.first_index();
        let from = match self.kind() {
            QueueKind::Simple => first.max(self.min_offset()),
            QueueKind::Batch => first,
        };
        let young = self.unit_at(self.partition(from, old)?)?.filter(|unit| !old(unit));
        let first_young = young.map(|unit| unit.physical_offset);
        self.correct_min(first_young.unwrap_or(end))?;
        Ok(first_young)
    }

    /// Whether the records of the units before a number have left the log. The last two are asked:
    /// one that is damaged must not make the rest go.
    pub(super) fn gone_before(
        &self,
        end: i64,
        min_physical_offset: i64,
    ) -> Result<bool, ViewError> {
        let mut asked = 0;
        for index in (self.first_index()..end).rev().take(4) {
            let Some(unit) = self.unit_at(index)? else { continue };
            if !unit.is_filler() && unit.physical_offset >= min_physical_offset {
                return Ok(false);
            }
            asked += 1;
            if asked == 2 {
                break;
            }
        }
        Ok(true)
    }

    /// Deletes files whose last record is no longer in the log, never the last file. Returns how
    /// many.
    pub(super) fn delete_expired(
        self: &Arc<Self>,
        min_physical_offset: i64,
    ) -> Result<usize, ViewError> {
        // First, so that readers are sent on before the files go.
        self.correct_min(min_physical_offset)?;
        let per_file = self.place().disk.file_size / self.place().unit_len();
        let mut deleted = 0;
        loop {
            let (first, more) = {
                let state = self.lock();
                (state.files.first(), state.files.starts.len() > 1)
            };
            if !more {
                break;
            }
            let end = first / self.place().unit_len() + per_file;
            if !self.gone_before(end, min_physical_offset)? {
                break;
            }
            // The queue's offsets go on from a later file, whose name must outlive this one's; and
            // the name of one before must not, or a start would find a gap. A run that was killed
            // may have deleted that one.
            self.lock().files.dirs_changed = true;
            self.sync(false)?;
            self.lock().files.remove_first(&self.place())?;
            deleted += 1;
        }
        Ok(deleted)
    }
}
