//! Runs the scenarios of compat-tests: a server suite, and one process per client version that
//! executes its scenarios at once and prints a line for each.
//!
//! The server is ours, or with `--control` the released Java one: a scenario that fails on the
//! control is wrong. What cannot run (no JDK, Maven or Go) is named and counted as skipped; on a
//! build machine it is a failure.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use comfy_table::{Table, presets};

use crate::workspace;

mod client;
mod process;
mod server;
mod toolchain;

use client::{Outcome, Report};
pub use process::Process;
use server::Suite;
pub use server::{
    DISK_LEVELS, MqServer, Role, Servers, disk_levels, free_port, lists_broker, log_tail, loopback,
    write_config,
};
pub use toolchain::{Client, Toolchain, cache};

/// The table cuts longer reasons, which stand in full above it.
const DETAIL_WIDTH: usize = 100;

/// So many scenarios of a client may fail once and pass when they are run again by themselves:
/// threads of a real client race each other. More, or one that fails twice, is a failure.
const UNSTEADY_MAX: usize = 2;

/// Options of `cargo xtask compat`.
#[derive(clap::Args)]
pub struct Args {
    /// Run against the released Java 5.3.3 servers instead of ours
    #[arg(long)]
    control: bool,
    /// Run one client only: a Java client version, or `go`
    #[arg(long)]
    client: Option<String>,
    /// Folder that holds mqnamesrv and mqbroker; without it they are built
    #[arg(long, conflicts_with = "control")]
    server_bin: Option<PathBuf>,
    /// Run every scenario with every client, the slow ones too
    #[arg(long)]
    all: bool,
    /// Scenarios to run, such as line-15; all without
    scenario: Vec<String>,
}

/// Runs the suite; true if nothing failed.
pub fn run(args: &Args) -> Result<bool> {
    let clients = clients(args)?;
    let tools = Toolchain::find();
    let missing = tools.missing(args.control, &clients);
    for (client, tool) in &missing {
        println!("left out: client {client}, because {tool} is not installed");
    }
    ensure!(missing.is_empty() || !workspace::is_ci(), "CI needs a JDK, Maven and Go");
    let runnable: Vec<Client> = clients
        .into_iter()
        .filter(|client| !missing.iter().any(|(left_out, _)| left_out == client))
        .collect();
    if runnable.is_empty() {
        println!("0 passed, 0 failed, {} skipped", missing.len());
        return Ok(true);
    }
    let servers = if args.control {
        Servers::control(&tools)?
    } else {
        Servers::ours(args.server_bin.as_deref())?
    };
    let prepared =
        runnable.iter().map(|client| tools.prepare(*client)).collect::<Result<Vec<_>>>()?;
    let mut suite = Suite::start(servers)?;
    println!("{}", suite.describe());
    let mut reports = Vec::new();
    for program in &prepared {
        let mut ran = client::run(program, &mut suite, args.all, &args.scenario)?;
        let failed = || ran.iter().filter(|report| report.outcome == Outcome::Failed);
        let names: Vec<String> = failed().map(|report| report.scenario.clone()).collect();
        if (1..=UNSTEADY_MAX).contains(&names.len()) {
            println!("once more: {}", names.join(" "));
            let again = client::run(program, &mut suite, args.all, &names)?;
            let passed = |name: &str| {
                let mut of = again.iter().filter(|report| report.scenario == name);
                of.any(|report| report.outcome == Outcome::Passed)
            };
            for report in &mut ran {
                if report.outcome == Outcome::Failed && passed(&report.scenario) {
                    report.outcome = Outcome::Unsteady;
                }
            }
        }
        reports.extend(ran);
    }
    suite.stop()?;
    let matched = reports.iter().any(|report| report.outcome != Outcome::Unknown);
    ensure!(matched, "no client has a scenario called {}", args.scenario.join(" "));
    Ok(summarise(&reports, missing.len()))
}

fn clients(args: &Args) -> Result<Vec<Client>> {
    let Some(wanted) = &args.client else { return Ok(Client::ALL.to_vec()) };
    match Client::ALL.iter().find(|client| client.to_string() == *wanted) {
        Some(client) => Ok(vec![*client]),
        None => {
            let known: Vec<String> = Client::ALL.iter().map(Client::to_string).collect();
            bail!("unknown client {wanted}; known are {}", known.join(", "))
        }
    }
}

fn summarise(reports: &[Report], left_out: usize) -> bool {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(["client", "scenario", "result", "detail"]);
    let (mut passed, mut failed, mut skipped) = (0, 0, left_out);
    for report in reports {
        let word = match report.outcome {
            Outcome::Passed => {
                passed += 1;
                "pass"
            }
            Outcome::Unsteady => {
                passed += 1;
                "unsteady"
            }
            Outcome::Failed => {
                failed += 1;
                "FAIL"
            }
            Outcome::Skipped => {
                skipped += 1;
                "skip"
            }
            Outcome::Unknown => continue,
        };
        let detail: String = report.detail.chars().take(DETAIL_WIDTH).collect();
        table.add_row([report.client.as_str(), report.scenario.as_str(), word, &detail]);
    }
    println!("{table}");
    for report in reports {
        let word = match report.outcome {
            Outcome::Failed => "failed",
            Outcome::Unsteady => "failed once and then passed",
            _ => continue,
        };
        println!("{word}: {} {} {}", report.client, report.scenario, report.detail);
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    failed == 0
}
