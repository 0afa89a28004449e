//! The settings of a running broker, as requests show and change them and
//! their files say anew.

use std::sync::{Mutex, MutexGuard, PoisonError};

use remoting::protocol::body::DataVersion;
use runtime::clock::now_ms;
use runtime::config::{Process, Reread, UpdateError, all_or_nothing, change_file, read_update};

use super::{ConfigError, Settings};

/// Why another look at the files brought nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReloadError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] ConfigError),
    /// A value cannot be had.
    #[error(transparent)]
    Value(#[from] UpdateError),
}

/// The settings as they are now.
pub(crate) struct Current {
    state: Mutex<State>,
}

struct State {
    settings: Settings,
    /// Counts the changes.
    version: DataVersion,
}

impl State {
    fn take(&mut self, changed: Settings, apply: impl FnOnce(&Settings)) {
        apply(&changed);
        self.settings = changed;
        self.version.counter += 1;
        self.version.timestamp = now_ms();
    }
}

impl Current {
    /// The settings of the start.
    pub(crate) fn new(settings: Settings) -> Current {
        let version = DataVersion { timestamp: now_ms(), ..DataVersion::default() };
        Current { state: Mutex::new(State { settings, version }) }
    }

    /// A copy of the settings with the number of their changes.
    pub(crate) fn look(&self) -> (Settings, DataVersion) {
        let state = self.lock();
        (state.settings.clone(), state.version.clone())
    }

    /// Changes all keys of a request or none: in the file that the operator gave, and then, with
    /// `apply`, in the broker. Returns the keys.
    ///
    /// # Errors
    /// Says which key cannot be changed to what; nothing has changed then.
    pub(crate) fn change(
        &self,
        body: &[u8],
        apply: impl FnOnce(&Settings),
    ) -> Result<Vec<String>, UpdateError> {
        // Held over the write of the file, so that of two updates the file has both.
        let mut state = self.lock();
        let pairs = read_update(body, |key| state.settings.change(key))?;
        let mut changed = state.settings.clone();
        all_or_nothing(Process::Broker, changed.outcomes(&pairs))?;
        changed.validate().map_err(|error| UpdateError::Contradiction(error.to_string()))?;
        let store = changed.store.validate();
        store.map_err(|error| UpdateError::Contradiction(error.to_string()))?;
        if let Some(file) = changed.files.last() {
            change_file(file, &pairs)
                .map_err(|error| UpdateError::File { file: file.display().to_string(), error })?;
        }
        changed.files.note(&pairs);
        state.take(changed, apply);
        Ok(pairs.into_iter().map(|(key, _)| key).collect())
    }

    /// Reads the files of the start again and takes over what has changed in them since they were
    /// read last, all of it or nothing, as far as it can change while the broker runs.
    ///
    /// # Errors
    /// Says what cannot be read or had; nothing has changed then.
    pub(crate) fn reload(&self, apply: impl FnOnce(&Settings)) -> Result<Reread, ReloadError> {
        let mut state = self.lock();
        let mut changed = state.settings.clone();
        let reread = changed.files.look(super::read, |key| state.settings.change(key))?;
        all_or_nothing(Process::Broker, changed.outcomes(&reread.live))?;
        changed.kept.retain(|key, _| !reread.forgotten.contains(key));
        let contradiction = |error: String| ReloadError::Value(UpdateError::Contradiction(error));
        changed.validate().map_err(|error| contradiction(error.to_string()))?;
        changed.store.validate().map_err(|error| contradiction(error.to_string()))?;
        if reread.changes() {
            state.take(changed, apply);
        } else {
            state.settings = changed;
        }
        Ok(reread)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Settings are replaced as a whole, so a panic leaves no half of them.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
