//! Every entry of the index, compared with the record it leads to.

use std::fs;
use std::io;

use remoting::protocol::message::hash::{index_hash_of, index_key_hash};
use remoting::protocol::message::properties::property;
use remoting::protocol::message::{Properties, Record};
use store::OpenError;
use store::index::read_index;

use super::Store;
use super::report::Report;

/// What the index holds.
#[derive(Debug, Default)]
pub struct IndexReport {
    /// Files.
    pub files: usize,
    /// Entries.
    pub entries: u64,
    /// Log position of the last record.
    pub end: i64,
}

pub(super) fn walk(store: &Store, report: &mut Report) -> anyhow::Result<()> {
    let directory = store.root.join("index");
    let entries = match fs::read_dir(&directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    for path in paths {
        match read_index(&path, &mut |hash, position| wrong(store, hash, position)) {
            Ok(view) => {
                report.index.files += 1;
                report.index.entries += view.entries;
                report.index.end = view.end;
            }
            Err(error @ OpenError::Damaged { .. }) => report.damage(error),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// What should be where an entry leads, if it is not there.
fn wrong(store: &Store, hash: i32, position: i64) -> Option<String> {
    if position < store.log.min() {
        return None;
    }
    let Some(slice) = store.log.read(position) else {
        // Recovery cuts what is behind the end.
        return (position < store.log.end()).then(|| "the position of a record".to_owned());
    };
    let record = Record::decode(slice.as_ref()).ok()?;
    let known = keys_of(&record).any(|key| index_hash_of(record.topic, key) == hash);
    // 5.5.0 has the tags, too.
    let tagged = record
        .tags()
        .is_some_and(|tags| index_key_hash(&format!("{}#T#{tags}", record.topic)) == hash);
    (!known && !tagged).then(|| format!("the position of a record whose key has hash {hash}"))
}

fn keys_of<'a>(record: &Record<'a>) -> impl Iterator<Item = &'a str> + use<'a> {
    let properties = Properties::new(record.properties);
    properties.get(property::UNIQ_KEY).into_iter().chain(properties.keys())
}
