//! `cargo xtask compare --cleaning`: what is left after requests 329 (delete expired log files),
//! 306 (clean expired consume queues) and 316 (clean unused topics). A Java broker makes a store,
//! its oldest log files are made old, a topic is taken out of `topics.json`; then the Java broker
//! and ours get the same requests, each on a copy.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{Differences, Request, ask};
use crate::compat::{Servers, cache};
use crate::takeover::link::Link;
use crate::takeover::site::{End, NameServer, Site, Special};

/// Java looks for expired files a minute after its start, then every 10 s.
const PATIENCE: Duration = Duration::from_secs(100);
/// Java deletes log files and cleans queues in two threads, each every 10 s.
const ROUND: Duration = Duration::from_secs(12);
/// For a broker to show what it was sent, and to write it.
const SETTLE: Duration = Duration::from_secs(2);
const EXPIRED: Duration = Duration::from_secs(80 * 3600);
/// Log files that stay young.
const YOUNG_FILES: usize = 2;
const GROUP: &str = "compare-group";

const DELETE_EXPIRED_LOG: i32 = 329;
const CLEAN_EXPIRED_QUEUES: i32 = 306;
const CLEAN_UNUSED_TOPICS: i32 = 316;

/// Topics: attributes, messages in the oldest files, messages in the youngest.
const TOPICS: &[(&str, &str, usize, usize)] = &[
    // Nothing is left of it, and no group has an offset there.
    ("CleanGone", "", 20, 0),
    ("CleanBatch", "+queue.type=BatchCQ", 20, 0),
    // Nothing is left of it but the offset of a group.
    ("CleanKept", "", 20, 0),
    // Its first queue file goes, the second stays.
    ("CleanHalf", "", 800, 5),
    // Not in `topics.json` any more.
    ("CleanLeft", "", 20, 5),
    // Nor this one, of which nothing is left either.
    ("CleanLost", "", 20, 0),
    ("CleanLive", "", 0, 5),
];
const LEFT: [&str; 2] = ["CleanLeft", "CleanLost"];
const FILLER: &str = "CleanLive";
const QUEUES: i32 = 2;

/// What one broker showed, by moment and name.
type Seen = BTreeMap<(usize, String), String>;

/// Fills `out` with what differs; returns how much was compared.
pub fn compare(java: &Servers, ours: &Servers, out: &mut Differences) -> Result<usize> {
    let name_server = NameServer::start(ours)?;
    let mut site = Site::prepare("broker", &name_server, Special::default(), &settings()?)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    site.start(java)?;
    runtime.block_on(fill(&Link::new(site.broker)))?;
    site.end(End::Clean)?;
    age(&site)?;
    forget_topics(&site.store())?;
    let origin = cache().join("compare-cleaning");
    remove(&origin)?;
    copy(&site.store(), &origin)?;
    let mut sides = Vec::new();
    for servers in [java, ours] {
        remove(&site.store())?;
        copy(&origin, &site.store())?;
        site.start(servers)?;
        let mut seen = runtime.block_on(clean(&site))?;
        site.end(End::Clean)?;
        note_files(&site, "stop", &mut seen)?;
        sides.push(seen);
    }
    let (theirs, own) = (&sides[0], &sides[1]);
    for key in theirs.keys().chain(own.keys().filter(|key| !theirs.contains_key(*key))) {
        let value = |seen: &Seen| seen.get(key).map_or_else(|| "none".to_owned(), String::clone);
        let (theirs, own) = (value(theirs), value(own));
        if theirs != own {
            out.add(format!("cleaning {}: {theirs} → {own}", key.1));
        }
    }
    Ok(theirs.len())
}

/// Nothing is deleted by itself: neither for the hour nor for want of room.
fn settings() -> Result<Vec<(&'static str, String)>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    Ok(vec![
        ("deleteWhen", format!("{:02}", (now / 3600 + 12) % 24)),
        ("diskMaxUsedSpaceRatio", "95".to_owned()),
        ("cleanFileForciblyEnable", "false".to_owned()),
        ("mapperFileSizeBatchConsumeQueue", (46 * 300).to_string()),
    ])
}

