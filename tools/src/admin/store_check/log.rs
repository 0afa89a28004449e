//! Every record of the log.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;

use memchr::memmem::Finder;
use remoting::protocol::message::Record;
use remoting::protocol::message::record::{MAGIC_V1, MAGIC_V2};
use store::LogSlice;
use store::commit_log::Found;
use store::dispatch::DispatchRequest;

use super::Store;
use super::report::Report;
use crate::admin::progress;

/// What the log holds.
#[derive(Debug, Default)]
pub struct LogReport {
    /// Its first position.
    pub min: i64,
    /// Its files and the length of each.
    pub files: (usize, usize),
    /// Whole records.
    pub records: u64,
    /// Bodies that do not have their checksum.
    pub damaged: u64,
    /// Store times of the oldest and the newest record.
    pub times: Option<(i64, i64)>,
    /// Whole records behind the end.
    pub behind: u64,
    /// Records that must have a unit, by queue.
    pub placed: HashMap<String, HashMap<i32, u64>>,
    /// Records that recovery gives to the queues, by queue.
    pub unqueued: BTreeMap<(String, i32), Vec<Unqueued>>,
}

/// A record whose unit is not there yet.
#[derive(Clone, Copy, Debug)]
pub struct Unqueued {
    /// Its offset in the queue, and that of the next one.
    pub offsets: (i64, i64),
    /// Where it stands in the log.
    pub position: i64,
    /// When it was stored.
    pub time: i64,
}

pub(super) fn walk(store: &Store, report: &mut Report) {
    let segments = store.log.segments();
    let end = report.ours.map_or(i64::MAX, |(_, end)| end);
    // Recovery gives the queues what is behind.
    let settled = match store.clean {
        true => store.queues.max_physical_offset(),
        false => report.ours.map_or(i64::MAX, |(from, _)| from).min(report.java.0),
    };
    let from = report.ours.map_or(i64::MAX, |(from, _)| from);
    let mut log = LogReport {
        min: store.log.min(),
        files: (segments.len(), store.log.segment_size()),
        ..LogReport::default()
    };
    let mut records = store.log.records(log.min);
    let last = segments.last().map_or(log.min, |segment| segment.limit().min(end));
    let bar = progress::bytes((last - log.min).max(0).unsigned_abs());
    loop {
        let position = records.position();
        bar.set_position((position - log.min).max(0).unsigned_abs());
        match records.advance() {
            Found::Record(_) if position >= end => log.behind += 1,
            Found::Record(slice) => {
                if let Err(damage) = log.add(store, &slice, settled, from) {
                    damaged(store, report, position, "a body of its checksum", &damage);
                }
            }
            Found::End => break,
            Found::Damaged(damage) => {
                let Some(next) = next_record(store, position) else { break };
                if position < end {
                    let got = format!("{damage}; the next record is at {next}");
                    damaged(store, report, position, "a record", &got);
                }
                records = store.log.records(next);
            }
        }
    }
    report.log = log;
}

impl LogReport {
    fn add(
        &mut self,
        store: &Store,
        slice: &LogSlice,
        settled: i64,
        from: i64,
    ) -> Result<(), String> {
        let record = Record::decode(slice.as_ref()).map_err(|error| error.to_string())?;
        self.records += 1;
        let time = record.store_timestamp;
        let (oldest, newest) = self.times.unwrap_or((time, time));
        self.times = Some((oldest.min(time), newest.max(time)));
        let request = DispatchRequest::of(&record, &store.delays);
        if request.has_unit() && record.physical_offset >= from {
            request.places().for_each(|place| self.note_unqueued(store, &place));
        }
        if request.has_unit() && record.physical_offset < settled {
            for place in request.places() {
                if !self.placed.contains_key(place.topic) {
                    self.placed.insert(place.topic.to_owned(), HashMap::new());
                }
                if let Some(queues) = self.placed.get_mut(place.topic) {
                    *queues.entry(place.queue_id).or_default() += 1;
                }
            }
        }
        record.verify_crc().map_err(|error| {
            self.damaged += 1;
            error.to_string()
        })
    }
}

impl LogReport {
    fn note_unqueued(&mut self, store: &Store, place: &DispatchRequest<'_>) {
        let queue = store.queues.find(place.topic, place.queue_id);
        let next = queue.map_or(0, |queue| queue.next_offset());
        if place.queue_offset >= next {
            let key = (place.topic.to_owned(), place.queue_id);
            self.unqueued.entry(key).or_default().push(Unqueued {
                offsets: (place.queue_offset, place.queue_offset + i64::from(place.batch_size)),
                position: place.physical_offset,
                time: place.store_timestamp,
            });
        }
    }
}

fn damaged(store: &Store, report: &mut Report, position: i64, expected: &str, got: &dyn Display) {
    let (path, offset) = store.place(position);
    report.damaged(&path, offset, expected, got);
}

/// The next record behind a place where none is.
fn next_record(store: &Store, position: i64) -> Option<i64> {
    let magics = [MAGIC_V1, MAGIC_V2].map(i32::to_be_bytes);
    let segments = store.log.segments();
    let rest = segments.iter().filter(|segment| segment.limit() > position);
    for segment in rest {
        let start = (position + 1 - segment.base()).max(0) as usize;
        let bytes = segment.bytes(start, usize::MAX);
        let found = magics.iter().filter_map(|magic| {
            Finder::new(magic).find_iter(bytes).find_map(|at| {
                let at = at.checked_sub(4)?;
                let record = Record::decode(&bytes[at..]).ok()?;
                let there = segment.base() + (start + at) as i64;
                (record.physical_offset == there).then_some(there)
            })
        });
        if let Some(found) = found.min() {
            return Some(found);
        }
    }
    None
}
