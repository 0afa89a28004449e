//! `mqnamesrv` as a process: its options, its ready line, its end.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
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
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready = "The Name Server boot success. serializeType=JSON, address 127.0.0.1:";
    assert!(line.starts_with(ready), "{line}");
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
    assert_eq!(output.status.code(), Some(1));
    let lines = stderr(&output);
    assert_eq!(lines.lines().count(), 1, "{lines}");
    assert!(lines.contains(&kv.display().to_string()) && lines.contains("line 1"), "{lines}");
    assert_eq!(std::fs::read_to_string(&kv).unwrap(), "{\"configTable\":");
}

#[test]
fn a_missing_settings_file_stops_the_start() {
    let home = tempfile::tempdir().unwrap();
    let output = mqnamesrv(home.path()).args(["-c", "no/such.conf"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no/such.conf"), "{}", stderr(&output));
}
