//! One server that is measured: how it is started, pinned and asked for its memory.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::results::Start;
use crate::compat::{self, Process, Role, Servers};
use crate::workspace;

const PATIENCE: Duration = Duration::from_secs(60);
/// What a JVM still does after its start.
const SETTLE: Duration = Duration::from_secs(2);

/// Options of the Java broker; those of its own script ask for 8 GiB of heap.
const JAVA_OPTIONS: [&str; 7] = [
    "-Xms2g",
    "-Xmx2g",
    "-XX:+UseG1GC",
    "--add-exports=java.base/jdk.internal.ref=ALL-UNNAMED",
    "--add-exports=java.base/sun.nio.ch=ALL-UNNAMED",
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
];

/// A running server.
pub struct Candidate {
    name: &'static str,
    /// Where it listens.
    pub address: String,
    /// From the start of its process until it accepted a connection.
    took: Duration,
    process: Process,
    // Stopped after the broker.
    _name_server: Option<Process>,
}

impl Candidate {
    /// The stub that does the least.
    pub fn floor(binaries: &Path, home: &Path, sync: bool) -> Result<Self> {
        let mut argv = vec![text(&binaries.join("mqbench")), "floor".to_owned()];
        argv.extend(["--listen", "127.0.0.1:0", "--file"].map(str::to_owned));
        argv.push(text(&home.join("floor.log")));
        argv.extend(sync.then(|| "--sync".to_owned()));
        let begun = Instant::now();
        let mut process = Process::start(&argv, &[], &home.join("floor.out"), true)?;
        let mut ready = String::new();
        let output = process.child.stdout.take().context("no standard output")?;
        BufReader::new(output).read_line(&mut ready)?;
        let address = ready.split(' ').nth(1).context("the floor does not start")?.to_owned();
        Ok(Self { name: "floor", address, took: begun.elapsed(), process, _name_server: None })
    }

    /// Our broker and name server.
    pub fn ours(binaries: &Path, home: &Path, sync: bool) -> Result<Self> {
        let servers = Servers::Ours(binaries.to_owned());
        Self::broker("ours", home, sync, &|role, config| servers.argv(role, config))
    }

    /// Java's.
    pub fn java(class_path: &str, home: &Path, sync: bool) -> Result<Self> {
        // Its logs are on, below this home.
        let user = format!("-Duser.home={}", text(home));
        Self::broker("java", home, sync, &|role, config| {
            let main = match role {
                Role::NameServer => "org.apache.rocketmq.namesrv.NamesrvStartup",
                Role::Broker => "org.apache.rocketmq.broker.BrokerStartup",
            };
            let mut argv = vec!["java"];
            match role {
                Role::NameServer => argv.push("-Xmx256m"),
                Role::Broker => argv.extend(JAVA_OPTIONS),
            }
            let config = text(config);
            argv.extend(compat::DISK_LEVELS);
            argv.extend([&user, "-cp", class_path, main, "-c", &config]);
            argv.into_iter().map(str::to_owned).collect()
        })
    }

    fn broker(
        name: &'static str,
        home: &Path,
        sync: bool,
        argv: &dyn Fn(Role, &Path) -> Vec<String>,
    ) -> Result<Self> {
        let home = home.join(name);
        fs::create_dir_all(home.join("conf"))?;
        let env = [("ROCKETMQ_HOME", text(&home))];
        let name_server_port = compat::free_port()?;
        let settings = [
            ("listenPort", name_server_port.to_string()),
            ("kvConfigPath", text(&home.join("kvConfig.json"))),
            ("configStorePath", text(&home.join("namesrv.properties"))),
        ];
        let config = compat::write_config(&home, "namesrv", &settings)?;
        let log = home.join("namesrv.out");
        let name_server = Process::start(&argv(Role::NameServer, &config), &env, &log, false)?;
        let port = compat::free_port()?;
        let settings = [
            ("brokerName", name.to_owned()),
            ("brokerIP1", "127.0.0.1".to_owned()),
            ("namesrvAddr", compat::loopback(name_server_port).to_string()),
            ("listenPort", port.to_string()),
            ("haListenPort", compat::free_port()?.to_string()),
            ("storePathRootDir", text(&home.join("store"))),
            ("storePathCommitLog", text(&home.join("store/commitlog"))),
            ("flushDiskType", if sync { "SYNC_FLUSH" } else { "ASYNC_FLUSH" }.to_owned()),
            ("enablePropertyFilter", "true".to_owned()),
            // By default Java answers busy (2) to what waited 200 ms, as it does when it is cold.
            ("waitTimeMillsInSendQueue", "10000".to_owned()),
            ("waitTimeMillsInPullQueue", "10000".to_owned()),
        ];
        let config = compat::write_config(&home, "broker", &settings)?;
        let address = compat::loopback(port);
        let begun = Instant::now();
        let log = home.join("broker.out");
        let mut process = Process::start(&argv(Role::Broker, &config), &env, &log, false)?;
        while TcpStream::connect(address).is_err() {
            let running = process.ended()?.is_none() && begun.elapsed() < PATIENCE;
            ensure!(running, "{name} does not start:\n{}", compat::log_tail(&log));
            thread::sleep(Duration::from_millis(1));
        }
        let (address, took) = (address.to_string(), begun.elapsed());
        Ok(Self { name, address, took, process, _name_server: Some(name_server) })
    }

    /// As `mqbench compare` wants it.
    pub fn target(&self) -> String {
        format!("{}={},{}", self.name, self.address, self.process.child.id())
    }

    /// Confines all its threads to a core.
    pub fn pin(&self, core: &str) -> Result<()> {
        let pid = self.process.child.id().to_string();
        workspace::run(Command::new("taskset").args(["-a", "-c", "-p", core, &pid]))
    }

    /// What its start took, and its memory after it.
    pub fn started(&self) -> Result<Start> {
        thread::sleep(SETTLE);
        let pid = self.process.child.id();
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let kib = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kib = kib.and_then(|text| text.trim().strip_suffix(" kB"));
        let kib: f64 = kib.context("no RssAnon")?.trim().parse()?;
        let seconds = self.took.as_secs_f64();
        Ok(Start { name: self.name.to_owned(), seconds, anonymous_mib: kib / 1024.0 })
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
