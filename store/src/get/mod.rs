//! Reading a queue: scan its units, filter, hand out slices of the log.

use crate::QueueKind;
use crate::consume_queue::{Queue, Unit, Units};
use crate::dispatch::ViewError;
use crate::segment::LogSlice;

mod reused;

pub use reused::{Reuse, Reused};

/// Java keeps the bytes of an answer within these bounds, whatever is asked for.
const BYTES_MAX_LEAST: i32 = 100;
const BYTES_MAX_MOST: i32 = 128 << 20;

/// So many records are touched at once, so that memory is waited for once.
const TOUCHED: usize = 8;

/// Asks one queue for messages.
#[derive(Clone, Copy, Debug)]
pub struct GetRequest<'a> {
    /// Topic of the queue.
    pub topic: &'a str,
    /// Queue of the topic.
    pub queue_id: i32,
    /// First offset wanted.
    pub queue_offset: i64,
    /// At most so many messages.
    pub count_max: i32,
    /// At most so many bytes, but one message always.
    pub bytes_max: i32,
}

/// Java's outcomes of a get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum GetStatus {
    Found,
    NoMatchedMessage,
    MessageWasRemoving,
    OffsetFoundNull,
    OffsetOverflowBadly,
    OffsetOverflowOne,
    OffsetTooSmall,
    NoMatchedLogicQueue,
    NoMessageInQueue,
}

/// What a get found.
#[derive(Debug)]
pub struct Got {
    /// Outcome.
    pub status: GetStatus,
    /// Where to go on.
    pub next_offset: i64,
    /// First offset of the queue.
    pub min_offset: i64,
    /// Offset after the last of the queue.
    pub max_offset: i64,
    /// The records, neighbours joined.
    pub slices: Reused<LogSlice>,
    /// Number of records.
    pub count: i32,
    /// Their bytes.
    pub bytes: usize,
    /// Whether the data is further back than memory holds.
    pub from_disk: bool,
}

/// Which of several equal times a search by time means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Boundary {
    /// The first.
    #[default]
    Lower,
    /// The last.
    Upper,
}

/// How much one get may take, by Java's settings.
#[derive(Clone, Copy, Debug)]
pub struct ScanLimits {
    /// Bytes of units looked at (`maxFilterMessageSize`).
    pub units_bytes_max: i64,
    /// Messages from memory (`maxTransferCountOnMessageInMemory`).
    pub count_in_memory: i32,
    /// Bytes from memory (`maxTransferBytesOnMessageInMemory`).
    pub bytes_in_memory: i64,
    /// Messages from disk (`maxTransferCountOnMessageInDisk`).
    pub count_on_disk: i32,
    /// Bytes from disk (`maxTransferBytesOnMessageInDisk`).
    pub bytes_on_disk: i64,
    /// Records so far from the end of the log count as in memory.
    pub memory_bytes: i64,
}

impl Default for ScanLimits {
    fn default() -> ScanLimits {
        ScanLimits {
            units_bytes_max: 16_000,
            count_in_memory: 32,
            bytes_in_memory: 262_144,
            count_on_disk: 8,
            bytes_on_disk: 65_536,
            memory_bytes: i64::MAX,
        }
    }
}

/// The bounds of the log at the time of a scan.
#[derive(Clone, Copy, Debug)]
pub struct LogBounds {
    /// First log position.
    pub min: i64,
    /// Log position after the last record.
    pub max: i64,
}

/// A run of neighbouring records in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Where it starts in the log.
    pub physical_offset: i64,
    /// Its bytes.
    pub len: usize,
}

/// What a scan found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// Outcome.
    pub status: GetStatus,
    /// Where to go on.
    pub next_offset: i64,
    /// First offset of the queue.
    pub min_offset: i64,
    /// Offset after the last of the queue.
    pub max_offset: i64,
    /// The records, neighbours joined.
    pub runs: Reused<Run>,
    /// Number of messages.
    pub count: i32,
    /// Their bytes.
    pub bytes: usize,
    /// Whether the last unit looked at is further back than memory holds.
    pub from_disk: bool,
}

/// Whether a tags code is of a tag with one of these hashes.
// Disk: the code is the hash sign-extended to 64 bits; only the hash counts.
pub fn has_tag(hashes: &[i32], tags_code: i64) -> bool {
    hashes.contains(&(tags_code as i32))
}

