//! Broken set-ups, one row each: what is wrong, the exit code of Java's start, cause and cure.

use std::any::Any;
use std::fs;
use std::net::TcpListener;
use std::path::Path;

use super::process::{Process, failing, output};
use super::{HERE, mqbroker};

/// -1, -3 and -4 as a shell sees them.
const FAILED: i32 = 255;
const NOT_INITIALIZED: i32 = 253;
const CONTRADICTION: i32 = 252;

/// What keeps a set-up broken while the row is tried.
type Kept = Option<Box<dyn Any>>;

/// A row: the file, what happened before, and what the start says.
struct Row {
    /// Lines of the file; `HOME` and `PORT` stand for what the row has.
    conf: &'static str,
    before: fn(&Path) -> Kept,
    code: i32,
    /// In the line of the start and in the table of `check-config`.
    cause: &'static str,
    /// In the line of the start.
    cure: &'static str,
}

fn nothing(_: &Path) -> Kept {
    None
}

/// Puts a file below the home.
fn put(home: &Path, name: &str, content: &[u8]) -> Kept {
    let path = home.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
    None
}

fn another_broker(home: &Path) -> Kept {
    let file = home.join("other.conf");
    fs::write(&file, HERE).unwrap();
    let mut process = Process::start(mqbroker(home).arg("-c").arg(&file));
    assert!(process.line().contains("boot success"));
    Some(Box::new(process))
}

const fn row(
    conf: &'static str,
    before: fn(&Path) -> Kept,
    code: i32,
    cause: &'static str,
    cure: &'static str,
) -> Row {
    Row { conf, before, code, cause, cure }
}

const REPLICATION: &str = "replication is not supported";
const TAKE_OUT: &str = "take the key out";

const ROWS: &[Row] = &[
    row("listenPort=PORT", nothing, FAILED, "Address already in use", "set listenPort to a free"),
    row("listenPort=-1", nothing, FAILED, "must be from 0 to 65535", ""),
    row("listenPort=70000", nothing, FAILED, "must be from 0 to 65535", ""),
    row("bindAddress=nowhere", nothing, FAILED, "IP address", "or 0.0.0.0"),
    row("bindAddress=192.0.2.1", nothing, FAILED, "Cannot assign", "an address of this machine"),
    row("brokerIP1=not a host", nothing, FAILED, "no such address", "that clients reach"),
    row("advertisedListeners=a", nothing, FAILED, "must be NAME://HOST:PORT", ""),
    row("advertisedNetworks=a:*", nothing, FAILED, "is none of advertisedListeners", ""),
    row("quotaTopics=Orders", nothing, FAILED, "must be NAME:NUMBER", ""),
    row(
        "storePathRootDir=HOME/file",
        |home| put(home, "file", b"no directory"),
        NOT_INITIALIZED,
        "HOME/file",
        "a file stands where a directory should",
    ),
    row(
        "storePathRootDir=HOME/file/store",
        |home| put(home, "file", b"no directory"),
        NOT_INITIALIZED,
        "HOME/file",
        "a file stands where a directory should",
    ),
    row(
        "",
        |home| put(home, "store/consumequeue/CURRENT", b"MANIFEST-000001"),
        NOT_INITIALIZED,
        "expected no RocksDB here",
        "another storePathRootDir starts anew",
    ),
    row(
        "",
        |home| put(home, "store/dledger-n0/data/00000000000000000000", b""),
        NOT_INITIALIZED,
        "expected no DLedger log here",
        "another storePathRootDir starts anew",
    ),
    row(
        "",
        |home| put(home, "store/commitlog/00000000000000000000", &[0; 4096]),
        NOT_INITIALIZED,
        "expected a file of 1073741824 bytes (mappedFileSizeCommitLog), got 4096 bytes",
        "mqadmin store check",
    ),
    row(
        "",
        |home| put(home, "store/commitlog/notes.txt", b"mine"),
        NOT_INITIALIZED,
        "got a foreign file",
        "mqadmin store check",
    ),
    row(
        "",
        |home| put(home, "store/config/topics.json", b"{\"topicConfigTable\":"),
        NOT_INITIALIZED,
        "topics.json at 19: expected JSON",
        "put a good copy in its place",
    ),
    row(
        "",
        |home| put(home, "store/config/subscriptionGroup.json", b"[]"),
        NOT_INITIALIZED,
        "subscriptionGroup.json at ",
        "put a good copy in its place",
    ),
    row(
        "",
        |home| put(home, "store/config/consumerOffset.json", b"\0\0\0\0"),
        NOT_INITIALIZED,
        "consumerOffset.json at 0: expected JSON",
        "put a good copy in its place",
    ),
    row(
        "",
        |home| put(home, "store/config/delayOffset.json", b"{}"),
        NOT_INITIALIZED,
        "delayOffset.json at ",
        "put a good copy in its place",
    ),
    row("", another_broker, FAILED, "in use by another process", "stop the other broker"),
    row("flushDiskType=SYNC", nothing, FAILED, "must be SYNC_FLUSH or ASYNC_FLUSH", ""),
    row("fileReservedTime=-1", nothing, FAILED, "must be from 0 to 876000", ""),
    row("brokerPermission=8", nothing, FAILED, "must be from 0 to 7", ""),
    row("deleteWhen=04:00", nothing, NOT_INITIALIZED, "expected hours from 0 to 23", ""),
    row("messageDelayLevel=soon", nothing, NOT_INITIALIZED, "messageDelayLevel", "1s 5m 2h"),
    row("mappedFileSizeCommitLog=100", nothing, NOT_INITIALIZED, "too small", ""),
    row("brokerName=", nothing, FAILED, "must be a plain name", ""),
    row("brokerName=\\u12g4", nothing, FAILED, "line 1: \\u needs four hexadecimal", "backslash"),
    row("brokerRole=PRIMARY", nothing, FAILED, REPLICATION, TAKE_OUT),
    row("brokerRole=SYNC_MASTER", nothing, FAILED, REPLICATION, TAKE_OUT),
    row("brokerRole=SLAVE\nbrokerId=1", nothing, FAILED, REPLICATION, TAKE_OUT),
    row("brokerRole=SLAVE\nbrokerId=0", nothing, NOT_INITIALIZED, REPLICATION, "take both"),
    row("inSyncReplicas=2", nothing, FAILED, REPLICATION, TAKE_OUT),
    row("enableControllerMode=true", nothing, FAILED, REPLICATION, TAKE_OUT),
    row("enableDLegerCommitLog=true", nothing, FAILED, REPLICATION, TAKE_OUT),
    row(
        "enableDLegerCommitLog=true\nenableControllerMode=true",
        nothing,
        CONTRADICTION,
        REPLICATION,
        "cannot both be true",
    ),
    row("aclEnable=true", nothing, FAILED, "access control is not supported", TAKE_OUT),
    row("useTLS=true", nothing, FAILED, "TLS is not supported", TAKE_OUT),
    row("storeType=defaultRocksDB", nothing, FAILED, "only the file store", TAKE_OUT),
    row("namesrvAddr=127.0.0.1", nothing, NOT_INITIALIZED, "illegal, please set it", "9876"),
    row("namesrvAddr=a:98760", nothing, NOT_INITIALIZED, "illegal, please set it", "9876"),
];

