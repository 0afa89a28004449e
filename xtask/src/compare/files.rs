//! The files of a stopped store: records by queue, the units that lead to them, the index.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use remoting::protocol::message::record::{Record, RecordError};

const UNIT_LEN: usize = 20;
const BATCH_UNIT_LEN: usize = 46;
const INDEX_HEADER_LEN: usize = 40;
const INDEX_ENTRY_LEN: usize = 20;

/// Topic, queue and offset: what a record is, wherever it stands in the log.
pub type Place = (String, i32, i64);

/// What a unit of a queue says, its log position replaced by the record found there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Offset in the queue.
    pub queue_offset: i64,
    /// The record it leads to, `None` if there is none.
    pub leads_to: Option<Place>,
    /// Length of the record.
    pub size: i32,
    /// Hash of the tags or time of delivery.
    pub tags_code: i64,
    /// Messages in the record.
    pub count: i16,
}

/// A stopped store.
#[derive(Default)]
pub struct Files {
    /// Every record, by its place; of several at one place the last.
    pub records: BTreeMap<Place, Vec<u8>>,
    /// Units of every queue.
    pub queues: BTreeMap<(String, i32), Vec<Unit>>,
    /// Entries of the index: hash of the key and the record, sorted.
    pub index: Vec<(i32, Place)>,
}

impl Files {
    /// Reads the store in `root`.
    pub fn read(root: &Path, slots: usize) -> Result<Files> {
        let mut files = Files::default();
        let mut places = BTreeMap::new();
        for file in sorted(&root.join("commitlog"))? {
            let start = number_of(&file)?;
            files.read_log(&fs::read(&file)?, start, &mut places)?;
        }
        for (folder, len) in [("consumequeue", UNIT_LEN), ("batchconsumequeue", BATCH_UNIT_LEN)] {
            files.read_queues(&root.join(folder), len, &places)?;
        }
        for file in sorted(&root.join("index"))? {
            files.read_index(&fs::read(&file)?, slots, &places)?;
        }
        files.index.sort();
        Ok(files)
    }

    fn read_log(
        &mut self,
        bytes: &[u8],
        start: i64,
        places: &mut BTreeMap<i64, Place>,
    ) -> Result<()> {
        let mut at = 0;
        while at + 4 <= bytes.len() {
            let record = match Record::decode(&bytes[at..]) {
                Ok(record) => record,
                Err(RecordError::Blank { .. }) => break,
                Err(_) if bytes[at..].iter().all(|byte| *byte == 0) => break,
                Err(error) => bail!("log position {}: {error}", start + at as i64),
            };
            let len = record.total_size as usize;
            let place = (record.topic.to_owned(), record.queue_id, record.queue_offset);
            let position = start + at as i64;
            ensure!(record.physical_offset == position, "{place:?} says another log position");
            places.insert(position, place.clone());
            self.records.insert(place, bytes[at..at + len].to_vec());
            at += len;
        }
        Ok(())
    }

    fn read_queues(
        &mut self,
        root: &Path,
        len: usize,
        places: &BTreeMap<i64, Place>,
    ) -> Result<()> {
        for topic in sorted(root)? {
            for queue in sorted(&topic)? {
                let mut units = Vec::new();
                for file in sorted(&queue)? {
                    let start = number_of(&file)? / len as i64;
                    let bytes = fs::read(&file)?;
                    for (at, unit) in bytes.chunks_exact(len).enumerate() {
                        units.extend(unit_of(unit, start + at as i64, places));
                    }
                }
                let topic = name_of(&topic)?;
                self.queues.insert((topic, name_of(&queue)?.parse()?), units);
            }
        }
        Ok(())
    }

    fn read_index(
        &mut self,
        bytes: &[u8],
        slots: usize,
        places: &BTreeMap<i64, Place>,
    ) -> Result<()> {
        let count = i32_at(bytes, INDEX_HEADER_LEN - 4).context("a short index file")?;
        let first = INDEX_HEADER_LEN + slots * 4;
        for entry in 1..count.max(1) as usize {
            let at = first + entry * INDEX_ENTRY_LEN;
            let hash = i32_at(bytes, at).context("a short index file")?;
            let position = i64_at(bytes, at + 4).context("a short index file")?;
            let place = places.get(&position).context("an index entry that leads nowhere")?;
            self.index.push((hash, place.clone()));
        }
        Ok(())
    }
}

fn unit_of(bytes: &[u8], queue_offset: i64, places: &BTreeMap<i64, Place>) -> Option<Unit> {
    let (position, size) = (i64_at(bytes, 0)?, i32_at(bytes, 8)?);
    if size <= 0 || size == i32::MAX {
        return None;
    }
    let is_batch = bytes.len() == BATCH_UNIT_LEN;
    Some(Unit {
        queue_offset: if is_batch { i64_at(bytes, 28)? } else { queue_offset },
        leads_to: places.get(&position).cloned(),
        size,
        tags_code: i64_at(bytes, 12)?,
        count: if is_batch { i16::from_be_bytes(*bytes.get(36..)?.first_chunk()?) } else { 1 },
    })
}

fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    bytes.get(at..)?.first_chunk().copied().map(i32::from_be_bytes)
}

fn i64_at(bytes: &[u8], at: usize) -> Option<i64> {
    bytes.get(at..)?.first_chunk().copied().map(i64::from_be_bytes)
}

/// The entries of a folder in order; none if there is no folder.
fn sorted(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder)? {
        entries.push(entry?.path());
    }
    entries.sort();
    Ok(entries)
}

fn name_of(path: &Path) -> Result<String> {
    let name = path.file_name().and_then(|name| name.to_str());
    Ok(name.with_context(|| format!("{}: no name", path.display()))?.to_owned())
}

fn number_of(path: &Path) -> Result<i64> {
    name_of(path)?.parse().with_context(|| format!("{}: no number", path.display()))
}
