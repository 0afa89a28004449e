//! Crashes of a store, simulated: random work on a disk in memory, power cuts at every call.
//!
//! `SIMULATION_SEED=N` runs the one run of a seed, `SIMULATION_STATES=N` runs until so many states
//! of the disk were recovered from, from the seed `SIMULATION_FIRST` on or one of the clock. A
//! failure names its seed and keeps the disk.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../common/mod.rs"]
mod common;

mod check;
mod disk;
mod history;
mod random;
mod run;
mod system_calls;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use disk::{Disk, Image};
use history::{History, Message};
use random::Random;
use run::{Entry, Run};

/// Steps of a run.
const STEPS: u64 = 40;
/// Directories of the log at most.
const LOG_PATHS: u64 = 3;
/// Queues of a topic.
const QUEUES: i32 = 2;
/// The same in a run with more queues than are synced one by one.
const QUEUES_WIDE: i32 = 30;
/// Such a run has very many calls: a crash comes at one of so many.
const WIDE_ONE_OF: u64 = 16;
/// States of the default test.
const STATES: u64 = 2000;

/// Recovers from crashes of many runs.
#[test]
fn what_was_acknowledged_outlives_every_crash() {
    if let Some(seed) = variable("SIMULATION_SEED") {
        println!("{} states of seed {seed}", one_run(seed));
        return;
    }
    let wanted = variable("SIMULATION_STATES").unwrap_or(STATES);
    let (mut states, mut runs) = (0, 0);
    // Another part of the space each time when many are asked for.
    let first = variable("SIMULATION_FIRST").unwrap_or_else(|| match wanted {
        STATES => 1,
        _ => runtime::clock::now_ms().unsigned_abs(),
    });
    while states < wanted {
        states += one_run(first + runs);
        runs += 1;
    }
    println!("{states} states of the seeds {first} to {}", first + runs - 1);
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

/// One run and crashes all along it; returns how many states were recovered from.
fn one_run(seed: u64) -> u64 {
    catch_unwind(|| explore(seed)).unwrap_or_else(|panic| {
        println!("again: SIMULATION_SEED={seed} cargo test -p store --test simulation");
        resume_unwind(panic)
    })
}

fn explore(seed: u64) -> u64 {
    let random = Random::new(seed);
    let scratch = common::scratch();
    let log_paths = 1 + random.part(4).below(LOG_PATHS);
    let wide = random.part(5).chance(16);
    let queues = if wide { QUEUES_WIDE } else { QUEUES };
    let history = || History { log_paths, queues, ..History::default() };
    let mut run = Run::open(scratch.path(), history(), Vec::new(), random.part(1));
    let steps = 1 + random.part(2).below(STEPS);
    run.start_timer();
    for _ in 0..steps {
        run.step();
    }
    let messages = std::mem::take(&mut run.messages);
    let entries = run.journal.entries();
    let one_of = if wide { WIDE_ONE_OF } else { 1 };
    let explored = Explored { seed, image: &Image::default(), entries: &entries, messages, one_of };
    explored.crash_at_every_call(history(), &random.part(3))
}

/// What one run did to a disk.
struct Explored<'a> {
    seed: u64,
    image: &'a Image,
    entries: &'a [Entry],
    messages: Vec<Arc<Message>>,
    /// A crash at one of so many calls.
    one_of: u64,
}

impl Explored<'_> {
    fn crash_at_every_call(&self, mut history: History, random: &Random) -> u64 {
        let mut disk = Disk::of(self.image);
        let (mut states, mut chosen) = (0, random.part(u64::MAX));
        for (at, entry) in self.entries.iter().enumerate() {
            match entry {
                Entry::Note(note) => history.note(note),
                Entry::Call(call) if !chosen.chance(self.one_of) => disk.apply(call),
                Entry::Call(call) => {
                    if call.syncs() {
                        states += self.crash(&disk, &history, &random.part(2 * at as u64));
                    }
                    disk.apply(call);
                    states += self.crash(&disk, &history, &random.part(2 * at as u64 + 1));
                }
            }
        }
        states
    }

    /// Recovers from a crash, and from one in the middle of that.
    fn crash(&self, disk: &Disk, history: &History, random: &Random) -> u64 {
        let mut random = random.clone();
        let image = disk.crash(&mut random);
        let again = random.chance(4);
        self.or_keep(&image, || match again {
            false => leaf(&image, history, &self.messages, &mut random),
            true => self.crash_again(&image, history, &mut random),
        });
        1 + u64::from(again)
    }

    fn crash_again(&self, image: &Image, history: &History, random: &mut Random) {
        let scratch = scratch_of(image);
        let messages = self.messages.clone();
        let mut run = Run::open(scratch.path(), history.clone(), messages, random.part(1));
        let count = check::store(run.store(), history, &self.messages);
        let mut known = history.clone();
        known.messages = count;
        run.messages.truncate(count);
        run.history = known.clone();
        run.acknowledge();
        for _ in 0..random.below(4) {
            run.step();
        }
        let messages = std::mem::take(&mut run.messages);
        let entries = run.journal.entries();
        // Until the store is open, what is known is what was known before.
        let opened = entries.iter().position(|entry| matches!(entry, Entry::Note(_)));
        let opened = opened.unwrap_or(entries.len());
        let at = random.below(entries.len() as u64) as usize;
        let mut disk = Disk::of(image);
        let mut history = if at < opened { history.clone() } else { known };
        for entry in &entries[..=at] {
            match entry {
                Entry::Note(note) => history.note(note),
                Entry::Call(call) => disk.apply(call),
            }
        }
        let messages = if at < opened { self.messages.clone() } else { messages };
        let image = disk.crash(random);
        self.or_keep(&image, || leaf(&image, &history, &messages, random));
    }

    /// Keeps the disk that led to a failure.
    fn or_keep(&self, image: &Image, work: impl FnOnce()) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
            let kept = std::env::temp_dir().join(format!("simulation-{}", self.seed));
            let _ = std::fs::remove_dir_all(&kept);
            std::fs::create_dir(&kept).and_then(|()| image.write_to(&kept)).unwrap();
            println!("a disk that led to it is in {}", kept.display());
            resume_unwind(panic);
        }
    }
}

fn scratch_of(image: &Image) -> tempfile::TempDir {
    let scratch = common::scratch();
    image.write_to(scratch.path()).unwrap();
    scratch
}

/// Opens what a crash has left, looks at it, goes on and looks again.
fn leaf(image: &Image, history: &History, messages: &[Arc<Message>], random: &mut Random) {
    let scratch = scratch_of(image);
    let mut run = Run::open(scratch.path(), history.clone(), messages.to_vec(), random.part(2));
    check::json(scratch.path(), history);
    let count = check::store(run.store(), history, messages);
    if random.chance(4) {
        check::index(run.store(), &messages[..count], random);
    }
    run.messages.truncate(count);
    run.history.messages = count;
    run.put();
    if history.removing == 0 && random.chance(2) {
        run.deliver();
        check::delivered(&run.messages);
    }
    match random.below(4) {
        0 => run.stop(),
        1 => run.step(),
        _ => {}
    }
    check::store(run.store(), &run.history, &run.messages);
}
