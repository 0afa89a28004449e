//! One store directory and the broker that runs on it now, always with the same configuration.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::compat::{self, Process, Role, Servers};

const START_PATIENCE: Duration = Duration::from_secs(180);
const STOP_PATIENCE: Duration = Duration::from_secs(60);
const PORT_TRIES: usize = 5;
const PORT_PAUSE: Duration = Duration::from_secs(2);

/// Bytes of a commit log file.
const LOG_FILE_LEN: i64 = 1 << 20;

/// Where the log is: in the first, or by turns in the others.
const LOG_DIRECTORIES: [&str; 3] = ["commitlog", "log-b", "log-a"];

/// Place of `logicsPhysicalOffset` in the checkpoint.
const LOGICS_PHYSICAL_OFFSET_AT: u64 = 40;

/// What is special about a directory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Special {
    /// The log is in two directories, by turns.
    pub two_logs: bool,
    /// There are light queues.
    pub light: bool,
    /// The broker has an IPv6 address, which is in every record.
    pub v6: bool,
    /// Java gives the units of queues extensions.
    pub extended: bool,
}

/// Of a 4.x broker.
const SILENT_LOGGING: &str = "<configuration><root level=\"OFF\"/></configuration>";

/// How a broker ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// SIGTERM.
    Clean,
    /// SIGKILL.
    Kill,
}

impl End {
    /// The word of the report.
    pub fn word(self) -> &'static str {
        match self {
            Self::Clean => "clean stop",
            Self::Kill => "kill -9",
        }
    }
}

/// A name server that every site registers with.
pub struct NameServer {
    address: SocketAddr,
    home: TempDir,
    _process: Process,
}

impl NameServer {
    /// Starts the one of `servers`.
    pub fn start(servers: &Servers) -> Result<Self> {
        fs::create_dir_all(compat::cache())?;
        let home = TempDir::with_prefix_in("takeover-", compat::cache())?;
        fs::create_dir_all(home.path().join("conf"))?;
        // A 4.x broker does not start without.
        fs::write(home.path().join("conf/logback_broker.xml"), SILENT_LOGGING)?;
        let address = compat::loopback(compat::free_port()?);
        let settings = [
            ("listenPort", address.port().to_string()),
            ("kvConfigPath", text(&home.path().join("namesrv/kvConfig.json"))),
            ("configStorePath", text(&home.path().join("namesrv/namesrv.properties"))),
        ];
        let config = compat::write_config(home.path(), "namesrv", &settings)?;
        let env = [("ROCKETMQ_HOME", text(home.path()))];
        let log = compat::cache().join("takeover-namesrv.log");
        let process = Process::start(&servers.argv(Role::NameServer, &config), &env, &log, false)?;
        Ok(Self { address, home, _process: process })
    }
}

/// A store directory with its configuration.
pub struct Site {
    name: String,
    /// Where the broker listens, whichever it is: message ids hold the address.
    pub broker: SocketAddr,
    home: PathBuf,
    config: PathBuf,
    process: Option<Process>,
}

