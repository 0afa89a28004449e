//! The servers under test: one name server, broker-a and broker-b, and further brokers that
//! scenarios ask for.
//!
//! Ours and the Java control get the same configuration files on free ports of 127.0.0.1.
//! Only broker-a creates topics automatically. A server counts as started when
//! the name server lists it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use tempfile::TempDir;

use super::process::Process;
use super::toolchain::{self, CONTROL_VERSION, Toolchain};
use crate::workspace;

/// The cluster that every broker joins.
pub const CLUSTER: &str = "DefaultCluster";

const START_PATIENCE: Duration = Duration::from_secs(60);
const STOP_PATIENCE: Duration = Duration::from_secs(20);

/// Options of a JVM, and of ours in `JAVA_OPT`: a disk that others fill makes no broker delete
/// files or refuse messages.
pub const DISK_LEVELS: [&str; 2] = [
    "-Drocketmq.broker.diskSpaceWarningLevelRatio=0.99",
    "-Drocketmq.broker.diskSpaceCleanForciblyRatio=0.99",
];

/// The variable of the environment that has [`DISK_LEVELS`] for our brokers.
pub fn disk_levels() -> (&'static str, String) {
    ("JAVA_OPT", DISK_LEVELS.join(" "))
}

/// What to start as server.
pub enum Servers {
    /// Our binaries, in this folder.
    Ours(PathBuf),
    /// The released Java servers, on this class path.
    Control(String),
}

impl Servers {
    /// The Java servers that scenarios are checked with.
    pub fn control(tools: &Toolchain) -> Result<Self> {
        Self::java(tools, CONTROL_VERSION)
    }

    /// The Java servers of a release.
    pub fn java(tools: &Toolchain, version: &str) -> Result<Self> {
        Ok(Self::Control(tools.server_class_path(version)?))
    }

    /// Our servers: those of `folder`, or built now.
    pub fn ours(folder: Option<&Path>) -> Result<Self> {
        if let Some(folder) = folder {
            return Ok(Self::Ours(folder.to_owned()));
        }
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(workspace::root()).args(["build", "--bins", "-p", "namesrv", "-p"]);
        workspace::run(cargo.arg("broker")).context("the servers do not build")?;
        Ok(Self::Ours(workspace::target().join("debug")))
    }

    /// The word that scenarios see.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Ours(_) => "ours",
            Self::Control(_) => "control",
        }
    }

    /// The command that starts a server with the configuration file `config`.
    pub fn argv(&self, role: Role, config: &Path) -> Vec<String> {
        let config = config.to_string_lossy().into_owned();
        match self {
            Self::Ours(folder) => {
                let binary = match role {
                    Role::NameServer => "mqnamesrv",
                    Role::Broker => "mqbroker",
                };
                vec![folder.join(binary).to_string_lossy().into_owned(), "-c".to_owned(), config]
            }
            Self::Control(class_path) => {
                let (heap, main) = match role {
                    Role::NameServer => ("-Xmx128m", "namesrv.NamesrvStartup"),
                    Role::Broker => ("-Xmx700m", "broker.BrokerStartup"),
                };
                let mut argv = vec!["java".to_owned(), heap.to_owned()];
                argv.extend(toolchain::jvm_options());
                argv.extend(
                    ["jdk.internal.ref", "sun.nio.ch"]
                        .map(|package| format!("--add-exports=java.base/{package}=ALL-UNNAMED")),
                );
                // Without it 4.9.7 cannot unmap, and so not delete, a file.
                argv.extend(
                    ["java.nio", "jdk.internal.ref", "sun.nio.ch"]
                        .map(|package| format!("--add-opens=java.base/{package}=ALL-UNNAMED")),
                );
                argv.extend(DISK_LEVELS.map(str::to_owned));
                argv.extend(["-cp".to_owned(), class_path.clone()]);
                argv.extend([format!("org.apache.rocketmq.{main}"), "-c".to_owned(), config]);
                argv
            }
        }
    }
}

/// Which server a process is.
#[derive(Clone, Copy)]
pub enum Role {
    /// Knows the brokers.
    NameServer,
    /// Holds the messages.
    Broker,
}

