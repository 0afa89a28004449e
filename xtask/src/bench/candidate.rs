//! One server that is measured: how it is started and pinned.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::BytesMut;
use remoting::protocol::code::RequestCode;
use remoting::protocol::command::{FRAME_SIZE_MAX, Frame, RequestHead, encode_request};
use remoting::protocol::header::{SendMessageRequestHeader, Short};

use super::{FREE, SERVER_CORE};
use crate::compat::{self, Process, Role, Servers};
use crate::workspace;

const PATIENCE: Duration = Duration::from_secs(60);
/// How often threads are confined to a core, should it fail.
const PIN_TRIES: usize = 5;
const COLD_FILE_LEN: usize = 64 << 20;
/// Between two attempts at a server that does not serve yet.
const RETRY: Duration = Duration::from_millis(1);

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

/// What a candidate is started from.
#[derive(Clone, Copy)]
pub enum Server<'a> {
    /// The stub that does the least, in this folder.
    Floor(&'a Path),
    /// Our broker and name server, in this folder.
    Ours(&'a Path),
    /// Java's, on this class path.
    Java(&'a str),
}

/// A running server.
pub struct Candidate {
    /// Which.
    pub name: &'static str,
    /// Where it listens.
    pub address: String,
    /// From the start of its process until it had stored a message, or listened.
    pub took: Duration,
    /// Where a broker keeps its files.
    store: PathBuf,
    process: Process,
    // Stopped after the broker.
    _name_server: Option<Process>,
}

impl Server<'_> {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Floor(_) => "floor",
            Self::Ours(_) => "ours",
            Self::Java(_) => "java",
        }
    }

    /// Starts it for a set of rows with its files below `home`.
    pub fn start(self, home: &Path, set: &str) -> Result<Candidate> {
        let home = home.join(self.name());
        fs::create_dir_all(home.join("conf"))?;
        match self {
            Self::Floor(folder) => floor(folder, &home, set),
            Self::Ours(_) | Self::Java(_) if set == "routes" => self.name_server(&home, set),
            Self::Ours(_) | Self::Java(_) => self.broker(&home, set),
        }
    }

    fn argv(self, role: Role, home: &Path, config: &Path) -> Vec<String> {
        let class_path = match self {
            Self::Java(class_path) => class_path,
            Self::Floor(folder) | Self::Ours(folder) => {
                return Servers::Ours(folder.to_owned()).argv(role, config);
            }
        };
        // Its logs are on, below this home.
        let user = format!("-Duser.home={}", text(home));
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
    }

    fn spawn(self, role: Role, home: &Path, set: &str, config: &Path) -> Result<Process> {
        let env = [("ROCKETMQ_HOME", text(home)), compat::disk_levels()];
        let mut argv = self.argv(role, home, config);
        // Java is confined once it has started: it compiles meanwhile.
        if !matches!(self, Self::Java(_)) {
            argv = confined(set, argv);
        }
        Process::start(&argv, &env, &log_of(config), false)
    }

    /// A broker with a name server of its own.
    fn broker(self, home: &Path, set: &str) -> Result<Candidate> {
        let name = self.name();
        let name_server = self.name_server(home, set)?;
        let port = compat::free_port()?;
        let sync = set == "sync";
        let store = home.join("store");
        let mut settings = vec![
            ("brokerName", name.to_owned()),
            ("brokerIP1", "127.0.0.1".to_owned()),
            ("namesrvAddr", name_server.address.clone()),
            ("listenPort", port.to_string()),
            ("haListenPort", compat::free_port()?.to_string()),
            ("storePathRootDir", text(&store)),
            ("storePathCommitLog", text(&store.join("commitlog"))),
            ("flushDiskType", if sync { "SYNC_FLUSH" } else { "ASYNC_FLUSH" }.to_owned()),
            ("enablePropertyFilter", "true".to_owned()),
            // By default Java answers busy (2) to what waited 200 ms, as it does when it is cold.
            ("waitTimeMillsInSendQueue", "10000".to_owned()),
            ("waitTimeMillsInPullQueue", "10000".to_owned()),
        ];
        if matches!(set, "fill" | "cold") {
            // A start of Java reads the last three files: that shall be little of the log.
            settings.push(("mappedFileSizeCommitLog", COLD_FILE_LEN.to_string()));
        }
        let config = compat::write_config(home, "broker", &settings)?;
        let address = compat::loopback(port);
        let begun = Instant::now();
        let mut process = self.spawn(Role::Broker, home, set, &config)?;
        await_server(name, &mut process, &log_of(&config), || stores(address))?;
        let (address, took) = (address.to_string(), begun.elapsed());
        let _name_server = Some(name_server.process);
        Ok(Candidate { name, address, took, store, process, _name_server })
    }

    fn name_server(self, home: &Path, set: &str) -> Result<Candidate> {
        let address = compat::loopback(compat::free_port()?);
        let settings = [
            ("listenPort", address.port().to_string()),
            ("kvConfigPath", text(&home.join("kvConfig.json"))),
            ("configStorePath", text(&home.join("namesrv.properties"))),
        ];
        let config = compat::write_config(home, "namesrv", &settings)?;
        let begun = Instant::now();
        let mut process = self.spawn(Role::NameServer, home, set, &config)?;
        let serves = || TcpStream::connect(address).is_ok();
        await_server(self.name(), &mut process, &log_of(&config), serves)?;
        let (name, address, took) = (self.name(), address.to_string(), begun.elapsed());
        let store = home.to_owned();
        Ok(Candidate { name, address, took, store, process, _name_server: None })
    }
}

