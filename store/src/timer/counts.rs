//! `config/timermetrics`: how many messages wait for each topic. Nothing depends on it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use remoting::protocol::body::{DataVersion, TimerMetricsSerializeWrapper, TimingCount};

use crate::OpenError;
use crate::json_file::{JsonFile, JsonFileError};

/// Time between two saves.
const SAVE_PERIOD_MS: i64 = 10_000;

/// The numbers, and their file.
#[derive(Debug)]
pub struct Counts {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    topics: BTreeMap<String, TimingCount>,
    version: DataVersion,
    saved_counter: i64,
    saved_ms: i64,
}

impl Counts {
    /// Loads the file, if there is one that can be read.
    pub fn load(root: &Path) -> Result<Counts, OpenError> {
        let path = root.join("config").join("timermetrics");
        let loaded: Option<TimerMetricsSerializeWrapper> = match JsonFile::load(&path) {
            Ok(loaded) => loaded,
            // Only figures: damage is no reason not to start.
            Err(JsonFileError::Damaged { .. }) => None,
            Err(JsonFileError::Io { path, action, source }) => {
                return Err(OpenError::Io { path, action, source });
            }
        };
        let loaded = loaded.unwrap_or_default();
        let state = State {
            topics: loaded.timing_count,
            saved_counter: loaded.data_version.counter,
            version: loaded.data_version,
            saved_ms: 0,
        };
        Ok(Counts { path, state: Mutex::new(state) })
    }

    /// Adds to the number of a topic.
    pub fn add(&self, topic: &str, count: i64, now_ms: i64) {
        let mut state = self.lock();
        state.version.counter += 1;
        state.version.timestamp = now_ms;
        match state.topics.get_mut(topic) {
            Some(known) => {
                known.count = known.count.saturating_add(count);
                known.time_stamp = now_ms;
            }
            None => {
                state.topics.insert(topic.to_owned(), TimingCount { count, time_stamp: now_ms });
            }
        }
    }

    /// Messages of all topics.
    pub fn sum(&self) -> i64 {
        self.lock().topics.values().map(|topic| topic.count.max(0)).sum()
    }

    /// What the file says, now.
    pub fn wrapper(&self) -> TimerMetricsSerializeWrapper {
        let state = self.lock();
        TimerMetricsSerializeWrapper {
            data_version: state.version.clone(),
            timing_count: state.topics.clone(),
        }
    }

    /// Saves what has changed, if the last time is long ago.
    pub fn save_if_old(&self, now_ms: i64) -> Result<(), JsonFileError> {
        let due = {
            let state = self.lock();
            (now_ms - state.saved_ms).abs() >= SAVE_PERIOD_MS
        };
        if !due {
            return Ok(());
        }
        self.lock().saved_ms = now_ms;
        self.save()
    }

    /// Saves what has changed. For one caller at a time.
    pub fn save(&self) -> Result<(), JsonFileError> {
        let wrapper = self.wrapper();
        let counter = wrapper.data_version.counter;
        if self.lock().saved_counter == counter {
            return Ok(());
        }
        JsonFile::save(&self.path, &wrapper)?;
        self.lock().saved_counter = counter;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code runs under this lock that could leave the table half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
