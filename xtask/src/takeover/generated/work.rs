//! The work of the first broker, done until it ends, and what it has acknowledged by then.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Result;
use futures_util::future::{LocalBoxFuture, join_all};
use remoting::protocol::message::PropertiesBuf;
use remoting::protocol::message::record::Record;
use remoting::protocol::message::sys_flag;

use super::plan::{Dice, Plan};
use crate::takeover::content::{self, Ack};
use crate::takeover::link::Link;
use crate::takeover::release::Release;
use crate::takeover::transactions::{self, Half};

/// Topic of the delayed messages; they are in its queue 0.
pub const DELAYED: &str = "GeneratedDelayed";
/// Group whose offset is committed.
pub const GROUP: &str = "generated";
/// Messages of a batch at most, and so those without an answer in one queue.
pub const BATCH_MAX: usize = 5;

/// Level of delayed messages and how long it is.
const DELAY: (i32, Duration) = (1, Duration::from_secs(1));

/// What the first broker has acknowledged.
#[derive(Default)]
pub struct Sent {
    pub acks: Vec<Ack>,
    /// Bodies of delayed messages.
    pub delayed: Vec<Vec<u8>>,
    /// Bodies of half messages that were committed.
    pub committed: BTreeSet<String>,
    /// Half messages that neither were committed nor rolled back.
    pub open: Vec<Half>,
    /// Bodies of what had no answer yet when the broker ended.
    pub in_doubt: BTreeSet<String>,
    /// The last committed offset of the first queue.
    pub offset: i64,
}

/// Sends everything until the broker is gone.
pub async fn work(link: &Link, plan: &Plan, seed: u64, release: Release, sent: &RefCell<Sent>) {
    let mut lanes: Vec<LocalBoxFuture<'_, Result<()>>> = Vec::new();
    for queue in &plan.queues {
        lanes.push(Box::pin(send(link, plan, *queue, seed, sent)));
    }
    lanes.push(Box::pin(delay(link, release, sent)));
    lanes.push(Box::pin(transact(link, seed, sent)));
    lanes.push(Box::pin(commit(link, plan.queues[0], sent)));
    // Each ends with the error that says the broker is gone.
    join_all(lanes).await;
}

/// Sends to one queue, one request after the other.
async fn send(
    link: &Link,
    plan: &Plan,
    (topic, queue_id): (&'static str, i32),
    seed: u64,
    sent: &RefCell<Sent>,
) -> Result<()> {
    let mut dice = Dice::of(seed ^ (queue_id as u64 + 1) << 32 ^ topic.len() as u64);
    let mut number = 0;
    loop {
        let count = if dice.below(8) == 0 { 2 + dice.below(BATCH_MAX as u64 - 1) } else { 1 };
        let mut messages = Vec::new();
        for _ in 0..count {
            let mut properties = PropertiesBuf::new();
            if dice.below(3) > 0 {
                properties.push("KEYS", &format!("k{} {topic}-{queue_id}-{number}", dice.below(9)));
            }
            if dice.below(3) > 0 {
                properties.push("TAGS", dice.pick(&["TagA", "TagB", "標籤"]));
            }
            if plan.special.light && count == 1 && dice.below(3) == 0 {
                properties.push("INNER_MULTI_DISPATCH", "%LMQ%generated");
            }
            let len = 1 + dice.below(plan.body_len_max);
            messages.push((properties, (0..len).map(|at| (at * 7 + number) as u8).collect()));
            number += 1;
        }
        let acks = content::send_all(link, topic, queue_id, messages).await?;
        sent.borrow_mut().acks.extend(acks);
    }
}

/// Sends messages that are delayed by a level or a timer.
async fn delay(link: &Link, release: Release, sent: &RefCell<Sent>) -> Result<()> {
    for number in 0.. {
        let mut properties = PropertiesBuf::new();
        if number % 2 == 0 || !release.is_5() {
            properties.push("DELAY", &DELAY.0.to_string());
        } else {
            let due_ms = content::now_ms()? + DELAY.1.as_millis() as i64;
            properties.push("TIMER_DELIVER_MS", &due_ms.to_string());
        }
        let body = format!("delayed {number}");
        sent.borrow_mut().in_doubt.insert(body.clone());
        content::send_with(link, DELAYED, 0, &properties, body.as_bytes()).await?;
        sent.borrow_mut().in_doubt.remove(&body);
        sent.borrow_mut().delayed.push(body.into_bytes());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// Sends half messages; commits some, rolls some back and leaves some.
async fn transact(link: &Link, seed: u64, sent: &RefCell<Sent>) -> Result<()> {
    let mut dice = Dice::of(!seed);
    for number in 0.. {
        let half = transactions::send(link, format!("half {number}"), number).await?;
        match dice.below(3) {
            0 => sent.borrow_mut().open.push(half),
            1 => transactions::end(link, &half, sys_flag::TRANSACTION_ROLLBACK).await?,
            _ => {
                sent.borrow_mut().in_doubt.insert(half.body.clone());
                transactions::end(link, &half, sys_flag::TRANSACTION_COMMIT).await?;
                sent.borrow_mut().in_doubt.remove(&half.body);
                sent.borrow_mut().committed.insert(half.body);
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// Commits one offset after the other.
async fn commit(link: &Link, queue: (&str, i32), sent: &RefCell<Sent>) -> Result<()> {
    for offset in 1.. {
        content::commit_one(link, GROUP, queue, offset).await?;
        sent.borrow_mut().offset = offset;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// How often each body is in a queue.
pub async fn bodies(link: &Link, topic: &str, queue_id: i32) -> Result<BTreeMap<Vec<u8>, usize>> {
    let (min, max) = link.bounds(topic, queue_id).await?;
    let mut bodies = BTreeMap::new();
    for bytes in link.read(topic, queue_id, min, max).await? {
        *bodies.entry(Record::decode(&bytes)?.body.to_vec()).or_default() += 1;
    }
    Ok(bodies)
}
