//! One directory on its way: written by the first broker, taken over by the second, given back.

use std::collections::BTreeSet;
use std::fs;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use remoting::protocol::message::record::Record;
use tokio::runtime::Runtime;
use tokio::time::sleep;

use super::configs::Configs;
use super::content::{self, DELAYED, PATIENCE, TIMER_TOPIC};
use super::light::{self, Lights};
use super::link::Link;
use super::pops::{self, Pops};
use super::release::Release;
use super::segments::Segments;
use super::site::{End, NameServer, Site, Special};
use super::snapshot::Snapshot;
use super::topics::Topics;
use super::transactions::Transactions;
use super::{consumers, saved};
use crate::compat::Servers;

const FIRST_COUNT: usize = 3000;
const SECOND_COUNT: usize = 600;
const DELAYED_COUNT: usize = 12;
const FIRST_STEP: i64 = 3;
const SECOND_STEP: i64 = 100;
/// Levels and how long they are.
const SHORT: (i32, Duration) = (1, Duration::from_secs(1));
const LONG: (i32, Duration) = (3, Duration::from_secs(10));
/// One of so many messages is looked for by its keys and its place.
const SAMPLE: usize = 9;

/// A broker that takes part.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    /// Its name in the report.
    pub word: &'static str,
    /// How to start it.
    pub servers: &'a Servers,
}

/// A round and what the directory must hold by now.
pub struct Round<'a> {
    first: Side<'a>,
    second: Side<'a>,
    end: End,
    release: Release,
    leg: String,
    site: Site,
    special: Special,
    runtime: Runtime,
    /// Bodies of delayed messages, with how often they may come.
    delayed: Vec<(Vec<u8>, RangeInclusive<usize>)>,
    transactions: Transactions,
    pops: Pops,
    lights: Lights,
    topics: Topics,
    /// Records before this place may have lost their keys.
    indexed_from: i64,
}

