//! A queue that is on disk but not loaded yet: what it is told meanwhile, it does when it is.
//!
//! With very many queues a start looks into none. Where a queue ends follows from the log, whose
//! end is read anyway: the records behind the checkpoint are held in memory, and the queue's files
//! are looked at when somebody asks for it, or by the flush before the next checkpoint.
//!
//! What was written before a kill is mostly what the log says. Such units stay as they are and
//! count as not on disk; only what differs is cut and written again.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};

use super::files::Files;
use super::queue::{Identity, Queue};
use super::units::Units;
use super::{Unit, load};
use crate::OpenError;
use crate::dispatch::{DispatchRequest, ViewError};

/// What a queue does when it is loaded, in the order of the fields.
#[derive(Debug)]
pub(super) struct Deferred {
    /// How the last run ended.
    clean: bool,
    /// Units of records that end behind this log position are cut.
    cut_at: i64,
    /// Units that follow, in the order of the log.
    held: Vec<Unit>,
    /// The first offset moves past records before this log position.
    min_physical: i64,
}

impl Queue {
    /// A queue whose directory is there; `clean` tells how the last run ended.
    pub(super) fn on_disk(identity: Identity, clean: bool) -> Queue {
        let deferred = Deferred { clean, cut_at: i64::MAX, held: Vec::new(), min_physical: 0 };
        Queue::with(identity, Some(Box::new(deferred)))
    }

    /// Loads the queue if it is not. After an error that is no [`ViewError::Gap`] it is tried again
    /// by the next call.
    pub(super) fn load(self: &Arc<Self>) -> Result<(), ViewError> {
        if self.is_loaded() {
            return Ok(());
        }
        let mut deferred = self.deferred();
        let Some(todo) = deferred.as_deref() else { return Ok(()) };
        self.read_files(todo.clean).map_err(|error| ViewError::Open(Box::new(error)))?;
        let done = self.catch_up(todo);
        if matches!(done, Ok(()) | Err(ViewError::Gap { .. })) {
            *deferred = None;
            self.is_loaded.store(true, Ordering::Release);
        }
        done
    }

    pub(super) fn is_loaded(&self) -> bool {
        self.is_loaded.load(Ordering::Acquire)
    }

    /// Finds the files and the bounds.
    fn read_files(&self, clean: bool) -> Result<(), OpenError> {
        let files = load::load(&self.place(), clean)?;
        self.lock().files = files;
        self.set_min(0);
        self.refresh().map_err(load::opening)?;
        // The first unit may be damaged: in a batch queue it names a wrong offset then.
        let mut fillers = false;
        let mut min = self.next_offset();
        for unit in Units::new(self, self.first_index()).take(2) {
            let unit = unit.map_err(load::opening)?;
            min = min.min(unit.queue_offset);
            fillers |= unit.is_filler();
        }
        self.set_min(min);
        if fillers {
            self.correct_min(0).map_err(load::opening)?;
        }
        Ok(())
    }

    fn catch_up(self: &Arc<Self>, todo: &Deferred) -> Result<(), ViewError> {
        if !self.has_already(todo)? {
            self.truncate_to(todo.cut_at)?;
        }
        todo.held.iter().try_for_each(|unit| self.append_unit(unit))?;
        if todo.min_physical > 0 {
            self.correct_min(todo.min_physical)?;
        }
        Ok(())
    }

    /// Whether all the units that would be cut are the first of those that follow.
    fn has_already(self: &Arc<Self>, todo: &Deferred) -> Result<bool, ViewError> {
        if todo.held.is_empty() || self.max_physical_offset() <= todo.cut_at {
            return Ok(false);
        }
        let keep = self.end_without(|unit| unit.ends_behind(todo.cut_at))?;
        let count = (self.end_index() - keep) as usize;
        if count > todo.held.len() {
            return Ok(false);
        }
        for (there, held) in Units::new(self, keep).zip(&todo.held[..count]) {
            if there? != *held {
                return Ok(false);
            }
        }
        let mut state = self.lock();
        let Files { synced, dirs_changed, .. } = &mut state.files;
        *synced = (*synced).min(keep * self.place().unit_len());
        *dirs_changed = true;
        self.note_unsynced(&mut state);
        Ok(true)
    }

    /// Keeps a record's unit for the load; false if the queue is loaded.
    pub(super) fn hold(self: &Arc<Self>, request: &DispatchRequest<'_>) -> bool {
        let mut deferred = self.deferred();
        let Some(todo) = deferred.as_deref_mut() else { return false };
        // Records are given once more after a failure.
        let known = todo.held.last().map_or(-1, |last| last.physical_offset);
        if request.physical_offset > known {
            // Most queues have a record or two.
            todo.held.reserve_exact(if todo.held.len() < 4 { 1 } else { todo.held.len() });
            todo.held.push(self.unit_of(request));
        }
        self.note_active();
        true
    }

    /// Cuts at the load; false if the queue is loaded. After an unclean exit the load comes before
    /// the next checkpoint, which says nothing of what is behind the cut.
    pub(super) fn cut_later(self: &Arc<Self>, physical_offset: i64) -> bool {
        let mut deferred = self.deferred();
        let Some(todo) = deferred.as_deref_mut().filter(|todo| todo.held.is_empty()) else {
            return false;
        };
        todo.cut_at = todo.cut_at.min(physical_offset);
        if !todo.clean {
            self.note_active();
        }
        true
    }

    /// Corrects the first offset at the load; false if the queue is loaded.
    pub(super) fn correct_min_later(&self, min_physical_offset: i64) -> bool {
        let mut deferred = self.deferred();
        let Some(todo) = deferred.as_deref_mut() else { return false };
        todo.min_physical = todo.min_physical.max(min_physical_offset);
        true
    }

    /// Forgets what was to be done: the queue is being deleted.
    pub(super) fn forget_deferred(&self) {
        *self.deferred() = None;
        self.is_loaded.store(true, Ordering::Release);
    }

    /// Puts the queue on the list of those that the next flush visits.
    fn note_active(self: &Arc<Self>) {
        let mut state = self.lock();
        if !state.active {
            state.active = true;
            self.pending.add_active(self);
        }
    }

    fn deferred(&self) -> MutexGuard<'_, Option<Box<Deferred>>> {
        // A panic in a load leaves it to be done again.
        self.deferred.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
