//! Two stores compared: records by place, units of queues, entries of the index.

use std::collections::{BTreeMap, BTreeSet};

use remoting::protocol::message::Properties;
use remoting::protocol::message::record::Record;

use super::Differences;
use super::files::{Files, Place, Unit};
use super::noise;

/// Batches in it depend on the moment.
const OP_TOPIC: &str = "RMQ_SYS_TRANS_OP_HALF_TOPIC";
const SCHEDULE_TOPIC: &str = "SCHEDULE_TOPIC_XXXX";

/// What a record is, wherever it stands: topic, queue, body without noise, and which of several
/// alike.
type Identity = (String, i32, String, usize);

/// Compares everything.
pub fn compare(ours: &Files, java: &Files, out: &mut Differences) {
    let (own, theirs) = (identities(ours), identities(java));
    for (identity, (place, bytes)) in &theirs {
        match own.get(identity) {
            Some((own_place, own)) => {
                compare_records(own, bytes, out);
                if own_place != place {
                    let (own, theirs) = (own_place.2, place.2);
                    out.add(format!("record of {}: queue offset [{theirs} → {own}]", place.0));
                }
            }
            None => out.add(format!("record of {} missing [{place:?}]", place.0)),
        }
    }
    for (_, (place, _)) in own.iter().filter(|(identity, _)| !theirs.contains_key(*identity)) {
        out.add(format!("record of {} too many [{place:?}]", place.0));
    }
    if ended(ours) != ended(java) {
        out.add("the half messages that ended".to_owned());
    }
    compare_queues(ours, java, out);
    compare_index(ours, java, out);
}

fn identities(files: &Files) -> BTreeMap<Identity, (&Place, &[u8])> {
    let mut all = BTreeMap::new();
    for (place, bytes) in files.records.iter().filter(|(place, _)| place.0 != OP_TOPIC) {
        let Ok(record) = Record::decode(bytes) else { continue };
        let mut identity = (place.0.clone(), place.1, noise::of_body(record.body).0, 0);
        while all.contains_key(&identity) {
            identity.3 += 1;
        }
        all.insert(identity, (place, bytes.as_slice()));
    }
    all
}

/// The queue offsets of the half messages that op messages name.
fn ended(files: &Files) -> BTreeSet<String> {
    let ops = files.records.iter().filter(|(place, _)| place.0 == OP_TOPIC);
    ops.filter_map(|(_, bytes)| Record::decode(bytes).ok())
        .flat_map(|record| {
            let text = String::from_utf8_lossy(record.body).into_owned();
            text.split(',').map(str::to_owned).collect::<Vec<_>>()
        })
        .filter(|number| !number.is_empty())
        .collect()
}

fn compare_records(ours: &[u8], java: &[u8], out: &mut Differences) {
    let (Ok(own), Ok(theirs)) = (Record::decode(ours), Record::decode(java)) else { return };
    let topic = theirs.topic;
    let mut check = |field: &str, own: String, theirs: String| {
        if own != theirs {
            out.add(format!("record of {topic}: {field} [{theirs} → {own}]"));
        }
    };
    check("magic", ours[4..8].escape_ascii().to_string(), java[4..8].escape_ascii().to_string());
    check("flag", own.flag.to_string(), theirs.flag.to_string());
    check("sysFlag", own.sys_flag.to_string(), theirs.sys_flag.to_string());
    let born = |record: &Record<'_>| noise::of_time(record.born_timestamp);
    check("born time", born(&own), born(&theirs));
    check("born host", own.born_host.ip().to_string(), theirs.born_host.ip().to_string());
    check("store host", own.store_host.to_string(), theirs.store_host.to_string());
    check("reconsume times", own.reconsume_times.to_string(), theirs.reconsume_times.to_string());
    let prepared = |record: &Record<'_>| (record.prepared_transaction_offset != 0).to_string();
    check("prepared offset", prepared(&own), prepared(&theirs));
    check(
        "body CRC",
        own.verify_crc().is_ok().to_string(),
        theirs.verify_crc().is_ok().to_string(),
    );
    let (own_pop, pop) = (noise::of_body(own.body).1, noise::of_body(theirs.body).1);
    compare_properties(topic, (own.properties(), own_pop), (theirs.properties(), pop), out);
}