/// What a filter goes by.
#[derive(Clone, Copy)]
pub enum By<'a> {
    /// Whatever it likes, one unit after the other.
    Units,
    /// Tags: it turns down what has none of these hashes, and is not asked about most of that.
    Tags(&'a [i32]),
    /// Records.
    Records,
}

/// How a scan looks at units and their records.
pub struct Look<'a> {
    /// Units that are not in memory are an error, and not waited for.
    pub at_once: bool,
    /// Whether the record of a unit is known to be what was stored, without a look.
    pub known: &'a dyn Fn(&Queue, &Unit) -> bool,
    /// Whether it is, for all that a look tells.
    pub intact: &'a dyn Fn(&Queue, &Unit) -> bool,
    /// Touches the record at a position, of some length, before it is looked at, of one that is
    /// known no more than its properties; false where that is too early.
    pub touch: &'a dyn Fn(i64, usize, bool) -> bool,
}

/// Looks through a queue (`None`: there is no such queue) from the offset asked for.
///
/// The filter sees units whose records are in the log; one that is to be returned is passed over if
/// its record is not what was stored. One message is returned however large it is. The bounds of
/// the log are asked for after those of the queue: a record is in the log before its unit is in the
/// queue, so that what the queue has is in the log then. What arrives meanwhile is left for the
/// next scan.
pub fn scan(
    queue: Option<&Queue>,
    request: &GetRequest<'_>,
    limits: &ScanLimits,
    log: impl FnOnce() -> LogBounds,
    by: By<'_>,
    filter: impl Fn(&Unit) -> bool,
    look: &Look<'_>,
) -> Result<Scanned, ViewError> {
    let (min_offset, max_offset) =
        queue.map_or((0, 0), |queue| (queue.min_offset(), queue.next_offset()));
    let offset = request.queue_offset;
    let outcome = |status, next_offset| Scanned {
        status,
        next_offset,
        min_offset,
        max_offset,
        runs: Reused::default(),
        count: 0,
        bytes: 0,
        from_disk: false,
    };
    let Some(queue) = queue.filter(|_| max_offset > 0) else {
        // Java makes the queue when it is asked for and finds it empty.
        return Ok(outcome(GetStatus::NoMessageInQueue, 0));
    };
    if offset < min_offset {
        return Ok(outcome(GetStatus::OffsetTooSmall, min_offset));
    }
    if offset == max_offset {
        return Ok(outcome(GetStatus::OffsetOverflowOne, offset));
    }
    if offset > max_offset {
        return Ok(outcome(GetStatus::OffsetOverflowBadly, max_offset));
    }
    let found = outcome(GetStatus::OffsetFoundNull, offset);
    let mut scan = Scan::new(request, limits, log(), queue.kind(), found);
    let mut units = queue.units_from(offset)?.at_once(look.at_once);
    let mut touched = 0;
    while let Some(unit) = units.next() {
        let mut known = true;
        let intact = |unit: &Unit| {
            known = (look.known)(queue, unit);
            known || (look.intact)(queue, unit)
        };
        if !scan.look_at(&unit?, &filter, intact) {
            break;
        }
        match by {
            By::Tags(&[wanted]) => scan.pass_over(&mut units, |hash| hash != wanted),
            By::Tags(hashes) => scan.pass_over(&mut units, |hash| !hashes.contains(&hash)),
            By::Records | By::Units => {}
        }
        if (!known || matches!(by, By::Records)) && units.index() >= touched {
            let touch = |&(position, len): &(i64, usize)| (look.touch)(position, len, known);
            touched = units.index() + units.ahead(TOUCHED).take_while(touch).count() as i64;
        }
    }
    let mut found = scan.found;
    if found.status == GetStatus::OffsetFoundNull {
        found.next_offset = queue.offset_after_gap(offset).min(max_offset);
    }
    Ok(found)
}

/// A scan under way.
struct Scan<'a> {
    request: &'a GetRequest<'a>,
    limits: &'a ScanLimits,
    log: LogBounds,
    count_max: i64,
    bytes_max: i64,
    /// Units further than this from the offset asked for are not looked at.
    distance_max: i64,
    found: Scanned,
}