async fn fill(link: &Link) -> Result<()> {
    for (topic, attributes, ..) in TOPICS {
        let mut request = Request::new("create", 17)
            .with("topic", topic)
            .with("defaultTopic", "TBW102")
            .with("readQueueNums", QUEUES)
            .with("writeQueueNums", QUEUES)
            .with("perm", 6)
            .with("topicFilterType", "SINGLE_TAG")
            .with("topicSysFlag", 0)
            .with("order", false);
        if !attributes.is_empty() {
            request = request.with("attributes", attributes);
        }
        ok(link, &request).await?;
    }
    for (topic, _, old, _) in TOPICS {
        for number in 0..*old {
            ok(link, &send(topic, number as i32 % QUEUES, vec![b'x'; 64])).await?;
        }
    }
    for _ in 0..80 {
        ok(link, &send(FILLER, 1, vec![b'f'; 60_000])).await?;
    }
    for (topic, _, _, young) in TOPICS {
        for _ in 0..*young {
            ok(link, &send(topic, 0, vec![b'y'; 64])).await?;
        }
    }
    let group = format!(r#"{{"groupName":"{GROUP}","consumeEnable":true}}"#);
    ok(link, &Request::new("create group", 200).carrying(group)).await?;
    let commit = Request::new("commit", 15).with("consumerGroup", GROUP);
    let commit = commit.with("topic", "CleanKept").with("queueId", 0).with("commitOffset", 10);
    ok(link, &commit).await?;
    tokio::time::sleep(SETTLE).await;
    Ok(())
}

fn send(topic: &str, queue_id: i32, body: Vec<u8>) -> Request {
    Request::send("send").with("b", topic).with("d", QUEUES).with("e", queue_id).carrying(body)
}

async fn ok(link: &Link, request: &Request) -> Result<()> {
    let answer = ask(link, request).await?;
    let (name, remark) = (&request.name, &answer.remark);
    ensure!(answer.code == 0, "{name} {:?}: {} {remark}", request.fields, answer.code);
    Ok(())
}

fn age(site: &Site) -> Result<()> {
    let files = site.log_files()?;
    let old = files.len().checked_sub(YOUNG_FILES).context("too few log files")?;
    ensure!(old >= 2, "only {old} log files to expire");
    for file in files.values().take(old) {
        let file = File::options().write(true).open(file)?;
        file.set_modified(SystemTime::now() - EXPIRED)?;
    }
    Ok(())
}

fn forget_topics(store: &Path) -> Result<()> {
    for name in ["topics.json", "topics.json.bak"] {
        let path = store.join("config").join(name);
        let Ok(text) = fs::read(&path) else { continue };
        let mut topics: Value = serde_json::from_slice(&text)?;
        let table = topics["topicConfigTable"].as_object_mut().context("topics.json")?;
        table.retain(|topic, _| !LEFT.contains(&topic.as_str()));
        fs::write(&path, serde_json::to_vec_pretty(&topics)?)?;
    }
    Ok(())
}

/// Sends the requests and notes what is left after each.
async fn clean(site: &Site) -> Result<Seen> {
    let link = Link::new(site.broker);
    let mut seen = Seen::new();
    note(site, &link, "start", &mut seen).await?;
    let files = site.log_files()?.len();
    let deadline = Instant::now() + PATIENCE;
    request(&link, DELETE_EXPIRED_LOG, &mut seen).await?;
    while site.log_files()?.len() == files {
        ensure!(Instant::now() < deadline, "no log file is deleted in time");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    tokio::time::sleep(ROUND).await;
    note(site, &link, "329", &mut seen).await?;
    for (code, moment) in [
        (CLEAN_EXPIRED_QUEUES, "306"),
        (CLEAN_EXPIRED_QUEUES, "306 again"),
        (CLEAN_UNUSED_TOPICS, "316"),
        (CLEAN_UNUSED_TOPICS, "316 again"),
    ] {
        request(&link, code, &mut seen).await?;
        note(site, &link, moment, &mut seen).await?;
    }
    for (topic, ..) in TOPICS.iter().filter(|(topic, ..)| !LEFT.contains(topic)) {
        for queue_id in 0..QUEUES {
            ok(&link, &send(topic, queue_id, vec![b'z'; 64])).await?;
        }
    }
    tokio::time::sleep(SETTLE).await;
    note(site, &link, "new messages", &mut seen).await?;
    Ok(seen)
}

async fn request(link: &Link, code: i32, seen: &mut Seen) -> Result<()> {
    let answer = ask(link, &Request::new("clean", code)).await?;
    insert(seen, format!("answer of {code}"), answer.code.to_string());
    Ok(())
}

fn insert(seen: &mut Seen, name: String, value: String) {
    seen.insert((seen.len(), name), value);
}

/// What files there are, and what the broker says of its queues.
async fn note(site: &Site, link: &Link, moment: &str, seen: &mut Seen) -> Result<()> {
    note_files(site, moment, seen)?;
    for (topic, ..) in TOPICS {
        for queue_id in 0..QUEUES {
            let mut bounds = Vec::new();
            for code in [31, 30] {
                bounds.push(bound(link, topic, queue_id, code).await?);
            }
            let name = format!("after {moment}: offsets of {topic}-{queue_id}");
            insert(seen, name, bounds.join(".."));
        }
    }
    Ok(())
}

async fn bound(link: &Link, topic: &str, queue_id: i32, code: i32) -> Result<String> {
    let request = Request::new("bound", code).with("topic", topic).with("queueId", queue_id);
    let answer = ask(link, &request).await?;
    Ok(answer.field("offset").map_or_else(|| format!("code {}", answer.code), str::to_owned))
}

fn note_files(site: &Site, moment: &str, seen: &mut Seen) -> Result<()> {
    let log: Vec<String> = site.log_files()?.keys().map(i64::to_string).collect();
    insert(seen, format!("after {moment}: log files"), log.join(" "));
    for (topic, ..) in TOPICS {
        let mut found = Vec::new();
        for folder in ["consumequeue", "batchconsumequeue"] {
            let directory = site.store().join(folder).join(topic);
            if directory.exists() {
                found.push(format!("directory{}", queue_files(&directory)?));
            }
        }
        insert(seen, format!("after {moment}: files of {topic}"), found.join(" "));
    }
    Ok(())
}

fn queue_files(topic: &Path) -> Result<String> {
    let mut found = Vec::new();
    for queue in fs::read_dir(topic)? {
        let queue = queue?;
        for file in fs::read_dir(queue.path())? {
            let (queue, file) = (queue.file_name(), file?.file_name());
            let start: i64 = file.to_string_lossy().parse()?;
            found.push(format!(" {}/{start}", queue.to_string_lossy()));
        }
    }
    found.sort();
    Ok(found.concat())
}

fn remove(directory: &Path) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    Ok(())
}

/// With times and holes.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let done = Command::new("cp").args(["-a", "--sparse=always"]).arg(from).arg(to).status()?;
    ensure!(done.success(), "cannot copy {}", from.display());
    Ok(())
}
