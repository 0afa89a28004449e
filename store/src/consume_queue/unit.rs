//! One unit of a queue, of either kind.

use super::{QueueKind, batch, simple};
use crate::dispatch::{DispatchRequest, SCHEDULE_TOPIC};

/// The longest unit of any kind.
pub(super) const UNIT_LEN_MAX: usize = batch::LEN;

/// One unit of a queue, of either kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Offset of its (first) message in the queue.
    pub queue_offset: i64,
    /// Where its record starts in the log.
    pub physical_offset: i64,
    /// Length of the record.
    pub size: i32,
    /// Hash of the tags, or time of delivery in the schedule topic.
    pub tags_code: i64,
    /// Number of messages; 1 in a simple queue.
    pub batch_size: i16,
    /// Store time; known in batch queues only.
    pub store_timestamp: Option<i64>,
}

impl Unit {
    /// Log position behind its record.
    pub fn physical_end(&self) -> i64 {
        self.physical_offset.saturating_add(i64::from(self.size))
    }

    /// Whether it is of a record that ends behind a log position.
    pub(super) fn ends_behind(&self, physical_offset: i64) -> bool {
        !self.is_filler() && self.physical_end() > physical_offset
    }

    /// Offset of the message after it.
    pub fn next_offset(&self) -> i64 {
        self.queue_offset.saturating_add(i64::from(self.batch_size))
    }

    /// Whether it only fills a queue up to its first offset, and stands for no message.
    pub fn is_filler(&self) -> bool {
        self.store_timestamp.is_none() && simple::is_filler(self)
    }

    /// Whether the tags code is the address of an extension, as Java writes with
    /// `enableConsumeQueueExt`: no hash and no time is as small.
    pub fn is_extended(&self) -> bool {
        self.tags_code < i64::from(i32::MIN)
    }

    /// Whether it is the whole unit of this record.
    pub fn describes(&self, queue: (&str, i32), record: &DispatchRequest<'_>) -> bool {
        self.leads_to(queue, record) && !self.torn_tags(record)
    }

    /// Whether it is a unit of this record, whatever its tags code.
    ///
    /// A record with a larger offset than its unit is accepted: Java shifts a queue that lost a
    /// unit. The reverse is a unit left behind by a truncation, and so is any other size.
    pub fn leads_to(&self, queue: (&str, i32), record: &DispatchRequest<'_>) -> bool {
        let same_queue = queue == (record.topic, record.queue_id);
        let same_place = self.physical_offset == record.physical_offset && self.size == record.size;
        let same_offset = match self.store_timestamp {
            None => self.queue_offset <= record.queue_offset,
            Some(time) => {
                self.queue_offset == record.queue_offset
                    && self.batch_size == record.batch_size
                    && time == record.store_timestamp
            }
        };
        same_queue && same_place && same_offset
    }

    /// Whether the tags code is the beginning of the right one: the rest of the unit was on
    /// another page, which a kill kept from being written.
    fn torn_tags(&self, record: &DispatchRequest<'_>) -> bool {
        if record.topic == SCHEDULE_TOPIC {
            // The right code depends on the delay levels of the time; it is never 0.
            return self.tags_code == 0 && record.tags_code != 0;
        }
        let (got, right) = (self.tags_code.to_be_bytes(), record.tags_code.to_be_bytes());
        let written = got.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        got != right && got[..written] == right[..written]
    }
}

impl QueueKind {
    /// Length of a unit.
    pub(crate) fn unit_len(self) -> usize {
        match self {
            QueueKind::Simple => simple::LEN,
            QueueKind::Batch => batch::LEN,
        }
    }

    /// Directory of the queues of this kind, below that of the store.
    pub(super) fn dir_name(self) -> &'static str {
        match self {
            QueueKind::Simple => "consumequeue",
            QueueKind::Batch => "batchconsumequeue",
        }
    }

    /// Writes a unit into the front of `bytes`.
    pub(super) fn encode(self, unit: &Unit, bytes: &mut [u8; UNIT_LEN_MAX]) {
        match self {
            QueueKind::Simple => bytes[..simple::LEN].copy_from_slice(&simple::encode(unit)),
            QueueKind::Batch => *bytes = batch::encode(unit),
        }
    }

    /// Reads unit number `index`; `None` when the bytes are no unit.
    pub(super) fn decode(self, bytes: &[u8], index: i64) -> Option<Unit> {
        match self {
            QueueKind::Simple => simple::decode(bytes.first_chunk()?, index),
            QueueKind::Batch => batch::decode(bytes.first_chunk()?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> DispatchRequest<'static> {
        DispatchRequest {
            topic: "T",
            queue_id: 1,
            physical_offset: 4096,
            size: 200,
            tags_code: 0x0000_0000_0027_a807,
            store_timestamp: 5,
            queue_offset: 9,
            sys_flag: 0,
            properties: "",
            batch_size: 1,
        }
    }

    fn unit() -> Unit {
        Unit {
            queue_offset: 9,
            physical_offset: 4096,
            size: 200,
            tags_code: 0x27_a807,
            batch_size: 1,
            store_timestamp: None,
        }
    }

    #[test]
    fn a_unit_describes_its_own_record_only() {
        let (record, unit) = (record(), unit());
        assert!(unit.describes(("T", 1), &record));
        assert!(!unit.describes(("T", 2), &record));
        assert!(!unit.describes(("U", 1), &record));
        assert!(!Unit { size: 201, ..unit }.describes(("T", 1), &record));
        assert!(!Unit { physical_offset: 4097, ..unit }.describes(("T", 1), &record));
        assert!(!Unit { queue_offset: 10, ..unit }.describes(("T", 1), &record));
        assert!(Unit { queue_offset: 8, ..unit }.describes(("T", 1), &record), "shifted by Java");
    }

    #[test]
    fn a_unit_torn_at_any_byte_of_its_tags_code_is_noticed() {
        let record = record();
        let whole = unit().tags_code.to_be_bytes();
        for written in 0..8 {
            let mut torn = whole;
            torn[written..].fill(0);
            let tags_code = i64::from_be_bytes(torn);
            let right = torn == whole;
            assert_eq!(Unit { tags_code, ..unit() }.describes(("T", 1), &record), right);
        }
    }
}
