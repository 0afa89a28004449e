//! `cargo xtask test`: everything that must hold, in the order in which it fails fastest.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::Result;

/// One step of the gate: its name and the arguments that cargo gets.
const CARGO_STEPS: &[(&str, &[&str])] = &[
    ("format", &["fmt", "--all", "--check"]),
    ("tidy", &["xtask", "tidy"]),
    ("lint", &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]),
    ("unit, protocol and store tests", &["test", "--workspace", "--locked", "--quiet"]),
    (
        "simulated power cuts, failing calls",
        &[
            "test",
            "--release",
            "--locked",
            "--quiet",
            "--package",
            "store",
            "--test",
            "simulation",
            "--config",
            "env.SIMULATION_STATES='100000'",
            "--config",
            "env.SIMULATION_FIRST='1'",
            "--config",
            "env.SIMULATION_CALLS='200'",
        ],
    ),
    ("release binaries", &["build", "--release", "--locked", "--package", "broker", "--bins"]),
    ("instructions of the hot paths", &["xtask", "instructions"]),
    ("crash cycles", &["xtask", "crash", "--cycles", "3"]),
    (
        "power cuts",
        &["xtask", "crash", "--fault", "power", "--cycles", "20", "--flush", "SYNC_FLUSH"],
    ),
    (
        "failing calls of a real server",
        &["xtask", "crash", "--fault", "calls", "--first", "3", "--flush", "SYNC_FLUSH"],
    ),
    (
        "kills at named moments",
        &["xtask", "crash", "--fault", "point", "--cycles", "1", "--flush", "SYNC_FLUSH"],
    ),
    ("full disks", &["xtask", "crash", "--fault", "full", "--cycles", "5"]),
    ("disks that become read only", &["xtask", "crash", "--fault", "read-only", "--cycles", "5"]),
    ("stores to Java and back", &["xtask", "takeover"]),
    ("answers and files beside Java's", &["xtask", "compare"]),
    ("metrics beside Java's", &["xtask", "compare", "--metrics"]),
    ("Java's mqadmin beside Java's servers", &["xtask", "mqadmin"]),
    ("our mqadmin beside Java's", &["xtask", "mqadmin", "--native"]),
    ("real Java and Go clients", &["xtask", "compat"]),
];

/// Runs every step to its end and fails when one failed; a later step runs all the same.
pub fn run(root: &Path) -> Result<bool> {
    let mut failed = Vec::new();
    for (name, arguments) in CARGO_STEPS {
        println!("== {name}");
        let start = Instant::now();
        let status = Command::new("cargo").args(*arguments).current_dir(root).status()?;
        let outcome = if status.success() { "ok" } else { "FAILED" };
        println!("== {name}: {outcome} in {:.0} s", start.elapsed().as_secs_f64());
        if !status.success() {
            failed.push(*name);
        }
    }
    println!("{} passed, {} failed", CARGO_STEPS.len() - failed.len(), failed.len());
    if !failed.is_empty() {
        println!("failed: {}", failed.join(", "));
    }
    Ok(failed.is_empty())
}
