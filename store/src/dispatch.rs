//! From a record to its views: the request every view understands.
//!
//! The log is the only truth. A view can be rebuilt from it: it ignores what it already has, so
//! dispatching a record twice is harmless.

use std::io;
use std::path::{Path, PathBuf};

use remoting::protocol::message::{Record, sys_flag};

use crate::OpenError;
use crate::disk::is_passing;
use crate::light;
use crate::properties::StoreProperties;

/// Topic of delayed messages; the tags code of its units is the time of delivery.
pub const SCHEDULE_TOPIC: &str = "SCHEDULE_TOPIC_XXXX";

/// What a view needs to know of a record.
#[derive(Clone, Copy, Debug)]
pub struct DispatchRequest<'a> {
    /// Topic of the record.
    pub topic: &'a str,
    /// Queue of the topic.
    pub queue_id: i32,
    /// Where the record starts in the log.
    pub physical_offset: i64,
    /// Its length.
    pub size: i32,
    /// Tags code of its unit.
    pub tags_code: i64,
    /// Its store time.
    pub store_timestamp: i64,
    /// Its offset in the queue.
    pub queue_offset: i64,
    /// System flag.
    pub sys_flag: i32,
    /// Raw properties.
    pub properties: &'a str,
    /// Messages in an inner batch, else 1.
    pub batch_size: i16,
}

impl<'a> DispatchRequest<'a> {
    /// The request of a stored record.
    pub fn of(record: &Record<'a>, delays: &DelayLevels) -> DispatchRequest<'a> {
        let properties = StoreProperties::of(record.properties);
        let inner_batch = record.sys_flag & sys_flag::INNER_BATCH != 0;
        let batch_size = properties.inner_count().filter(|_| inner_batch);
        DispatchRequest {
            topic: record.topic,
            queue_id: record.queue_id,
            physical_offset: record.physical_offset,
            // A record is at most 2 GiB long; the size is a positive i32 in its first field.
            size: record.total_size.cast_signed(),
            tags_code: properties.tags_code(record.topic, record.store_timestamp, delays),
            store_timestamp: record.store_timestamp,
            queue_offset: record.queue_offset,
            sys_flag: record.sys_flag,
            properties: record.properties,
            batch_size: batch_size.unwrap_or(1),
        }
    }

    /// Whether the record has a unit in its queue: half messages and rollbacks have none.
    pub fn has_unit(&self) -> bool {
        let transaction = sys_flag::transaction(self.sys_flag);
        transaction != sys_flag::TRANSACTION_PREPARED
            && transaction != sys_flag::TRANSACTION_ROLLBACK
    }

    /// The light queues the record stands in, and its offset in each.
    pub fn light_places(&self) -> impl Iterator<Item = (&'a str, i64)> + use<'a> {
        let single = self.sys_flag & sys_flag::INNER_BATCH == 0;
        let stands = single && self.has_unit() && light::allowed_in(self.topic);
        let properties = if stands { StoreProperties::of(self.properties) } else { <_>::default() };
        light::places(
            properties.light_queues.unwrap_or_default(),
            properties.light_offsets.unwrap_or_default(),
        )
    }

    /// The record as each of its queues sees it, its own first.
    pub fn places(&self) -> impl Iterator<Item = DispatchRequest<'a>> {
        let light = self.light_places().map(|(name, offset)| self.in_light_queue(name, offset));
        std::iter::once(*self).chain(light)
    }

    /// The same record in one of its light queues.
    pub fn in_light_queue(&self, name: &'a str, queue_offset: i64) -> DispatchRequest<'a> {
        DispatchRequest { topic: name, queue_id: light::QUEUE_ID, queue_offset, ..*self }
    }

    /// Log position behind the record.
    pub fn physical_end(&self) -> i64 {
        self.physical_offset + i64::from(self.size)
    }
}

/// The delay of each level, from the setting `messageDelayLevel`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelayLevels {
    /// Milliseconds, level 1 first.
    delays: Vec<i64>,
}

impl DelayLevels {
    /// Parses `1s 5s 10m 2h 1d`; the error is the part that is none of it.
    pub fn parse(text: &str) -> Result<DelayLevels, String> {
        let parse = |part: &str| {
            let unit_at = part.len().checked_sub(1)?;
            let unit = match part.get(unit_at..)? {
                "s" => 1000,
                "m" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                _ => return None,
            };
            let number: i64 = part[..unit_at].parse().ok()?;
            number.checked_mul(unit)
        };
        let delays = text
            .split_ascii_whitespace()
            .map(|part| parse(part).ok_or_else(|| part.to_owned()))
            .collect::<Result<_, _>>()?;
        Ok(DelayLevels { delays })
    }

