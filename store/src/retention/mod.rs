//! Deleting what is too old or does not fit.
//!
//! A log file expires when it has not been written to for `fileReservedTime`. Expired files go at
//! the hours of `deleteWhen`, or at any time once the disk is above `diskMaxUsedSpaceRatio`; above
//! `diskSpaceCleanForciblyRatio` the oldest files go whether expired or not, and above
//! `diskSpaceWarningLevelRatio` messages are refused as well. Beside each ratio there is a number
//! of free bytes, off by default. The last file always stays. Topics may have times of their own
//! (`topics`): a file that one of them wants stays until the disk is too full.

mod topics;

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, UNIX_EPOCH};

use runtime::config::{PropertyValue, system_property};
use time::{OffsetDateTime, UtcOffset};
use tracing::{info, warn};

use self::topics::ByTopic;
use crate::disk::DiskSpace;
use crate::{MessageStore, StoreConfig};

const MS_PER_HOUR: i64 = 3_600_000;
/// Java's number of rounds that one request to delete expired files brings about.
const MANUAL_ROUNDS: u32 = 20;

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
    let room = look(store);
    let config = store.config();
    let manual = store
        .manual_rounds
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |rounds| rounds.checked_sub(1))
        .is_ok();
    let levels = Levels::of(&config);
    let wanted = match wanted(&config, &levels, &room, local_hour(now_ms)) {
        Wanted::Nothing if manual => Wanted::Expired,
        wanted => wanted,
    };
    let reserved_ms = reserved_ms(&config);
    let by_topic = topics::pass_over(store, reserved_ms, now_ms);
    let files = match wanted {
        Wanted::Nothing => 0,
        Wanted::Expired | Wanted::ExpiredForRoom => {
            delete(store, now_ms - reserved_ms, by_topic.as_ref(), wanted)
        }
        Wanted::Oldest => delete(store, i64::MAX, by_topic.as_ref(), wanted),
    };
    // Also without a deletion here: the files may have gone before a crash, the units not.
    store.delete_expired_views();
    Cleaned { files, forcibly: wanted == Wanted::Oldest, used_percent: room.used_percent }
}

/// Hides what is older than its topic permits: before a store that was opened is read from.
pub fn pass_over(store: &MessageStore, now_ms: i64) {
    topics::pass_over(store, reserved_ms(&store.config()), now_ms);
}

/// Looks at the disk and tells the store whether it may take messages.
pub fn look(store: &MessageStore) -> Room {
    let room = room(store);
    store.set_disk_full(Levels::of(&store.config()).warning.passed(&room));
    room
}

/// Does one round now and lets this and the next ones, 20 as in Java, delete expired log files at
/// any hour.
pub fn clean_on_request(store: &MessageStore, now_ms: i64) -> Cleaned {
    store.manual_rounds.store(MANUAL_ROUNDS, Ordering::Relaxed);
    clean(store, now_ms)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Nothing,
    /// What has expired, unless a topic wants it for longer.
    Expired,
    /// What has expired, whoever wants it.
    ExpiredForRoom,
    /// The oldest, expired or not.
    Oldest,
}

fn wanted(config: &StoreConfig, levels: &Levels, room: &Room, hour: u8) -> Wanted {
    let forcibly = levels.forcibly.passed(room) || levels.warning.passed(room);
    if forcibly && config.clean_file_forcibly_enable {
        Wanted::Oldest
    } else if forcibly || levels.expire.passed(room) {
        Wanted::ExpiredForRoom
    } else if is_time(&config.delete_when, hour) {
        Wanted::Expired
    } else {
        Wanted::Nothing
    }
}

/// How full the disks of a store are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    used_percent: u32,
    free_bytes: u64,
}

/// How full a disk may be.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Level {
    used_ratio: f64,
    free_bytes: u64,
}

impl Level {
    fn passed(&self, room: &Room) -> bool {
        f64::from(room.used_percent) / 100.0 > self.used_ratio || room.free_bytes < self.free_bytes
    }
}

/// What is done from which level on.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Levels {
    expire: Level,
    forcibly: Level,
    warning: Level,
}

impl Levels {
    fn of(config: &StoreConfig) -> Levels {
        Levels::with(config, system_property)
    }

