//! Set-ups as users have them: every sound one starts and stores a message, every broken one ends
//! with one line that says cause and cure, and `check-config` says both beforehand.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod broken;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/process.rs"]
mod process;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{PATIENCE, code, new_topic, sent, to};
use process::{MQBROKER, Process, output};
use remoting::net::{Client, ClientOptions};
use remoting::protocol::code::{RequestCode, ResponseCode};
use remoting::protocol::command::Frame;
use remoting::protocol::header::{SendMessageRequestHeader, Short};
use rustix::process::Signal;

/// The home directory of whoever wrote the files.
const HOME: &[u8] = b"/home/rocketmq";

/// What a second file of `-c` says, so that many brokers run on one machine.
const HERE: &str = "listenPort=0\nbindAddress=127.0.0.1\nmetricsPromExporterPort=0\n";

/// `mqbroker` in an environment that has only this home.
fn mqbroker(home: &Path) -> Command {
    let mut command = Command::new(MQBROKER);
    command.env_clear().env("HOME", home).args(["--log", "stderr"]);
    command
}

/// The files of `data/setups`, by name.
fn setups() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/setups");
    let mut files: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Writes a file below another home.
fn moved(file: &Path, home: &Path) -> PathBuf {
    let mut text = Vec::new();
    let bytes = fs::read(file).unwrap();
    let mut rest = bytes.as_slice();
    while let Some(at) = rest.windows(HOME.len()).position(|window| window == HOME) {
        text.extend_from_slice(&rest[..at]);
        text.extend_from_slice(home.to_str().unwrap().as_bytes());
        rest = &rest[at + HOME.len()..];
    }
    text.extend_from_slice(rest);
    let path = home.join(file.file_name().unwrap());
    fs::write(&path, text).unwrap();
    path
}

/// Host and port in `The broker[NAME, HOST:PORT] boot success...`, with the loopback as host.
fn address_in(line: &str) -> String {
    let inside = line.split_once('[').and_then(|(_, rest)| rest.split_once("] boot success"));
    let (inside, _) = inside.unwrap_or_else(|| panic!("no boot line: {line:?}"));
    format!("127.0.0.1:{}", inside.rsplit_once(':').unwrap().1)
}

/// Makes a topic and sends to it.
async fn send(address: &str) -> Frame {
    let client = Client::new(ClientOptions::default());
    let topic = new_topic("Setups", 1);
    let request = RequestCode::UpdateAndCreateTopic;
    let made = client.call(address, request, &topic, &[], &[], PATIENCE).await.unwrap();
    assert_eq!(code(&made), ResponseCode::Success, "{:?}", made.remark());
    let header = Short(SendMessageRequestHeader { queue_id: 0, ..to("Setups") });
    let request = RequestCode::SendMessageV2;
    let answer = client.call(address, request, &header, &[], b"hello", PATIENCE).await.unwrap();
    client.close();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sound_set_up_starts_and_stores() {
    let setups = setups();
    assert!(setups.len() >= 30, "{}", setups.len());
    for file in setups {
        let home = tempfile::tempdir().unwrap();
        // A disk that was filled before the new one came.
        fs::create_dir_all(home.path().join("old/commitlog")).unwrap();
        let here = home.path().join("here.conf");
        fs::write(&here, HERE).unwrap();
        let path = moved(&file, home.path());
        let (table, checked) =
            output(mqbroker(home.path()).arg("check-config").arg(&path).arg(&here));
        assert!(matches!(checked, Some(0 | 1)), "{}: {table}", file.display());
        let mut process =
            Process::start(mqbroker(home.path()).arg("-c").arg(&path).arg("-c").arg(&here));
        let line = process.line();
        assert!(line.starts_with("The broker["), "{}: {line:?}", file.display());
        let answer = send(&address_in(&line)).await;
        assert_eq!(code(&answer), ResponseCode::Success, "{}", file.display());
        assert_eq!(sent(&answer).queue_offset, 0);
        process.end(Signal::TERM);
    }
}

/// What a user would ask about after reading the file.
#[test]
fn what_a_file_says_is_checked() {
    for (name, expected) in [
        ("typos.conf", "unknown, did you mean brokerName? Java drops it silently"),
        ("typos.conf", "no int: the default stays"),
        ("trailing-blanks.conf", "no int: the default stays, as Java silently does"),
        ("trailing-blanks.conf", "counts as false, as only true is true"),
        ("byte-order-mark.conf", "\\u{feff}brokerClusterName"),
        ("written-before-4.6.conf", "its name is mappedFileSizeCommitLog"),
        ("docker-single.conf", "clients are told it: set by brokerIP1"),
        ("docker-two-networks.conf", "198.51.100.7:0"),
        ("two-networks.conf", "clients from 10.0.0.0/8 are told it"),
        ("two-networks.conf", "nobody is told it"),
        ("quick-start.conf", "writable"),
    ] {
        let home = tempfile::tempdir().unwrap();
        let here = home.path().join("here.conf");
        fs::write(&here, HERE).unwrap();
        let file = setups().into_iter().find(|path| path.ends_with(name)).unwrap();
        let path = moved(&file, home.path());
        let (table, _) = output(mqbroker(home.path()).arg("check-config").arg(&path).arg(&here));
        assert!(table.contains(expected), "{name}: {expected}\n{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_over_its_level_is_seen_before_the_start_and_refuses_messages() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("broker.conf");
    let full =
        format!("{HERE}cleanResourceInterval=20\ndiskSpaceWarningLevelFreeBytes={}\n", i64::MAX);
    fs::write(&file, full).unwrap();
    let (table, checked) = output(mqbroker(home.path()).arg("check-config").arg(&file));
    assert_eq!(checked, Some(1), "{table}");
    assert!(table.contains("messages are refused below"), "{table}");
    let mut process = Process::start(mqbroker(home.path()).arg("-c").arg(&file));
    let address = address_in(&process.line());
    // Until the disk was looked at for the first time, messages are taken.
    let refused = async {
        while code(&send(&address).await) == ResponseCode::Success {
            tokio::task::yield_now().await;
        }
        send(&address).await
    };
    let answer = tokio::time::timeout(PATIENCE, refused).await.unwrap();
    assert_eq!(code(&answer), ResponseCode::ServiceNotAvailable);
    process.end(Signal::TERM);
}