impl<'a> Scan<'a> {
    fn new(
        request: &'a GetRequest<'a>,
        limits: &'a ScanLimits,
        log: LogBounds,
        kind: QueueKind,
        found: Scanned,
    ) -> Scan<'a> {
        let count_max = i64::from(request.count_max.max(1));
        let unit_len = kind.unit_len() as i64;
        Scan {
            request,
            limits,
            log,
            count_max,
            bytes_max: i64::from(request.bytes_max.clamp(BYTES_MAX_LEAST, BYTES_MAX_MOST)),
            distance_max: count_max.max(limits.units_bytes_max.div_euclid(unit_len)),
            found,
        }
    }

    /// Takes a unit or passes over it. False when it is one too many.
    fn look_at(
        &mut self,
        unit: &Unit,
        filter: impl Fn(&Unit) -> bool,
        mut intact: impl FnMut(&Unit) -> bool,
    ) -> bool {
        let gone = unit.physical_offset < self.log.min || unit.physical_end() > self.log.max;
        let says_offset = unit.store_timestamp.is_some();
        if says_offset && unit.next_offset() <= self.request.queue_offset {
            // Where a unit is damaged, the search ends a little early.
            return true;
        }
        if says_offset && (gone || !intact(unit)) {
            // The offset that a damaged unit of a batch queue names may lead anywhere, and of one
            // whose record is gone nobody knows.
            return true;
        }
        let distance = unit.queue_offset - self.request.queue_offset;
        let arrived_meanwhile = unit.queue_offset >= self.found.max_offset;
        if distance >= self.distance_max || arrived_meanwhile || self.is_full(unit) {
            return false;
        }
        self.found.next_offset = unit.next_offset();
        if gone || unit.is_filler() {
            if self.found.count == 0 {
                self.found.status = GetStatus::MessageWasRemoving;
            }
        } else if filter(unit) && (says_offset || intact(unit)) {
            self.take(unit);
        } else if self.found.count == 0 {
            self.found.status = GetStatus::NoMatchedMessage;
        }
        true
    }

    /// Does with the units in front what `look_at` would, for as long as they are sound, their
    /// tags are not wanted, and the answer is not full.
    fn pass_over(&mut self, units: &mut Units<'_>, unwanted: impl Fn(i32) -> bool) {
        let end = self.request.queue_offset.saturating_add(self.distance_max);
        let (first, log) = (units.index(), self.log);
        let (room_in_memory, room_on_disk) = (self.room(1, true), self.room(1, false));
        let old_before = log.max - self.limits.memory_bytes;
        units.pass_over(end.min(self.found.max_offset), |position, size, tags_code| {
            let old = position < old_before;
            let room = if old { room_on_disk } else { room_in_memory };
            let in_log = position >= log.min && position <= log.max - i64::from(size);
            // Neither a damaged unit nor a filler, nor one whose tags stand elsewhere.
            let sound = (1..i32::MAX).contains(&size) && tags_code >= i64::from(i32::MIN);
            sound && in_log && i64::from(size) <= room && unwanted(tags_code as i32)
        });
        if units.index() > first {
            self.found.next_offset = units.index();
            if self.found.count == 0 {
                self.found.status = GetStatus::NoMatchedMessage;
            }
        }
    }

    fn is_full(&self, unit: &Unit) -> bool {
        let recent = self.log.max - unit.physical_offset <= self.limits.memory_bytes;
        i64::from(unit.size) > self.room(unit.batch_size, recent)
    }

    /// How large a further unit of so many messages may be; -1 when it may not be.
    fn room(&self, batch_size: i16, recent: bool) -> i64 {
        let (count, bytes) = (i64::from(self.found.count), self.found.bytes as i64);
        if count == 0 {
            return i64::MAX;
        }
        let (count_limit, bytes_limit) = if recent {
            (self.limits.count_in_memory, self.limits.bytes_in_memory)
        } else {
            (self.limits.count_on_disk, self.limits.bytes_on_disk)
        };
        let too_many =
            count + i64::from(batch_size) > self.count_max || count >= i64::from(count_limit);
        if too_many { -1 } else { self.bytes_max.min(bytes_limit) - bytes }
    }

    fn take(&mut self, unit: &Unit) {
        let found = &mut self.found;
        let len = unit.size as usize;
        match found.runs.last_mut() {
            Some(run) if run.physical_offset + run.len as i64 == unit.physical_offset => {
                run.len += len;
            }
            _ => found.runs.push(Run { physical_offset: unit.physical_offset, len }),
        }
        found.status = GetStatus::Found;
        found.count += i32::from(unit.batch_size);
        found.bytes += len;
        found.from_disk = self.log.max - unit.physical_offset > self.limits.memory_bytes;
    }
}

#[cfg(test)]
mod tests;
