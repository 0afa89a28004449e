//! How far each delay level is delivered: `config/delayOffset.json`.
//!
//! The file never runs ahead of the disk: a snapshot is written once the log is flushed up to the
//! last copy it counts, so that a crash may repeat deliveries but loses none.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use remoting::protocol::body::{DataVersion, DelayOffsetSerializeWrapper};
use serde::{Deserialize, Serialize};
use store::json_file::{JsonFile, JsonFileError};

/// Name of the file below `config/`.
pub(crate) const FILE_NAME: &str = "delayOffset.json";

/// Stands for a level that has not been looked at.
const NONE: i64 = -1;

/// Offsets by level.
pub(crate) struct Progress {
    path: PathBuf,
    offsets: Vec<AtomicI64>,
    /// Log position behind the last copy.
    end: AtomicI64,
    version_step: u64,
    state: Mutex<State>,
}

struct State {
    version: DataVersion,
    updates: u64,
    /// Entries of levels that are not configured now.
    others: BTreeMap<i32, i64>,
    saved: BTreeMap<i32, i64>,
    saved_at: i64,
    waiting: Option<Snapshot>,
}

struct Snapshot {
    end: i64,
    file: DelayFile,
}

#[derive(Clone, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct DelayFile {
    #[serde(default)]
    data_version: DataVersion,
    /// Required: a JSON object without it is another file.
    offset_table: BTreeMap<i32, i64>,
}

impl Progress {
    /// Says why a load would fail; changes nothing.
    pub(crate) fn loadable(root: &Path) -> Result<(), JsonFileError> {
        JsonFile::loadable::<DelayFile>(&root.join("config").join(FILE_NAME))
    }

    /// Loads the progress of `levels` levels below `root`.
    pub(crate) fn load(
        root: &Path,
        levels: i32,
        version_step: u64,
    ) -> Result<Progress, JsonFileError> {
        let path = root.join("config").join(FILE_NAME);
        let file: DelayFile = JsonFile::load(&path)?.unwrap_or_default();
        let saved = file.offset_table.clone();
        let (ours, others) =
            file.offset_table.into_iter().partition(|(level, _)| (1..=levels).contains(level));
        let ours: BTreeMap<i32, i64> = ours;
        let offset = |level| AtomicI64::new(ours.get(&level).copied().unwrap_or(NONE));
        Ok(Progress {
            path,
            offsets: (1..=levels).map(offset).collect(),
            end: AtomicI64::new(0),
            version_step: version_step.max(1),
            state: Mutex::new(State {
                version: file.data_version,
                updates: 0,
                others,
                saved,
                saved_at: 0,
                waiting: None,
            }),
        })
    }

    /// Returns the next offset to deliver from a queue of the schedule topic.
    pub(crate) fn next(&self, queue_id: usize) -> i64 {
        self.offsets.get(queue_id).map_or(0, |offset| offset.load(Ordering::Acquire).max(0))
    }

    /// Notes that a queue has a message.
    pub(crate) fn begin(&self, queue_id: usize) {
        if let Some(offset) = self.offsets.get(queue_id)
            && offset.load(Ordering::Relaxed) == NONE
        {
            // Another thread may have been first; the offset is 0 either way.
            let _ = offset.compare_exchange(NONE, 0, Ordering::AcqRel, Ordering::Relaxed);
        }
    }

    /// Moves a queue on; `end` is the log position behind the copies made so far.
    pub(crate) fn advance(&self, queue_id: usize, next: i64, end: i64, now_ms: i64) {
        let Some(offset) = self.offsets.get(queue_id) else { return };
        self.end.fetch_max(end, Ordering::AcqRel);
        if offset.swap(next, Ordering::AcqRel) == next {
            return;
        }
        let mut state = self.state();
        state.updates += 1;
        if state.updates.is_multiple_of(self.version_step) {
            state.version.bump(now_ms, 0);
        }
    }

