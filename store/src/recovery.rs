//! Finding the end of the log at start, and making the queues agree with it.
//!
//! 1. Choose where to start reading: the checkpoint's position if this store wrote it last,
//!    otherwise Java's rule over the first records of the files. Without any queues, the first.
//! 2. Read records until one is not whole; that is the end.
//! 3. Cut the queues: back to the start of the reading after a crash (what follows is built
//!    again), else to the end, and units Java left behind a truncation of its own.
//! 4. Dispatch what was read; the queues ignore what they have.
//! 5. Cut the log: the tail becomes durable zeros before the first new append.
//!
//! What is refused: a log shorter than the checkpoint or the queues say, a file that starts with
//! something else than its first record, and after a clean exit a record that no longer fits its
//! checksum.

use std::path::Path;
use std::sync::Arc;

use remoting::protocol::message::Record;
use remoting::protocol::message::record::RecordError;
use tracing::{info, warn};

use crate::checkpoint::{Checkpoint, Marks};
use crate::commit_log::{CommitLog, Damage, Found};
use crate::consume_queue::{Queue, Queues, Unit};
use crate::dispatch::{DelayLevels, Dispatch, DispatchRequest, ViewError};
use crate::faults::{self, Point};
use crate::index::Index;
use crate::segment::{LogSlice, SECTOR_LEN, Segment};
use crate::{OpenError, StoreConfig};

/// Newest files whose first record is looked at; older ones were when they were new.
const HEADS_CHECKED: usize = 8;
/// So much of the log read again by a start is worth a checkpoint, before anything is served.
const REMEMBER_BYTES: i64 = 32 << 20;

/// What recovery works on.
pub struct Recovery<'a> {
    /// Settings of the store.
    pub config: &'a StoreConfig,
    /// The log, opened.
    pub log: &'a CommitLog,
    /// The queues, opened.
    pub queues: &'a Queues,
    /// The index, opened, if there is one.
    pub index: Option<&'a Index>,
    /// The checkpoint.
    pub checkpoint: &'a Checkpoint,
    /// Delays of the delay levels.
    pub delays: &'a DelayLevels,
    /// Whether the last run ended cleanly.
    pub clean: bool,
}

/// The end of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct End {
    position: i64,
    /// Start of the last record read, if any was.
    last_record: Option<i64>,
    last_timestamp: i64,
    records: u64,
    /// What stopped the reading, and where.
    damage: Option<(i64, Damage)>,
}

