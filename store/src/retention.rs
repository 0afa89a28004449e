//! Deleting what is too old or does not fit.
//!
//! A log file expires when it has not been written to for `fileReservedTime`. Expired files go at
//! the hours of `deleteWhen`, or at any time once the disk is above `diskMaxUsedSpaceRatio`; above
//! `diskSpaceCleanForciblyRatio` the oldest files go whether expired or not, and above
//! `diskSpaceWarningLevelRatio` messages are refused as well. The last file always stays.

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use time::{OffsetDateTime, UtcOffset};
use tracing::{info, warn};

use crate::disk::DiskSpace;
use crate::{MessageStore, StoreConfig};

const MS_PER_HOUR: i64 = 3_600_000;

/// What one round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Log files deleted.
    pub files: usize,
    /// Whether files were to go before they had expired.
    pub forcibly: bool,
    /// Percent of the disk in use, before.
    pub used_percent: u32,
}

/// Looks at disk and clock and deletes what they say.
pub fn clean(store: &MessageStore, now_ms: i64) -> Cleaned {
    let used_percent = used_percent(store);
    let config = store.config();
    store.set_disk_full(used_percent > level(config.disk_space_warning_level_ratio, 35, 90));
    let wanted = wanted(config, used_percent, local_hour(now_ms));
    let files = match wanted {
        Wanted::Nothing => 0,
        Wanted::Expired => delete(store, now_ms - reserved_ms(config)),
        Wanted::Oldest => delete(store, i64::MAX),
    };
    // Also without a deletion here: the files may have gone before a crash, the units not.
    store.delete_expired_views();
    Cleaned { files, forcibly: wanted == Wanted::Oldest, used_percent }
}

/// Deletes expired log files at any hour and returns their number.
pub fn delete_expired(store: &MessageStore, now_ms: i64) -> usize {
    let files = delete(store, now_ms - reserved_ms(store.config()));
    store.delete_expired_views();
    files
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Nothing,
    Expired,
    Oldest,
}

fn wanted(config: &StoreConfig, used_percent: u32, hour: u8) -> Wanted {
    let forcibly = used_percent > level(config.disk_space_clean_forcibly_ratio, 30, 85)
        || used_percent > level(config.disk_space_warning_level_ratio, 35, 90);
    if forcibly && config.clean_file_forcibly_enable {
        Wanted::Oldest
    } else if forcibly
        || used_percent > level(config.disk_max_used_space_ratio, 10, 95)
        || is_time(&config.delete_when, hour)
    {
        Wanted::Expired
    } else {
        Wanted::Nothing
    }
}

/// A level in percent, within the bounds Java keeps it in.
fn level(percent: i32, min: u32, max: u32) -> u32 {
    u32::try_from(percent).unwrap_or(0).clamp(min, max)
}

fn reserved_ms(config: &StoreConfig) -> i64 {
    i64::from(config.file_reserved_time) * MS_PER_HOUR
}

/// Whether the hour is one of `04;16`.
fn is_time(delete_when: &str, hour: u8) -> bool {
    delete_when.split(';').any(|item| item.trim().parse() == Ok(hour))
}

fn local_hour(now_ms: i64) -> u8 {
    let time =
        OffsetDateTime::from_unix_timestamp(now_ms / 1000).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let offset = UtcOffset::local_offset_at(time).unwrap_or(UtcOffset::UTC);
    time.to_offset(offset).hour()
}

/// The emptiest directory of the log counts, as new files go there, or the disk of the queues if
/// that is fuller. A disk that cannot be asked counts as empty, and the log says so.
fn used_percent(store: &MessageStore) -> u32 {
    let percent = |path: &Path| {
        DiskSpace::of(path).map(|space| space.used_percent()).unwrap_or_else(|error| {
            warn!(path = %path.display(), %error, "cannot ask for the space of a disk");
            0
        })
    };
    let log = store.log().directories().iter().map(|path| percent(path)).min();
    percent(store.config().root()).max(log.unwrap_or(0))
}

/// Deletes files last written at or before `until_ms`, oldest first, some in one round.
fn delete(store: &MessageStore, until_ms: i64) -> usize {
    let batch = store.config().delete_file_batch_max.max(1) as usize;
    let mut deleted = 0;
    while deleted < batch {
        let segments = store.log().segments();
        let Some(oldest) = segments.first() else { break };
        let expired = match oldest.modified() {
            Ok(time) => {
                let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
                i64::try_from(since.as_millis()).unwrap_or(i64::MAX) <= until_ms
            }
            Err(error) => {
                warn!(path = %oldest.path().display(), %error, "cannot ask for the time of a file");
                break;
            }
        };
        if !expired {
            break;
        }
        match store.delete_oldest_file() {
            Ok(Some(path)) => {
                info!(path = %path.display(), "deleted a log file");
                deleted += 1;
            }
            Ok(None) => break,
            Err(error) => {
                warn!(path = %oldest.path().display(), %error, "cannot delete a log file");
                break;
            }
        }
    }
    deleted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disk_and_hour_decide() {
        let config = StoreConfig::default();
        for (percent, hour, expected) in [
            (50, 5, Wanted::Nothing),
            (50, 4, Wanted::Expired),
            (75, 5, Wanted::Nothing),
            (76, 5, Wanted::Expired),
            (85, 5, Wanted::Expired),
            (86, 5, Wanted::Oldest),
            (95, 4, Wanted::Oldest),
        ] {
            assert_eq!(wanted(&config, percent, hour), expected, "{percent} % at {hour}");
        }
        let gentle = StoreConfig { clean_file_forcibly_enable: false, ..config };
        assert_eq!(wanted(&gentle, 95, 5), Wanted::Expired);
    }

    #[test]
    fn levels_stay_in_javas_bounds() {
        assert_eq!((level(5, 35, 90), level(99, 35, 90), level(-1, 10, 95)), (35, 90, 10));
    }

    #[test]
    fn hours_are_a_list() {
        assert!(is_time("04", 4) && is_time("02; 16", 16) && !is_time("04", 5));
        assert!(!is_time("", 0) && !is_time("x", 0));
    }
}
