//! Stores that we do not carry: a Java broker writes one, ours must refuse it, with and without
//! the setting that made it so, and touch nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, ensure};
use tokio::time::sleep;

use super::content::{self, PATIENCE};
use super::link::Link;
use super::release::Release;
use super::site::{End, NameServer, Site, Special};
use crate::compat::{self, Servers};

const TOPIC: &str = "TakeoverPlain";

/// A kind of store: its name, the settings that make it, and a word of each refusal, with the
/// settings and without.
struct Kind {
    name: &'static str,
    settings: Vec<(&'static str, String)>,
    with: &'static str,
    without: &'static str,
}

fn kinds() -> Result<Vec<Kind>> {
    let on = |key| vec![(key, "true".to_owned())];
    let peers = format!("n0-{}", compat::loopback(compat::free_port()?));
    let mut dledger = on("enableDLegerCommitLog");
    dledger.extend([("dLegerGroup", "g".to_owned()), ("dLegerSelfId", "n0".to_owned())]);
    dledger.push(("dLegerPeers", peers));
    Ok(vec![
        Kind {
            name: "rocksdb",
            settings: vec![("storeType", "defaultRocksDB".to_owned())],
            with: "storeType",
            without: "no RocksDB here",
        },
        Kind {
            name: "doubled",
            settings: on("rocksdbCQDoubleWriteEnable"),
            with: "rocksdbCQDoubleWriteEnable",
            without: "no RocksDB here",
        },
        Kind {
            name: "dledger",
            settings: dledger,
            with: "enableDLegerCommitLog",
            without: "enableDLegerCommitLog",
        },
    ])
}

/// Writes and refuses every kind that the release has.
pub fn run(
    release: Release,
    java: &Servers,
    ours: &Servers,
    name_server: &NameServer,
) -> Result<bool> {
    let mut held = true;
    for kind in kinds()? {
        if kind.without.contains("RocksDB") && !release.has_rocks_db() {
            println!("a store of {release}, {}: left out, it has none", kind.name);
            continue;
        }
        match refuse(release, &kind, java, ours, name_server) {
            Ok(()) => println!("a store of {release}, {}: refused, nothing touched", kind.name),
            Err(error) => {
                println!("a store of {release}, {}: FAILED: {error:#}", kind.name);
                held = false;
            }
        }
    }
    Ok(held)
}

fn refuse(
    release: Release,
    kind: &Kind,
    java: &Servers,
    ours: &Servers,
    name_server: &NameServer,
) -> Result<()> {
    let name = format!("refused-{}-{}", release.0, kind.name);
    let special = Special::default();
    let mut site = Site::prepare(&name, name_server, special, &kind.settings)?;
    site.start(java)?;
    write(&site)?;
    site.end(End::Clean)?;
    let before = contents(&site.store())?;
    let without = Site::prepare(&name, name_server, special, &[])?;
    for (mut site, word) in [(site, kind.with), (without, kind.without)] {
        let said = match site.start(ours) {
            Ok(_) => "it starts".to_owned(),
            Err(error) => error.to_string(),
        };
        ensure!(said.contains(word), "expected a refusal that names {word}: {said}");
        let after = contents(&site.store())?;
        let changed = before.keys().chain(after.keys());
        let mut changed = changed.filter(|path| before.get(*path) != after.get(*path));
        let first = changed.next();
        ensure!(
            first.is_none(),
            "{} changed",
            first.map_or("", |path| path.to_str().unwrap_or(""))
        );
    }
    Ok(())
}

fn write(site: &Site) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let link = Link::new(site.broker);
    let deadline = Instant::now() + PATIENCE;
    runtime.block_on(async {
        // A DLedger broker takes messages when it has elected itself.
        loop {
            let created = content::create_topic(&link, TOPIC, 1, None).await;
            let sent = match created {
                Ok(()) => content::send_body(&link, TOPIC, 0, b"body").await,
                Err(error) => Err(error),
            };
            match sent {
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => sleep(std::time::Duration::from_millis(200)).await,
                Ok(()) => return Ok(()),
            }
        }
    })
}

fn contents(root: &Path) -> Result<BTreeMap<PathBuf, Option<Vec<u8>>>> {
    let mut all = BTreeMap::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(path) = waiting.pop() {
        let content = if path.is_dir() {
            for entry in fs::read_dir(&path)? {
                waiting.push(entry?.path());
            }
            None
        } else {
            Some(fs::read(&path)?)
        };
        all.insert(path, content);
    }
    Ok(all)
}
