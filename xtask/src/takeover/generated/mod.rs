//! Generated stores: a seed decides what is stored, how large the files are and when the broker
//! is ended in the middle of it; the other broker, which may be killed while it starts, must hold
//! everything that was acknowledged.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use remoting::protocol::code::RequestCode;
use remoting::protocol::header::QueryConsumerOffsetRequestHeader;
use remoting::protocol::message::PropertiesBuf;
use remoting::protocol::message::record::Record;
use remoting::protocol::message::sys_flag;
use tokio::time::sleep;

use super::content::{self, Ack, PATIENCE};
use super::link::{Link, number};
use super::release::Release;
use super::round::{Side, finds, is_java};
use super::site::{End, NameServer, Site};
use super::transactions;

mod plan;
mod work;

use plan::{Plan, TOPICS};
use work::{BATCH_MAX, DELAYED, GROUP, Sent};

const MORE: usize = 3;
/// Messages that are looked for by their keys.
const KEYS: usize = 5;
/// How long brokers take to start, so that one can be killed meanwhile.
const START_MS: (u64, u64) = (50, 5_000);

/// What was taken over.
#[derive(Default)]
pub struct Tally {
    stores: usize,
    messages: usize,
    failed: usize,
}

impl Tally {
    /// Takes one generated store from `first` to `second`, and says how it went.
    pub fn add(
        &mut self,
        seed: u64,
        release: Release,
        (first, second): (Side<'_>, Side<'_>),
        name_server: &NameServer,
        keep: bool,
    ) {
        let way = format!("seed {seed}, {release}: {} → {}", first.word, second.word);
        self.stores += 1;
        match run(seed, release, (first, second), name_server, keep) {
            Ok((messages, report)) => {
                self.messages += messages;
                println!("{way}, {report}");
            }
            Err(error) => {
                self.failed += 1;
                println!("{way}: FAILED: {error:#}");
            }
        }
    }

    /// Says what there was; true if every store held.
    pub fn report(&self, way: &str) -> bool {
        let Self { stores, messages, failed } = self;
        println!(
            "{way}: {stores} stores, {messages} acknowledged messages, {failed} stores failed"
        );
        *failed == 0
    }
}

fn run(
    seed: u64,
    release: Release,
    (first, second): (Side<'_>, Side<'_>),
    name_server: &NameServer,
    keep: bool,
) -> Result<(usize, String)> {
    let name = format!("generated-{seed}-{}", first.word);
    let start_ms = if is_java(second) { START_MS.1 } else { START_MS.0 };
    let plan = Plan::of(seed, start_ms);
    let mut site = Site::prepare(&name, name_server, plan.special, &plan.settings)?;
    let store = Store { seed, release, plan };
    let taken = store.take((first, second), &mut site);
    // It may not run any more.
    let _ = site.end(End::Kill);
    if taken.is_err() && keep {
        println!("the directory is kept: {}", site.keep()?.display());
    } else {
        std::fs::remove_dir_all(site.store())?;
    }
    taken
}

/// A store that is taken over.
struct Store {
    seed: u64,
    release: Release,
    plan: Plan,
}

impl Store {
    fn take(
        &self,
        (first, second): (Side<'_>, Side<'_>),
        site: &mut Site,
    ) -> Result<(usize, String)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let plan = &self.plan;
        site.start(first.servers)?;
        let link = Link::new(site.broker);
        let sent = RefCell::new(Sent::default());
        runtime.block_on(async {
            for topic in TOPICS.into_iter().chain([DELAYED]) {
                content::create_topic(&link, topic, 4, None).await?;
            }
            tokio::select! {
                () = work::work(&link, plan, self.seed, self.release, &sent) => {}
                () = sleep(plan.work) => site.end(plan.end)?,
            }
            anyhow::Ok(())
        })?;
        let sent = sent.into_inner();
        let mut kills = usize::from(plan.end == End::Kill);
        if let Some(after) = plan.again {
            site.start_and_kill(second.servers, after)?;
            kills += 1;
        }

        let newest = site.log_files()?.into_keys().next_back().unwrap_or(0);
        let recovers_from = match plan.accelerated && self.release.has_accelerated_recovery() {
            true => newest.max(site.checkpoint_position()?),
            false => newest,
        };
        let started = site.start(second.servers)?;
        // Java rebuilds the index of an aborted store from where its recovery starts.
        let indexed_from = if kills > 0 && is_java(second) { recovers_from } else { 0 };
        let link = Link::new(site.broker);
        let more = runtime.block_on(self.check(&link, &sent, kills, indexed_from))?;
        let again = plan.again.map_or(String::new(), |after| {
            format!(", killed again {} ms after its start", after.as_millis())
        });
        let report = format!(
            "{} after {} ms{again}: {} messages, {} delayed, {} committed, {} open held, {more} more; \
             start {:.1} s",
            plan.end.word(),
            plan.work.as_millis(),
            sent.acks.len(),
            sent.delayed.len(),
            sent.committed.len(),
            sent.open.len(),
            started.as_secs_f64(),
        );
        Ok((sent.acks.len() + sent.delayed.len() + sent.committed.len(), report))
    }

    /// Compares everything; returns how many messages are there whose answer was not seen.
    async fn check(
        &self,
        link: &Link,
        sent: &Sent,
        kills: usize,
        indexed_from: i64,
    ) -> Result<usize> {
        let mut unacknowledged = 0;
        for queue in &self.plan.queues {
            let acks: Vec<&Ack> = sent.acks.iter().filter(|ack| ack.queue() == *queue).collect();
            unacknowledged += check_queue(link, *queue, &acks).await?;
        }
        check_keys(link, sent, indexed_from).await?;
        check_offset(link, self.plan.queues[0], sent.offset, kills > 0).await?;
        // After a kill Java takes in again what its check does not name, with what the log of the
        // timer has.
        check_delayed(link, sent, 1 + 2 * kills).await?;
        check_transactions(link, sent).await?;
        Ok(unacknowledged)
    }
}

