//! One queue: its units, its bounds.
//!
//! `next`, `min` and `max_physical` are read without the lock. The unit of an offset below `next`
//! is readable: it is in the tail buffer before `next` moves.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::deferred::Deferred;
use super::files::Files;
use super::pending::Pending;
use super::place::{Disk, Place};
use super::unit::{UNIT_LEN_MAX, Unit};
use super::units::Units;
use super::{QueueKind, simple};
use crate::dispatch::{DispatchRequest, ViewError};
use crate::light::is_light;

/// The unit of an offset is one of so many where it is looked for: some may be damaged.
const UNITS_LOOKED_AT: usize = 4;

/// One queue of a topic.
#[derive(Debug)]
pub struct Queue {
    topic: Arc<str>,
    id: i32,
    number: u64,
    disk: Arc<Disk>,
    pub(super) pending: Arc<Pending>,
    pub(super) min: AtomicI64,
    next: AtomicI64,
    max_physical: AtomicI64,
    /// Units before this offset were read from disk, not made by this run.
    loaded: AtomicI64,
    /// Set under the lock of `state`, and of the log if that is in use.
    deleted: AtomicBool,
    pub(super) is_loaded: AtomicBool,
    /// What is to be done by the load; none once that is done.
    pub(super) deferred: Mutex<Option<Box<Deferred>>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) files: Files,
    /// On the list of queues with a tail buffer.
    pub(super) active: bool,
    /// On the list of queues with bytes that are not on disk.
    pub(super) unsynced: bool,
    poisoned: bool,
}

/// What names a queue and where it lives.
pub(super) struct Identity {
    pub(super) topic: Arc<str>,
    pub(super) id: i32,
    pub(super) number: u64,
    pub(super) disk: Arc<Disk>,
    pub(super) pending: Arc<Pending>,
}

impl Queue {
    /// A queue that is not on disk.
    pub(super) fn new(identity: Identity) -> Queue {
        Queue::with(identity, None)
    }

    pub(super) fn with(identity: Identity, deferred: Option<Box<Deferred>>) -> Queue {
        let Identity { topic, id, number, disk, pending } = identity;
        Queue {
            topic,
            id,
            number,
            disk,
            pending,
            min: AtomicI64::new(0),
            next: AtomicI64::new(0),
            max_physical: AtomicI64::new(-1),
            loaded: AtomicI64::new(0),
            deleted: AtomicBool::new(false),
            is_loaded: AtomicBool::new(deferred.is_none()),
            deferred: Mutex::new(deferred),
            state: Mutex::default(),
        }
    }

    /// Topic of the queue.
    pub fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    /// Queue of the topic.
    pub fn id(&self) -> i32 {
        self.id
    }

    /// How its units look.
    pub fn kind(&self) -> QueueKind {
        self.disk.kind
    }

    /// First offset that can be read.
    pub fn min_offset(&self) -> i64 {
        self.min.load(Ordering::Relaxed)
    }

    /// Offset after the last message: what the next append must carry.
    pub fn next_offset(&self) -> i64 {
        self.next.load(Ordering::Acquire)
    }

    /// Log position behind the last record it knows; -1 when it knows none.
    pub fn max_physical_offset(&self) -> i64 {
        self.max_physical.load(Ordering::Relaxed)
    }

    /// Whether it has been deleted: nothing is in it, and what is appended is dropped.
    pub fn deleted(&self) -> bool {
        self.deleted.load(Ordering::Relaxed)
    }

    /// Whether the unit of an offset is of this run, and not one that a disk gave back.
    pub fn made_now(&self, queue_offset: i64) -> bool {
        queue_offset >= self.loaded.load(Ordering::Relaxed)
    }

    /// Appends the unit of a record; ignores a record it already has. Called under the append lock
    /// of the log (or by the one thread of recovery); syncs nothing.
    ///
    /// A queue may start at any offset, but a record beyond the end of one that has started is a
    /// [`ViewError::Gap`], unless [`Queues::fill_gaps`](super::Queues::fill_gaps) is on.
    pub fn append(self: &Arc<Self>, request: &DispatchRequest<'_>) -> Result<(), ViewError> {
        self.append_unit(&self.unit_of(request))
    }

