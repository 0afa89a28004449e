//! Where a Java broker's recovery starts and ends.
//!
//! From the newest file on the first one whose first record is whole and old enough; then record
//! by record until one is not whole. Java compares neither log positions nor what follows.

use std::sync::Arc;

use remoting::protocol::message::Record;
use remoting::protocol::message::record::RecordError;
use store::Segment;

use super::Store;

/// What a Java broker would do.
pub(super) struct JavaRecovery {
    pub(super) from: i64,
    pub(super) end: i64,
}

pub(super) fn recovery(store: &Store) -> JavaRecovery {
    let segments = store.log.segments();
    let marks = store.checkpoint.marks();
    let queued = store.queues.max_physical_offset();
    let suits = |segment: &&Arc<Segment>| {
        whole(segment.bytes(0, usize::MAX)).is_ok_and(|record| {
            record.store_timestamp != 0
                && match store.clean {
                    true => record.physical_offset <= queued,
                    false => record.store_timestamp <= marks.min_timestamp(),
                }
        })
    };
    let Some(first) = segments.first() else { return JavaRecovery { from: 0, end: 0 } };
    let from = segments.iter().rev().find(suits).unwrap_or(first).base();
    JavaRecovery { from, end: end(&segments, from) }
}

fn end(segments: &[Arc<Segment>], from: i64) -> i64 {
    let mut end = from;
    for segment in segments.iter().filter(|segment| segment.base() >= from) {
        let mut at = 0;
        end = segment.base();
        loop {
            match whole(segment.bytes(at, usize::MAX)) {
                Ok(record) => at += record.total_size as usize,
                Err(RecordError::Blank { .. }) => break,
                Err(_) => return segment.base() + at as i64,
            }
            end = segment.base() + at as i64;
        }
    }
    end
}

fn whole(bytes: &[u8]) -> Result<Record<'_>, RecordError> {
    let record = Record::decode(bytes)?;
    record.verify_crc()?;
    Ok(record)
}