impl Recovery<'_> {
    /// Recovers; log and views agree afterwards, on disk.
    pub fn run(&self) -> Result<(), OpenError> {
        let segments = self.log.segments();
        let marks = self.checkpoint.marks();
        let Some(last) = segments.last() else { return self.nothing(&marks) };
        let (from, end) = self.read(&segments, last, &marks)?;
        let gone = self.queues.gone();
        if gone {
            info!("there are no queues: building them from the log");
            self.forget()?;
        }
        self.align_queues(from, &end, marks.position.is_some())?;
        faults::pass(Point::QueuesCut);
        if let Some(index) = self.index {
            index.truncate_to(end.position).map_err(|error| self.view(error))?;
        }
        self.log.cut(from, end.position, end.last_timestamp)?;
        faults::pass(Point::LogCut);
        self.queues.correct_min_offsets(self.log.min()).map_err(|error| self.view(error))?;
        info!(
            from,
            end = end.position,
            records = end.records,
            clean = self.clean,
            "recovered the log"
        );
        self.remember(&end)?;
        if !self.clean
            && let Err(error) = self.queues.date_files(from, &|at| self.log.store_time(at))
        {
            // Whoever may write a file but does not own it cannot.
            warn!(%error, "Java 4.x will find messages by time less well");
        }
        self.make_directory(gone)
    }

    /// Where reading the log would start, and where it would end; changes nothing.
    pub fn preview(&self) -> Result<(i64, i64), OpenError> {
        let (segments, marks) = (self.log.segments(), self.checkpoint.marks());
        let Some(last) = segments.last() else {
            return self.refuse_nothing(&marks).map(|()| (0, 0));
        };
        let (from, end) = self.read(&segments, last, &marks)?;
        Ok((from, end.position))
    }

    /// Finds the end of the log.
    fn read(
        &self,
        segments: &[Arc<Segment>],
        last: &Segment,
        marks: &Marks,
    ) -> Result<(i64, End), OpenError> {
        // Behind the checkpoint a power cut takes the head of any file, also of one before others.
        let whole = marks.position.filter(|_| !self.clean).unwrap_or(i64::MAX);
        check_heads(segments, whole)?;
        let from = match self.start(segments, last, marks)? {
            _ if self.queues.gone() => self.log.min(),
            from => from,
        };
        let end = self.read_on(from, marks);
        if self.clean {
            self.refuse_damage(&end, marks)?;
        }
        Ok((from, end))
    }

    /// Log position behind the last record that any queue knows. Needs all of them.
    fn queued(&self) -> Result<i64, OpenError> {
        self.queues.load_all().map_err(|error| self.view(error))?;
        Ok(self.queues.max_physical_offset())
    }

    /// A log that is gone is not taken for a new one.
    fn refuse_nothing(&self, marks: &Marks) -> Result<(), OpenError> {
        let reach = self.queued()?.max(marks.position.unwrap_or(0));
        if reach <= 0 {
            return Ok(());
        }
        Err(OpenError::Damaged {
            path: self.log.directories().first().cloned().unwrap_or_default(),
            offset: 0,
            expected: format!("log files up to position {reach}, which the queues refer to"),
            got: "no log file".to_owned(),
        })
    }

    fn nothing(&self, marks: &Marks) -> Result<(), OpenError> {
        self.refuse_nothing(marks)?;
        if let Some(index) = self.index {
            index.truncate_to(0).map_err(|error| self.view(error))?;
        }
        self.log.cut(0, 0, 0)?;
        if marks.position.is_none() {
            // From the first record on it is known that nothing was on disk before.
            self.checkpoint.update(|marks| marks.position = Some(0));
            self.flush_checkpoint()?;
        }
        self.make_directory(self.queues.gone())
    }

    fn make_directory(&self, gone: bool) -> Result<(), OpenError> {
        if !gone {
            return Ok(());
        }
        self.queues.make_directory().map_err(|error| self.view(error))
    }

    /// Where reading starts.
    fn start(
        &self,
        segments: &[Arc<Segment>],
        last: &Segment,
        marks: &Marks,
    ) -> Result<i64, OpenError> {
        let min = segments.first().map_or(0, |first| first.base());
        if let Some(position) = marks.position {
            if position > last.limit() {
                return Err(OpenError::Damaged {
                    path: last.path().to_owned(),
                    offset: last.size() as u64,
                    expected: format!("the log to go on to position {position} (checkpoint)"),
                    got: "no further log file".to_owned(),
                });
            }
            return Ok(position.max(min));
        }
        let queued = if self.clean { self.queued()? } else { -1 };
        let suits = |record: &Record<'_>| match self.clean {
            true => record.physical_offset <= queued,
            false => record.store_timestamp <= marks.min_timestamp(),
        };
        let chosen = segments.iter().rev().find(|segment| {
            Record::decode(segment.bytes(0, usize::MAX)).is_ok_and(|record| {
                record.store_timestamp != 0 && suits(&record) && record.verify_crc().is_ok()
            })
        });
        Ok(chosen.map_or(min, |segment| segment.base()))
    }

    /// Reads whole records from `from` on.
    fn read_on(&self, from: i64, marks: &Marks) -> End {
        let mut end = End {
            position: from,
            last_record: None,
            last_timestamp: marks.physic_timestamp,
            records: 0,
            damage: None,
        };
        let mut records = self.log.records(from);
        loop {
            let slice = match records.advance() {
                Found::Record(slice) => slice,
                Found::End => break,
                Found::Damaged(damage) => {
                    end.damage = Some((records.position(), damage));
                    break;
                }
            };
            let start = slice.physical_offset();
            let Ok(record) = Record::decode(slice.as_ref()) else { break };
            if self.config.check_crc_on_recover
                && let Err(error) = record.verify_crc()
            {
                end.damage = Some((start, error.into()));
                break;
            }
            if lacks_text(&slice, &record) {
                break;
            }
            end.position = start + i64::from(record.total_size);
            end.last_record = Some(start);
            end.last_timestamp = record.store_timestamp;
            end.records += 1;
        }
        end
    }

    /// After a clean exit all that was written is whole: a damaged record was damaged later.
    fn refuse_damage(&self, end: &End, marks: &Marks) -> Result<(), OpenError> {
        let Some((position, damage)) = end.damage else { return Ok(()) };
        let Some(segment) = self.log.segment_at(position) else { return Ok(()) };
        let at = (position - segment.base()) as usize;
        // Bytes behind a cut that Java made itself may look like a damaged record too; only one
        // that the checkpoint says is on disk was written in full.
        let flushed = match damage {
            Damage::Record(RecordError::Crc { .. }) => {
                Record::decode(segment.bytes(at, usize::MAX)).is_ok_and(|record| {
                    record.physical_offset == position
                        && record.store_timestamp <= marks.physic_timestamp
                })
            }
            _ => false,
        };
        let expected = match flushed {
            true => "a record, as the last run ended cleanly".to_owned(),
            false => match self.goes_on_to(end, marks) {
                Some(further) => format!("a record, as the queues lead to one at {further}"),
                None => return Ok(()),
            },
        };
        Err(OpenError::Damaged {
            path: segment.path().to_owned(),
            offset: at as u64,
            expected,
            got: damage.to_string(),
        })
    }

    /// A whole record behind the damage that was there before the last run ended.
    ///
    /// Java leaves records behind a cut of its own, with their units. They are older than what it
    /// wrote since; if it wrote nothing, the checkpoint names the last record it found, and none
    /// of those behind is known to have been on disk.
    fn goes_on_to(&self, end: &End, marks: &Marks) -> Option<i64> {
        let cut_by_java = end.last_record == Some(marks.confirm_offset);
        let written_since = |record: &Record<'_>| {
            record.store_timestamp >= end.last_timestamp
                && (!cut_by_java || record.store_timestamp <= marks.physic_timestamp)
        };
        let further = |queue: Arc<Queue>| {
            let queue = self.queues.look_up(queue.topic(), queue.id()).ok()??;
            let unit = queue.unit(queue.next_offset() - 1).ok()??;
            let slice = self.log.read(unit.physical_offset)?;
            let record = Record::decode(slice.as_ref()).ok()?;
            let found = unit.physical_offset > end.position
                && self.belongs(queue.topic(), queue.id(), &unit)
                && record.verify_crc().is_ok()
                && written_since(&record);
            found.then_some(unit.physical_offset)
        };
        self.queues.all().into_iter().filter_map(further).max()
    }

    /// Makes the queues agree with the log from `from` on; `ours` tells that the checkpoint's
    /// position was of this store.
    fn align_queues(&self, from: i64, end: &End, ours: bool) -> Result<(), OpenError> {
        let view = |error| self.view(error);
        let known = match self.clean {
            // A record before is in its queue, or its topic has been deleted.
            true if end.records > 0 => self.queued()?,
            _ => from,
        };
        self.queues.truncate_to(if self.clean { end.position } else { from }).map_err(view)?;
        if self.clean && !ours {
            self.cut_foreign_units()?;
        }
        if self.clean {
            // After a crash the log is given to the queues from there on, which shows a wrong end.
            self.queues
                .settle_ends(&|topic, id, unit| self.behind(topic, id, unit))
                .map_err(view)?;
        }
        // Only behind a checkpoint of our own it is known that no queue lacks any unit.
        let later = ours && self.queues.too_many();
        let load = || if later { Ok(()) } else { self.queues.load_all() };
        let mut built_again: Vec<String> = Vec::new();
        while let Err(error) = self.dispatch(from, end.position, known).and_then(|()| load()) {
            let ViewError::Gap { topic, queue_id, expected, got } = error else {
                return Err(view(error));
            };
            warn!(%topic, queue_id, expected, got, "a queue lacks units: building its topic again");
            if built_again.contains(&topic) {
                return Err(view(ViewError::Gap { topic, queue_id, expected, got }));
            }
            self.build_again(&topic, end.position).map_err(view)?;
            built_again.push(topic);
        }
        Ok(())
    }

    /// Builds the queues of one topic from all records there are. The others stay as they are:
    /// those of a topic that was deleted and made anew have older records in the log.
    fn build_again(&self, topic: &str, end: i64) -> Result<(), ViewError> {
        self.queues.truncate_topic(topic, self.log.min())?;
        // What is still missing has no record.
        self.queues.fill_gaps(true);
        let built = self.each(self.log.min(), end, |request| match request.topic == topic {
            true => self.queues.append(request),
            false => Ok(()),
        });
        self.queues.fill_gaps(false);
        built
    }

    /// Gives the records from `from` to `end` to the queues, but for those before `known`.
    fn dispatch(&self, from: i64, end: i64, known: i64) -> Result<(), ViewError> {
        self.each(from, end, |request| match request.physical_offset >= known {
            true => self.queues.dispatch(request),
            false => Ok(()),
        })
    }

    fn each(
        &self,
        from: i64,
        end: i64,
        mut give: impl FnMut(&DispatchRequest<'_>) -> Result<(), ViewError>,
    ) -> Result<(), ViewError> {
        let mut records = self.log.records(from);
        while records.position() < end {
            let Found::Record(slice) = records.advance() else { break };
            let Ok(record) = Record::decode(slice.as_ref()) else { break };
            if record.physical_offset >= end {
                break;
            }
            give(&DispatchRequest::of(&record, self.delays))?;
        }
        Ok(())
    }

    /// Java leaves units behind a truncation in the file; they come back when the log has grown
    /// past them, and point at foreign records.
    fn cut_foreign_units(&self) -> Result<(), OpenError> {
        let belongs = |topic: &str, id: i32, unit: &Unit| self.belongs(topic, id, unit);
        let cut = self.queues.cut_foreign(&belongs).map_err(|error| self.view(error))?;
        if cut > 0 {
            warn!(units = cut, "cut queue units that a former truncation had left behind");
        }
        Ok(())
    }

    fn belongs(&self, topic: &str, id: i32, unit: &Unit) -> bool {
        if unit.physical_offset < self.log.min() {
            // Its record has been deleted, and with it the proof.
            return true;
        }
        let Some(slice) = self.log.read(unit.physical_offset) else { return false };
        Record::decode(slice.as_ref()).is_ok_and(|record| {
            let request = DispatchRequest::of(&record, self.delays);
            request.places().any(|place| unit.describes((topic, id), &place))
        })
    }

    /// The offset that follows upon the record of a unit, as the log says.
    fn behind(&self, topic: &str, id: i32, unit: &Unit) -> Option<i64> {
        let slice = self.log.read(unit.physical_offset)?;
        let record = Record::decode(slice.as_ref()).ok()?;
        let request = DispatchRequest::of(&record, self.delays);
        let here = request.topic == topic && request.queue_id == id;
        here.then(|| request.queue_offset + i64::from(request.batch_size.max(1)))
    }

    /// Takes the checkpoint's word back: after a crash in the middle of the building all records
    /// must be given to the queues once more.
    fn forget(&self) -> Result<(), OpenError> {
        self.checkpoint.forget();
        self.flush_checkpoint()
    }

    /// Writes down what has been found, so that a crash right now costs nothing again. The start
    /// does not wait for that where an earlier checkpoint stands not far back, or with very many
    /// queues to sync: the next checkpoint says it.
    fn remember(&self, end: &End) -> Result<(), OpenError> {
        let near = |position| end.position - position < REMEMBER_BYTES || self.queues.too_many();
        if self.checkpoint.marks().position.is_some_and(near) {
            return Ok(());
        }
        self.queues.flush().map_err(|error| self.view(error))?;
        self.checkpoint.update(|marks| {
            marks.position = Some(end.position);
            if let Some(last_record) = end.last_record {
                marks.physic_timestamp = end.last_timestamp;
                marks.logics_timestamp = end.last_timestamp;
                marks.confirm_offset = last_record;
            }
        });
        self.flush_checkpoint()
    }

    fn flush_checkpoint(&self) -> Result<(), OpenError> {
        let path = self.checkpoint.path();
        self.checkpoint.flush().map_err(|error| OpenError::io(path, "write", error))
    }

    fn view(&self, error: ViewError) -> OpenError {
        OpenError::view(self.config.root(), error)
    }
}

