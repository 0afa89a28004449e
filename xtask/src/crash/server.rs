//! The `mqserver` under test: same ports and same directory through every kill.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::compat::{self, Process};
use crate::workspace;

const START_PATIENCE: Duration = Duration::from_secs(20);

/// The server binary of `folder`, or of a release build made now.
pub fn binary(folder: Option<&Path>) -> Result<PathBuf> {
    built(folder, "release", &["--release"])
}

/// The same, of a debug build with the feature `faults`.
pub fn faulty_binary(folder: Option<&Path>) -> Result<PathBuf> {
    built(folder, "debug", &["--features", "faults"])
}

fn built(folder: Option<&Path>, profile: &str, options: &[&str]) -> Result<PathBuf> {
    if let Some(folder) = folder {
        return Ok(folder.join("mqserver"));
    }
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(workspace::root());
    cargo.args(["build", "--locked", "--package", "broker", "--bins"]).args(options);
    workspace::run(&mut cargo).context("the server does not build")?;
    Ok(workspace::target().join(profile).join("mqserver"))
}

/// A server and its directory.
pub struct Server {
    argv: Vec<String>,
    ports: [u16; 2],
    home: TempDir,
    data: PathBuf,
    /// What the configuration begins with.
    settings: String,
    /// Rules of `RAPTORMQ_FAULT`, for a server built with the feature `faults`.
    pub faults: String,
    /// `RAPTORMQ_KILL_AT`, for the same.
    pub kill_at: String,
    process: Option<Process>,
}

impl Server {
    /// Makes the directory and the configuration; small segments, so that rolls are frequent.
    /// `more` are further settings.
    pub fn prepare(binary: &Path, flush: &str, more: &str) -> Result<Self> {
        Self::prepare_on(None, binary, flush, more)
    }

    /// The same with the data on a disk of its own.
    pub fn prepare_on(disk: Option<&Path>, binary: &Path, flush: &str, more: &str) -> Result<Self> {
        fs::create_dir_all(compat::cache())?;
        let home = TempDir::with_prefix_in("crash-", compat::cache())?;
        let ports = [compat::free_port()?, compat::free_port()?];
        let config = home.path().join("broker.conf");
        let settings = format!(
            "brokerIP1=127.0.0.1\nflushDiskType={flush}\nmappedFileSizeCommitLog=1048576\n\
             mappedFileSizeConsumeQueue=20000\n"
        );
        fs::write(&config, format!("{settings}{more}"))?;
        let data = disk.unwrap_or(home.path()).join("data");
        let argv = [
            binary.to_string_lossy().into_owned(),
            "--namesrv-port".to_owned(),
            ports[0].to_string(),
            "--port".to_owned(),
            ports[1].to_string(),
            "--data".to_owned(),
            data.to_string_lossy().into_owned(),
            "-c".to_owned(),
            config.to_string_lossy().into_owned(),
        ];
        let (faults, kill_at) = (String::new(), String::new());
        let argv = argv.to_vec();
        Ok(Self { argv, ports, home, data, settings, faults, kill_at, process: None })
    }

    /// Changes the further settings; they hold from the next start on.
    pub fn configure(&self, more: &str) -> Result<()> {
        let config = self.home.path().join("broker.conf");
        fs::write(config, format!("{}{more}", self.settings)).context("no configuration")
    }

    /// Address of the name server.
    pub fn name_server(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
    }

    /// Address of the broker.
    pub fn broker(&self) -> String {
        format!("127.0.0.1:{}", self.ports[1])
    }

    /// Its store directory.
    pub fn data(&self) -> PathBuf {
        self.data.clone()
    }

    /// Anonymous memory of the process in bytes, and the time it has used of the processors.
    pub fn usage(&self) -> Result<(u64, Duration)> {
        let process = self.process.as_ref().context("the server does not run")?;
        let of_process = |name: &str| {
            fs::read_to_string(format!("/proc/{}/{name}", process.child.id()))
                .with_context(|| format!("no {name} of the server"))
        };
        let status = of_process("status")?;
        let kilobytes = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kilobytes = kilobytes.and_then(|text| text.split_whitespace().next()?.parse().ok());
        let kilobytes: u64 = kilobytes.context("no RssAnon")?;
        let stat = of_process("stat")?;
        // Behind the name, which may contain blanks: user and system time are 12th and 13th.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks: u64 = fields.skip(11).take(2).filter_map(|text| text.parse::<u64>().ok()).sum();
        Ok((kilobytes * 1024, Duration::from_millis(ticks * 10)))
    }

    /// What the process has said since its start.
    pub fn said(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// Where the process notes the calls that its fault rules have hit.
    pub fn hits(&self) -> PathBuf {
        self.home.path().join("hits")
    }

    fn log(&self) -> PathBuf {
        self.home.path().join("server.log")
    }

    /// Deletes the data of a server that does not run.
    pub fn clear(&self) -> Result<()> {
        fs::remove_dir_all(&self.data).context("the data cannot be deleted")
    }

    /// Starts the process and waits for its ready line.
    pub fn start(&mut self) -> Result<()> {
        let log = self.log();
        let hits = self.hits().to_string_lossy().into_owned();
        let mut trouble = vec![("RAPTORMQ_FAULT_LOG", hits)];
        for (name, value) in [("RAPTORMQ_FAULT", &self.faults), ("RAPTORMQ_KILL_AT", &self.kill_at)]
        {
            if !value.is_empty() {
                trouble.push((name, value.clone()));
            }
        }
        let mut process = Process::start(&self.argv, &trouble, &log, true)?;
        let output = process.child.stdout.take().context("no standard output")?;
        let (ready, is_ready) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if line.contains("\"event\":\"ready\"") && ready.send(()).is_err() {
                    return;
                }
            }
        });
        self.process = Some(process);
        match is_ready.recv_timeout(START_PATIENCE) {
            Ok(()) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => {
                bail!("the server has ended at its start\n{}", compat::log_tail(&log))
            }
            Err(RecvTimeoutError::Timeout) => {
                bail!(
                    "the server is not ready after {START_PATIENCE:?}\n{}",
                    compat::log_tail(&log)
                )
            }
        }
    }

    /// Waits until a process that ends by itself has ended; how it did.
    pub fn ended(&mut self) -> Result<ExitStatus> {
        let status = self.ended_within(START_PATIENCE)?;
        status.with_context(|| format!("the server goes on after {START_PATIENCE:?}"))
    }

    /// Waits until the process has ended by itself, but no longer than that; how it did.
    pub fn ended_within(&mut self, patience: Duration) -> Result<Option<ExitStatus>> {
        let end = Instant::now() + patience;
        loop {
            let process = self.process.as_mut().context("the server does not run")?;
            let status = process.ended()?;
            if status.is_some() {
                self.process = None;
            }
            if status.is_some() || Instant::now() > end {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Kills the process (SIGKILL) and waits until it is gone.
    pub fn kill(&mut self) -> Result<()> {
        let mut process = self.process.take().context("the server does not run")?;
        let ended = process.ended()?;
        ensure!(ended.is_none(), "the server had ended by itself: {ended:?}");
        drop(process);
        Ok(())
    }

    /// Stops the process (SIGTERM); how long that took.
    pub fn stop(&mut self) -> Result<Duration> {
        let start = Instant::now();
        self.terminate()?;
        Ok(start.elapsed())
    }

    /// The same; how the process ended.
    pub fn terminate(&mut self) -> Result<ExitStatus> {
        let process = self.process.take().context("the server does not run")?;
        process.stop(START_PATIENCE)
    }
}
