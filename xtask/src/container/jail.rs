//! A process that sees one directory as its root, with namespaces of its own for mounts, process
//! numbers and the network, as a container has them.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::containerfile::below;
use crate::compat::Process;

const START_PATIENCE: Duration = Duration::from_secs(20);

/// How a process is shut in.
pub struct Jail {
    /// Its root directory on this machine.
    pub root: PathBuf,
    /// Its user and group.
    pub user: (u32, u32),
    /// Its whole environment.
    pub environment: Vec<(String, String)>,
    /// Directories of this machine and what it sees them as; it can write into them.
    pub mounts: Vec<(PathBuf, String)>,
    /// Whether it can write nowhere else but into a `/tmp` of its own.
    pub is_strict: bool,
    /// The process whose network it shares; one of its own without.
    pub network_of: Option<u32>,
}

/// A running one.
pub struct Jailed {
    process: Process,
    lines: Receiver<String>,
    /// Its number on this machine.
    pub pid: u32,
}

impl Jail {
    /// Starts a command; what it says on standard error goes to the file `log`.
    pub fn start(&self, command: &[String], log: &Path) -> Result<Jailed> {
        for directory in ["proc", "dev", "tmp"] {
            fs::create_dir_all(self.root.join(directory))?;
        }
        let mut argv = Vec::new();
        if let Some(pid) = self.network_of {
            argv.extend(["nsenter", "--net", "--target"].map(str::to_owned));
            argv.push(pid.to_string());
        }
        argv.extend(["unshare", "--mount", "--pid", "--fork", "--kill-child"].map(str::to_owned));
        if self.network_of.is_none() {
            argv.push("--net".to_owned());
        }
        argv.extend(["sh".to_owned(), "-c".to_owned(), self.script(), "sh".to_owned()]);
        argv.extend_from_slice(command);
        let mut process = Process::start(&argv, &[], log, true)?;
        let output = process.child.stdout.take().context("no standard output")?;
        let (said, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if said.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Jailed { process, lines, pid: 0 })
    }

    /// Mounts and then becomes the command, which is in `$@`.
    fn script(&self) -> String {
        let root = self.root.display();
        let mut lines = vec!["set -e".to_owned(), format!("mount --bind '{root}' '{root}'")];
        if self.network_of.is_none() {
            lines.push("ip link set lo up".to_owned());
        }
        lines.push(format!("mount -t proc proc '{root}/proc'"));
        lines.push(format!("mount --rbind /dev '{root}/dev'"));
        for (from, to) in &self.mounts {
            let to = below(&self.root, to);
            lines.push(format!("mount --bind '{}' '{}'", from.display(), to.display()));
        }
        if self.is_strict {
            lines.push(format!("mount -t tmpfs -o mode=1777 tmpfs '{root}/tmp'"));
            lines.push(format!("mount -o remount,ro,bind '{root}'"));
        }
        let environment: Vec<String> =
            self.environment.iter().map(|(name, value)| format!("{name}='{value}'")).collect();
        let (user, group) = self.user;
        lines.push(format!(
            "exec env -i {} {} {} --userspec={user}:{group} --groups= '{root}' \"$@\"",
            environment.join(" "),
            "/usr/bin/setpriv --no-new-privs",
            "/usr/sbin/chroot"
        ));
        lines.join("\n")
    }
}

impl Jailed {
    /// Waits for a line on standard output that holds a text, and returns it.
    pub fn line(&mut self, text: &str) -> Result<String> {
        let deadline = Instant::now() + START_PATIENCE;
        let line = loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).with_context(|| format!("no {text:?}"))?;
            if line.contains(text) {
                break line;
            }
        };
        self.pid = self.first_child()?;
        Ok(line)
    }

    /// The only child of the process that made the namespaces.
    fn first_child(&self) -> Result<u32> {
        let outer = self.process.child.id();
        let children = fs::read_to_string(format!("/proc/{outer}/task/{outer}/children"))?;
        Ok(children.trim().parse()?)
    }

    /// What is known of it under a name of its status.
    pub fn status(&self, name: &str) -> Result<String> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
        Ok(line.with_context(|| name.to_owned())?.replace('\t', " "))
    }

    /// Runs a command of this machine in its network.
    pub fn in_network(&self, argv: &[String]) -> Result<Output> {
        self.enter(&["--net"], argv)
    }

    /// Runs a command of its own beside it.
    pub fn inside(&self, (user, group): (u32, u32), command: &str) -> Result<String> {
        let (user, group) = (user.to_string(), group.to_string());
        let options = ["--mount", "--pid", "--net", "--root", "-S", &user, "-G", &group];
        let words: Vec<String> = command.split(' ').map(str::to_owned).collect();
        let output = self.enter(&options, &words)?;
        ensure!(output.status.success(), "{command}: {output:?}");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn enter(&self, options: &[&str], argv: &[String]) -> Result<Output> {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.pid.to_string()]).args(options).arg("--").args(argv);
        command.output().context("nsenter")
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) -> Result<()> {
        let status = Command::new("kill").args(["-s", name, &self.pid.to_string()]).status()?;
        ensure!(status.success(), "kill {}", self.pid);
        Ok(())
    }

    /// Sends a signal and waits for the end: how it ended, and after how long.
    pub fn stop(mut self, signal: &str) -> Result<(ExitStatus, Duration)> {
        let begun = Instant::now();
        self.signal(signal)?;
        let status = self.process.child.wait()?;
        Ok((status, begun.elapsed()))
    }

    /// Waits for an end that comes by itself.
    pub fn ended(mut self) -> Result<ExitStatus> {
        Ok(self.process.child.wait()?)
    }
}
