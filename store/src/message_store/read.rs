//! Reading: by queue offset, by log position, by key, by time.

use std::cell::LazyCell;
use std::fmt::Display;

use remoting::protocol::message::Record;
use remoting::protocol::message::record::properties_of;
use tracing::error;

use super::MessageStore;
use crate::commit_log::Window;
use crate::consume_queue::{Queue, Unit};
use crate::dispatch::{Dispatch, DispatchRequest, ViewError};
use crate::get::{By, GetRequest, GetStatus, Got, LogBounds, Look, Reused, Scanned, has_tag, scan};
use crate::light::is_light;
use crate::{Boundary, LogSlice};

/// Rounds of one query, each going further back in time.
const QUERY_ROUNDS: usize = 3;

/// The log as a request sees it, from when the scan asks for its bounds.
type Log<'a> = LazyCell<Window<'a>, &'a dyn Fn() -> Window<'a>>;

/// What a get wants of a queue.
pub enum Wanted<'a> {
    /// Units whose tags code passes; each is asked about once, in their order.
    Codes(&'a dyn Fn(i64) -> bool),
    /// Messages that have a tag with one of these hashes.
    Tags(&'a [i32]),
    /// Messages whose raw properties pass, which are UTF-8.
    Records(&'a dyn Fn(&[u8]) -> bool),
}

impl MessageStore {
    /// Reads messages of a queue; the filter sees the tags code of each unit.
    pub fn get(&self, request: &GetRequest<'_>, filter: &dyn Fn(i64) -> bool) -> Got {
        self.get_wanted(request, Wanted::Codes(filter))
    }

    /// Reads messages of a queue. What is not wanted is passed over and counts as looked at.
    pub fn get_wanted(&self, request: &GetRequest<'_>, wanted: Wanted<'_>) -> Got {
        self.get_within(request, wanted, false, &LazyCell::new(&|| self.log.window(false)))
    }

    /// The same, without waiting for the disk: `None` if it would have to.
    pub fn get_wanted_at_once(&self, request: &GetRequest<'_>, wanted: Wanted<'_>) -> Option<Got> {
        let now = || self.log.window(true);
        let log: Log<'_> = LazyCell::new(&now);
        let got = self.get_within(request, wanted, true, &log);
        (!log.missed()).then_some(got)
    }

    fn get_within(
        &self,
        request: &GetRequest<'_>,
        wanted: Wanted<'_>,
        at_once: bool,
        log: &Log<'_>,
    ) -> Got {
        match wanted {
            Wanted::Codes(filter) => {
                let filter = |unit: &Unit| filter(self.tags_code(unit, log));
                self.get_units(request, at_once, log, By::Units, filter)
            }
            Wanted::Tags(hashes) => {
                let filter = |unit: &Unit| has_tag(hashes, self.tags_code(unit, log));
                self.get_units(request, at_once, log, By::Tags(hashes), filter)
            }
            Wanted::Records(filter) => {
                self.get_units(request, at_once, log, By::Records, |unit| {
                    // A record that is gone meanwhile is found missing when its slice is taken.
                    let record = log.bytes(unit.physical_offset, unit.size as usize);
                    record.is_none_or(|record| properties_of(record).is_ok_and(filter))
                })
            }
        }
    }

    /// The tags code of a unit; of one with an extension it is made from the record again, as the
    /// extension is not read.
    fn tags_code(&self, unit: &Unit, log: &Window<'_>) -> i64 {
        if !unit.is_extended() {
            return unit.tags_code;
        }
        let bytes = log.bytes(unit.physical_offset, unit.size as usize);
        let record = bytes.and_then(|bytes| Record::decode(bytes).ok());
        // A record that is none is withheld anyway.
        record.map_or(0, |record| DispatchRequest::of(&record, &self.delays).tags_code)
    }

    fn get_units(
        &self,
        request: &GetRequest<'_>,
        at_once: bool,
        log: &Log<'_>,
        by: By<'_>,
        filter: impl Fn(&Unit) -> bool,
    ) -> Got {
        let bounds = || LogBounds { min: log.min(), max: log.end() };
        let limits = self.limits.load();
        let fresh =
            |position| position >= self.opened_at && log.end() - position <= limits.memory_bytes;
        let look = Look {
            at_once,
            // What this run wrote and memory holds is not looked at, so that who reads along pays
            // nothing.
            known: &|queue, unit| queue.made_now(unit.queue_offset) && fresh(unit.physical_offset),
            intact: &|queue, unit| self.intact(queue, unit, log),
            touch: &|position, len, known| log.touch(position, len, known),
        };
        let (queue, scanned) = match self.queues.look_up(request.topic, request.queue_id) {
            Ok(queue) => {
                let scanned = scan(queue.as_deref(), request, &limits, bounds, by, filter, &look);
                (queue, scanned)
            }
            Err(error) => (None, Err(error)),
        };
        match scanned {
            Ok(scanned) => slices(request, &scanned, log),
            Err(error) => {
                match error.waits() {
                    true => log.miss(),
                    false => self.cannot_read(request.topic, request.queue_id, &error),
                }
                let (min_offset, max_offset) =
                    queue.map_or((0, 0), |queue| (queue.min_offset(), queue.next_offset()));
                Got {
                    status: GetStatus::OffsetFoundNull,
                    next_offset: request.queue_offset,
                    min_offset,
                    max_offset,
                    slices: Reused::default(),
                    count: 0,
                    bytes: 0,
                    from_disk: false,
                }
            }
        }
    }

    /// Whether the message at an offset, if there is one, is further back than memory holds.
    pub fn is_old(&self, topic: &str, queue_id: i32, queue_offset: i64) -> bool {
        let queue = self.queues.find(topic, queue_id);
        let unit = queue.and_then(|queue| queue.unit(queue_offset).ok().flatten());
        let distance = unit.map_or(0, |unit| self.log.end() - unit.physical_offset);
        distance > self.limits.load().memory_bytes
    }

    /// Whether sends are refused because a write takes too long.
    pub fn is_busy(&self) -> bool {
        self.log.is_busy()
    }

    /// Reads the record that starts at a log position, unless its body is damaged.
    pub fn read(&self, physical_offset: i64) -> Option<LogSlice> {
        let slice = self.log.read(physical_offset)?;
        if !self.is_fresh(physical_offset) {
            let damage = Record::decode(slice.as_ref()).and_then(|record| record.verify_crc());
            if let Err(damage) = damage {
                self.withheld(physical_offset, &damage);
                return None;
            }
        }
        Some(slice)
    }

    /// Whether the record of a unit is the one that was stored: of this queue, and its body of its
    /// checksum. Clients do not look.
    fn intact(&self, queue: &Queue, unit: &Unit, log: &Window<'_>) -> bool {
        let position = unit.physical_offset;
        let bytes = log.bytes(position, unit.size as usize).unwrap_or_default();
        if log.missed() {
            // Nothing that is found is used: the scan ends soonest when it is full.
            return true;
        }
        let record = match Record::decode(bytes).and_then(|record| {
            record.verify_crc()?;
            Ok(record)
        }) {
            Ok(record) => record,
            Err(damage) => {
                self.withheld(position, &damage);
                return false;
            }
        };
        let ours = (record.topic, record.queue_id) == (&**queue.topic(), queue.id())
            && record.queue_offset == unit.queue_offset
            && record.physical_offset == position
            && record.total_size.cast_signed() == unit.size
            && unit.store_timestamp.is_none();
        if ours || self.leads_to(queue, unit) {
            return true;
        }
        let damage = format_args!(
            "a unit of {}/{} at {} leads to it",
            queue.topic(),
            queue.id(),
            unit.queue_offset
        );
        self.withheld(position, &damage);
        false
    }

    /// The same for a batch queue, a light one, and one that Java has shifted: there the record
    /// names a later offset, and one of those beside it does so by as much. In a light queue each
    /// may do so by another, as gaps are closed up.
    fn leads_to(&self, queue: &Queue, unit: &Unit) -> bool {
        let Some(shift) = self.shift_of(queue, unit) else { return false };
        let shifted_alike = |offset| {
            let beside = queue.unit(offset).ok().flatten();
            beside.and_then(|beside| self.shift_of(queue, &beside)) == Some(shift)
        };
        shift == 0
            || is_light(queue.topic())
            || shifted_alike(unit.queue_offset - 1)
            || shifted_alike(unit.queue_offset + 1)
    }

    /// By how much the offset that a record names is behind that of its unit.
    fn shift_of(&self, queue: &Queue, unit: &Unit) -> Option<i64> {
        let slice = self.log.read(unit.physical_offset)?;
        let record = Record::decode(slice.as_ref()).ok()?;
        let request = DispatchRequest::of(&record, &self.delays);
        let of_queue =
            |place: &DispatchRequest<'_>| unit.leads_to((queue.topic(), queue.id()), place);
        let place = request.places().find(of_queue)?;
        Some(place.queue_offset - unit.queue_offset)
    }

    /// Whether a record was stored by this run and is still in memory.
    fn is_fresh(&self, physical_offset: i64) -> bool {
        physical_offset >= self.opened_at
            && self.log.end() - physical_offset <= self.limits.load().memory_bytes
    }

    fn withheld(&self, position: i64, damage: &dyn Display) {
        let segment = self.log.segment_at(position);
        let config = self.config();
        let file = segment.as_ref().map_or(config.root(), |segment| segment.path());
        let offset = position - segment.as_ref().map_or(0, |segment| segment.base());
        error!(file = %file.display(), offset, %damage, "a damaged message is not delivered");
    }

    /// Records whose key hashes alike, stored within the given times.
    pub fn query(&self, topic: &str, key: &str, max: usize, begin: i64, end: i64) -> Vec<LogSlice> {
        let Some(index) = &self.index else { return Vec::new() };
        self.index_now();
        let max = max.min(self.config().max_msgs_num_batch.max(0) as usize);
        let mut until = end;
        for _ in 0..QUERY_ROUNDS {
            let mut positions = match index.query(topic, key, max, begin, until) {
                Ok(positions) => positions,
                Err(error) => {
                    error!(%error, "cannot read the index");
                    return Vec::new();
                }
            };
            positions.sort_unstable();
            let Some(&oldest) = positions.first() else { return Vec::new() };
            let found: Vec<_> = positions.iter().filter_map(|&at| self.read(at)).collect();
            if !found.is_empty() {
                return found;
            }
            // Hits whose records are gone: go further back, as Java does.
            let Some(time) = self.log.store_time(oldest).filter(|time| *time < until) else {
                return Vec::new();
            };
            until = time;
        }
        Vec::new()
    }

    /// Store time and log position of the newest record the index knows.
    pub fn index_position(&self) -> (i64, i64) {
        let position = self.index.as_ref().map_or(0, |index| index.position());
        (self.log.store_time(position).unwrap_or(0), position)
    }

    /// First offset of a queue; -1 when there is no such queue.
    pub fn min_offset(&self, topic: &str, queue_id: i32) -> i64 {
        self.queues.find(topic, queue_id).map_or(-1, |queue| queue.min_offset())
    }

    /// Offset after the last message of a queue; 0 when there is no such queue.
    pub fn max_offset(&self, topic: &str, queue_id: i32) -> i64 {
        self.queues.find(topic, queue_id).map_or(0, |queue| queue.next_offset())
    }

    /// Offset of the message stored at a time; 0 when there is no such queue.
    pub fn offset_by_time(
        &self,
        topic: &str,
        queue_id: i32,
        timestamp: i64,
        boundary: Boundary,
    ) -> i64 {
        let Some(queue) = self.queues.find(topic, queue_id) else { return 0 };
        let time_of = |position: i64, _size: i32| self.log.store_time(position);
        match queue.offset_by_time(timestamp, boundary, self.log.min(), &time_of) {
            Ok(offset) => offset,
            Err(error) => {
                self.cannot_read(topic, queue_id, &error);
                0
            }
        }
    }

    /// Store time of a message; -1 when it is not there.
    pub fn store_time(&self, topic: &str, queue_id: i32, queue_offset: i64) -> i64 {
        let Some(queue) = self.queues.find(topic, queue_id) else { return -1 };
        match queue.unit(queue_offset) {
            Ok(unit) => {
                unit.and_then(|unit| self.log.store_time(unit.physical_offset)).unwrap_or(-1)
            }
            Err(error) => {
                self.cannot_read(topic, queue_id, &error);
                -1
            }
        }
    }

    /// Store time of the first message of a queue; -1 when it is empty.
    pub fn earliest_store_time(&self, topic: &str, queue_id: i32) -> i64 {
        match self.min_offset(topic, queue_id) {
            -1 => -1,
            min => self.store_time(topic, queue_id, min),
        }
    }

    /// Store time of the first record of the log; -1 when it is empty.
    pub fn earliest_log_time(&self) -> i64 {
        let first = self.log.segments().first().cloned();
        first
            .and_then(|segment| {
                Record::decode(segment.bytes(0, usize::MAX))
                    .ok()
                    .map(|record| record.store_timestamp)
            })
            .unwrap_or(-1)
    }

    fn cannot_read(&self, topic: &str, queue_id: i32, error: &ViewError) {
        error!(topic, queue_id, %error, "cannot read a queue");
    }
}

fn slices(request: &GetRequest<'_>, scanned: &Scanned, log: &Window<'_>) -> Got {
    let mut got = Got {
        status: scanned.status,
        next_offset: scanned.next_offset,
        min_offset: scanned.min_offset,
        max_offset: scanned.max_offset,
        slices: Reused::default(),
        count: scanned.count,
        bytes: scanned.bytes,
        from_disk: scanned.from_disk,
    };
    for run in &scanned.runs {
        let Some(slice) = log.slice(run.physical_offset, run.len) else {
            // The disk does not give it: the next attempt begins anew.
            got.status = GetStatus::MessageWasRemoving;
            got.next_offset = request.queue_offset;
            got.slices.clear();
            (got.count, got.bytes) = (0, 0);
            return got;
        };
        got.slices.push(slice);
    }
    got
}