/// Whether a crash took a part of the topic or of the properties: the checksum covers the body
/// only. A sector that was never written is zeros, which no put fills one with; a write that was
/// cut short has zeros behind it, and properties never end with any.
fn lacks_text(slice: &LogSlice, record: &Record<'_>) -> bool {
    const LENGTH_LEN: usize = 2;
    let end = slice.start + slice.len;
    let properties = end - record.properties.len()..end;
    let topic_end = properties.start - LENGTH_LEN;
    let topic = topic_end - record.topic.len()..topic_end;
    let zeros = |bytes: &[u8]| bytes.iter().all(|&byte| byte == 0);
    if record.properties.ends_with('\0') && zeros(slice.segment.bytes(end, size_of::<i32>())) {
        return true;
    }
    [topic, properties].into_iter().filter(|text| !text.is_empty()).any(|text| {
        (text.start / SECTOR_LEN..text.end.div_ceil(SECTOR_LEN))
            .any(|sector| zeros(slice.segment.bytes(sector * SECTOR_LEN, SECTOR_LEN)))
    })
}

/// The newest files that start before a log position must start with their first record. The
/// last ones may be all zeros, created ahead, and the first record of the last one written may be
/// torn.
fn check_heads(segments: &[Arc<Segment>], whole: i64) -> Result<(), OpenError> {
    let segments = &segments[..segments.partition_point(|segment| segment.base() < whole)];
    let skipped = segments.len().saturating_sub(HEADS_CHECKED);
    let unwritten = |segment: &Arc<Segment>| segment.bytes(0, 8).iter().all(|&byte| byte == 0);
    let used = segments.iter().rposition(|segment| !unwritten(segment)).map_or(0, |last| last + 1);
    for (index, segment) in segments[..used].iter().enumerate().skip(skipped) {
        let got = match Record::decode(segment.bytes(0, usize::MAX)) {
            Ok(record) if record.physical_offset == segment.base() => continue,
            Ok(record) => format!("the record of log position {}", record.physical_offset),
            Err(error @ RecordError::Magic { .. }) => error.to_string(),
            Err(_) if index + 1 == used => continue,
            Err(error) => error.to_string(),
        };
        return Err(foreign(segment.path(), segment.base(), got));
    }
    Ok(())
}

fn foreign(path: &Path, base: i64, got: String) -> OpenError {
    OpenError::Damaged {
        path: path.to_owned(),
        offset: 0,
        expected: format!("the record of log position {base}"),
        got,
    }
}