    /// The highest level.
    pub fn max(&self) -> i32 {
        i32::try_from(self.delays.len()).unwrap_or(i32::MAX)
    }

    /// Delay of a level (from 1) in milliseconds; levels above the highest count as it.
    pub fn delay_ms(&self, level: i32) -> Option<i64> {
        let level = usize::try_from(level.min(self.max())).ok()?;
        self.delays.get(level.checked_sub(1)?).copied()
    }

    /// Time of delivery of a message of `level` stored at `store_timestamp`.
    pub fn deliver_at(&self, level: i32, store_timestamp: i64) -> i64 {
        // Java quirk: a level without an entry is delivered after a second.
        store_timestamp.saturating_add(self.delay_ms(level).unwrap_or(1000))
    }
}

/// A view of the log.
pub trait Dispatch {
    /// Adds a record to the view, or ignores it if the view has it.
    fn dispatch(&self, request: &DispatchRequest<'_>) -> Result<(), ViewError>;
    /// Log position up to which the view is complete.
    fn position(&self) -> i64;
    /// Forgets everything at and behind a log position, durably.
    fn truncate_to(&self, physical_offset: i64) -> Result<(), ViewError>;
}

/// Why a view does not take a record. Unless it passes, the store must stop acknowledging.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The system refused an operation.
    #[error("{path}: cannot {action}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// A write failed before.
    #[error("{topic}/{queue_id}: the queue takes no units after a failed write")]
    Poisoned {
        /// Topic of the queue.
        topic: String,
        /// Queue of the topic.
        queue_id: i32,
    },
    /// The record's queue offset is beyond the end of the queue: units are missing between.
    #[error("{topic}/{queue_id}: expected queue offset {expected}, got {got}")]
    Gap {
        /// Topic of the queue.
        topic: String,
        /// Queue of the topic.
        queue_id: i32,
        /// Next offset of the queue.
        expected: i64,
        /// Offset of the record.
        got: i64,
    },
    /// A queue cannot be loaded.
    #[error("{0}")]
    Open(Box<OpenError>),
    /// The topic can be no directory name.
    #[error("topic {topic:?} cannot name a directory")]
    IllegalTopic {
        /// The topic.
        topic: String,
    },
}

impl ViewError {
    /// Whether all that is wrong is that the disk would have to be waited for.
    pub(crate) fn waits(&self) -> bool {
        matches!(self, ViewError::Io { source, .. } if source.kind() == io::ErrorKind::WouldBlock)
    }

    /// Wraps an I/O error of `action` on `path`.
    pub fn io(path: &Path, action: &'static str, source: io::Error) -> ViewError {
        ViewError::Io { path: path.to_owned(), action, source }
    }

    /// Whether the same may succeed later, see [`is_passing`]; a failed sync never passes.
    pub fn passes(&self) -> bool {
        match self {
            ViewError::Io { action, source, .. } => *action != "sync" && is_passing(source),
            ViewError::Open(error) => match &**error {
                OpenError::Io { action, source, .. } => *action != "sync" && is_passing(source),
                _ => false,
            },
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays() -> DelayLevels {
        DelayLevels::parse("1s 5s 10s 30s 1m 2m 1h 1d").unwrap()
    }

    #[test]
    fn delay_levels_are_capped_and_start_at_one() {
        let delays = delays();
        assert_eq!(delays.max(), 8);
        assert_eq!(delays.delay_ms(1), Some(1000));
        assert_eq!(delays.delay_ms(5), Some(60_000));
        assert_eq!(delays.delay_ms(99), Some(86_400_000));
        assert_eq!(delays.delay_ms(0), None);
        assert_eq!(delays.delay_ms(-1), None);
        assert_eq!(DelayLevels::parse("").unwrap().deliver_at(3, 500), 1500);
    }

    #[test]
    fn a_part_that_is_no_delay_is_named() {
        for part in ["s", "5", "5x", "-", "1é", "99999999999999999d"] {
            assert_eq!(DelayLevels::parse(&format!("1s {part}")), Err(part.to_owned()));
        }
    }

    #[test]
    fn half_messages_and_rollbacks_have_no_unit() {
        let request = |sys_flag| DispatchRequest {
            topic: "T",
            queue_id: 0,
            physical_offset: 0,
            size: 91,
            tags_code: 0,
            store_timestamp: 1,
            queue_offset: 0,
            sys_flag,
            properties: "",
            batch_size: 1,
        };
        assert!(request(0).has_unit() && request(8).has_unit());
        assert!(!request(4).has_unit() && !request(12).has_unit());
    }
}