fn compare_properties(
    topic: &str,
    (ours, own_pop): (Properties<'_>, Option<i64>),
    (java, pop): (Properties<'_>, Option<i64>),
    out: &mut Differences,
) {
    let map = |properties: Properties<'_>, pop: Option<i64>| -> BTreeMap<String, String> {
        let shown = |name: &str, value: &str| noise::of_property(name, value, pop);
        properties.iter().map(|(name, value)| (name.to_owned(), shown(name, value))).collect()
    };
    let (own, theirs) = (map(ours, own_pop), map(java, pop));
    for (name, value) in &theirs {
        match own.get(name) {
            None => out.add(format!("record of {topic}: property {name} missing [{value}]")),
            Some(own) if own != value => {
                out.add(format!("record of {topic}: property {name} [{value} → {own}]"));
            }
            Some(_) => {}
        }
    }
    for (name, value) in own.iter().filter(|(name, _)| !theirs.contains_key(*name)) {
        out.add(format!("record of {topic}: property {name} too many [{value}]"));
    }
    let ended = |properties: Properties<'_>| properties.raw().ends_with('\u{2}');
    if ended(ours) != ended(java) {
        out.add(format!("record of {topic}: end of the properties"));
    }
}

fn compare_queues(ours: &Files, java: &Files, out: &mut Differences) {
    let filled = |files: &Files| -> BTreeSet<(String, i32)> {
        let filled = files.queues.iter().filter(|(_, units)| !units.is_empty());
        filled.map(|(queue, _)| queue.clone()).filter(|(topic, _)| topic != OP_TOPIC).collect()
    };
    let (own, theirs) = (filled(ours), filled(java));
    for (topic, queue_id) in own.symmetric_difference(&theirs) {
        let word = if own.contains(&(topic.clone(), *queue_id)) { "too many" } else { "missing" };
        out.add(format!("queue of {topic} {word} [{queue_id}]"));
    }
    for queue in own.intersection(&theirs) {
        let (units, expected) = (&ours.queues[queue], &java.queues[queue]);
        let topic = &queue.0;
        if units.len() != expected.len() {
            let (own, theirs) = (units.len(), expected.len());
            out.add(format!("queue of {topic}: units [{theirs} → {own}]"));
        }
        for (unit, expected) in units.iter().zip(expected) {
            compare_units(topic, (unit, ours), (expected, java), out);
        }
    }
}

fn compare_units(
    topic: &str,
    (own, ours): (&Unit, &Files),
    (theirs, java): (&Unit, &Files),
    out: &mut Differences,
) {
    let mut check = |field: &str, own: String, theirs: String| {
        if own != theirs {
            out.add(format!("queue of {topic}: {field} [{theirs} → {own}]"));
        }
    };
    check("offset", own.queue_offset.to_string(), theirs.queue_offset.to_string());
    check("record", format!("{:?}", own.leads_to), format!("{:?}", theirs.leads_to));
    check("count", own.count.to_string(), theirs.count.to_string());
    // Times of delivery count from the store time; both are of today.
    let tags_code = |unit: &Unit, files: &Files| match topic {
        SCHEDULE_TOPIC => {
            let stored = unit.leads_to.as_ref().and_then(|place| stored_at(files, place));
            stored.map_or(0, |stored| unit.tags_code - stored)
        }
        _ => unit.tags_code,
    };
    check("tags code", tags_code(own, ours).to_string(), tags_code(theirs, java).to_string());
    let size = |unit: &Unit, files: &Files| {
        let len = unit.leads_to.as_ref().and_then(|place| files.records.get(place)).map(Vec::len);
        (len == Some(unit.size as usize)).to_string()
    };
    check("size of the record", size(own, ours), size(theirs, java));
}

fn stored_at(files: &Files, place: &Place) -> Option<i64> {
    Some(Record::decode(files.records.get(place)?).ok()?.store_timestamp)
}

fn compare_index(ours: &Files, java: &Files, out: &mut Differences) {
    // Made keys differ: their entries are compared by number and record only.
    let count = |files: &Files| {
        let mut counts: BTreeMap<Place, usize> = BTreeMap::new();
        for (_, place) in files.index.iter().filter(|(_, place)| place.0 != OP_TOPIC) {
            *counts.entry(place.clone()).or_default() += 1;
        }
        counts
    };
    let (own, theirs) = (count(ours), count(java));
    for (place, expected) in &theirs {
        let found = own.get(place).copied().unwrap_or(0);
        if found != *expected {
            out.add(format!(
                "index of {}: entries of a record [{place:?}: {expected} → {found}]",
                place.0
            ));
        }
    }
    for place in own.keys().filter(|place| !theirs.contains_key(*place)) {
        out.add(format!("index of {}: record too many [{place:?}]", place.0));
    }
    let hashes = |files: &Files| files.index.iter().cloned().collect::<BTreeSet<_>>();
    let (own, theirs) = (hashes(ours), hashes(java));
    for (hash, place) in theirs.difference(&own) {
        let made = |files: &Files| {
            let record = files.records.get(place).and_then(|bytes| Record::decode(bytes).ok());
            record.is_some_and(|record| {
                let pop_time = noise::of_body(record.body).1;
                let key = record.properties().get("UNIQ_KEY");
                key.is_some_and(|key| noise::of_property("UNIQ_KEY", key, pop_time) != key)
            })
        };
        if !made(java) {
            out.add(format!("index of {}: hash of a key [{place:?}: {hash}]", place.0));
        }
    }
}