#[test]
fn every_broken_set_up_says_cause_and_cure() {
    assert!(ROWS.len() >= 30);
    let silent: Vec<String> = ROWS.iter().filter_map(|row| tried(row).err()).collect();
    assert!(silent.is_empty(), "{}", silent.join("\n\n"));
}

/// Has a row checked and started, and says what it does not say.
fn tried(row: &Row) -> Result<(), String> {
    let Row { conf, before, code, cause, cure } = row;
    let home = tempfile::tempdir().unwrap();
    let _kept = before(home.path());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let here = home.path().to_str().unwrap();
    let mut lines = conf.replace("HOME", here).replace("PORT", &port);
    for line in HERE.lines() {
        let (key, _) = line.split_once('=').unwrap();
        if !conf.contains(key) {
            lines = format!("{lines}\n{line}");
        }
    }
    let file = home.path().join("broker.conf");
    fs::write(&file, lines).unwrap();
    let cause = cause.replace("HOME", here);

    let (table, checked) = output(mqbroker(home.path()).arg("check-config").arg(&file));
    let found = table.lines().any(|line| line.starts_with("stops") && line.contains(&cause));
    if checked != Some(2) || !found {
        return Err(format!("{conf}: no {cause:?}, {checked:?}\n{table}"));
    }
    let line = failing(mqbroker(home.path()).arg("-c").arg(&file), *code);
    match line.contains(&cause) && line.contains(cure) {
        true => Ok(()),
        false => Err(format!("{conf}: no {cause:?} and {cure:?}\n{line}")),
    }
}

/// Not even the superuser makes a directory there.
#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("broker.conf");
    for key in ["storePathRootDir", "storePathCommitLog"] {
        fs::write(&file, format!("{HERE}{key}=/proc/raptormq\n")).unwrap();
        let line = failing(mqbroker(home.path()).arg("-c").arg(&file), NOT_INITIALIZED);
        assert!(line.starts_with("/proc/raptormq: cannot create: "), "{line}");
        assert!(line.ends_with("name another"), "{line}");
    }
}

#[test]
fn what_is_not_there_is_named() {
    let home = tempfile::tempdir().unwrap();
    let missing = home.path().join("no.conf");
    for file in [missing.as_path(), home.path()] {
        let (table, checked) = output(mqbroker(home.path()).arg("check-config").arg(file));
        assert_eq!(checked, Some(2), "{table}");
        let line = failing(mqbroker(home.path()).arg("-c").arg(file), FAILED);
        assert!(line.starts_with(&format!("{}: ", file.display())), "{line}");
        assert!(line.contains("; ") && line.ends_with("name another"), "{line}");
    }
    let line = failing(mqbroker(home.path()).args(["--log", "/no/such/directory/a.log"]), FAILED);
    assert!(line.starts_with("log file: /no/such/directory/a.log: No such"), "{line}");
    let line = failing(mqbroker(home.path()).arg("--no-such-option"), 1);
    assert!(line.contains("--help"), "{line}");
}