    /// Writes the file every `period_ms` when something changed and the log is flushed so far.
    pub(crate) fn persist_when_durable(
        &self,
        period_ms: i64,
        flushed: i64,
        now_ms: i64,
    ) -> Result<(), JsonFileError> {
        let mut state = self.state();
        if state.waiting.is_none() && now_ms - state.saved_at >= period_ms {
            // The end is read after the offsets: it covers every copy they count.
            let file = self.snapshot(&state);
            let end = self.end.load(Ordering::Acquire);
            if file.offset_table == state.saved {
                return Ok(());
            }
            state.waiting = Some(Snapshot { end, file });
        }
        match state.waiting.take_if(|snapshot| snapshot.end <= flushed) {
            Some(snapshot) => self.save(&mut state, snapshot.file, now_ms),
            None => Ok(()),
        }
    }

    /// Writes the file now; for the stop, after the log has been flushed.
    pub(crate) fn persist(&self, now_ms: i64) -> Result<(), JsonFileError> {
        let mut state = self.state();
        state.waiting = None;
        let file = self.snapshot(&state);
        if file.offset_table == state.saved {
            return Ok(());
        }
        self.save(&mut state, file, now_ms)
    }

    /// Returns the offsets as tools and replicas get them (45).
    pub(crate) fn wrapper(&self) -> DelayOffsetSerializeWrapper {
        let DelayFile { data_version, offset_table } = self.snapshot(&self.state());
        DelayOffsetSerializeWrapper { data_version: Some(data_version), offset_table }
    }

    /// Lists the levels that have been looked at, with their next offsets.
    pub(crate) fn entries(&self) -> Vec<(i32, i64)> {
        let offsets = self.offsets.iter().map(|offset| offset.load(Ordering::Acquire));
        (1..).zip(offsets).filter(|(_, offset)| *offset != NONE).collect()
    }

    fn save(&self, state: &mut State, file: DelayFile, now_ms: i64) -> Result<(), JsonFileError> {
        JsonFile::save(&self.path, &file)?;
        state.saved = file.offset_table;
        state.saved_at = now_ms;
        Ok(())
    }

    fn snapshot(&self, state: &State) -> DelayFile {
        let mut offset_table = state.others.clone();
        offset_table.extend(self.entries());
        DelayFile { data_version: state.version.clone(), offset_table }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(root: &Path) -> Progress {
        Progress::load(root, 3, 2).unwrap()
    }

    #[test]
    fn nothing_is_written_before_the_copies_are_on_disk() {
        let dir = tempfile::tempdir().unwrap();
        let progress = load(dir.path());
        progress.advance(1, 5, 1_000, 7);
        progress.persist_when_durable(10, 999, 20).unwrap();
        assert_eq!(load(dir.path()).entries(), []);
        progress.advance(1, 6, 2_000, 8);
        progress.persist_when_durable(10, 1_000, 21).unwrap();
        assert_eq!(load(dir.path()).entries(), [(2, 5)]);
        progress.persist_when_durable(10, 2_000, 30).unwrap();
        assert_eq!(load(dir.path()).entries(), [(2, 5)], "the period is not over");
        progress.persist_when_durable(10, 2_000, 31).unwrap();
        assert_eq!(load(dir.path()).entries(), [(2, 6)]);
    }

    #[test]
    fn the_stop_writes_what_is_known_and_keeps_other_levels() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("config")).unwrap();
        let path = dir.path().join("config").join(FILE_NAME);
        std::fs::write(&path, "{\"offsetTable\":{1:9,18:4\n\t}}").unwrap();
        let progress = load(dir.path());
        assert_eq!((progress.next(0), progress.next(1)), (9, 0));
        progress.advance(1, 0, 0, 1);
        progress.advance(0, 10, 5, 2);
        progress.persist(3).unwrap();
        let json: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(json["offsetTable"], serde_json::json!({"1": 10, "2": 0, "18": 4}));
        assert_eq!(json["dataVersion"]["counter"], 1);
    }
}
