//! `mqnamesrv` as a process: its options, its ready line, its end.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn mqnamesrv(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mqnamesrv"));
    command.env("HOME", home).env_remove("ROCKETMQ_HOME");
    command
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn settings_are_printed() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("n.conf");
    std::fs::write(&file, "listenPort=7777\nnoSuchKey=1\n").unwrap();
    let output = mqnamesrv(home.path()).arg("-p").arg("-c").arg(&file).output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(text.contains("listenPort=7777\n"), "{text}");
    assert!(text.contains(&format!("configStorePath={}\n", file.display())), "{text}");
    let kv = format!("kvConfigPath={}/namesrv/kvConfig.json\n", home.path().display());
    assert!(text.contains(&kv), "{text}");
    assert!(stderr(&output).contains("unknown key noSuchKey"), "{}", stderr(&output));
}

#[test]
fn it_says_when_it_is_ready_and_ends_when_told() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("n.conf");
    std::fs::write(&file, "listenPort=0\nbindAddress=127.0.0.1\n").unwrap();
    let mut command = mqnamesrv(home.path());
    command.args(["-n", "127.0.0.1:9876", "-c"]).arg(&file);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    // Before it the file is named, as by Java, and the log is on stdout, too.
    assert_eq!(lines.next(), Some(format!("load config properties file OK, {}", file.display())));
    let ready = "The Name Server boot success. serializeType=JSON, address 127.0.0.1:";
    let line = lines.find(|line| line.starts_with(ready)).unwrap();
    assert!(line.trim_end().rsplit(':').next().unwrap().parse::<u16>().unwrap() > 0);
    let told = Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(told.success());
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_damaged_file_stops_the_start_with_one_line() {
    let home = tempfile::tempdir().unwrap();
    let kv = home.path().join("namesrv/kvConfig.json");
    std::fs::create_dir(kv.parent().unwrap()).unwrap();
    std::fs::write(&kv, "{\"configTable\":").unwrap();
    let file = home.path().join("n.conf");
    std::fs::write(&file, "listenPort=0\n").unwrap();
    let output = mqnamesrv(home.path()).arg("-c").arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(253));
    let lines = stderr(&output);
    assert_eq!(lines.lines().count(), 1, "{lines}");
    assert!(lines.contains(&kv.display().to_string()) && lines.contains("line 1"), "{lines}");
    assert_eq!(std::fs::read_to_string(&kv).unwrap(), "{\"configTable\":");
}

/// A broken set-up: lines of the file, exit code, and what both the start and the check say.
const BROKEN: [(&str, i32, &str); 6] = [
    ("listenPort=PORT", 255, "Address already in use (os error 98); set listenPort to a free port"),
    ("listenPort=-1", 255, "must be from 0 to 65535"),
    ("bindAddress=nowhere", 255, "IP address"),
    ("enableControllerInNamesrv=true", 255, "the controller is not here"),
    ("kvConfigPath=HOME", 253, "Is a directory"),
    ("kvConfigPath=\\u00", 255, "line 1: \\u needs four hexadecimal digits"),
];

#[test]
fn a_broken_set_up_says_why() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (conf, code, cause) in BROKEN {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("n.conf");
        let mut text = conf.replace("PORT", &port).replace("HOME", &home.path().to_string_lossy());
        for (key, value) in [("bindAddress", "127.0.0.1"), ("listenPort", "0")] {
            if !conf.contains(key) {
                text = format!("{text}\n{key}={value}");
            }
        }
        std::fs::write(&file, text).unwrap();
        let output = mqnamesrv(home.path()).arg("check-config").arg(&file).output().unwrap();
        let table = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(2), "{conf}: {table}");
        let mut found = table.lines().filter(|line| line.starts_with("stops"));
        assert!(found.any(|line| line.contains(cause)), "{conf}: {cause}\n{table}");
        let output = mqnamesrv(home.path()).arg("-c").arg(&file).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{conf}");
        let lines = stderr(&output);
        assert_eq!(lines.lines().count(), 1, "{conf}: {lines}");
        assert!(lines.contains(cause), "{conf}: {cause}\n{lines}");
    }
}

/// What a path answers over HTTP.
fn get(address: &str, path: &str) -> String {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn health_is_told_over_http_when_it_is_wanted() {
    for (waits, ready) in [("false", "HTTP/1.0 200"), ("true", "HTTP/1.0 503")] {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("n.conf");
        let text = "listenPort=0\nbindAddress=127.0.0.1\nhealthPort=0\nneedWaitForService=";
        std::fs::write(&file, format!("{text}{waits}\n")).unwrap();
        let mut command = mqnamesrv(home.path());
        command.arg("-c").arg(&file).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let said = lines.find(|line| line.contains("health is told")).unwrap();
        let address = said.rsplit_once("address=").unwrap().1.to_owned();
        assert!(get(&address, "/health/live").starts_with("HTTP/1.0 200"));
        let answer = get(&address, "/health/ready");
        assert!(answer.starts_with(ready), "{waits}: {answer}");
        let told = Command::new("kill").arg(child.id().to_string()).status().unwrap();
        assert!(told.success());
        // What it says on its way out must find somebody who listens.
        assert!(lines.any(|line| line.ends_with(" stopped")));
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn a_sound_set_up_is_checked() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("n.conf");
    std::fs::write(&file, "listenPort=0\nrocketmqHome=/opt\norderMessageEnable=yes\n").unwrap();
    let output = mqnamesrv(home.path()).arg("check-config").arg(&file).output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{table}");
    assert!(table.contains("counts as false, as only true is true"), "{table}");
    assert!(table.contains("readable, or not there yet"), "{table}");
}

#[test]
fn a_missing_settings_file_stops_the_start() {
    let home = tempfile::tempdir().unwrap();
    let output = mqnamesrv(home.path()).args(["-c", "no/such.conf"]).output().unwrap();
    assert_eq!(output.status.code(), Some(255));
    assert!(stderr(&output).contains("no/such.conf"), "{}", stderr(&output));
}
