//! What our `mqadmin doctor` says of a group whose live Java consumers subscribe differently.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::servers::Site;
use crate::compat::{self, Process};

const GROUP: &str = "table-torn";
const TOPIC: &str = "TablePlain";
/// What the members want of the topic.
const TAGS: [&str; 2] = ["A", "B"];
/// A member that has gone is known until its connection is closed.
const PATIENCE: Duration = Duration::from_secs(20);
/// Exit code of a diagnosis that is not empty.
const FOUND: i32 = 3;

/// Runs the doctor before, while and after such a group is there.
pub fn check(tool: &Path, argv: &[String], site: &Site) -> Result<()> {
    ensure!(torn(tool, site)?.is_none(), "found before it is there");
    let (members, process) = start(argv, site)?;
    let finding = torn(tool, site)?.context("members that subscribe differently are not found")?;
    let text = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    ensure!(text("severity") == "error", "{finding}");
    for tags in TAGS {
        ensure!(text("what").contains(&format!("{TOPIC}: {tags}")), "{finding}");
    }
    for member in &members {
        ensure!(text("what").contains(member), "{member}: {finding}");
    }
    ensure!(text("cause").contains("use the same group"), "{finding}");
    let shows = format!("consumerStatus -g {GROUP}");
    ensure!(text("cure").contains(&format!("mqadmin {shows}")), "{finding}");
    let shown = run(tool, &shows, site)?;
    let table = String::from_utf8_lossy(&shown.stdout);
    ensure!(shown.status.success() && members.iter().all(|m| table.contains(m)), "{shown:?}");
    let status = run(tool, &format!("brokerStatus -b {}", site.broker), site)?;
    let counted = String::from_utf8_lossy(&status.stdout).contains(GROUP);
    ensure!(counted, "the broker has not seen it at the heartbeats");
    drop(process);
    let gone = Instant::now();
    while torn(tool, site)?.is_some() {
        ensure!(gone.elapsed() < PATIENCE, "found after its members have gone");
        thread::sleep(Duration::from_millis(200));
    }
    println!("doctor: {} Java consumers of one group that disagree are named", members.len());
    Ok(())
}

/// The finding about the group.
fn torn(tool: &Path, site: &Site) -> Result<Option<Value>> {
    let Output { status, stdout, stderr } = run(tool, "doctor --output json", site)?;
    let said = String::from_utf8_lossy(&stderr);
    let diagnosis: Value = serde_json::from_slice(&stdout).context(said.into_owned())?;
    let findings = diagnosis["findings"].as_array().context("no findings")?;
    let code = if findings.is_empty() { 0 } else { FOUND };
    ensure!(status.code() == Some(code), "{status} with {} findings", findings.len());
    let subject = format!("group {GROUP}");
    Ok(findings.iter().find(|finding| finding["subject"] == *subject).cloned())
}

fn run(tool: &Path, line: &str, site: &Site) -> Result<Output> {
    let mut command = Command::new(tool);
    command.args(line.split(' ')).args(["-n", &site.name_server.to_string()]);
    // The status of consumers goes into files here.
    command.current_dir(compat::cache());
    command.stdin(Stdio::null()).output().with_context(|| tool.display().to_string())
}

/// Starts the members; returns their ids.
fn start(argv: &[String], site: &Site) -> Result<(Vec<String>, Process)> {
    let mut argv = argv.to_vec();
    let main = argv.last_mut().context("no Java command")?;
    *main = "compat.TornGroup".to_owned();
    argv.extend([site.name_server.to_string(), GROUP.to_owned(), TOPIC.to_owned()]);
    argv.extend(TAGS.map(str::to_owned));
    let log = compat::cache().join("mqadmin-torn.log");
    let mut process = Process::start(&argv, &[], &log, true)?;
    let output = process.child.stdout.take().context("no standard output")?;
    let mut members = Vec::new();
    for line in BufReader::new(output).lines() {
        match line?.as_str() {
            "READY" => return Ok((members, process)),
            id => members.push(id.to_owned()),
        }
    }
    anyhow::bail!("the consumers do not start; {}", compat::log_tail(&log))
}