/// What mqserver says on standard output when it serves.
#[derive(Deserialize)]
struct Ready {
    event: String,
    namesrv: SocketAddr,
    broker: SocketAddr,
}

/// A running mqserver, as a newcomer starts it, but on free ports.
pub struct MqServer {
    /// Where its name server listens.
    pub namesrv: SocketAddr,
    /// Where its broker listens.
    pub broker: SocketAddr,
    /// The process.
    pub process: Process,
}

impl MqServer {
    /// Starts the one of `folder` with its data below `data`; returns when it serves.
    pub fn start(folder: &Path, data: &Path, log: &Path) -> Result<Self> {
        let mut argv = vec![path_text(&folder.join("mqserver"))];
        let data = path_text(data);
        argv.extend(["--port", "0", "--namesrv-port", "0", "--data", &data].map(str::to_owned));
        let mut process = Process::start(&argv, &[], log, true)?;
        let output = process.child.stdout.take().context("no standard output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let ready: Ready = serde_json::from_str(&line)
            .with_context(|| format!("ready line {line:?}; {}", log_tail(log)))?;
        ensure!(ready.event == "ready", "event {}", ready.event);
        Ok(Self { namesrv: ready.namesrv, broker: ready.broker, process })
    }
}

/// The running servers.
pub struct Suite {
    servers: Servers,
    home: TempDir,
    name_server: SocketAddr,
    brokers: BTreeMap<String, (SocketAddr, Process)>,
    // Dropped, and so stopped, after the brokers.
    name_server_process: Process,
}

impl Suite {
    /// Starts the name server, broker-a and broker-b.
    pub fn start(servers: Servers) -> Result<Self> {
        let logs = toolchain::logs();
        if logs.exists() {
            fs::remove_dir_all(&logs)?;
        }
        fs::create_dir_all(&logs)?;
        let home = TempDir::with_prefix_in("servers-", toolchain::cache())?;
        // The Java servers want their logging configuration to exist; an empty one is silent.
        fs::create_dir_all(home.path().join("conf"))?;
        let name_server = loopback(free_port()?);
        let config = write_config(
            home.path(),
            "namesrv",
            &[
                ("listenPort", name_server.port().to_string()),
                ("orderMessageEnable", "true".to_owned()),
                ("kvConfigPath", path_text(&home.path().join("namesrv/kvConfig.json"))),
                ("configStorePath", path_text(&home.path().join("namesrv/namesrv.properties"))),
            ],
        )?;
        let name_server_process =
            spawn(&servers, Role::NameServer, "namesrv", home.path(), &config)?;
        let brokers = BTreeMap::new();
        let mut suite = Self { servers, home, name_server, brokers, name_server_process };
        for (name, creates_topics) in [("broker-a", true), ("broker-b", false)] {
            suite.spawn_broker(name, creates_topics, &[])?;
        }
        for name in ["broker-a", "broker-b"] {
            suite.wait_registered(name)?;
        }
        Ok(suite)
    }

    /// What runs, for people.
    pub fn describe(&self) -> String {
        let servers = match &self.servers {
            Servers::Ours(folder) => format!("our servers of {}", folder.display()),
            Servers::Control(_) => format!("the control, Java {CONTROL_VERSION}"),
        };
        format!("{servers}: name server {}, {}", self.name_server, self.broker_list())
    }

