//! Every call to the disk failing in turn under a small piece of work.
//!
//! Whatever fails, nobody panics, reads go on, and what was acknowledged is there after a kill and
//! after a power cut that takes all that was not synced. After a failed sync nothing is
//! acknowledged until a restart. An interrupted or short call is no failure.

use std::collections::BTreeMap;
use std::path::Path;

use store::MessageStore;
use store::faults::Faults;
use store::json_file::JsonFile;

use crate::common::{self, read_all};
use crate::disk::{Disk, Image};
use crate::random::Random;
use crate::run::{Entry, Journal, config, json_file};

const CALLS: [&str; 8] =
    ["pwrite", "fdatasync", "fallocate", "rename", "open", "ftruncate", "mmap", "unlink"];
const FAULTS: [&str; 4] = ["EIO", "ENOSPC", "EINTR", "short"];
/// So many of the first calls of a kind fail in turn, if `SIMULATION_CALLS` says nothing else.
const NUMBERS: u64 = 12;
const PUTS: i32 = 60;

#[test]
fn any_call_may_fail() {
    let numbers = crate::variable("SIMULATION_CALLS").unwrap_or(NUMBERS);
    let mut cases = 0;
    for call in CALLS {
        for fault in FAULTS {
            let hit = (1..=numbers).take_while(|number| {
                let rule = format!("{call}:{number}:{fault}");
                let case = || Case::of(&rule).run(matches!(fault, "EINTR" | "short"));
                std::panic::catch_unwind(case).unwrap_or_else(|panic| {
                    println!("with {rule}");
                    std::panic::resume_unwind(panic)
                })
            });
            cases += hit.count();
        }
    }
    println!("{cases} failed calls");
    assert!(cases as u64 > 20 * numbers.min(NUMBERS), "{cases}");
}

/// One failing call.
struct Case {
    scratch: tempfile::TempDir,
    journal: Journal,
    faults: Faults,
    /// Messages put: where each ends, and its body.
    put: Vec<(i64, Vec<u8>)>,
    acknowledged: i64,
    generation: i64,
    refused: Vec<String>,
}

impl Case {
    fn of(rule: &str) -> Case {
        let scratch = common::scratch();
        let faults = Faults::on(scratch.path());
        faults.set(rule).unwrap();
        let journal = Journal::of(scratch.path());
        let (put, refused) = (Vec::new(), Vec::new());
        Case { scratch, journal, faults, put, acknowledged: 0, generation: 0, refused }
    }

    /// Returns whether the rule has hit a call.
    fn run(mut self, harmless: bool) -> bool {
        for _ in 0..2 {
            match common::open(config(self.scratch.path(), true, 1)) {
                Ok(store) => self.work(&store),
                Err(error) => self.refused.push(error.to_string()),
            }
        }
        let hit = self.faults.hits() > 0;
        assert!(!harmless || self.refused.is_empty(), "{:?}", self.refused);
        assert!(hit || self.refused.is_empty(), "{:?}", self.refused);
        self.faults.set("").unwrap();
        let Case { scratch, journal, put, acknowledged, generation, .. } = self;
        let mut disk = Disk::of(&Image::default());
        for entry in journal.entries() {
            if let Entry::Call(call) = entry {
                disk.apply(&call);
            }
        }
        let known = Known { put, acknowledged, generation };
        known.check(scratch.path(), true);
        for seed in 0..3 {
            let cut = common::scratch();
            disk.crash(&mut Random::new(seed)).write_to(cut.path()).unwrap();
            known.check(cut.path(), false);
        }
        hit
    }

    fn work(&mut self, store: &MessageStore) {
        for n in 0..PUTS {
            self.put(store, n);
            if n % 3 == 0 {
                let flushed = store.flush().map_err(|error| error.to_string());
                self.note(flushed);
            }
            let written = match n % 12 {
                1 => store.queues().write_tails().map(drop).map_err(|error| error.to_string()),
                5 => store.save_checkpoint().map_err(|error| error.to_string()),
                7 => store.log().prepare().map_err(|error| error.to_string()),
                9 => self.save(),
                _ => Ok(_ = store.build_index()),
            };
            self.note(written);
            let flushed = store.flushed_offset();
            // Told from what is waited for: a poisoned log has a position, too.
            if store.durable(flushed) {
                self.acknowledged = self.acknowledged.max(flushed);
            }
            assert!(!store.log().poisoned() || !store.durable(store.max_physical_offset() + 1));
        }
        if self.faults.hits() > 0 {
            // Reads go on, whatever has failed.
            let there = store.max_offset("T", 0) - store.min_offset("T", 0).max(0);
            assert_eq!(read_all(store, "T", 0).len() as i64, there);
        }
        let removed = store.delete_oldest_file().map(drop).map_err(|error| error.to_string());
        // The messages of the file are gone, with their acknowledgement.
        let min = store.min_physical_offset();
        self.put.retain(|(end, _)| *end > min);
        self.note(removed);
        store.delete_expired_views();
        let stopped = store.stop().map_err(|error| error.to_string());
        self.note(stopped);
    }

    fn put(&mut self, store: &MessageStore, n: i32) {
        let body = vec![n as u8; 150];
        match store.put(&common::message("T", 0, &body)) {
            Ok(put) => {
                assert!(!store.log().poisoned(), "accepted after a failed write");
                self.put.push((put.end, body));
            }
            Err(error) => self.refused.push(error.to_string()),
        }
    }

    fn save(&mut self) -> Result<(), String> {
        let value = BTreeMap::from([("generation", self.generation + 1)]);
        JsonFile::save(&json_file(self.scratch.path()), &value).map_err(|e| e.to_string())?;
        self.generation += 1;
        Ok(())
    }

    fn note(&mut self, done: Result<(), String>) {
        self.refused.extend(done.err());
    }
}

/// What must be there afterwards.
struct Known {
    put: Vec<(i64, Vec<u8>)>,
    acknowledged: i64,
    generation: i64,
}

impl Known {
    fn check(&self, directory: &Path, killed: bool) {
        let store = common::open(config(directory, true, 1)).unwrap_or_else(|e| panic!("{e}"));
        let min = store.min_physical_offset();
        let read = read_all(&store, "T", 0);
        for (end, body) in &self.put {
            let there = read.iter().any(|stored| {
                stored.physical_offset + i64::from(stored.size) == *end && stored.body == *body
            });
            // A kill loses nothing that was put; a power cut nothing that was acknowledged.
            let must = killed || *end <= self.acknowledged;
            assert!(there || !must || *end <= min, "lost the message that ends at {end}");
        }
        let put = store.put(&common::message("T", 0, b"on")).unwrap();
        assert_eq!(put.queue_offset, read.last().map_or(0, |last| last.queue_offset + 1));
        let loaded: Option<BTreeMap<String, i64>> = JsonFile::load(&json_file(directory)).unwrap();
        let generation = loaded.map_or(0, |loaded| loaded["generation"]);
        assert!(generation >= self.generation, "the JSON file is of generation {generation}");
        store.stop().unwrap();
    }
}