impl Site {
    /// An empty directory; small files, so that every kind of file has several.
    ///
    /// `more` are settings beyond those.
    pub fn prepare(
        name: &str,
        name_server: &NameServer,
        special: Special,
        more: &[(&'static str, String)],
    ) -> Result<Self> {
        let home = name_server.home.path().to_owned();
        let store = home.join(name);
        let port = compat::free_port()?;
        let mut settings = vec![
            ("brokerName", name.to_owned()),
            ("brokerIP1", "127.0.0.1".to_owned()),
            ("namesrvAddr", name_server.address.to_string()),
            ("listenPort", port.to_string()),
            ("haListenPort", compat::free_port()?.to_string()),
            ("storePathRootDir", text(&store)),
            ("storePathCommitLog", text(&store.join("commitlog"))),
            ("mappedFileSizeCommitLog", LOG_FILE_LEN.to_string()),
            ("mappedFileSizeConsumeQueue", "6000".to_owned()),
            ("maxHashSlotNum", "500".to_owned()),
            ("maxIndexNum", "2000".to_owned()),
            ("flushConsumerOffsetInterval", "1000".to_owned()),
            // A broker that has just started answers busy (2) under the least load.
            ("waitTimeMillsInSendQueue", "10000".to_owned()),
            ("waitTimeMillsInPullQueue", "10000".to_owned()),
            ("waitTimeMillsInTransactionQueue", "10000".to_owned()),
            ("osPageCacheBusyTimeOutMills", "10000".to_owned()),
            // Java takes no higher levels than these, whatever `DISK_LEVELS` says.
            ("diskMaxUsedSpaceRatio", "95".to_owned()),
            ("cleanFileForciblyEnable", "false".to_owned()),
            // 5.5.0 reads no more than the last ten files; a disk in memory takes a thousand of
            // these small ones within the second that units of queues may wait.
            ("commitLogRecoverMaxNum", "1000000".to_owned()),
        ];
        if special.two_logs {
            let logs = [1, 2].map(|at| text(&store.join(LOG_DIRECTORIES[at])));
            settings.push(("storePathCommitLog", logs.join(",")));
        }
        if special.light {
            settings
                .extend(["enableLmq", "enableMultiDispatch"].map(|key| (key, "true".to_owned())));
        }
        if special.v6 {
            settings.push(("brokerIP1", "::1".to_owned()));
        }
        if special.extended {
            settings.extend(
                ["enableConsumeQueueExt", "enableCalcFilterBitMap"]
                    .map(|key| (key, "true".to_owned())),
            );
        }
        settings.extend_from_slice(more);
        let config = compat::write_config(&home, name, &settings)?;
        let name = name.to_owned();
        let broker = compat::loopback(port);
        Ok(Self { name, broker, home, config, process: None })
    }

    /// The store directory.
    pub fn store(&self) -> PathBuf {
        self.home.join(&self.name)
    }

    /// The files of the log that have a record, by their start; the one behind is made early.
    pub fn log_files(&self) -> Result<BTreeMap<i64, PathBuf>> {
        let mut files = BTreeMap::new();
        for directory in LOG_DIRECTORIES.map(|directory| self.store().join(directory)) {
            if !directory.exists() {
                continue;
            }
            for entry in fs::read_dir(directory)? {
                let entry = entry?;
                let mut len = [0; 4];
                File::open(entry.path())?.read_exact(&mut len)?;
                if u32::from_be_bytes(len) > 0 {
                    files.insert(entry.file_name().to_string_lossy().parse()?, entry.path());
                }
            }
        }
        Ok(files)
    }

    /// Where recovery starts with 5.5.0's `enableAcceleratedRecovery`.
    pub fn checkpoint_position(&self) -> Result<i64> {
        let Ok(file) = File::open(self.store().join("checkpoint")) else { return Ok(0) };
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, LOGICS_PHYSICAL_OFFSET_AT)?;
        Ok(i64::from_be_bytes(bytes))
    }

    /// Starts the broker of `servers`; returns when it accepts connections. A port that somebody
    /// else has taken meanwhile is waited for.
    pub fn start(&mut self, servers: &Servers) -> Result<Duration> {
        let mut started = self.try_start(servers);
        for _ in 0..PORT_TRIES {
            let said = fs::read_to_string(self.log()).unwrap_or_default();
            if started.is_ok() || !said.contains("Address already in use") {
                break;
            }
            thread::sleep(PORT_PAUSE);
            started = self.try_start(servers);
        }
        started
    }

    fn try_start(&mut self, servers: &Servers) -> Result<Duration> {
        let start = Instant::now();
        let log = self.log();
        let mut process = self.spawn(servers)?;
        // Not registered yet: a Java broker may do that 10 s later.
        while TcpStream::connect_timeout(&self.broker, Duration::from_secs(1)).is_err() {
            if let Some(status) = process.ended()? {
                bail!("the broker ended while starting: {status}\n{}", compat::log_tail(&log));
            }
            let is_late = start.elapsed() > START_PATIENCE;
            ensure!(!is_late, "the broker does not start in time\n{}", compat::log_tail(&log));
            thread::sleep(Duration::from_millis(50));
        }
        self.process = Some(process);
        Ok(start.elapsed())
    }

    fn spawn(&self, servers: &Servers) -> Result<Process> {
        let env = [("ROCKETMQ_HOME", text(&self.home)), compat::disk_levels()];
        let argv = servers.argv(Role::Broker, &self.config);
        Process::start(&argv, &env, &self.log(), false)
    }

    fn log(&self) -> PathBuf {
        compat::cache().join(format!("takeover-{}.log", self.name))
    }

    /// Starts the broker of `servers` and kills it a while later, whether it has started or not.
    pub fn start_and_kill(&mut self, servers: &Servers, after: Duration) -> Result<()> {
        let process = self.spawn(servers)?;
        thread::sleep(after);
        drop(process);
        Ok(())
    }

    /// Ends the broker; fails if it does not leave behind what the next one expects.
    pub fn end(&mut self, end: End) -> Result<()> {
        let mut process = self.process.take().context("the broker does not run")?;
        let ended = process.ended()?;
        ensure!(ended.is_none(), "the broker had ended by itself: {ended:?}");
        match end {
            End::Clean => drop(process.stop(STOP_PATIENCE)?),
            End::Kill => drop(process),
        }
        let is_marked = self.store().join("abort").exists();
        ensure!(is_marked == (end == End::Kill), "abort marker after {}: {is_marked}", end.word());
        Ok(())
    }

    /// Keeps the directory of a failure for a look at it.
    pub fn keep(&self) -> Result<PathBuf> {
        let kept = compat::cache().join(format!("takeover-{}", self.name));
        if kept.exists() {
            fs::remove_dir_all(&kept)?;
        }
        fs::rename(self.store(), &kept)?;
        Ok(kept)
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
