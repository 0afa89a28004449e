//! Deleting whole queues: those of a topic, and those that lead to nothing any more.
//!
//! In two steps. First a queue leaves the table and is marked, under the append lock, so that
//! whoever stores next finds it gone and makes a new one. Then its files go, and no file is made
//! meanwhile: it might have the name of one of them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};

use super::queues::{EXT_DIR, check_topic};
use super::{Queue, Queues};
use crate::disk_file::{remove_directory, sync_directory};
use crate::dispatch::ViewError;
use crate::light::is_light;

/// Queues that have left the table, and whose files are still there.
#[must_use = "the files stay without `remove`"]
pub struct Doomed<'a> {
    count: usize,
    directories: Vec<PathBuf>,
    _no_file_is_made: MutexGuard<'a, ()>,
}

impl Queues {
    /// Deletes the queues of a topic and their directories. Nobody may append meanwhile.
    pub fn delete_topic(&self, topic: &str) -> io::Result<()> {
        self.detach_topic(topic).remove().map(|_| ())
    }

    /// Deletes every queue (there is no log left).
    pub fn destroy(&self) -> io::Result<()> {
        let topics: Vec<Arc<str>> = self.topics.iter().map(|topic| topic.key().clone()).collect();
        topics.iter().try_for_each(|topic| self.delete_topic(topic))
    }

    /// Takes the queues of a topic out of the table. Nobody may append meanwhile.
    pub fn detach_topic(&self, topic: &str) -> Doomed<'_> {
        let queues = self.topics.remove(topic).map_or_else(Vec::new, |(_, queues)| queues);
        let roots = [self.simple.root.clone(), self.batch.root.clone(), self.root.join(EXT_DIR)];
        let directories = match check_topic(topic) {
            Ok(()) => roots.map(|root| root.join(topic)).to_vec(),
            Err(_) => Vec::new(),
        };
        self.doom(topic, &queues, directories)
    }

    /// The queues that have led to something, but only to what is before a log position, by topic.
    pub fn dead(
        &self,
        min_physical_offset: i64,
    ) -> Result<BTreeMap<Arc<str>, Vec<i32>>, ViewError> {
        let mut dead: BTreeMap<Arc<str>, Vec<i32>> = BTreeMap::new();
        self.load_all()?;
        for queue in self.known_all() {
            if queue.ends_before(min_physical_offset)
                && queue.gone_before(queue.end_index(), min_physical_offset)?
            {
                dead.entry(queue.topic().clone()).or_default().push(queue.id());
            }
        }
        Ok(dead)
    }

    /// Takes those of some queues out of the table that are still [`Queues::dead`]. Nobody may
    /// append meanwhile.
    pub fn detach_dead(&self, topic: &str, ids: &[i32], min_physical_offset: i64) -> Doomed<'_> {
        let mut dead = Vec::new();
        if let Some(mut queues) = self.topics.get_mut(topic) {
            queues.retain(|queue| {
                let goes = ids.contains(&queue.id()) && queue.ends_before(min_physical_offset);
                if goes {
                    dead.push(queue.clone());
                }
                !goes
            });
        }
        self.topics.remove_if(topic, |_, queues| queues.is_empty());
        let directories = dead.iter().map(|queue| queue.place().dir()).collect();
        self.doom(topic, &dead, directories)
    }

    /// Deletes the directories of topics that hold nothing and that `unused` names.
    pub fn delete_empty_directories(&self, unused: &dyn Fn(&str) -> bool) -> io::Result<()> {
        let _apart = self.simple.deleting.lock().unwrap_or_else(PoisonError::into_inner);
        for root in [&self.simple.root, &self.batch.root] {
            if !root.exists() {
                continue;
            }
            for entry in std::fs::read_dir(root)? {
                let entry = entry?;
                let is_unused = entry.file_name().to_str().is_some_and(unused);
                if is_unused && std::fs::read_dir(entry.path())?.next().is_none() {
                    remove_directory(&entry.path())?;
                    sync_directory(root)?;
                }
            }
        }
        Ok(())
    }

    fn doom(&self, topic: &str, queues: &[Arc<Queue>], directories: Vec<PathBuf>) -> Doomed<'_> {
        queues.iter().for_each(|queue| queue.delete());
        if is_light(topic) {
            self.light_count.fetch_sub(queues.len(), Ordering::Relaxed);
        }
        let deleting = self.simple.deleting.lock().unwrap_or_else(PoisonError::into_inner);
        Doomed { count: queues.len(), directories, _no_file_is_made: deleting }
    }
}

impl Doomed<'_> {
    /// Deletes the files, durably; returns the number of queues.
    pub fn remove(self) -> io::Result<usize> {
        let mut parents: BTreeSet<&Path> = BTreeSet::new();
        for directory in &self.directories {
            match remove_directory(directory) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                removed => removed?,
            }
            parents.extend(directory.parent());
        }
        parents.into_iter().try_for_each(sync_directory)?;
        Ok(self.count)
    }
}

impl Queue {
    /// Whether all it leads to ends before a log position, and it leads to something.
    fn ends_before(&self, physical_offset: i64) -> bool {
        (0..physical_offset).contains(&self.max_physical_offset())
    }
}
