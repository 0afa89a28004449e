//! Rows that no load makes: the start of a server, what it has when idle, and its most memory.

use std::thread;
use std::time::Duration;

use anyhow::Result;
use tempfile::TempDir;

use super::candidate::Server;
use super::results::{Latency, Outcome, Run, Server as Used};
use crate::compat;

/// The rows' names.
pub const FIRST: &str = "start, to the first stored message";
pub const IDLE: &str = "idle, 2 s after the start";
pub const FULL: &str = "under full load, in any row above";

/// What a server still does after its start.
const SETTLE: Duration = Duration::from_secs(2);

/// Starts every server in every round, in a directory of its own.
pub fn measure(servers: &[Server<'_>], rounds: usize) -> Result<Vec<Run>> {
    let mut runs = Vec::new();
    for round in 0..rounds {
        for server in servers {
            let home = TempDir::with_prefix_in("bench-", compat::cache())?;
            let candidate = server.start(home.path(), "start")?;
            let latency_us =
                Latency { p50: candidate.took.as_secs_f64() * 1e6, ..Latency::default() };
            let started = Outcome { latency_us, ..Outcome::default() };
            runs.push(Run::new(FIRST, candidate.name, round, started));
            thread::sleep(SETTLE);
            let idle = of_memory(candidate.anonymous_mib()?);
            runs.push(Run::new(IDLE, candidate.name, round, idle));
        }
    }
    Ok(runs)
}

/// The most memory that each server had in each round.
pub fn full_load(runs: &[Run]) -> Vec<Run> {
    let mut most: Vec<Run> = Vec::new();
    for run in runs {
        let Some(used) = run.outcome.as_ref().and_then(|outcome| outcome.server.as_ref()) else {
            continue;
        };
        let of = |known: &&mut Run| known.target == run.target && known.round == run.round;
        match most.iter_mut().find(of).and_then(|known| known.outcome.as_mut()) {
            Some(known) => {
                if let Some(server) = &mut known.server {
                    server.anonymous_mib = server.anonymous_mib.max(used.anonymous_mib);
                }
            }
            None => {
                most.push(Run::new(FULL, &run.target, run.round, of_memory(used.anonymous_mib)))
            }
        }
    }
    most
}

fn of_memory(anonymous_mib: f64) -> Outcome {
    Outcome { server: Some(Used { anonymous_mib, ..Used::default() }), ..Outcome::default() }
}

#[cfg(test)]
mod tests {
    use super::super::results::Figure;
    use super::*;

    #[test]
    fn the_most_memory_is_of_each_server_and_round() {
        let runs = [("a", "ours", 0, 5.0), ("b", "ours", 0, 9.0), ("b", "java", 0, 2.0)]
            .map(|(row, target, round, mib)| Run::new(row, target, round, of_memory(mib)));
        let most = full_load(&runs);
        let told: Vec<_> = most.iter().map(|run| (run.row.as_str(), run.target.as_str())).collect();
        assert_eq!(told, [(FULL, "ours"), (FULL, "java")]);
        let outcome = most[0].outcome.as_ref().expect("made here");
        assert_eq!(Figure::Memory.of(outcome), Figure::Memory.of(&of_memory(9.0)));
    }
}