    /// The ratios stay in Java's bounds; its system properties, fractions of one, count before the
    /// settings.
    fn with(config: &StoreConfig, property: impl Fn(&str) -> Option<String>) -> Levels {
        let given = |name| property(name).and_then(|text| f64::parse(&text).ok());
        let level = |given: Option<f64>, percent: i32, bounds: [f64; 2], free: i64| Level {
            used_ratio: given.unwrap_or(f64::from(percent) / 100.0).clamp(bounds[0], bounds[1]),
            free_bytes: u64::try_from(free).unwrap_or(0),
        };
        Levels {
            expire: level(
                None,
                config.disk_max_used_space_ratio,
                [0.10, 0.95],
                config.disk_space_expire_free_bytes,
            ),
            forcibly: level(
                given("rocketmq.broker.diskSpaceCleanForciblyRatio"),
                config.disk_space_clean_forcibly_ratio,
                [0.30, 0.85],
                config.disk_space_clean_forcibly_free_bytes,
            ),
            warning: level(
                given("rocketmq.broker.diskSpaceWarningLevelRatio"),
                config.disk_space_warning_level_ratio,
                [0.35, 0.90],
                config.disk_space_warning_level_free_bytes,
            ),
        }
    }
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
fn room(store: &MessageStore) -> Room {
    let of = |path: &Path| match DiskSpace::of(path) {
        Ok(space) => Room { used_percent: space.used_percent(), free_bytes: space.usable },
        Err(error) => {
            warn!(path = %path.display(), %error, "cannot ask for the space of a disk");
            Room { used_percent: 0, free_bytes: u64::MAX }
        }
    };
    let root = of(store.config().root());
    let logs: Vec<Room> = store.log().directories().iter().map(|path| of(path)).collect();
    let used = logs.iter().map(|room| room.used_percent).min().unwrap_or(0);
    let free = logs.iter().map(|room| room.free_bytes).max().unwrap_or(u64::MAX);
    Room { used_percent: root.used_percent.max(used), free_bytes: root.free_bytes.min(free) }
}

/// What becomes of a log file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Young,
    /// Old, but a topic wants what is in it.
    Kept,
    Old,
}

/// The fate of a file that ends at `limit` and was last written at `modified_ms`.
fn fate(limit: i64, modified_ms: i64, until_ms: i64, by_topic: Option<&ByTopic>) -> Fate {
    match by_topic {
        _ if modified_ms > until_ms => Fate::Young,
        Some(by_topic) if by_topic.physical_offset < limit => Fate::Kept,
        _ => Fate::Old,
    }
}

