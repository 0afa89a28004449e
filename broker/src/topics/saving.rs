//! How changes come into the file, and who waits for them.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use store::WaitError;
use store::json_file::JsonFileError;

use super::Topics;
use super::file::TopicFile;

/// An attempt to save, up to a change, and what the disk said.
#[derive(Default)]
pub(super) struct Failure {
    change: u64,
    error: Arc<str>,
}

impl Topics {
    /// Writes to the file what changed since it was written.
    ///
    /// # Errors
    /// Returns what the disk said; the next call tries again.
    pub(crate) fn save(&self) -> Result<(), JsonFileError> {
        self.save_to(&mut self.file_lock())
    }

    /// Whether the next save of new topics only adds them to the file.
    pub(crate) fn has_room(&self) -> bool {
        self.file_lock().has_room()
    }

    /// Writes what changed, and the file as a whole if topics were added to it: at a clean stop.
    ///
    /// # Errors
    /// Returns what the disk said.
    pub(crate) fn close(&self) -> Result<(), JsonFileError> {
        let mut file = self.file_lock();
        self.save_to(&mut file)?;
        if file.has_room() { file.write(&self.all(), &self.version(), false) } else { Ok(()) }
    }

    fn save_to(&self, file: &mut TopicFile) -> Result<(), JsonFileError> {
        let recent = self.recent_lock();
        let (changes, saved) = (self.change_count(), self.saved_to());
        if saved == changes {
            return Ok(());
        }
        let new = recent.new_topics(saved);
        drop(recent);
        let written = self.write_changes(file, changes, new);
        match &written {
            Ok(()) => self.saved.advance(i64::try_from(changes).unwrap_or(i64::MAX)),
            Err(error) => {
                let error = error.to_string().into();
                self.failure.send_replace(Failure { change: changes, error });
            }
        }
        written
    }

    /// Adds topics to the file if that is all that changed, or writes it as a whole.
    fn write_changes(
        &self,
        file: &mut TopicFile,
        changes: u64,
        new: Option<Vec<Box<str>>>,
    ) -> Result<(), JsonFileError> {
        let version = self.version();
        let only_new = new.is_some();
        if let Some(new) = new {
            let new = new.iter().filter_map(|name| self.table.get(name.as_ref()));
            let new: Vec<_> = new.map(|known| Arc::clone(&known.config)).collect();
            if file.add(&new, &version)? {
                return Ok(());
            }
        }
        // Those made later are added later, and not twice.
        let present = self.table.iter().filter(|known| known.made <= changes);
        let all: Vec<_> = present.map(|known| Arc::clone(&known.config)).collect();
        file.write(&all, &version, only_new)
    }

    /// The last change of a topic that the file does not have yet.
    pub(crate) fn unsaved(&self, topic: &str) -> Option<u64> {
        let saved = self.saved_to();
        if saved == self.change_count() {
            return None;
        }
        let recent = self.recent_lock();
        recent.last_of(topic, saved)
    }

    /// Waits until a change is in the file.
    ///
    /// # Errors
    /// The disk did not take it in time.
    pub(crate) async fn wait_saved(
        &self,
        change: u64,
        patience: Duration,
    ) -> Result<(), WaitError> {
        let end = i64::try_from(change).unwrap_or(i64::MAX);
        let waited = tokio::time::timeout(patience, self.saved.wait_for(end)).await;
        waited.unwrap_or(Err(WaitError::TimedOut))
    }

    /// Waits until a change is in the file, or an attempt to write it has failed.
    ///
    /// # Errors
    /// Returns what the disk said. The change stays, and saving is tried again.
    pub(crate) async fn saved(&self, change: u64) -> Result<(), Arc<str>> {
        let mut failures = self.failure.subscribe();
        let end = i64::try_from(change).unwrap_or(i64::MAX);
        tokio::select! {
            biased;
            Ok(()) = self.saved.wait_for(end) => Ok(()),
            Ok(failure) = failures.wait_for(|failure| failure.change >= change) => {
                Err(Arc::clone(&failure.error))
            }
            // Both senders live as long as `self`, and the watermark never fails.
            else => Err("not saved".into()),
        }
    }

    fn saved_to(&self) -> u64 {
        self.saved.position().unsigned_abs()
    }

    fn file_lock(&self) -> MutexGuard<'_, TopicFile> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