impl<'a> Round<'a> {
    /// An empty directory.
    pub fn prepare(
        name: &str,
        (first, second, end): (Side<'a>, Side<'a>, End),
        release: Release,
        special: Special,
        name_server: &NameServer,
    ) -> Result<Self> {
        let settings = [("enablePropertyFilter", "true".to_owned())];
        let broker = format!("broker-{name}");
        let site = Site::prepare(&broker, name_server, special, &settings)?;
        let pops = Pops::of(&broker);
        content::write_broadcast_offsets(&site.store())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self {
            first,
            second,
            end,
            release,
            leg: String::new(),
            site,
            special,
            runtime,
            delayed: Vec::new(),
            transactions: Transactions::default(),
            pops,
            lights: Lights::default(),
            topics: Topics::default(),
            indexed_from: 0,
        })
    }

    /// The leg that is on its way.
    pub fn leg(&self) -> &str {
        &self.leg
    }

    /// Ends what runs and keeps the directory.
    pub fn keep(&mut self) -> Result<PathBuf> {
        // It may not run any more.
        let _ = self.site.end(End::Kill);
        self.site.keep()
    }

    /// Goes all the way.
    pub fn run(&mut self) -> Result<()> {
        let (first, second, end) = (self.first, self.second, self.end);
        self.leg = format!("{} writes", first.word);
        self.site.start(first.servers)?;
        let written = self.write_first().context("writing")?;
        self.site.end(end)?;

        self.leg = format!("{} → {}, {}", first.word, second.word, end.word());
        // Java rebuilds the index of an aborted store from the file where recovery starts.
        if end == End::Kill && is_java(second) {
            let newest = self.site.log_files()?.into_keys().next_back();
            self.indexed_from = newest.unwrap_or(0);
        }
        let segments = Segments::read(&self.site.store())?;
        let configs = Configs::read(&self.site.store())?;
        let more = self.take_over(second, &written)?;
        self.site.end(End::Clean)?;
        let unchanged = segments.check(&[])?;
        // Java drops what its release does not know.
        if !is_java(second) {
            configs.check(&self.site.store())?;
        }
        println!("{:<32} {unchanged} finished files unchanged", self.leg);

        self.leg = format!("{} → {} → {}, {}", first.word, second.word, first.word, end.word());
        let segments = Segments::read(&self.site.store())?;
        let (more, deleted) = self.delete_oldest(more)?;
        self.take_over(first, &more)?;
        self.site.end(End::Clean)?;
        let unchanged = segments.check(&[deleted])?;
        println!("{:<32} {unchanged} finished files unchanged, but for the deleted one", self.leg);
        Ok(())
    }

    fn write_first(&mut self) -> Result<Snapshot> {
        let link = Link::new(self.site.broker);
        let (release, light) = (self.release, self.special.light);
        let group_attributes = is_java(self.first) && release.has_group_attributes();
        let (written, timers, due_ms, popped) = self.runtime.block_on(async {
            content::create(&link, group_attributes).await?;
            let early =
                content::send_delayed(&link, "early", DELAYED_COUNT, SHORT, release).await?;
            let due_ms = content::now_ms()? + SHORT.1.as_millis() as i64;
            consumers::subscribe(&link).await?;
            let acks = content::send(&link, "first", FIRST_COUNT).await?;
            content::commit(&link, FIRST_STEP).await?;
            // After a kill, progress of the delay levels that was not saved yet is made again.
            let by_level = if self.end == End::Kill { 2 } else { 1 };
            let often = |body: &[u8]| if is_timed(body) { 1 } else { by_level };
            self.delayed.extend(early.into_iter().map(|body| (body.clone(), 1..=often(&body))));
            await_delivered(&link, &self.delayed).await?;
            let written = Snapshot::take(&link, release).await?;
            content::check_acks(&acks, &written)?;
            self.transactions.go_on(&link, "first").await?;
            self.transactions.check(&link).await?;
            if light {
                light::create(&link).await?;
                self.lights.go_on(&link, "first").await?;
            }
            let (mut popped, mut timers) = (Vec::new(), 0);
            if release.is_5() {
                pops::create(&link).await?;
                consumers::wish_to_pop(&link).await?;
                self.pops.go_on(&link, "first").await?;
                popped = self.pops.offsets(&link).await?;
                timers = link.bounds(TIMER_TOPIC, 0).await?.1;
            }
            anyhow::Ok((written, timers, due_ms, popped))
        })?;
        if self.end == End::Kill {
            self.await_saved(timers, due_ms, &popped)?;
        }
        self.send_pending(&link, "pending")?;
        self.runtime.block_on(self.topics.go_on(&link))?;
        Ok(written)
    }

    /// Waits for what a kill would undo.
    fn await_saved(&self, timers: i64, due_ms: i64, popped: &[pops::Offset]) -> Result<()> {
        let store = self.site.store();
        saved::await_offsets(&store, FIRST_STEP, popped)?;
        saved::await_subscription(&store)?;
        if self.release.is_5() {
            saved::await_timer(&store, timers, due_ms)?;
        }
        Ok(())
    }

    /// Sends messages that the next broker has to deliver.
    fn send_pending(&mut self, link: &Link, word: &str) -> Result<()> {
        let sending = content::send_delayed(link, word, DELAYED_COUNT, LONG, self.release);
        let bodies = self.runtime.block_on(sending)?;
        // After a kill a Java broker takes in again what its check does not name yet.
        let repeats = self.end == End::Kill && is_java(self.second);
        let often = |body: &[u8]| if repeats && is_timed(body) { 2 } else { 1 };
        self.delayed.extend(bodies.into_iter().map(|body| (body.clone(), 1..=often(&body))));
        Ok(())
    }

    /// Deletes the oldest file of the log, as an operator may who needs the room.
    fn delete_oldest(&mut self, mut held: Snapshot) -> Result<(Snapshot, PathBuf)> {
        let files = self.site.log_files()?;
        let oldest = files.first_key_value().context("no log")?.1.clone();
        let start = *files.keys().nth(1).context("one log file only")?;
        fs::remove_file(&oldest)?;
        held.forget_before(start);
        let delivered = held.delivered();
        for (body, often) in &mut self.delayed {
            // It may have gone with the file.
            if !String::from_utf8_lossy(body).starts_with("pending") {
                let left = delivered.get(body.as_slice()).copied().unwrap_or(0);
                *often = left..=*often.end();
            }
        }
        Ok((held, oldest))
    }

    /// Starts `side`, which must hold `earlier`, and writes more.
    fn take_over(&mut self, side: Side<'_>, earlier: &Snapshot) -> Result<Snapshot> {
        let start = Instant::now();
        let started = self.site.start(side.servers)?;
        consumers::check_kept(&self.site.store())?;
        let link = Link::new(self.site.broker);
        let (mut transactions, mut pops, mut lights) = (
            std::mem::take(&mut self.transactions),
            std::mem::take(&mut self.pops),
            std::mem::take(&mut self.lights),
        );
        let (release, light) = (self.release, self.special.light);
        let (held, keys, popped, topics, more) = self.runtime.block_on(async {
            let topics = self.topics.check(&link).await?;
            await_delivered(&link, &self.delayed).await?;
            let held = Snapshot::take(&link, release).await?;
            held.continues(earlier)?;
            // 4.9.7 takes any of the messages of one millisecond.
            let is_first = release.is_5() || !is_java(side);
            held.check_times(&link, is_first).await?;
            held.check_tags(&link).await?;
            let keys = self.check_index(&link, &held).await?;
            let acks = content::send(&link, &format!("more-{}", side.word), SECOND_COUNT).await?;
            content::commit(&link, SECOND_STEP).await?;
            let more = Snapshot::take(&link, release).await?;
            content::check_acks(&acks, &more)?;
            ensure!(more.sent_len() == held.sent_len() + acks.len(), "more than was sent");
            self.check_delivered(&more)?;
            transactions.check(&link).await.context("before")?;
            transactions.go_on(&link, &self.leg).await?;
            transactions.check(&link).await?;
            if light {
                lights.check(&link).await?;
                lights.go_on(&link, &self.leg).await?;
                lights.check(&link).await?;
            }
            let mut popped = 0;
            if release.is_5() {
                consumers::check_wish(&link).await?;
                popped = pops.check(&link).await?;
                pops.go_on(&link, &self.leg).await?;
            }
            anyhow::Ok((held, keys, popped, topics, more))
        })?;
        (self.transactions, self.pops, self.lights) = (transactions, pops, lights);
        self.send_pending(&link, &format!("pending after {}", self.leg))?;
        self.runtime.block_on(self.topics.go_on(&link))?;
        let (messages, queues) = held.counts();
        println!(
            "{:<32} {messages} messages in {queues} queues, {} delayed ones delivered, {popped} \
             popped again, {keys} keys, {} offsets, {topics} topics; start {:.1} s, leg {:.0} s",
            self.leg,
            self.delayed.len() - DELAYED_COUNT,
            held.offsets.len(),
            started.as_secs_f64(),
            start.elapsed().as_secs_f64(),
        );
        Ok(more)
    }

    fn check_delivered(&self, snapshot: &Snapshot) -> Result<()> {
        let delivered = snapshot.delivered();
        for (body, often) in &self.delayed {
            let count = delivered.get(body.as_slice()).copied().unwrap_or(0);
            let name = String::from_utf8_lossy(body);
            ensure!(often.contains(&count), "{name:?} delivered {count} times");
        }
        let known = |body: &&[u8]| self.delayed.iter().any(|(known, _)| known == body);
        ensure!(delivered.keys().all(known), "unknown messages in {DELAYED}");
        Ok(())
    }

    /// Looks for a sample by place, unique key and keys; returns the number of keys.
    async fn check_index(&self, link: &Link, snapshot: &Snapshot) -> Result<usize> {
        let mut keys = 0;
        let mut lost = 0;
        for (record, bytes) in snapshot.records().step_by(SAMPLE) {
            let place = record.physical_offset;
            ensure!(link.view(place).await? == bytes, "another message by the id of {place}");
            let properties = record.properties();
            // The broker gives none to the messages of a batch.
            let unique = properties.get("UNIQ_KEY").map(|key| (key, true));
            let named = properties.keys().map(|key| (key, false));
            for (key, is_unique) in named.chain(unique) {
                let is_common = key.rsplit('-').next().is_some_and(|end| end.len() < 3);
                if is_common && !is_unique {
                    continue;
                }
                let may_miss = place < self.indexed_from;
                let key_is = (key, is_unique);
                let is_found = finds(link, record.topic, key_is, bytes, !may_miss).await?;
                ensure!(is_found || may_miss, "key {key} does not find the message at {place}");
                keys += usize::from(is_found);
                lost += usize::from(!is_found);
            }
        }
        if lost > 0 {
            println!("{}: {lost} keys lost by Java's recovery", self.leg);
        }
        Ok(keys)
    }
}

