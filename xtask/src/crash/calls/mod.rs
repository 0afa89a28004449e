//! Each of the first calls to the disk fails in turn, under sends to topics that come and go.
//!
//! The server may stop acknowledging, or refuse to start, but must not panic or die, and answers
//! every send. What is sent after a sync has failed for which the log is closed is not
//! acknowledged, and such a sync of a log file that holds messages always closes it. An
//! interrupted or short call is not noticed. After a restart without the fault everything
//! acknowledged is there, and messages are accepted.

mod script;

use std::collections::BTreeMap;
use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use self::script::Told;
use super::server::Server;
use super::{audit, disk, print_lost};

const CALLS: [&str; 8] =
    ["pwrite", "fdatasync", "fallocate", "rename", "open", "ftruncate", "mmap", "unlink"];
const ERRORS: [&str; 3] = ["EIO", "ENOSPC", "EINTR"];
/// Servers that run at a time.
const WORKERS: usize = 4;
/// A log file; two messages fill one, so that every call is made often.
pub const SEGMENT: i64 = 4096;
/// After so many numbers that were not reached, the rest of a call and error is left out.
const UNREACHED_MAX: usize = 10;
/// What the server says when it accepts nothing any more.
const CLOSED: &str = "no message is accepted until a restart";

/// One call that fails.
#[derive(Clone, Copy, Debug)]
struct Case {
    call: &'static str,
    error: &'static str,
    number: u64,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.call, self.number, self.error)
    }
}

/// What became of the cases.
#[derive(Default)]
struct Seen {
    acknowledged: usize,
    /// Acknowledged although sent after the call that closed the log had failed, just then.
    at_once: usize,
    refused_starts: usize,
    closed: usize,
    violations: usize,
    /// Cases of each call and error that were never reached.
    unreached: BTreeMap<(&'static str, &'static str), usize>,
    cases: usize,
}

/// Fails the first `first` calls of each kind with each error; true if it held.
pub fn run(first: u64, flush: &str, binary: &Path) -> Result<bool> {
    let begun = Instant::now();
    let cases = cases(first);
    let (next, seen) = (AtomicUsize::new(0), Mutex::new(Seen::default()));
    thread::scope(|scope| {
        let work = || -> Result<()> {
            let memory = disk::memory()?;
            let settings =
                format!("mappedFileSizeCommitLog={SEGMENT}\nflushIntervalConsumeQueue=20\n");
            let mut server = Server::prepare_on(Some(memory.path()), binary, flush, &settings)?;
            while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                if lock(&seen).passes_over(*case) {
                    continue;
                }
                fail(*case, &mut server, &seen).with_context(|| format!("with {case}"))?;
                server.clear()?;
            }
            Ok(())
        };
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().ok().context("a panic")?)
    })?;
    let seen = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
    seen.report(flush, first, begun);
    Ok(seen.violations == 0 && seen.acknowledged > seen.cases)
}

fn cases(first: u64) -> Vec<Case> {
    let mut cases = Vec::new();
    for call in CALLS {
        // Only a write can be short.
        let short = (call == "pwrite").then_some("short");
        for error in ERRORS.into_iter().chain(short) {
            cases.extend((1..=first).map(|number| Case { call, error, number }));
        }
    }
    cases
}

/// Runs one case.
fn fail(case: Case, server: &mut Server, seen: &Mutex<Seen>) -> Result<()> {
    server.faults = case.to_string();
    let (mut told, mut wrong) = (Told::default(), Vec::new());
    let started = server.start();
    let mut said = server.said();
    ensure!(said.contains("disk faults are on"), "the server lacks the feature faults\n{said}");
    let status = match started {
        Ok(()) => {
            told = script::run(&server.broker(), server.hits())?;
            end(server, case.number.is_multiple_of(2))?
        }
        Err(_) => Some(server.ended()?),
    };
    said = server.said();
    let hit = std::fs::read_to_string(server.hits()).unwrap_or_default();
    if let Some(signal) = status.and_then(|status| status.signal()) {
        wrong.push(format!("death by signal {signal}"));
    }
    if said.contains("panicked") {
        wrong.push("a panic".to_owned());
    }
    told.judge(case.error, &hit, said.contains(CLOSED), &mut wrong);

    server.faults.clear();
    server.start().context("the restart without the fault")?;
    let kept = told.topics.iter().map(|(topic, acks)| (topic, acks.as_slice()));
    let lost = print_lost(&audit::lost_of(&server.broker(), kept)?);
    if lost > 0 {
        wrong.push(format!("{lost} lost"));
    }
    wrong.extend(script::goes_on(&server.broker())?);
    server.kill()?;

    let mut seen = lock(seen);
    for wrong in &wrong {
        println!("{case}: {wrong}; hit: {}", hit.trim());
    }
    if !wrong.is_empty() {
        println!("{said}");
    }
    seen.note(case, &told, status, !hit.is_empty(), said.contains(CLOSED), wrong.len());
    Ok(())
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Kills the server, or stops it; how it ended if by itself.
fn end(server: &mut Server, kill: bool) -> Result<Option<ExitStatus>> {
    if kill {
        return match server.kill() {
            Ok(()) => Ok(None),
            Err(error) => Err(error.context(server.said())),
        };
    }
    server.terminate().map(Some)
}

impl Seen {
    fn passes_over(&mut self, case: Case) -> bool {
        let unreached = self.unreached.entry((case.call, case.error)).or_default();
        let over = *unreached >= UNREACHED_MAX;
        *unreached += usize::from(over);
        over
    }

    fn note(
        &mut self,
        case: Case,
        told: &Told,
        status: Option<ExitStatus>,
        hit: bool,
        closed: bool,
        wrong: usize,
    ) {
        self.cases += 1;
        self.acknowledged += told.acknowledged;
        self.at_once += if closed { told.at_once } else { 0 };
        self.refused_starts += usize::from(told.sent == 0 && status.is_some());
        self.closed += usize::from(closed);
        self.violations += wrong;
        *self.unreached.entry((case.call, case.error)).or_default() += usize::from(!hit);
        if self.cases.is_multiple_of(500) {
            println!("{} cases, {} violations", self.cases, self.violations);
        }
    }

    fn report(&self, flush: &str, first: u64, begun: Instant) {
        for ((call, error), count) in self.unreached.iter().filter(|(_, count)| **count > 0) {
            println!("{flush}: {count} of the first {first} of {call} with {error} never reached");
        }
        println!(
            "{flush}: {} failing calls in {:.0?}, {} starts refused, {} logs closed; {} \
             acknowledged, {} of them less than {:?} after what closed the log; {} violations",
            self.cases,
            begun.elapsed(),
            self.refused_starts,
            self.closed,
            self.acknowledged,
            self.at_once,
            script::SETTLED,
            self.violations
        );
    }
}
