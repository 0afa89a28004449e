//! The settings of a running broker, as requests show and change them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use remoting::protocol::body::DataVersion;
use runtime::clock::now_ms;
use runtime::config::{Process, UpdateError, all_or_nothing, change_file, read_update};

use super::Settings;

/// The settings as they are now.
pub(crate) struct Current {
    state: Mutex<State>,
}

struct State {
    settings: Settings,
    /// Counts the changes.
    version: DataVersion,
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
        if let Some(file) = &changed.file {
            change_file(file, &pairs)
                .map_err(|error| UpdateError::File { file: file.display().to_string(), error })?;
        }
        apply(&changed);
        state.settings = changed;
        state.version.counter += 1;
        state.version.timestamp = now_ms();
        Ok(pairs.into_iter().map(|(key, _)| key).collect())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Settings are replaced as a whole, so a panic leaves no half of them.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