/// Whether the broker of a side is Java's.
pub fn is_java(side: Side<'_>) -> bool {
    matches!(side.servers, Servers::Control(_))
}

fn is_timed(body: &[u8]) -> bool {
    String::from_utf8_lossy(body).contains(content::TIMED)
}

/// Whether a query finds a record; `patient`, because the index may be behind for a while.
pub async fn finds(
    link: &Link,
    topic: &str,
    (key, is_unique): (&str, bool),
    bytes: &[u8],
    is_patient: bool,
) -> Result<bool> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = link.find(topic, key, is_unique).await?;
        if found.windows(bytes.len()).any(|window| window == bytes) {
            return Ok(true);
        }
        if !is_patient || Instant::now() > deadline {
            return Ok(false);
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until each delayed message that must come is delivered.
async fn await_delivered(link: &Link, delayed: &[(Vec<u8>, RangeInclusive<usize>)]) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut bodies = BTreeSet::new();
        for (topic, queue_id) in content::queues().filter(|(topic, _)| *topic == DELAYED) {
            let (min, max) = link.bounds(topic, queue_id).await?;
            for bytes in link.read(topic, queue_id, min, max).await? {
                bodies.insert(Record::decode(&bytes)?.body.to_vec());
            }
        }
        let missing = delayed.iter().filter(|(_, often)| *often.start() > 0);
        let missing = missing.filter(|(body, _)| !bodies.contains(body)).count();
        if missing == 0 {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{missing} delayed messages are not delivered");
        sleep(Duration::from_millis(100)).await;
    }
}