/// Compares a queue with what was acknowledged, and sends more; returns how many messages are
/// there whose answer was not seen.
async fn check_queue(
    link: &Link,
    (topic, queue_id): (&'static str, i32),
    acks: &[&Ack],
) -> Result<usize> {
    let place = format!("{topic}-{queue_id}");
    let (min, max) = link.bounds(topic, queue_id).await?;
    ensure!(min == 0, "{place}: starts at {min}");
    let held = link.read(topic, queue_id, min, max).await?;
    ensure!(held.len() as i64 == max, "{place}: {} of {max} messages", held.len());
    for (bytes, offset) in held.iter().zip(0..) {
        let record = Record::decode(bytes)?;
        ensure!(record.queue_offset == offset, "{place}: {} at {offset}", record.queue_offset);
        ensure!(record.verify_crc().is_ok(), "{place} at {offset}: bad CRC");
    }
    for ack in acks {
        let bytes = usize::try_from(ack.queue_offset).ok().and_then(|at| held.get(at));
        let bytes = bytes.with_context(|| format!("{place} lost {}", ack.queue_offset))?;
        ack.check(&Record::decode(bytes)?).with_context(|| place.clone())?;
    }
    // One send waits at a time.
    let unacknowledged = held.len() - acks.len();
    ensure!(unacknowledged <= BATCH_MAX, "{place}: {unacknowledged} messages that nobody sent");
    for at in 0..MORE {
        let properties = PropertiesBuf::new();
        let more = content::send_with(link, topic, queue_id, &properties, b"more").await?;
        let offset = more.first().context("no acknowledgement")?.queue_offset;
        ensure!(offset == max + at as i64, "{place}: the next offset is {offset}, not {max}");
    }
    Ok(unacknowledged)
}

/// Looks for some messages by their keys.
async fn check_keys(link: &Link, sent: &Sent, indexed_from: i64) -> Result<()> {
    let keyed = sent.acks.iter().filter(|ack| ack.physical_offset >= indexed_from);
    let keyed: Vec<_> = keyed.filter_map(|ack| Some((ack, ack.key()?))).collect();
    for (ack, key) in keyed.iter().step_by(keyed.len() / KEYS + 1) {
        let bytes = link.view(ack.physical_offset).await?;
        let is_found = finds(link, ack.queue().0, (key, false), &bytes, true).await?;
        ensure!(is_found, "key {key} does not find the message at {}", ack.physical_offset);
    }
    Ok(())
}

/// Asks for the committed offset: after a kill it may be an earlier one.
async fn check_offset(
    link: &Link,
    (topic, queue_id): (&str, i32),
    committed: i64,
    is_killed: bool,
) -> Result<()> {
    let header = QueryConsumerOffsetRequestHeader {
        consumer_group: GROUP,
        topic,
        queue_id,
        set_zero_if_not_found: Some(false),
    };
    let answer = link.ask(RequestCode::QueryConsumerOffset, &header, &[], &[]).await?;
    // None is known when the file had not been written yet.
    let offset = number(&answer, "offset").unwrap_or(0);
    let least = if is_killed { 0 } else { committed };
    // The last commit may have had no answer.
    let may_be = least..=committed + 1;
    ensure!(may_be.contains(&offset), "offset {offset}, committed was {committed}");
    Ok(())
}

/// Waits until each delayed message is delivered, once up to so many times.
async fn check_delayed(link: &Link, sent: &Sent, most: usize) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let delivered = work::bodies(link, DELAYED, 0).await?;
        for (body, count) in &delivered {
            let name = String::from_utf8_lossy(body);
            let is_known = sent.delayed.contains(body) || sent.in_doubt.contains(name.as_ref());
            ensure!(is_known && *count <= most, "{name:?} delivered {count} times");
        }
        let Some(missing) = sent.delayed.iter().find(|body| !delivered.contains_key(*body)) else {
            return Ok(());
        };
        let is_late = Instant::now() > deadline;
        ensure!(!is_late, "{:?} is not delivered", String::from_utf8_lossy(missing));
        sleep(Duration::from_millis(100)).await;
    }
}

/// Commits every other half message that is open and rolls the rest back; then what was committed
/// is visible, once, and nothing else.
async fn check_transactions(link: &Link, sent: &Sent) -> Result<()> {
    let mut committed = sent.committed.clone();
    for (at, half) in sent.open.iter().enumerate() {
        if at % 2 == 0 {
            transactions::end(link, half, sys_flag::TRANSACTION_COMMIT).await?;
            committed.insert(half.body.clone());
        } else {
            transactions::end(link, half, sys_flag::TRANSACTION_ROLLBACK).await?;
        }
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        // None is there before the first commit.
        let visible = match committed.is_empty() {
            true => BTreeMap::new(),
            false => transactions::visible(link).await?,
        };
        for (body, count) in &visible {
            let is_known = committed.contains(body) || sent.in_doubt.contains(body);
            ensure!(is_known && *count == 1, "{body:?} is visible {count} times");
        }
        let Some(missing) = committed.iter().find(|body| !visible.contains_key(*body)) else {
            return Ok(());
        };
        ensure!(Instant::now() < deadline, "{missing:?} was committed and is not visible");
        sleep(Duration::from_millis(50)).await;
    }
}
