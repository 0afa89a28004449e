//! `cargo xtask instructions`: how many instructions a request costs on the hot paths, counted by
//! callgrind and held against a table.
//!
//! Instructions of the process are counted, not those of the kernel, so a busy machine changes
//! nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::workspace;

/// The counts that were last written down: path, instructions.
const TABLE: &str = "compat-tests/benches/instructions/instructions.tsv";
/// A path that costs so many percent more fails; one that costs so many less should be written.
const TOLERANCE_PERCENT: f64 = 2.0;
/// The same where a request waits for another thread: how often it is polled is that one's to say.
const TOLERANCE_OF_WAITS_PERCENT: f64 = 6.0;
/// Ends of the names of such paths.
const WAITS: [&str; 2] = [", flushed", "that it waits for"];

/// Options of `cargo xtask instructions`.
#[derive(clap::Args)]
pub struct Args {
    /// Write the table anew
    #[arg(long)]
    write: bool,
    /// Keep callgrind's files here, one for each round, with lines; for callgrind_annotate
    #[arg(long, value_name = "FOLDER")]
    profiles: Option<PathBuf>,
}

/// Instructions per request, by path, in the order they were measured.
type Counts = Vec<(String, f64)>;

/// Counts, compares, and says whether no path costs more than the table allows.
pub fn run(args: &Args) -> Result<bool> {
    if !has_valgrind()? {
        println!("left out: valgrind is not installed");
        return Ok(true);
    }
    let counts = count(&build()?, args.profiles.as_deref())?;
    let table = workspace::root().join(TABLE);
    if args.write {
        let lines = counts.iter().map(|(path, count)| format!("{path}\t{count:.0}\n"));
        let text = format!("path\tinstructions\n{}", lines.collect::<String>());
        fs::write(&table, text).with_context(|| table.display().to_string())?;
        println!("{} paths written to {TABLE}", counts.len());
        return Ok(true);
    }
    Ok(compare(&counts, &read(&table)?))
}

/// True when valgrind is there; a build machine installs it.
fn has_valgrind() -> Result<bool> {
    let there = || workspace::has_tool("valgrind", &["--version"]);
    if !there() && workspace::is_ci() {
        workspace::run(Command::new("apt-get").arg("update"))?;
        workspace::run(Command::new("apt-get").args(["install", "-y", "valgrind"]))?;
        ensure!(there(), "valgrind does not run although it was installed");
    }
    Ok(there())
}

/// Builds the program of the paths and returns where it is.
fn build() -> Result<PathBuf> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(workspace::root()).args(["build", "--release", "--locked"]);
    cargo.args(["--package", "compat-tests", "--bench", "instructions"]);
    cargo.args(["--message-format", "json-render-diagnostics"]);
    let output = cargo.output().context("cannot run cargo")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the paths do not build:\n{errors}");
    let executable = String::from_utf8_lossy(&output.stdout).lines().find_map(|line| {
        let artifact: serde_json::Value = serde_json::from_str(line).ok()?;
        artifact["executable"].as_str().map(PathBuf::from)
    });
    executable.context("cargo names no executable")
}

/// Runs the program under callgrind; the least of the rounds of a path is its count.
fn count(program: &Path, profiles: Option<&Path>) -> Result<Counts> {
    let scratch = TempDir::new().context("no temporary folder")?;
    let folder = profiles.unwrap_or(scratch.path());
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let out = folder.join("round");
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--quiet"]);
    // A `*` stands for what the compiler appends to a name. Tasks of the runtime are polled
    // through a pointer to this function, so it is never inlined.
    valgrind.arg("--toggle-collect=instructions::counted*");
    valgrind.arg("--toggle-collect=tokio::runtime::task::raw::poll*");
    valgrind.arg("--dump-before=instructions::end_of_round*");
    valgrind.arg(format!("--dump-line={}", if profiles.is_some() { "yes" } else { "no" }));
    valgrind.arg(format!("--callgrind-out-file={}", out.display()));
    let output = valgrind.arg(program).output().context("cannot run valgrind")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the paths failed ({}):\n{errors}", output.status);
    let mut least: Counts = Vec::new();
    let rounds = String::from_utf8(output.stdout).context("the paths' names")?;
    for (number, round) in (1..).zip(rounds.lines()) {
        let (path, requests) = round.split_once('\t').context("a round without a name")?;
        let per_request =
            total(&folder.join(format!("round.{number}")))? / requests.parse::<f64>()?;
        ensure!(per_request > 0.0, "{path}: callgrind counted nothing");
        match least.iter_mut().find(|(known, _)| known == path) {
            Some((_, count)) => *count = count.min(per_request),
            None => least.push((path.to_owned(), per_request)),
        }
    }
    Ok(least)
}

/// Instructions of one of callgrind's files.
fn total(file: &Path) -> Result<f64> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let total = total.with_context(|| format!("{}: no totals", file.display()))?;
    Ok(total.trim().parse()?)
}

fn read(table: &Path) -> Result<BTreeMap<String, f64>> {
    let text = fs::read_to_string(table).with_context(|| table.display().to_string())?;
    let row = |line: &str| {
        let (path, count) = line.split_once('\t')?;
        Some((path.to_owned(), count.parse().ok()?))
    };
    let rows = text.lines().skip(1);
    rows.map(|line| row(line).with_context(|| format!("{TABLE}: {line:?}"))).collect()
}

/// Prints every path; true when none costs more than the table says and none is missing.
fn compare(counts: &Counts, table: &BTreeMap<String, f64>) -> bool {
    let mut good = true;
    let mut cheaper = false;
    for (path, count) in counts {
        let Some(expected) = table.get(path) else {
            println!("{count:>9.0}           {path}: not in the table");
            good = false;
            continue;
        };
        let percent = (count / expected - 1.0) * 100.0;
        let waits = WAITS.iter().any(|end| path.ends_with(end));
        let tolerance = if waits { TOLERANCE_OF_WAITS_PERCENT } else { TOLERANCE_PERCENT };
        let verdict = if percent > tolerance {
            good = false;
            ": MORE than the table says"
        } else if percent < -tolerance {
            cheaper = true;
            ": less than the table says"
        } else {
            ""
        };
        println!("{count:>9.0} {percent:>+7.1} %  {path}{verdict}");
    }
    for path in table.keys().filter(|path| !counts.iter().any(|(known, _)| known == *path)) {
        println!("{:>19}  {path}: in the table only", "");
        good = false;
    }
    if !good || cheaper {
        println!("`cargo xtask instructions --write` writes {TABLE} anew");
    }
    good
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_costs_more_or_is_unknown_fails() {
        let table = BTreeMap::from([("send".to_owned(), 1000.0)]);
        let good = |path: &str, count| compare(&vec![(path.to_owned(), count)], &table);
        assert!(good("send", 1019.0) && good("send", 1.0));
        assert!(!good("send", 1021.0));
        assert!(!good("pull", 1000.0));
        let table = BTreeMap::from([("send, flushed".to_owned(), 1000.0)]);
        let good = |count| compare(&vec![("send, flushed".to_owned(), count)], &table);
        assert!(good(1059.0) && !good(1061.0));
        assert!(!compare(&Vec::new(), &table));
    }
}
