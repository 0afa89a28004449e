//! The programs as processes: ready lines, signals, exit codes, settings.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const MQSERVER: &str = env!("CARGO_BIN_EXE_mqserver");
const MQBROKER: &str = env!("CARGO_BIN_EXE_mqbroker");

/// A started program; killed when a test fails.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Gone already unless the test failed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    fn start(command: &mut Command) -> Process {
        Process(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap())
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        BufReader::new(self.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        line
    }

    /// Sends a signal and returns whether it ended well and in time.
    fn end(mut self, signal: Signal) {
        let begun = Instant::now();
        kill_process(Pid::from_child(&self.0), signal).unwrap();
        let status = self.0.wait().unwrap();
        assert!(status.success(), "{status}");
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        let mut rest = String::new();
        self.0.stdout.as_mut().unwrap().read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "", "one line on stdout");
    }
}

fn mqserver(data: &Path) -> Command {
    let mut command = Command::new(MQSERVER);
    command.args(["--port", "0", "--namesrv-port", "0", "--bind", "127.0.0.1"]);
    command.arg("--data").arg(data).env("NAMESRV_ADDR", "192.0.2.9:1");
    command
}

fn failing(command: &mut Command) -> String {
    let Output { status, stderr, stdout } = command.output().unwrap();
    assert_eq!(status.code(), Some(255));
    assert!(stdout.is_empty());
    let text = String::from_utf8(stderr).unwrap();
    // The log may say more before; the reason is the last line.
    text.lines().last().unwrap().to_owned()
}

#[test]
fn mqserver_says_when_it_is_ready_and_stops_at_a_signal() {
    let data = tempfile::tempdir().unwrap();
    for signal in [Signal::TERM, Signal::INT] {
        let mut process = Process::start(&mut mqserver(data.path()));
        let ready: Value = serde_json::from_str(&process.line()).unwrap();
        assert_eq!(ready["event"], "ready");
        assert_eq!(ready["pid"], process.0.id());
        for key in ["namesrv", "broker"] {
            let address = ready[key].as_str().unwrap();
            assert!(address.starts_with("127.0.0.1:") && !address.ends_with(":0"), "{address}");
            std::net::TcpStream::connect(address).unwrap();
        }
        assert_eq!(ready["because"], "the bound address");
        let expected = data.path().canonicalize().unwrap();
        assert_eq!(ready["data"], expected.display().to_string());
        process.end(signal);
        assert!(!data.path().join("abort").exists());
        assert!(data.path().join("config/topics.json").exists());
    }
}

#[test]
fn mqserver_takes_a_configuration() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("broker.conf");
    std::fs::write(&file, "brokerName=tested\nbrokerIP1=127.0.0.2\nunknownKey=1\n").unwrap();
    let mut process = Process::start(mqserver(data.path()).arg("-c").arg(&file));
    let ready: Value = serde_json::from_str(&process.line()).unwrap();
    assert_eq!(ready["name"], "tested");
    assert!(ready["broker"].as_str().unwrap().starts_with("127.0.0.2:"));
    assert_eq!(ready["because"], "set by brokerIP1");
    process.end(Signal::TERM);
}

#[test]
fn a_start_that_fails_says_why_in_one_line() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("broker.conf");
    std::fs::write(&file, "brokerRole=SLAVE\n").unwrap();
    let reason = failing(mqserver(data.path()).arg("-c").arg(&file));
    assert_eq!(reason, "brokerRole=SLAVE: replication is not supported");
    let reason = failing(mqserver(data.path()).args(["-c", "/no/such/file"]));
    assert!(reason.starts_with("/no/such/file: "), "{reason}");

    let topics = data.path().join("config/topics.json");
    std::fs::create_dir_all(topics.parent().unwrap()).unwrap();
    std::fs::write(&topics, "{\"topicConfigTable\":").unwrap();
    let reason = failing(&mut mqserver(data.path()));
    assert!(reason.contains("topics.json"), "{reason}");
    assert_eq!(std::fs::read_to_string(&topics).unwrap(), "{\"topicConfigTable\":");
}

#[test]
fn mqbroker_speaks_as_java_does() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("broker.conf");
    let text = format!(
        "listenPort=0\nbindAddress=127.0.0.1\nbrokerName=tested\nstorePathRootDir={}\n",
        data.path().display()
    );
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(MQBROKER);
    command.arg("-c").arg(&file).env_remove("NAMESRV_ADDR");
    let mut process = Process::start(&mut command);
    let line = process.line();
    assert!(line.starts_with("The broker[tested, 127.0.0.1:"), "{line}");
    assert!(line.ends_with("] boot success. serializeType=JSON\n"), "{line}");
    process.end(Signal::TERM);

    let mut process = Process::start(command.args(["-n", "127.0.0.1:1"]));
    let line = process.line();
    assert!(line.ends_with("serializeType=JSON and name server is 127.0.0.1:1\n"), "{line}");
    process.end(Signal::TERM);
}

#[test]
fn mqbroker_prints_its_settings() {
    let run = |option: &str| {
        let output = Command::new(MQBROKER)
            .args([option, "-n", "a:1"])
            .env("HOME", "/home/tester")
            .output()
            .unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let all = run("-p");
    assert!(all.lines().any(|line| line == "storePathRootDir=/home/tester/store"), "{all}");
    assert!(all.lines().any(|line| line == "namesrvAddr=a:1"), "{all}");
    assert!(all.lines().any(|line| line == "maxMessageSize=4194304"), "{all}");
    let important = run("-m");
    assert!(important.lines().count() < all.lines().count());
    assert!(important.lines().any(|line| line == "brokerClusterName=DefaultCluster"));
}