    pub(super) fn append_unit(self: &Arc<Self>, unit: &Unit) -> Result<(), ViewError> {
        let mut state = self.lock();
        let physical_end = unit.physical_end();
        // Only light queues take what somebody says of an offset.
        let anew = unit.queue_offset == 0
            && physical_end > self.max_physical_offset()
            && !is_light(&self.topic);
        let empty = self.max_physical_offset() < 0 && self.min_offset() >= self.next_offset();
        if unit.queue_offset < self.next_offset() && !self.deleted() && (anew || empty) {
            self.start_anew(&mut state)?;
        }
        let next = self.next.load(Ordering::Relaxed);
        if self.deleted() || unit.queue_offset < next || physical_end <= self.max_physical_offset()
        {
            return Ok(());
        }
        if state.poisoned {
            return Err(ViewError::Poisoned { topic: self.topic.to_string(), queue_id: self.id });
        }
        if unit.queue_offset > next {
            self.check_gap(&state, next, unit.queue_offset)?;
        }
        if let Err(error) = self.push(&mut state, unit) {
            state.poisoned = true;
            self.pending.poison();
            return Err(error);
        }
        self.max_physical.store(physical_end, Ordering::Relaxed);
        self.next.store(unit.next_offset(), Ordering::Release);
        if !state.active {
            state.active = true;
            self.pending.add_active(self);
        }
        self.note_unsynced(&mut state);
        Ok(())
    }

    /// Forgets what is there. Either the queue has no unit, only a file that says it goes on from a
    /// later offset than that of the record it is given: a power cut took the name of an earlier
    /// file. Or the record is the first of a queue that was deleted before it and made anew.
    fn start_anew(&self, state: &mut State) -> Result<(), ViewError> {
        for start in std::mem::take(&mut state.files.starts) {
            self.place().remove(start)?;
        }
        state.files = Files { dirs_changed: true, ..Files::default() };
        self.min.store(0, Ordering::Relaxed);
        self.next.store(0, Ordering::Release);
        self.max_physical.store(-1, Ordering::Relaxed);
        Ok(())
    }

    /// The unit that holds a queue offset; `None` when there is none or it is a filler.
    pub fn unit(&self, queue_offset: i64) -> Result<Option<Unit>, ViewError> {
        if queue_offset < self.min_offset() || queue_offset >= self.next_offset() {
            return Ok(None);
        }
        for unit in Units::new(self, self.index_of(queue_offset)?).take(UNITS_LOOKED_AT) {
            let unit = unit?;
            if (unit.queue_offset..unit.next_offset()).contains(&queue_offset) {
                return Ok(Some(unit).filter(|unit| !unit.is_filler()));
            }
        }
        Ok(None)
    }

