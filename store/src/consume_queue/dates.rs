//! The times of queue files, which Java 4.x looks at: to find a message by its time it takes the
//! first file that was modified then or later.

use std::time::{Duration, SystemTime};

use super::Queue;
use crate::dispatch::ViewError;

impl Queue {
    /// Dates back the full files that a recovery has written again: those whose last record stands
    /// at `from` or behind. A file was modified when the last of its messages was stored.
    ///
    /// `time_of` reads the store time, in ms, of the record at a log position.
    pub(super) fn date_files(
        &self,
        from: i64,
        time_of: &dyn Fn(i64) -> Option<i64>,
    ) -> Result<(), ViewError> {
        let place = self.place();
        let starts = self.lock().files.starts.clone();
        let full = starts.split_last().map_or(&[][..], |(_, full)| full);
        for start in full.iter().rev() {
            let last = (start + place.disk.file_size) / place.unit_len() - 1;
            let Some(unit) = self.unit_at(last)?.filter(|unit| !unit.is_filler()) else { continue };
            if unit.physical_offset < from {
                break;
            }
            let Some(ms) = time_of(unit.physical_offset) else { continue };
            let time = SystemTime::UNIX_EPOCH + Duration::from_millis(ms.unsigned_abs());
            let dated = place.open(*start)?.as_file().set_modified(time);
            dated.map_err(|source| ViewError::io(&place.path(*start), "date", source))?;
        }
        Ok(())
    }
}
