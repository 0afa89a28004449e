//! The files of `config/`, damaged or foreign: the broker does not start, says which file in one
//! line, and replaces nothing; a sound `.bak` is taken and kept.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use broker::{Broker, Settings};

/// Each file with a sound content and what it is about.
const FILES: [(&str, &str, &str); 4] = [
    (
        "topics.json",
        r#"{"dataVersion":{"counter":3,"timestamp":1},"topicConfigTable":{"Kept":{"perm":6,
        "readQueueNums":3,"topicFilterType":"SINGLE_TAG","topicName":"Kept","writeQueueNums":3}}}"#,
        "Kept",
    ),
    (
        "subscriptionGroup.json",
        r#"{"dataVersion":{"counter":3,"timestamp":1},"subscriptionGroupTable":{"Kept":{
        "groupName":"Kept","retryMaxTimes":7}}}"#,
        "Kept",
    ),
    ("consumerOffset.json", r#"{"offsetTable":{"T@Kept":{0:17,1:4}}}"#, "T@Kept"),
    ("delayOffset.json", r#"{"offsetTable":{99:17}}"#, "99"),
];

/// Contents that are not what a broker writes, and where their first fault is.
fn damaged() -> Vec<Vec<u8>> {
    let mut contents: Vec<Vec<u8>> = [
        "{",
        "[]",
        "{}",
        "null",
        "7",
        "{\"other\":{}}",
        "{\"offsetTable\":7,\"topicConfigTable\":7,\"subscriptionGroupTable\":7}",
        "no JSON at all\nin two lines",
        "{\"offsetTable\":{},\"topicConfigTable\":{},\"subscriptionGroupTable\":{}}}",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec();
    contents.push(vec![0; 4_096]);
    contents.push(b"\xff\xfe{}".to_vec());
    contents.push("[".repeat(100_000).into_bytes());
    contents
}

fn settings(root: &Path) -> Settings {
    let mut settings = Settings::default();
    settings.broker.namesrv_addr = None;
    settings.network.listen_port = 0;
    settings.network.bind_address = "127.0.0.1".to_owned();
    settings.store.store_path_root_dir = root.to_str().unwrap().to_owned();
    settings.store.mapped_file_size_commit_log = 1 << 20;
    settings.store.max_hash_slot_num = 500;
    settings.store.max_index_num = 2_000;
    settings
}

/// The files of `config/` by name.
fn tables(root: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let entries = fs::read_dir(root.join("config")).unwrap();
    entries
        .map(|entry| {
            let path = entry.unwrap().path();
            let content = fs::read(&path).ok();
            (path, content)
        })
        .collect()
}

/// Starts a broker twice, in vain both times, and returns what it said.
async fn refused(root: &Path) -> String {
    let before = tables(root);
    let mut lines = Vec::new();
    for _ in 0..2 {
        let error = Broker::start(settings(root)).await.err().expect("the start is refused");
        lines.push(error.to_string());
        assert!(tables(root) == before, "{error}: something changed");
        assert!(!root.join("abort").exists(), "{error}");
    }
    assert_eq!(lines[0], lines[1]);
    assert!(!lines[0].contains('\n'), "{}", lines[0]);
    lines.remove(0)
}

/// A store that a broker has left, its tables replaced by the sound ones.
async fn stopped() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    Broker::start(settings(directory.path())).await.unwrap().stop().await.unwrap();
    let config = directory.path().join("config");
    fs::remove_dir_all(&config).unwrap();
    fs::create_dir(&config).unwrap();
    for (name, content, _) in FILES {
        fs::write(config.join(name), content).unwrap();
    }
    directory
}

#[tokio::test]
async fn a_damaged_table_without_a_copy_stops_the_start() {
    let directory = stopped().await;
    let root = directory.path();
    for (name, sound, _) in FILES {
        let path = root.join("config").join(name);
        for content in damaged() {
            fs::write(&path, &content).unwrap();
            let line = refused(root).await;
            assert!(line.starts_with(&format!("{} at ", path.display())), "{line}");
            assert!(line.contains(": expected JSON as "), "{line}");
            // The copy is no better, and it is the one that is named.
            let copy = root.join("config").join(format!("{name}.bak"));
            fs::write(&copy, &content).unwrap();
            let line = refused(root).await;
            assert!(line.starts_with(&format!("{} at ", copy.display())), "{line}");
            fs::remove_file(&copy).unwrap();
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let line = refused(root).await;
        assert!(line.starts_with(&format!("{}: cannot read: ", path.display())), "{line}");
        fs::remove_dir(&path).unwrap();
        fs::write(&path, sound).unwrap();
    }
    let running = Broker::start(settings(root)).await.unwrap();
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_damaged_table_with_a_sound_copy_is_put_aside() {
    for content in damaged() {
        let directory = stopped().await;
        let config = directory.path().join("config");
        for (name, sound, _) in FILES {
            fs::write(config.join(name), &content).unwrap();
            fs::write(config.join(format!("{name}.bak")), sound).unwrap();
        }
        let running = Broker::start(settings(directory.path())).await.unwrap();
        running.stop().await.unwrap();
        for (name, sound, kept) in FILES {
            let read = |suffix: &str| fs::read(config.join(format!("{name}{suffix}"))).unwrap();
            assert_eq!(read(".damaged"), content, "{name}");
            assert!(String::from_utf8(read("")).unwrap().contains(kept), "{name}");
            // The copy is the sound one still, or a generation that has come since.
            let copy = String::from_utf8(read(".bak")).unwrap();
            assert!(copy == sound || copy.contains(kept), "{name}: {copy}");
        }
    }
}

#[tokio::test]
async fn the_programs_say_it_in_one_line_and_fail() {
    let directory = stopped().await;
    let root = directory.path();
    let conf = root.join("broker.conf");
    let text = format!(
        "listenPort=0\nbindAddress=127.0.0.1\nstorePathRootDir={}\nmappedFileSizeCommitLog=1048576\n\
         maxHashSlotNum=500\nmaxIndexNum=2000\n",
        root.display()
    );
    fs::write(&conf, text).unwrap();
    let offsets = root.join("config/consumerOffset.json");
    let log = root.join("commitlog/notes.txt");
    fs::write(&log, "x").unwrap();
    for (damage, expected) in [
        (&log, format!("{} at 0: expected a log file", log.display())),
        (&offsets, format!("{} at 1: expected JSON", offsets.display())),
    ] {
        fs::write(damage, "{}").unwrap();
        for program in [env!("CARGO_BIN_EXE_mqbroker"), env!("CARGO_BIN_EXE_mqserver")] {
            let mut command = Command::new(program);
            command.args(["--log", "stderr", "-c"]).arg(&conf).env_remove("NAMESRV_ADDR");
            if program.ends_with("mqserver") {
                command.args(["--namesrv-port", "0"]);
            }
            let output = command.output().unwrap();
            assert_eq!(output.status.code(), Some(253), "{program}");
            let stderr = String::from_utf8(output.stderr).unwrap();
            let reasons: Vec<_> = stderr.lines().filter(|line| line.contains("expected")).collect();
            assert!(reasons.len() == 1 && reasons[0].contains(&expected), "{program}: {stderr}");
            assert_eq!(stderr.lines().last(), Some(reasons[0]), "{program}: {stderr}");
            assert!(output.stdout.is_empty(), "{program}");
        }
        assert_eq!(fs::read(damage).unwrap(), b"{}");
        if *damage == log {
            fs::remove_file(&log).unwrap();
        }
    }
}

/// One bit of a table, every so many bytes. What it says then may be another name or number, for
/// which there is no checksum; it is that or a line with the file, and never something else.
#[tokio::test]
async fn a_flipped_bit_of_a_table_is_read_or_named() {
    let directory = stopped().await;
    let root = directory.path();
    let mut refusals = 0;
    for (name, sound, _) in FILES {
        let path = root.join("config").join(name);
        for at in (0..sound.len()).step_by(5) {
            let mut content = sound.as_bytes().to_vec();
            content[at] ^= 1 << (at % 8);
            fs::write(&path, &content).unwrap();
            match Broker::start(settings(root)).await {
                Ok(running) => running.stop().await.unwrap(),
                Err(error) => {
                    let line = error.to_string();
                    assert!(line.contains(path.to_str().unwrap()), "{name} at {at}: {line}");
                    assert!(!line.contains('\n'), "{line}");
                    refusals += 1;
                }
            }
            for (name, sound, _) in FILES {
                fs::write(root.join("config").join(name), sound).unwrap();
                let _ = fs::remove_file(root.join("config").join(format!("{name}.bak")));
            }
        }
    }
    assert!(refusals > 20, "{refusals}");
}
