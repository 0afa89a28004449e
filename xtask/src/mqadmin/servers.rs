//! One name server and one broker on an empty store.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use tempfile::TempDir;

use crate::compat::{self, Process, Role, Servers};

const START_PATIENCE: Duration = Duration::from_secs(90);
const SILENT_LOGGING: &str = "<configuration><root level=\"OFF\"/></configuration>";
/// What a release ships: mqadmin signs every request with it.
const TOOLS: &str = "accessKey: rocketmq2\nsecretKey: 12345678\n";

/// The running servers and their folder.
pub struct Site {
    /// Address of the name server.
    pub name_server: SocketAddr,
    /// Address of the broker.
    pub broker: SocketAddr,
    home: TempDir,
    // Dropped, and so stopped, in this order.
    processes: Vec<Process>,
}

impl Site {
    /// Starts those of `servers`; `label` names their logs.
    pub fn start(servers: &Servers, label: &str) -> Result<Self> {
        fs::create_dir_all(compat::cache())?;
        let home = TempDir::with_prefix_in("mqadmin-", compat::cache())?;
        fs::create_dir_all(home.path().join("conf"))?;
        fs::create_dir_all(home.path().join("out"))?;
        fs::write(home.path().join("conf/logback_tools.xml"), SILENT_LOGGING)?;
        fs::write(home.path().join("conf/tools.yml"), TOOLS)?;
        let name_server = compat::loopback(compat::free_port()?);
        let broker = compat::loopback(compat::free_port()?);
        let mut site = Site { name_server, broker, home, processes: Vec::new() };
        let settings = site.of_name_server();
        site.spawn(servers, Role::NameServer, &settings, label)?;
        let settings = site.of_broker()?;
        site.spawn(servers, Role::Broker, &settings, label)?;
        let deadline = Instant::now() + START_PATIENCE;
        while !compat::lists_broker(name_server, "broker").unwrap_or(false) {
            ensure!(Instant::now() < deadline, "the broker of {label} does not register in time");
            thread::sleep(Duration::from_millis(50));
        }
        Ok(site)
    }

    /// The folder of the servers.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The folder of what commands write.
    pub fn out(&self) -> PathBuf {
        self.home.path().join("out")
    }

    /// Fails if a server has ended.
    pub fn check(&mut self) -> Result<()> {
        for process in &mut self.processes {
            if let Some(status) = process.ended()? {
                bail!("a server ended by itself: {status}");
            }
        }
        Ok(())
    }

    fn spawn(
        &mut self,
        servers: &Servers,
        role: Role,
        settings: &[(&str, String)],
        label: &str,
    ) -> Result<()> {
        let (name, address) = match role {
            Role::NameServer => ("namesrv", self.name_server),
            Role::Broker => ("broker", self.broker),
        };
        let config = compat::write_config(self.home(), name, settings)?;
        let env = [("ROCKETMQ_HOME", text(self.home())), compat::disk_levels()];
        let log = compat::cache().join(format!("mqadmin-{label}-{name}.log"));
        let mut process = Process::start(&servers.argv(role, &config), &env, &log, false)?;
        let deadline = Instant::now() + START_PATIENCE;
        while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
            if let Some(status) = process.ended()? {
                bail!("{name} of {label} ended: {status}\n{}", compat::log_tail(&log));
            }
            ensure!(Instant::now() < deadline, "{name} of {label} does not start in time");
            thread::sleep(Duration::from_millis(50));
        }
        self.processes.insert(0, process);
        Ok(())
    }

    fn of_name_server(&self) -> Vec<(&'static str, String)> {
        vec![
            ("listenPort", self.name_server.port().to_string()),
            ("orderMessageEnable", "true".to_owned()),
            ("kvConfigPath", text(&self.home().join("namesrv/kvConfig.json"))),
            ("configStorePath", text(&self.home().join("namesrv/namesrv.properties"))),
        ]
    }

    fn of_broker(&self) -> Result<Vec<(&'static str, String)>> {
        let store = self.home().join("store");
        let hour = 3_600_000.to_string();
        Ok(vec![
            ("brokerName", "broker".to_owned()),
            ("brokerIP1", "127.0.0.1".to_owned()),
            ("namesrvAddr", self.name_server.to_string()),
            ("listenPort", self.broker.port().to_string()),
            ("haListenPort", compat::free_port()?.to_string()),
            ("storePathRootDir", text(&store)),
            ("storePathCommitLog", text(&store.join("commitlog"))),
            ("mappedFileSizeCommitLog", (1 << 20).to_string()),
            ("traceTopicEnable", "true".to_owned()),
            ("enablePropertyFilter", "true".to_owned()),
            ("coldDataFlowControlEnable", "true".to_owned()),
            // Half messages are looked at, and stay as they are.
            ("transactionCheckInterval", "1000".to_owned()),
            ("transactionTimeOut", hour),
            ("transactionOpBatchInterval", "500".to_owned()),
            // A Java broker that has just started answers busy (2) under the least load.
            ("waitTimeMillsInSendQueue", "10000".to_owned()),
            ("waitTimeMillsInPullQueue", "10000".to_owned()),
            ("waitTimeMillsInHeartbeatQueue", "31000".to_owned()),
            ("waitTimeMillsInTransactionQueue", "10000".to_owned()),
            ("osPageCacheBusyTimeOutMills", "10000".to_owned()),
            ("diskMaxUsedSpaceRatio", "95".to_owned()),
            ("cleanFileForciblyEnable", "false".to_owned()),
        ])
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
