//! The programs as processes: ready lines, signals, exit codes, settings.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

#[path = "common/process.rs"]
mod process;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use process::{MQBROKER, MQSERVER, Process};
use rustix::process::Signal;
use serde_json::Value;

fn mqserver(data: &Path) -> Command {
    let mut command = Command::new(MQSERVER);
    command.args(["--port", "0", "--namesrv-port", "0", "--bind", "127.0.0.1"]);
    command.arg("--data").arg(data).env("NAMESRV_ADDR", "192.0.2.9:1");
    command
}

fn failing(command: &mut Command) -> String {
    process::failing(command, 255)
}

#[test]
fn mqserver_says_when_it_is_ready_and_stops_at_a_signal() {
    let data = tempfile::tempdir().unwrap();
    for signal in [Signal::TERM, Signal::INT] {
        let mut process = Process::start(&mut mqserver(data.path()));
        let ready: Value = serde_json::from_str(&process.line()).unwrap();
        assert_eq!(ready["event"], "ready");
        assert_eq!(ready["pid"], process.child.id());
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
    std::fs::write(&file, "brokerRole=SLAVE\nbrokerId=1\n").unwrap();
    let reason = failing(mqserver(data.path()).arg("-c").arg(&file));
    assert_eq!(
        reason,
        "brokerRole=SLAVE: replication is not supported; take the key out, or keep the Java broker \
         for it"
    );
    let reason = failing(mqserver(data.path()).args(["-c", "/no/such/file"]));
    assert!(reason.starts_with("/no/such/file: "), "{reason}");

    let topics = data.path().join("config/topics.json");
    std::fs::create_dir_all(topics.parent().unwrap()).unwrap();
    std::fs::write(&topics, "{\"topicConfigTable\":").unwrap();
    let reason = process::failing(&mut mqserver(data.path()), 253);
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
    command.args(["--log", "stderr", "-c"]).arg(&file).env_remove("NAMESRV_ADDR");
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
    // Java 5.3.3 begins with these, and has the store behind the network.
    let place = |key: &str| all.lines().position(|line| line.starts_with(&format!("{key}=")));
    let order = ["rocketmqHome", "namesrvAddr", "listenPort", "brokerIP1", "brokerPermission"];
    let places: Vec<_> = order.iter().map(|key| place(key)).collect();
    assert!(places.is_sorted() && places.iter().all(Option::is_some), "{places:?}");
    assert!(place("serverWorkerThreads") < place("storePathRootDir"));
    assert!(place("storePathRootDir") < place("brokerName"));
    let important = run("-m");
    assert!(important.lines().count() < all.lines().count());
    assert!(important.lines().any(|line| line == "brokerClusterName=DefaultCluster"));
}

/// The files in a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_server_for_a_test_leaves_nothing_behind() {
    let root = tempfile::tempdir().unwrap();
    let temporary = || {
        let mut command = Command::new(MQSERVER);
        command.args(["--temp", "--port", "0"]).env("TMPDIR", root.path());
        command
    };
    let mut process = Process::start(&mut temporary());
    let ready: Value = serde_json::from_str(&process.line()).unwrap();
    for key in ["namesrv", "broker", "metrics"] {
        let address = ready[key].as_str().unwrap();
        assert!(address.starts_with("127.0.0.1:"), "{address}");
        std::net::TcpStream::connect(address).unwrap();
    }
    let data = PathBuf::from(ready["data"].as_str().unwrap());
    assert_eq!(files(root.path()).len(), 1);
    assert!(data.starts_with(root.path().canonicalize().unwrap()) && data.join("lock").exists());
    process.end(Signal::TERM);
    assert_eq!(files(root.path()), Vec::<PathBuf>::new());
    // Neither does one that does not start.
    let reason = failing(temporary().args(["--bind", "nowhere"]));
    assert!(reason.contains("bindAddress=nowhere"), "{reason}");
    assert_eq!(files(root.path()), Vec::<PathBuf>::new());
}

