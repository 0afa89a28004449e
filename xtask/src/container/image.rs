//! The image of `packaging/Containerfile`, run as a container would run it.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::containerfile::{Image, below};
use super::jail::{Jail, Jailed};
use super::recipe::Recipe;
use super::{RoundTrip, answers, http};
use crate::compat;

const MESSAGES: u32 = 100;
/// What a stop may take.
const STOP_MAX: Duration = Duration::from_secs(2);

/// Runs it, lets Java send and consume, stops it, and starts it on the same volume.
pub fn check(
    (image, binaries): (&Image, &Path),
    recipe: &Recipe,
    home: &Path,
    java: &RoundTrip,
) -> Result<String> {
    let (root, volume) = (home.join("root"), home.join("volume"));
    image.lay_out(binaries, &root)?;
    fs::create_dir_all(&volume)?;
    // As a new volume has the owner of the directory of the image.
    chown(&volume, Some(image.user.0), Some(image.user.1))?;
    fs::write(below(&root, &recipe.file.0), &recipe.file.1)?;
    for (host, own) in &recipe.bindings {
        // What the name server says must hold on both sides.
        ensure!(host == own && image.ports.contains(own), "the recipe maps {own} to {host}");
    }
    let jail = Jail {
        root: root.clone(),
        user: image.user,
        environment: image.environment.clone(),
        mounts: vec![(volume.clone(), image.volume.clone())],
        is_strict: false,
        network_of: None,
    };
    let mut command = image.entry_point.clone();
    command.extend_from_slice(&recipe.command);
    let log = compat::cache().join("container.log");

    let mut server = jail.start(&command, &log)?;
    let ready = server.line("ready")?;
    let before = files(&root)?;
    is_ready(image, &server, &ready)?;
    ensure!(matches(&recipe.wait, &ready)?, "{} does not match {ready}", recipe.wait);
    java.run(&server, image.user, MESSAGES)?;
    let first = stop(server, image)?;

    let mut again = jail.start(&command, &log)?;
    again.line("ready")?;
    let status = "/usr/bin/mqadmin topicStatus -n 127.0.0.1:9876 -t RoundTrip --output json";
    let status: Value = serde_json::from_str(&again.inside(image.user, status)?)?;
    let kept = status["queues"].as_array().context("queues")?;
    let kept: i64 = kept.iter().filter_map(|queue| queue["maxOffset"].as_i64()).sum();
    ensure!(kept == i64::from(MESSAGES), "{kept} messages are left of {MESSAGES}");
    java.run(&again, image.user, MESSAGES)?;
    let second = stop(again, image)?;
    let surplus: Vec<PathBuf> = files(&root)?.difference(&before).cloned().collect();
    ensure!(surplus.is_empty(), "written outside of the volume: {surplus:?}");
    for program in ["mqbroker", "mqnamesrv"] {
        let status = jail.start(&[program.to_owned(), "--version".to_owned()], &log)?.ended()?;
        ensure!(status.success(), "{program}: {status}");
    }
    Ok(format!(
        "container: ready as user {}, ports {:?}, {} messages each before and after a restart, \
         stopped in {} and {} ms",
        image.user.0,
        image.ports,
        MESSAGES,
        first.as_millis(),
        second.as_millis()
    ))
}

/// What the ready line and the declared user and ports promise.
fn is_ready(image: &Image, server: &Jailed, ready: &str) -> Result<()> {
    let said: Value = serde_json::from_str(ready)?;
    for (key, value) in [
        ("namesrv", "127.0.0.1:9876"),
        ("broker", "127.0.0.1:10911"),
        ("metrics", "127.0.0.1:5557"),
        ("data", &image.volume),
    ] {
        ensure!(said[key] == *value, "{key}: {ready}");
    }
    ensure!(said["pid"] == 1, "{ready}");
    let (user, group) = image.user;
    ensure!(server.status("Uid")? == [user; 4].map(|id| id.to_string()).join(" "));
    ensure!(server.status("Gid")? == [group; 4].map(|id| id.to_string()).join(" "));
    ensure!(server.status("CapEff")?.trim_matches('0').is_empty(), "it has capabilities");
    for port in &image.ports {
        ensure!(answers(server, *port)?, "nobody listens on {port}");
    }
    for path in ["/health/live", "/health/ready"] {
        ensure!(http(server, 5557, path)? == 200, "{path}");
    }
    Ok(())
}

fn stop(server: Jailed, image: &Image) -> Result<Duration> {
    let (status, took) = server.stop(image.stop_signal.trim_start_matches("SIG"))?;
    ensure!(status.code() == Some(0) && took < STOP_MAX, "{status} after {took:?}");
    Ok(took)
}

/// Whether a pattern of Java's matches a whole line; these patterns are also those of `grep`.
fn matches(pattern: &str, line: &str) -> Result<bool> {
    let mut grep = Command::new("grep");
    let mut grep = grep.args(["-qxE", "--", pattern]).stdin(Stdio::piped()).spawn()?;
    grep.stdin.take().context("no standard input")?.write_all(line.as_bytes())?;
    Ok(grep.wait()?.success())
}

/// Every file and directory below a root, but for what a runtime mounts.
fn files(root: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut all = BTreeSet::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open.push(entry.path());
            }
            all.insert(entry.path());
        }
    }
    Ok(all)
}