/// Deletes files last written at or before `until_ms`, oldest first, some in one round.
fn delete(
    store: &MessageStore,
    until_ms: i64,
    by_topic: Option<&ByTopic>,
    wanted: Wanted,
) -> usize {
    let batch = store.config().delete_file_batch_max.max(1) as usize;
    let topic = by_topic.map_or("", |by_topic| &by_topic.topic);
    let mut deleted = 0;
    while deleted < batch {
        let segments = store.log().segments();
        let Some(oldest) = segments.first().filter(|_| segments.len() > 1) else { break };
        let path = oldest.path().display();
        let modified_ms = match oldest.modified() {
            Ok(time) => {
                let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
                i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
            }
            Err(error) => {
                warn!(%path, %error, "cannot ask for the time of a file");
                break;
            }
        };
        let fate = fate(oldest.limit(), modified_ms, until_ms, by_topic);
        let stays = fate == Fate::Young || fate == Fate::Kept && wanted == Wanted::Expired;
        if stays {
            if fate == Fate::Kept && store.note_kept(oldest.base()) {
                info!(%path, topic, "a log file over its time stays for a topic with a longer one");
            }
            break;
        }
        match store.delete_oldest_file() {
            Ok(Some(_)) if fate == Fate::Kept => {
                warn!(%path, topic, "deleted a log file for room that a topic wants for longer");
                deleted += 1;
            }
            Ok(Some(_)) => {
                info!(%path, "deleted a log file");
                deleted += 1;
            }
            Ok(None) => break,
            Err(error) => {
                warn!(%path, %error, "cannot delete a log file");
                break;
            }
        }
    }
    deleted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(used_percent: u32) -> Room {
        Room { used_percent, free_bytes: 1 << 30 }
    }

    #[test]
    fn disk_and_hour_decide() {
        let config = StoreConfig::default();
        let levels = Levels::with(&config, |_| None);
        for (percent, hour, expected) in [
            (50, 5, Wanted::Nothing),
            (50, 4, Wanted::Expired),
            (75, 5, Wanted::Nothing),
            (76, 5, Wanted::ExpiredForRoom),
            (85, 4, Wanted::ExpiredForRoom),
            (86, 5, Wanted::Oldest),
            (95, 4, Wanted::Oldest),
        ] {
            let wanted = wanted(&config, &levels, &room(percent), hour);
            assert_eq!(wanted, expected, "{percent} % at {hour}");
        }
        let gentle = StoreConfig { clean_file_forcibly_enable: false, ..config };
        assert_eq!(wanted(&gentle, &levels, &room(95), 5), Wanted::ExpiredForRoom);
    }

    #[test]
    fn age_and_topics_decide_about_a_file() {
        let by_topic = |physical_offset| ByTopic { physical_offset, topic: "T".to_owned() };
        for (modified_ms, wanted_from, expected) in [
            (999, None, Fate::Old),
            (1000, None, Fate::Old),
            (1001, None, Fate::Young),
            (1001, Some(0), Fate::Young),
            (1000, Some(0), Fate::Kept),
            (1000, Some(499), Fate::Kept),
            (1000, Some(500), Fate::Old),
        ] {
            let by_topic = wanted_from.map(by_topic);
            let fate = fate(500, modified_ms, 1000, by_topic.as_ref());
            assert_eq!(fate, expected, "{modified_ms} {by_topic:?}");
        }
    }

    #[test]
    fn free_bytes_decide_beside_the_ratios() {
        let config = StoreConfig {
            disk_space_expire_free_bytes: 3000,
            disk_space_clean_forcibly_free_bytes: 2000,
            disk_space_warning_level_free_bytes: 1000,
            ..StoreConfig::default()
        };
        let levels = Levels::with(&config, |_| None);
        for (free_bytes, expected, full) in [
            (3000, Wanted::Nothing, false),
            (2999, Wanted::ExpiredForRoom, false),
            (1999, Wanted::Oldest, false),
            (999, Wanted::Oldest, true),
        ] {
            let room = Room { used_percent: 1, free_bytes };
            assert_eq!(wanted(&config, &levels, &room, 5), expected, "{free_bytes}");
            assert_eq!(levels.warning.passed(&room), full, "{free_bytes}");
        }
        let off = StoreConfig { disk_space_warning_level_free_bytes: -1, ..config };
        let none = Room { used_percent: 1, free_bytes: 0 };
        assert!(!Levels::with(&off, |_| None).warning.passed(&none));
    }

    #[test]
    fn levels_stay_in_javas_bounds() {
        let config = StoreConfig {
            disk_max_used_space_ratio: -1,
            disk_space_clean_forcibly_ratio: 5,
            disk_space_warning_level_ratio: 99,
            ..StoreConfig::default()
        };
        let levels = Levels::with(&config, |_| None);
        let ratios = [levels.expire, levels.forcibly, levels.warning].map(|level| level.used_ratio);
        assert_eq!(ratios, [0.10, 0.30, 0.90]);
    }

    #[test]
    fn system_properties_count_before_the_settings() {
        let config = StoreConfig::default();
        let levels = Levels::with(&config, |name| match name {
            "rocketmq.broker.diskSpaceWarningLevelRatio" => Some("0.6".to_owned()),
            "rocketmq.broker.diskSpaceCleanForciblyRatio" => Some("much".to_owned()),
            _ => None,
        });
        assert!(levels.warning.passed(&room(61)) && !levels.warning.passed(&room(60)));
        assert_eq!(levels.forcibly, Levels::with(&config, |_| None).forcibly);
    }

    #[test]
    fn hours_are_a_list() {
        assert!(is_time("04", 4) && is_time("02; 16", 16) && !is_time("04", 5));
        assert!(!is_time("", 0) && !is_time("x", 0));
    }
}