#[test]
fn a_second_signal_ends_a_stop_at_once() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("broker.conf");
    std::fs::write(&file, "enableShutdownGracefully=true\nshutdownWaitTimeSeconds=60\n").unwrap();
    let log = data.path().join("log");
    for second in [Signal::TERM, Signal::INT] {
        let mut command = mqserver(data.path());
        let mut process = Process::start(command.arg("-c").arg(&file).arg("--log").arg(&log));
        assert!(process.line().contains("ready"));
        process.signal(Signal::TERM);
        wait_for(&log, "stopping");
        let begun = Instant::now();
        process.signal(second);
        let (status, _, _) = process.ended();
        assert_eq!(status.code(), Some(143));
        assert!(begun.elapsed() < Duration::from_millis(100), "{:?}", begun.elapsed());
        // As after a kill.
        assert!(data.path().join("abort").exists());
        std::fs::remove_file(&log).unwrap();
    }
}

/// Waits until a file has a text.
fn wait_for(file: &Path, text: &str) -> String {
    let begun = Instant::now();
    loop {
        let content = std::fs::read_to_string(file).unwrap_or_default();
        if content.contains(text) {
            return content;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "no {text:?} in {content}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_hang_up_rotates_the_log_and_reads_the_settings_again() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("broker.conf");
    let text = format!(
        "listenPort=0\nbindAddress=127.0.0.1\nstorePathRootDir={}\nfileReservedTime=48\n",
        data.path().display()
    );
    std::fs::write(&file, &text).unwrap();
    let log = data.path().join("broker.log");
    let mut command = Command::new(MQBROKER);
    command.arg("-c").arg(&file).arg("--log").arg(&log).args(["--logFormat", "json"]);
    let mut process = Process::start(command.env_remove("NAMESRV_ADDR"));
    assert!(process.line().contains("boot success"));
    let moved = data.path().join("broker.log.1");
    std::fs::rename(&log, &moved).unwrap();
    let changed = text.replace("=48", "=24").replace("listenPort=0", "listenPort=1");
    std::fs::write(&file, format!("{changed}autoCreateTopicEnable=false\n")).unwrap();
    process.signal(Signal::HUP);
    let lines = wait_for(&log, "counts after a restart");
    assert!(lines.contains("autoCreateTopicEnable, fileReservedTime"), "{lines}");
    assert!(lines.contains("\"keys\":\"listenPort\""), "{lines}");
    for line in lines.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let time = line["timestamp"].as_str().unwrap();
        // RFC 3339, with the offset of the zone.
        let zone = &time[time.len() - 6..];
        assert!(time.ends_with('Z') || zone.starts_with(['+', '-']), "{time}");
    }
    assert!(!std::fs::read_to_string(&moved).unwrap().contains("SIGHUP"));
    // What cannot be had changes nothing.
    std::fs::write(&file, format!("{text}fileReservedTime=-1\n")).unwrap();
    process.signal(Signal::HUP);
    let lines = wait_for(&log, "settings not read again");
    assert!(lines.contains("must be from 0 to 876000"), "{lines}");
    // What the file no longer says is as without it.
    std::fs::write(&file, text.replace("fileReservedTime=48\n", "")).unwrap();
    std::fs::rename(&log, &moved).unwrap();
    process.signal(Signal::HUP);
    wait_for(&log, "\"changed\":\"autoCreateTopicEnable, fileReservedTime\"");
    process.end(Signal::TERM);
    wait_for(&log, "\"stopped\"");
}

#[test]
fn mqserver_reads_the_settings_of_both_its_servers_again() {
    let data = tempfile::tempdir().unwrap();
    let (own, log) = (data.path().join("namesrv.conf"), data.path().join("log"));
    std::fs::write(&own, "listenPort=1\norderMessageEnable=true\n").unwrap();
    let mut command = mqserver(data.path());
    command.arg("--namesrv-config").arg(&own).arg("--log").arg(&log);
    // The option counts more than the file, whose port only root can have.
    let mut process = Process::start(&mut command);
    assert!(process.line().contains("ready"));
    std::fs::write(&own, "listenPort=1\n").unwrap();
    process.signal(Signal::HUP);
    let lines = wait_for(&log, "server=\"broker\" changed=\"\"");
    assert!(lines.contains("server=\"name server\" changed=\"orderMessageEnable\""), "{lines}");
    process.end(Signal::TERM);
}
