//! Every unit of the queues, compared with the record it leads to.

use std::sync::Arc;

use remoting::protocol::message::Record;
use store::QueueKind;
use store::consume_queue::{Queue, Unit};
use store::dispatch::DispatchRequest;

use super::Store;
use super::report::Report;
use crate::admin::progress;

/// What a queue holds.
#[derive(Debug, Default)]
pub struct QueueReport {
    /// Topic of the queue.
    pub topic: String,
    /// Queue of the topic.
    pub id: i32,
    /// First and next offset.
    pub span: (i64, i64),
    /// Units whose record is in the log.
    pub units: u64,
    /// Store times of the first and the last message.
    pub times: Option<(i64, i64)>,
}

/// A unit as it is found.
enum Sight {
    /// Its record is there, stored at a time.
    Sound(i64),
    /// It stands for no message, or for one that has left the log.
    Nothing,
    /// Its record is behind the end of the log.
    Behind,
    /// It leads elsewhere, or is none.
    Wrong(String),
}

pub(super) fn walk(store: &Store, report: &mut Report) -> anyhow::Result<()> {
    let mut queues = store.queues.all();
    queues.sort_by(|a, b| (a.topic(), a.id()).cmp(&(b.topic(), b.id())));
    let bar = progress::steps(queues.len() as u64);
    for queue in queues {
        walk_one(store, &queue, report)?;
        bar.inc(1);
    }
    let known = |report: &Report, topic: &str, id: i32| {
        report.queues.iter().position(|queue| queue.topic == topic && queue.id == id)
    };
    for ((topic, id), records) in &report.log.unqueued {
        let at = known(report, topic, *id);
        let Some((first, last)) = records.first().zip(records.last()) else { continue };
        let mut queue = at.map_or_else(
            || QueueReport {
                topic: topic.clone(),
                id: *id,
                span: (first.offsets.0, 0),
                ..QueueReport::default()
            },
            |at| report.queues.remove(at),
        );
        queue.span.1 = last.offsets.1;
        queue.units += records.len() as u64;
        queue.times = Some((queue.times.map_or(first.time, |(first, _)| first), last.time));
        report.queues.push(queue);
    }
    report.queues.sort_by(|a, b| (&a.topic, a.id).cmp(&(&b.topic, b.id)));
    Ok(())
}

fn walk_one(store: &Store, queue: &Arc<Queue>, report: &mut Report) -> anyhow::Result<()> {
    let mut found =
        QueueReport { topic: queue.topic().to_string(), id: queue.id(), ..QueueReport::default() };
    let name = format!("{}/{}", found.topic, found.id);
    // The last units may be left behind by a truncation: what follows a sound one is not.
    let mut doubtful: Vec<(i64, Option<String>)> = Vec::new();
    let mut first = None;
    for index in queue.unit_numbers() {
        let unit = queue.unit_at(index)?;
        let sight = unit.map_or_else(
            || Sight::Wrong("bytes that are no unit".to_owned()),
            |unit| look(store, queue, &unit),
        );
        match sight {
            Sight::Nothing => {}
            Sight::Behind => doubtful.push((index, None)),
            Sight::Wrong(got) => doubtful.push((index, Some(got))),
            Sight::Sound(time) => {
                for (index, got) in doubtful.drain(..) {
                    let got = got.unwrap_or_else(|| "one behind the end of the log".to_owned());
                    damaged(queue, index, &got, report);
                }
                first = first.or(unit.map(|unit| unit.queue_offset));
                found.units += 1;
                found.times = Some((found.times.map_or(time, |(first, _)| first), time));
            }
        }
    }
    let ahead = doubtful.iter().filter(|(_, got)| got.is_none()).count() as i64;
    end(store, queue, doubtful, &name, report);
    let next = queue.next_offset();
    found.span = (first.unwrap_or(next), next);
    if store.clean && ahead > 0 {
        report.notes.push(format!("{name}: both brokers cut {ahead} units behind the log's end"));
    }
    missing(&found, &name, report);
    report.queues.push(found);
    Ok(())
}

/// Judges what follows the last sound unit.
fn end(
    store: &Store,
    queue: &Queue,
    doubtful: Vec<(i64, Option<String>)>,
    name: &str,
    report: &mut Report,
) {
    let wrong: Vec<_> =
        doubtful.into_iter().filter_map(|(index, got)| Some((index, got?))).collect();
    if wrong.is_empty() {
        return;
    }
    if !store.clean {
        let count = wrong.len();
        report.notes.push(format!("{name}: {count} units at the end are built again"));
    } else if store.checkpoint.marks().position.is_none() {
        report.differences.push(format!(
            "{name}: {} units at the end lead to foreign records: here they are cut, with Java \
             they count",
            wrong.len()
        ));
    } else {
        wrong.iter().for_each(|(index, got)| damaged(queue, *index, got, report));
    }
}

/// Records without a unit, if the queue is there: topics can be deleted.
fn missing(found: &QueueReport, name: &str, report: &mut Report) {
    let placed = report.log.placed.get(&found.topic).and_then(|ids| ids.get(&found.id));
    let missing = placed.copied().unwrap_or(0).saturating_sub(found.units);
    if missing > 0 {
        report.damage.push(format!("{name}: {missing} records of the log have no unit"));
    }
}

fn look(store: &Store, queue: &Queue, unit: &Unit) -> Sight {
    let end = store.log.end();
    if unit.is_filler() || unit.physical_offset < store.log.min() {
        return Sight::Nothing;
    }
    let Some(slice) = store.log.read(unit.physical_offset) else {
        let empty = store.log.segment_at(unit.physical_offset).is_none_or(|segment| {
            let at = (unit.physical_offset - segment.base()) as usize;
            segment.bytes(at, 8).iter().all(|byte| *byte == 0)
        });
        let (position, size) = (unit.physical_offset, unit.size);
        return match empty || position >= end {
            true => Sight::Behind,
            false => Sight::Wrong(format!("position {position}, {size} bytes: no record")),
        };
    };
    let Ok(record) = Record::decode(slice.as_ref()) else { return Sight::Behind };
    let request = DispatchRequest::of(&record, &store.delays);
    if request.places().any(|place| unit.leads_to((queue.topic(), queue.id()), &place)) {
        return Sight::Sound(record.store_timestamp);
    }
    let (topic, id, offset) = (record.topic, record.queue_id, record.queue_offset);
    Sight::Wrong(format!(
        "position {}, {} bytes: a record of {topic}/{id} at {offset}",
        unit.physical_offset, unit.size
    ))
}

fn damaged(queue: &Queue, index: i64, got: &str, report: &mut Report) {
    let (path, offset) = queue.place_of(index);
    let (topic, id) = (queue.topic(), queue.id());
    let expected = match queue.kind() {
        QueueKind::Simple => format!("the unit of {topic}/{id} at {index}"),
        QueueKind::Batch => format!("a unit of {topic}/{id}"),
    };
    report.damaged(&path, offset, &expected, &got);
}