    /// The units from the one that holds `queue_offset`, or the next one, on; fillers included.
    pub fn units_from(&self, queue_offset: i64) -> Result<Units<'_>, ViewError> {
        Ok(Units::new(self, self.index_of(queue_offset)?))
    }

    /// First offset of the file after the one that holds an offset.
    pub(crate) fn offset_after_gap(&self, queue_offset: i64) -> i64 {
        let per_file = self.disk.file_size / self.place().unit_len();
        queue_offset.saturating_add(per_file - queue_offset % per_file)
    }

    pub(super) fn unit_of(&self, request: &DispatchRequest<'_>) -> Unit {
        let batch = self.kind() == QueueKind::Batch;
        Unit {
            queue_offset: request.queue_offset,
            physical_offset: request.physical_offset,
            size: request.size,
            tags_code: request.tags_code,
            batch_size: if batch { request.batch_size.max(1) } else { 1 },
            store_timestamp: batch.then_some(request.store_timestamp),
        }
    }

    fn check_gap(&self, state: &State, next: i64, got: i64) -> Result<(), ViewError> {
        let per_file = self.disk.file_size / self.place().unit_len();
        let fresh = next == 0 && state.files.starts.is_empty();
        // Even so, millions of fillers are no gap but a record of something else.
        let fill = self.pending.fill_gaps() && got - next <= per_file;
        if (fresh || fill) && got < i64::MAX / UNIT_LEN_MAX as i64 - per_file {
            return Ok(());
        }
        let topic = self.topic.to_string();
        Err(ViewError::Gap { topic, queue_id: self.id, expected: next, got })
    }

    fn push(&self, state: &mut State, unit: &Unit) -> Result<(), ViewError> {
        let place = self.place();
        let next = self.next.load(Ordering::Relaxed);
        let fresh = state.files.starts.is_empty() && state.files.tail.is_empty();
        if unit.queue_offset > next {
            if self.kind() == QueueKind::Simple {
                let position = unit.queue_offset * place.unit_len();
                if fresh {
                    state.files.start_at(place.start_of(position));
                }
                while state.files.end < position {
                    let written = state.files.push(&place, &simple::FILLER);
                    self.put_off(written)?;
                }
            }
            if fresh {
                self.min.store(unit.queue_offset, Ordering::Relaxed);
            }
        }
        let mut bytes = [0; UNIT_LEN_MAX];
        self.kind().encode(unit, &mut bytes);
        let written = state.files.push(&place, &bytes[..self.kind().unit_len()]);
        self.put_off(written)
    }

    /// Goes on where the buffer may be written later.
    fn put_off(&self, written: Result<(), ViewError>) -> Result<(), ViewError> {
        match written {
            Err(error) if error.passes() => {
                self.pending.starve(&error);
                Ok(())
            }
            written => written,
        }
    }

    pub(super) fn place(&self) -> Place<'_> {
        Place { disk: &self.disk, topic: &self.topic, id: self.id, number: self.number }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under the lock leaves at worst a unit in the buffer that `next` does not count;
        // the store stops at a panic of a service anyway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file that holds unit number `index`, and where it stands in it.
    pub fn place_of(&self, index: i64) -> (PathBuf, u64) {
        let place = self.place();
        let position = index * place.unit_len();
        let start = place.start_of(position);
        (place.path(start), (position - start).unsigned_abs())
    }

    pub(super) fn first_index(&self) -> i64 {
        self.lock().files.first() / self.place().unit_len()
    }

    pub(super) fn end_index(&self) -> i64 {
        self.lock().files.end / self.place().unit_len()
    }

    pub(super) fn set_min(&self, offset: i64) {
        self.min.store(offset, Ordering::Relaxed);
    }

    /// Recomputes the bounds from the last unit, after a load or a cut.
    pub(super) fn refresh(&self) -> Result<(), ViewError> {
        let last = self.unit_at(self.end_index() - 1)?;
        let end = self.end_index();
        let (next, max_physical) = match (self.kind(), last) {
            (QueueKind::Simple, None) => (end, -1),
            (QueueKind::Simple, Some(unit)) if unit.is_filler() => (end, -1),
            (QueueKind::Batch, None) => (0, -1),
            (QueueKind::Simple, Some(unit)) => (unit.next_offset(), unit.physical_end()),
            (QueueKind::Batch, Some(unit)) => (self.offset_behind(&unit)?, unit.physical_end()),
        };
        self.max_physical.store(max_physical, Ordering::Relaxed);
        self.loaded.store(next, Ordering::Relaxed);
        self.next.store(next, Ordering::Release);
        self.min.fetch_min(next, Ordering::Relaxed);
        Ok(())
    }

    /// The offset behind the last unit of a batch queue. Where it does not follow the one before,
    /// which follows its own, it is damaged and its offset leads anywhere.
    fn offset_behind(&self, last: &Unit) -> Result<i64, ViewError> {
        let before = self.unit_at(self.end_index() - 2)?;
        let first = self.unit_at(self.end_index() - 3)?;
        let follows = |unit: &Unit, before: &Unit| before.next_offset() == unit.queue_offset;
        Ok(match (first, before) {
            (Some(first), Some(before)) if follows(&before, &first) && !follows(last, &before) => {
                before.next_offset().saturating_add(i64::from(last.batch_size))
            }
            _ => last.next_offset(),
        })
    }

    /// The same, once the log can be asked: `behind` says which offset follows upon a unit's
    /// record. Either of the last two units may be the damaged one.
    pub(super) fn settle_end(
        &self,
        behind: &dyn Fn(&str, i32, &Unit) -> Option<i64>,
    ) -> Result<(), ViewError> {
        let (before, last) =
            (self.unit_at(self.end_index() - 2)?, self.unit_at(self.end_index() - 1)?);
        if let (QueueKind::Batch, Some(before), Some(last)) = (self.kind(), before, last)
            && before.next_offset() != last.queue_offset
            && let Some(next) = behind(&self.topic, self.id, &last)
        {
            self.loaded.store(next, Ordering::Relaxed);
            self.next.store(next, Ordering::Release);
        }
        Ok(())
    }

    /// Numbers of the units that the files hold, counted from the queue's very first.
    pub fn unit_numbers(&self) -> std::ops::Range<i64> {
        self.first_index()..self.end_index()
    }

    /// Unit number `index`, counted from the queue's very first.
    pub fn unit_at(&self, index: i64) -> Result<Option<Unit>, ViewError> {
        let mut bytes = [0; UNIT_LEN_MAX];
        let unit_len = self.kind().unit_len();
        if index < 0 || self.read(index * unit_len as i64, &mut bytes[..unit_len], false)? == 0 {
            return Ok(None);
        }
        Ok(self.kind().decode(&bytes, index))
    }

    /// Reads whole units at `position` into `out`: as many as one file or the buffer has. 0 when
    /// there are none. With `at_once`, those that are not in memory are an error.
    pub(super) fn read(
        &self,
        position: i64,
        out: &mut [u8],
        at_once: bool,
    ) -> Result<usize, ViewError> {
        let place = self.place();
        let start = place.start_of(position);
        let len = {
            let state = self.lock();
            let files = &state.files;
            if position < files.first() || position >= files.end {
                return Ok(0);
            }
            if position >= files.tail_from {
                let buffered = &files.tail[(position - files.tail_from) as usize..];
                let len = buffered.len().min(out.len());
                out[..len].copy_from_slice(&buffered[..len]);
                return Ok(len);
            }
            if files.starts.binary_search(&start).is_err() {
                return Ok(0);
            }
            let there = files.tail_from.min(start + self.disk.file_size) - position;
            (there as usize).min(out.len())
        };
        // The file may be deleted meanwhile, as expired or with the topic.
        let file = match place.open(start) {
            Err(ViewError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(0);
            }
            file => file?,
        };
        let (out, at) = (&mut out[..len], (position - start) as u64);
        let read = if at_once { file.read_at_once(out, at) } else { file.read_at(out, at) };
        read.map_err(|source| ViewError::io(&place.path(start), "read", source))?;
        Ok(len)
    }

    /// Number of the unit that holds a queue offset.
    fn index_of(&self, queue_offset: i64) -> Result<i64, ViewError> {
        match self.kind() {
            QueueKind::Simple => Ok(queue_offset),
            QueueKind::Batch => {
                self.partition(self.first_index(), |unit| unit.next_offset() <= queue_offset)
            }
        }
    }

    pub(super) fn note_unsynced(self: &Arc<Self>, state: &mut State) {
        if !state.unsynced && state.files.unsynced() {
            state.unsynced = true;
            self.pending.add_unsynced(self);
        }
    }

    /// Writes the tail buffer. Returns false when there was nothing in it. Then, and with `rest`,
    /// the buffer is freed, and the queue is no longer active.
    pub(super) fn write_tail(self: &Arc<Self>, rest: bool) -> Result<bool, ViewError> {
        let mut state = self.lock();
        if state.poisoned {
            // The buffer stays: its units can be read.
            state.active = false;
            return Ok(false);
        }
        if self.deleted() || state.files.tail.is_empty() {
            state.files.tail = Vec::new();
            state.active = false;
            return Ok(false);
        }
        if let Err(error) = state.files.write_tail(&self.place()) {
            if !error.passes() {
                state.poisoned = true;
                self.pending.poison();
            }
            return Err(error);
        }
        self.note_unsynced(&mut state);
        if rest {
            state.files.tail = Vec::new();
            state.active = false;
        }
        Ok(true)
    }

    /// Syncs what has been written; with `marked_only`, the caller has synced the file system.
    pub(super) fn sync(self: &Arc<Self>, marked_only: bool) -> Result<(), ViewError> {
        let place = self.place();
        let (from, to, starts, dirs_changed) = {
            let mut state = self.lock();
            state.unsynced = false;
            if self.deleted() {
                return Ok(());
            }
            let files = &mut state.files;
            let from = std::mem::replace(&mut files.synced, files.tail_from);
            let to = files.tail_from.max(std::mem::take(&mut files.zeroed));
            let dirs_changed = std::mem::take(&mut files.dirs_changed);
            (from, to, files.starts.clone(), dirs_changed)
        };
        if marked_only {
            return Ok(());
        }
        let synced = starts
            .iter()
            .filter(|&&start| start < to && start + self.disk.file_size > from)
            .try_for_each(|&start| {
                let synced = place.open(start)?.sync_data();
                synced.map_err(|source| ViewError::io(&place.path(start), "sync", source))
            })
            .and_then(|()| if dirs_changed { place.sync_dirs() } else { Ok(()) });
        let Err(error) = synced else { return Ok(()) };
        let mut state = self.lock();
        if self.deleted() {
            return Ok(());
        }
        if error.passes() {
            let files = &mut state.files;
            files.synced = files.synced.min(from);
            files.zeroed = files.zeroed.max(to);
            files.dirs_changed |= dirs_changed;
            self.note_unsynced(&mut state);
        } else {
            state.poisoned = true;
            self.pending.poison();
        }
        Err(error)
    }

    /// Marks the queue as gone and closes its files; its directory is deleted by the caller.
    pub(super) fn delete(&self) {
        self.forget_deferred();
        let mut state = self.lock();
        self.deleted.store(true, Ordering::Relaxed);
        for &start in &state.files.starts {
            self.disk.handles.forget((self.number, start));
        }
        state.files = Files::default();
        self.min.store(0, Ordering::Relaxed);
        self.next.store(0, Ordering::Release);
        self.max_physical.store(-1, Ordering::Relaxed);
    }
}