/// The command line of a server that sees the core that it gets, and no other.
fn confined(set: &str, argv: Vec<String>) -> Vec<String> {
    match set == FREE || set == "start" {
        true => argv,
        false => {
            ["taskset", "-c", SERVER_CORE].map(str::to_owned).into_iter().chain(argv).collect()
        }
    }
}

/// Where a server writes what it has to say.
fn log_of(config: &Path) -> PathBuf {
    config.with_extension("out")
}

fn floor(folder: &Path, home: &Path, set: &str) -> Result<Candidate> {
    let mut argv = vec![text(&folder.join("mqbench")), "floor".to_owned()];
    argv.extend(["--listen", "127.0.0.1:0", "--file"].map(str::to_owned));
    argv.push(text(&home.join("floor.log")));
    argv.extend((set == "sync").then(|| "--sync".to_owned()));
    let begun = Instant::now();
    let mut process = Process::start(&confined(set, argv), &[], &home.join("floor.out"), true)?;
    let mut ready = String::new();
    let output = process.child.stdout.take().context("no standard output")?;
    BufReader::new(output).read_line(&mut ready)?;
    let address = ready.split(' ').nth(1).context("the floor does not start")?.to_owned();
    let (store, took) = (home.to_owned(), begun.elapsed());
    Ok(Candidate { name: "floor", address, took, store, process, _name_server: None })
}

impl Candidate {
    /// As `mqbench compare` wants it.
    pub fn target(&self) -> String {
        let Self { name, address, process, store, .. } = self;
        format!("{name}={address},{},{}", process.child.id(), store.display())
    }

    /// Confines all its threads to a core.
    pub fn pin(&self, core: &str) -> Result<()> {
        let pid = self.process.child.id().to_string();
        let all = || workspace::run(Command::new("taskset").args(["-a", "-c", "-p", core, &pid]));
        // One of Java's threads may end when it has just been listed.
        let tried = (1..PIN_TRIES).find_map(|_| all().ok());
        tried.map_or_else(all, Ok)
    }

    /// Stops it in an orderly way.
    pub fn stop(self) -> Result<()> {
        self.process.stop(PATIENCE).map(drop)
    }

    /// Lets it have so many files open.
    pub fn allow_files(&self, count: usize) -> Result<()> {
        let (pid, limit) = (self.process.child.id().to_string(), format!("--nofile={count}"));
        workspace::run(Command::new("prlimit").args(["--pid", &pid, &limit]))
    }

    /// Its anonymous memory now.
    pub fn anonymous_mib(&self) -> Result<f64> {
        let pid = self.process.child.id();
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let kib = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kib = kib.and_then(|text| text.trim().strip_suffix(" kB"));
        let kib: f64 = kib.context("no RssAnon")?.trim().parse()?;
        Ok(kib / 1024.0)
    }
}

/// Waits until a server does what it is there for.
fn await_server(
    name: &str,
    process: &mut Process,
    log: &Path,
    serves: impl Fn() -> bool,
) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !serves() {
        let running = process.ended()?.is_none() && Instant::now() < deadline;
        ensure!(running, "{name} does not start:\n{}", compat::log_tail(log));
        thread::sleep(RETRY);
    }
    Ok(())
}

/// Whether a broker answers a send with SEND_OK.
fn stores(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_ok_and(|stream| send_code(stream).is_ok_and(|code| code == 0))
}

/// Sends one message and returns the code of the answer.
fn send_code(mut stream: TcpStream) -> Result<i32> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let header = SendMessageRequestHeader {
        producer_group: "bench",
        topic: "bench-start",
        default_topic: "TBW102",
        default_topic_queue_nums: 4,
        ..SendMessageRequestHeader::default()
    };
    let mut frame = BytesMut::new();
    let head = RequestHead {
        code: RequestCode::SendMessageV2.into(),
        opaque: 1,
        ..RequestHead::default()
    };
    encode_request(&mut frame, head, &Short(header), &[], b"first")?;
    stream.write_all(&frame)?;
    let mut prefix = [0; 4];
    stream.read_exact(&mut prefix)?;
    let len = u32::from_be_bytes(prefix) as usize + 4;
    ensure!(len <= FRAME_SIZE_MAX, "an answer of {len} bytes");
    let mut answer = BytesMut::zeroed(len);
    answer[..4].copy_from_slice(&prefix);
    stream.read_exact(&mut answer[4..])?;
    Ok(Frame::decode(answer)?.code())
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