    /// The environment that tells a client program where everything is.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("COMPAT_TARGET", self.servers.word().to_owned()),
            ("COMPAT_CLUSTER", CLUSTER.to_owned()),
            ("COMPAT_NAMESRV", self.name_server.to_string()),
            ("COMPAT_BROKER_A", self.address("broker-a")),
            ("COMPAT_BROKER_B", self.address("broker-b")),
        ]
    }

    /// Does what a scenario asked for: `start NAME KEY=VALUE...`, `stop NAME` or `kill NAME` of a
    /// broker, or `server NAME` for an mqserver without configuration; answers with its address.
    pub fn serve(&mut self, request: &str) -> Result<String> {
        match request.split_once(' ') {
            Some(("start", rest)) => {
                let mut words = rest.split(' ');
                let name = words.next().unwrap_or_default();
                ensure!(!self.brokers.contains_key(name), "{name} runs already");
                let settings: Vec<_> = words.filter_map(|word| word.split_once('=')).collect();
                self.spawn_broker(name, false, &settings)?;
                self.wait_registered(name)?;
                Ok(self.address(name))
            }
            Some((end @ ("stop" | "kill"), name)) => {
                let (address, process) = self.brokers.remove(name).context("no such broker")?;
                if end == "stop" {
                    let status = process.stop(STOP_PATIENCE)?;
                    // A JVM reports the signal, whatever it did in between.
                    let is_ours = matches!(self.servers, Servers::Ours(_));
                    ensure!(status.success() || !is_ours, "{name} ended with {status}");
                }
                Ok(address.to_string())
            }
            Some(("server", name)) => self.start_server(name).map(|address| address.to_string()),
            _ => bail!("unknown request {request:?}"),
        }
    }

    /// Starts an mqserver; answers with its name server.
    fn start_server(&mut self, name: &str) -> Result<SocketAddr> {
        let Servers::Ours(folder) = &self.servers else { bail!("the control has no mqserver") };
        let server = MqServer::start(folder, &self.home.path().join(name), &log_file(name))?;
        self.brokers.insert(name.to_owned(), (server.broker, server.process));
        Ok(server.namesrv)
    }

    /// Stops everything; fails if a server had ended by itself.
    pub fn stop(mut self) -> Result<()> {
        let mut ended = Vec::new();
        for (name, (_, mut process)) in std::mem::take(&mut self.brokers) {
            if let Some(status) = process.ended()? {
                ended.push(format!("{name} ended by itself: {status}"));
            }
        }
        if let Some(status) = self.name_server_process.ended()? {
            ended.push(format!("the name server ended by itself: {status}"));
        }
        ensure!(ended.is_empty(), "{}", ended.join("; "));
        Ok(())
    }

    fn spawn_broker(
        &mut self,
        name: &str,
        creates_topics: bool,
        special: &[(&str, &str)],
    ) -> Result<()> {
        let port = free_port()?;
        let mut settings = self.settings(name, port, creates_topics)?;
        settings.extend(special.iter().map(|(key, value)| (*key, (*value).to_owned())));
        let config = write_config(self.home.path(), name, &settings)?;
        let process = spawn(&self.servers, Role::Broker, name, self.home.path(), &config)?;
        self.brokers.insert(name.to_owned(), (loopback(port), process));
        Ok(())
    }

    /// The configuration of a broker, before what is special to it.
    fn settings(
        &self,
        name: &str,
        port: u16,
        creates_topics: bool,
    ) -> Result<Vec<(&'static str, String)>> {
        let store = self.home.path().join(name);
        let mut settings = vec![
            ("brokerClusterName", CLUSTER.to_owned()),
            ("brokerName", name.to_owned()),
            ("brokerId", "0".to_owned()),
            ("brokerIP1", "127.0.0.1".to_owned()),
            ("namesrvAddr", self.name_server.to_string()),
            ("listenPort", port.to_string()),
            ("storePathRootDir", path_text(&store)),
            ("storePathCommitLog", path_text(&store.join("commitlog"))),
            ("autoCreateTopicEnable", creates_topics.to_string()),
            ("enablePropertyFilter", "true".to_owned()),
            // Without them a stopping broker asks nobody to go elsewhere.
            ("enableShutdownGracefully", "true".to_owned()),
            ("shutdownWaitTimeSeconds", "1".to_owned()),
            // An open transaction is settled, or given up, within seconds.
            ("transactionTimeOut", "3000".to_owned()),
            ("transactionCheckInterval", "5000".to_owned()),
            ("transactionCheckMax", "3".to_owned()),
            ("transactionOpBatchInterval", "1000".to_owned()),
            ("popPollingSize", "8".to_owned()),
        ];
        if name == "broker-a" {
            settings.extend([
                ("recallMessageEnable", "true".to_owned()),
                ("traceTopicEnable", "true".to_owned()),
                ("enableLmq", "true".to_owned()),
                ("enableMultiDispatch", "true".to_owned()),
            ]);
        }
        if name == "broker-b" {
            // It soon deletes what it stores, so that a topic can be old.
            let hours: Vec<String> = (0..24).map(|hour| hour.to_string()).collect();
            settings.extend([
                ("regionId", "region-b".to_owned()),
                ("traceOn", "false".to_owned()),
                ("mappedFileSizeCommitLog", (1 << 20).to_string()),
                ("fileReservedTime", "0".to_owned()),
                ("deleteWhen", hours.join(";")),
                ("cleanResourceInterval", "1000".to_owned()),
            ]);
        }
        if let Servers::Control(_) = self.servers {
            settings.extend([
                ("haListenPort", free_port()?.to_string()),
                // A broker that has just started answers busy (2) under the least load.
                ("waitTimeMillsInSendQueue", "10000".to_owned()),
                ("waitTimeMillsInPullQueue", "10000".to_owned()),
                ("waitTimeMillsInHeartbeatQueue", "31000".to_owned()),
            ]);
        }
        Ok(settings)
    }

    fn wait_registered(&mut self, name: &str) -> Result<()> {
        let deadline = Instant::now() + START_PATIENCE;
        let name_server = self.name_server;
        let (_, process) = self.brokers.get_mut(name).context("no such broker")?;
        loop {
            if lists_broker(name_server, name).unwrap_or(false) {
                return Ok(());
            }
            let log = log_tail(&log_file(name));
            if let Some(status) = process.ended()? {
                bail!("{name} ended while starting: {status}\n{log}");
            }
            ensure!(Instant::now() < deadline, "{name} does not register in time\n{log}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn address(&self, name: &str) -> String {
        self.brokers.get(name).map(|(address, _)| address.to_string()).unwrap_or_default()
    }

    fn broker_list(&self) -> String {
        let one =
            |(name, (address, _)): (&String, &(SocketAddr, Process))| format!("{name} {address}");
        self.brokers.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}

fn spawn(servers: &Servers, role: Role, name: &str, home: &Path, config: &Path) -> Result<Process> {
    let env = [("ROCKETMQ_HOME", path_text(home))];
    Process::start(&servers.argv(role, config), &env, &log_file(name), false)
}

fn log_file(name: &str) -> PathBuf {
    toolchain::logs().join(format!("{name}.log"))
}

/// The last lines of a log.
pub fn log_tail(file: &Path) -> String {
    let log = fs::read_to_string(file).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}

/// Writes `name.conf` below `home`.
pub fn write_config(home: &Path, name: &str, settings: &[(&str, String)]) -> Result<PathBuf> {
    let file = home.join(format!("{name}.conf"));
    let lines: Vec<String> =
        settings.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
    fs::write(&file, lines.concat())?;
    Ok(file)
}

/// True if `name_server` lists a broker called `name`: asks for the cluster (request 106).
pub fn lists_broker(name_server: SocketAddr, name: &str) -> Result<bool> {
    let header = br#"{"code":106,"flag":0,"language":"JAVA","opaque":1,"version":479}"#;
    let mut frame = Vec::new();
    frame.extend((u32::try_from(header.len())? + 4).to_be_bytes());
    frame.extend(u32::try_from(header.len())?.to_be_bytes());
    frame.extend(header);
    let patience = Duration::from_secs(3);
    let mut stream = TcpStream::connect_timeout(&name_server, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(&frame)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; usize::try_from(u32::from_be_bytes(length))?];
    stream.read_exact(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).contains(&format!("\"{name}\"")))
}

/// The address of a port of this machine.
pub fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// A free port whose second-lower neighbour, where a Java broker listens too, is also free.
pub fn free_port() -> Result<u16> {
    for _ in 0..100 {
        let port = TcpListener::bind(loopback(0))?.local_addr()?.port();
        if TcpListener::bind(loopback(port - 2)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free ports")
}

fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
