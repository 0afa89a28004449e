//! One client process: reads its lines, serves what its scenarios need, collects the results.
//!
//! The program prints `SCENARIO name PASS 12ms`, `SCENARIO name FAIL reason`,
//! `SCENARIO name SKIP reason`, `NEED id start broker-c` (answered with `DONE id address` or
//! `FAILED id reason` on its standard input), and `FIGURE text` for a measurement. It ends with
//! `END`; any other line is ignored.

use std::io::{BufRead, BufReader, Write};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::process::Process;
use super::server::Suite;
use super::toolchain::{self, Program};

const PATIENCE: Duration = Duration::from_secs(420);

/// How a scenario ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything held.
    Passed,
    /// Something did not hold, but it did when the scenario was run again.
    Unsteady,
    /// Something did not hold.
    Failed,
    /// It did not apply, for a stated reason.
    Skipped,
    /// The client has no scenario of that name.
    Unknown,
}

/// One line of the result table.
pub struct Report {
    /// The client that ran it.
    pub client: String,
    /// The scenario, such as line-15.
    pub scenario: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Duration or reason.
    pub detail: String,
}

/// Runs `scenarios` (all if empty) of `program` against `suite`.
pub fn run(
    program: &Program,
    suite: &mut Suite,
    all: bool,
    scenarios: &[String],
) -> Result<Vec<Report>> {
    let client = program.client.to_string();
    println!("client {client}");
    let mut argv = program.argv.clone();
    argv.extend(scenarios.iter().cloned());
    let mut env = suite.environment();
    env.push(("COMPAT_CLIENT", client.clone()));
    env.push(("COMPAT_ALL", all.to_string()));
    if let Some(peer) = &program.go_peer {
        env.push(("COMPAT_GO", peer.to_string_lossy().into_owned()));
    }
    let log = toolchain::logs().join(format!("client-{client}.log"));
    let mut process = Process::start(&argv, &env, &log, true)?;
    let mut input = process.child.stdin.take().context("no standard input")?;
    let output = process.child.stdout.take().context("no standard output")?;
    let (lines, received) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                return;
            }
        }
    });
    let deadline = Instant::now() + PATIENCE;
    let mut reports = Vec::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let line = match received.recv_timeout(left) {
            Ok(line) => line,
            Err(error) => {
                let detail = match error {
                    RecvTimeoutError::Timeout => format!("no end after {PATIENCE:?}"),
                    RecvTimeoutError::Disconnected => "the client program ended early".to_owned(),
                };
                reports.push(report(&client, "(process)", Outcome::Failed, &detail));
                return Ok(reports);
            }
        };
        match line.split_once(' ') {
            Some(("SCENARIO", rest)) => reports.extend(parse(&client, rest)),
            Some(("FIGURE", text)) => println!("  {text}"),
            Some(("NEED", rest)) => {
                let (id, request) = rest.split_once(' ').unwrap_or((rest, ""));
                let answer = match suite.serve(request) {
                    Ok(address) => format!("DONE {id} {address}"),
                    Err(error) => format!("FAILED {id} {error:#}").replace('\n', " | "),
                };
                writeln!(input, "{answer}")?;
            }
            _ if line == "END" => return Ok(reports),
            _ => {}
        }
    }
}

fn parse(client: &str, rest: &str) -> Option<Report> {
    let mut words = rest.splitn(3, ' ');
    let (scenario, word) = (words.next()?, words.next()?);
    let detail = words.next().unwrap_or_default();
    let outcome = match word {
        "PASS" => Outcome::Passed,
        "SKIP" => Outcome::Skipped,
        "UNKNOWN" => Outcome::Unknown,
        _ => Outcome::Failed,
    };
    if outcome != Outcome::Unknown {
        println!("  {scenario:<16} {word} {detail}");
    }
    Some(report(client, scenario, outcome, detail))
}

fn report(client: &str, scenario: &str, outcome: Outcome, detail: &str) -> Report {
    Report {
        client: client.to_owned(),
        scenario: scenario.to_owned(),
        outcome,
        detail: detail.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_line_becomes_a_report() {
        let passed = parse("go", "line-15 PASS 12ms").unwrap();
        assert_eq!((passed.scenario.as_str(), passed.outcome), ("line-15", Outcome::Passed));
        assert_eq!(passed.detail, "12ms");
        let failed = parse("go", "line-3 FAIL expected code 3, got 1").unwrap();
        assert_eq!(
            (failed.outcome, failed.detail.as_str()),
            (Outcome::Failed, "expected code 3, got 1")
        );
        assert_eq!(parse("go", "line-9 SKIP no Go").unwrap().outcome, Outcome::Skipped);
        assert!(parse("go", "line-9").is_none());
    }
}
