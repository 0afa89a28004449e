//! Offsets as they were before a change, kept in files so that the change can be undone.
//!
//! `$XDG_STATE_HOME/mqadmin/offsets/GROUP/MS.json`, or below `~/.local/state`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use remoting::protocol::body::{ConsumeStats, MessageQueue};
use serde::{Deserialize, Serialize};

use crate::admin::client::Admin;

/// The offset of a group in one queue.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct At {
    /// The queue.
    pub queue: MessageQueue,
    /// What the group consumes next.
    pub offset: i64,
}

/// The offsets of a group at some time.
#[derive(Debug, Deserialize, Serialize)]
pub struct Saved {
    /// The group.
    pub group: String,
    /// When they were read, in ms.
    pub at_ms: i64,
    /// Where it was, by queue.
    pub offsets: Vec<At>,
}

impl Saved {
    /// The offsets of a group, of one topic or all, without queues that it has not begun.
    pub async fn read(admin: &Admin, group: &str, topic: Option<&str>) -> Result<Self> {
        let stats = admin.consume_stats_anywhere(group, topic).await?;
        Ok(Self::of(group, &stats))
    }

    fn of(group: &str, stats: &ConsumeStats) -> Self {
        let begun = stats.offset_table.iter().filter(|(_, at)| at.consumer_offset >= 0);
        let offsets =
            begun.map(|(queue, at)| At { queue: queue.clone(), offset: at.consumer_offset });
        let at_ms = runtime::clock::now_ms();
        Self { group: group.to_owned(), at_ms, offsets: offsets.collect() }
    }

    /// Keeps the offsets of a group in a file before they are changed. A group that has none has
    /// nothing to keep; a failure is told and stops nothing.
    pub async fn keep(admin: &Admin, group: &str, topic: Option<&str>) {
        let kept = match Self::read(admin, group, topic).await {
            Ok(saved) if saved.offsets.is_empty() => return,
            Ok(saved) => directory(group).and_then(|dir| saved.write(&dir)).map(|_| ()),
            Err(error) => Err(error),
        };
        if let Err(error) = kept {
            eprintln!("offsets of {group} are not kept: {error:#}");
        }
    }

    fn write(&self, dir: &Path) -> Result<PathBuf> {
        fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
        let path = dir.join(format!("{}.json", self.at_ms));
        fs::write(&path, serde_json::to_vec_pretty(self)?)
            .with_context(|| path.display().to_string())?;
        Ok(path)
    }

    /// Loads a file, or the newest one of a group.
    pub fn load(group: &str, file: Option<&Path>) -> Result<Self> {
        let path = match file {
            Some(path) => path.to_owned(),
            None => newest(&directory(group)?)?,
        };
        let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
        let saved: Self =
            serde_json::from_slice(&bytes).with_context(|| path.display().to_string())?;
        if saved.group != group {
            bail!("{}: offsets of group {}, expected {group}", path.display(), saved.group);
        }
        Ok(saved)
    }
}

fn directory(group: &str) -> Result<PathBuf> {
    if group.is_empty() || group.contains('/') || group.starts_with('.') {
        bail!("group `{group}` is no name of a directory");
    }
    let state = match (std::env::var_os("XDG_STATE_HOME"), std::env::var_os("HOME")) {
        (Some(state), _) => PathBuf::from(state),
        (None, Some(home)) => PathBuf::from(home).join(".local/state"),
        (None, None) => bail!("neither XDG_STATE_HOME nor HOME is set"),
    };
    Ok(state.join("mqadmin/offsets").join(group))
}

fn newest(dir: &Path) -> Result<PathBuf> {
    let entries =
        fs::read_dir(dir).with_context(|| format!("no offsets kept: {}", dir.display()))?;
    let number = |path: &PathBuf| path.file_stem()?.to_str()?.parse::<i64>().ok();
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let newest = files.filter(|path| number(path).is_some()).max_by_key(number);
    newest.with_context(|| format!("no offsets kept: {}", dir.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved(at_ms: i64) -> Saved {
        let queue = MessageQueue { broker_name: "b".into(), queue_id: 1, topic: "T".into() };
        Saved { group: "g".to_owned(), at_ms, offsets: vec![At { queue, offset: 7 }] }
    }

    #[test]
    fn the_newest_file_is_found_and_read() {
        let dir = tempfile::tempdir().unwrap();
        assert!(newest(dir.path()).is_err());
        saved(9).write(dir.path()).unwrap();
        let last = saved(10).write(dir.path()).unwrap();
        fs::write(dir.path().join("notes.txt"), "").unwrap();
        assert_eq!(newest(dir.path()).unwrap(), last);
        let read = Saved::load("g", Some(&last)).unwrap();
        assert_eq!((read.at_ms, read.offsets), (10, saved(10).offsets));
        assert!(Saved::load("h", Some(&last)).is_err());
    }

    #[test]
    fn no_group_leaves_the_directory() {
        for group in ["", "../x", "a/b", "..", "/"] {
            assert!(directory(group).is_err(), "{group}");
        }
    }
}
