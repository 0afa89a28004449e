//! Pops: every message is consumed, and again only after its time-out.
//!
//! Four Java consumers of a group, each in a process of its own, pop a topic of eight queues while
//! a producer sends. Every five seconds one of them is killed and started again. What it had
//! popped and not acknowledged must come back to the others when its time is over; nothing may be
//! skipped, and nothing may come twice before its time is over.

mod consumers;
mod producer;

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use self::consumers::{Consumers, Got};
use self::producer::Producer;
use super::server::Server;

const TOPIC: &str = "PopCrash";
const GROUP: &str = "pop-crash";
const QUEUES: i32 = 8;
const CONSUMERS: usize = 4;
const MESSAGES_PER_SECOND: u64 = 500;
const TIME: Duration = Duration::from_secs(60);
const KILL_INTERVAL: Duration = Duration::from_secs(5);
/// The shortest that the client takes.
const INVISIBLE: Duration = Duration::from_secs(5);
/// Until the last message has come.
const PATIENCE: Duration = Duration::from_secs(120);

/// Kills consumers for a minute; true if everything held. `java` starts the scenario program.
pub fn run(binary: &Path, java: &[String]) -> Result<bool> {
    let mut server = Server::prepare(binary, "ASYNC_FLUSH", "")?;
    server.start()?;
    let producer = Producer::prepare(&server.broker(), TOPIC, QUEUES, GROUP)?;
    producer.wait_route(&server.name_server(), PATIENCE)?;
    let mut consumers = Consumers::new(java, &server.name_server(), TOPIC, GROUP, INVISIBLE)?;
    for _ in 0..CONSUMERS {
        consumers.start()?;
    }
    let (sent, kills) = thread::scope(|scope| -> Result<(u64, u32)> {
        let sending = scope.spawn(|| producer.send(MESSAGES_PER_SECOND, TIME));
        let begun = Instant::now();
        let mut kills = 0;
        while KILL_INTERVAL * (kills + 1) <= TIME {
            let next = KILL_INTERVAL * (kills + 1);
            consumers.collect(next.saturating_sub(begun.elapsed()))?;
            consumers.kill_oldest()?;
            kills += 1;
            consumers.start()?;
        }
        Ok((sending.join().ok().context("the producer has ended by a panic")??, kills))
    })?;
    let drained = Instant::now();
    while consumers.distinct() < sent && drained.elapsed() < PATIENCE {
        consumers.collect(Duration::from_millis(100))?;
    }
    let took = drained.elapsed();
    // What would come twice comes within its time.
    consumers.collect(INVISIBLE * 2)?;
    let held = judge(&consumers.got, sent, kills, took);
    drop(consumers);
    server.stop()?;
    held
}

/// Compares what was consumed with what was sent.
fn judge(got: &[Got], sent: u64, kills: u32, took: Duration) -> Result<bool> {
    let mut times: BTreeMap<u64, Vec<&Got>> = BTreeMap::new();
    for one in got {
        times.entry(one.number).or_default().push(one);
    }
    let skipped: Vec<u64> = (0..sent).filter(|number| !times.contains_key(number)).collect();
    if !skipped.is_empty() {
        println!("pop: skipped {skipped:?}");
    }
    let skipped = skipped.len();
    let (mut again, mut early, mut slowest) = (0, 0, 0);
    for pops in times.values_mut() {
        pops.sort_by_key(|pop| pop.pop_time);
        for pair in pops.windows(2) {
            // Whoever pops began to look before it found: the copy itself must not be early.
            let hidden = pair[1].stored - pair[0].pop_time;
            again += 1;
            slowest = slowest.max(pair[1].pop_time - pair[0].pop_time);
            if hidden < INVISIBLE.as_millis() as i64 {
                early += 1;
                println!("pop: {:?} came back after {hidden} ms: {:?}", pair[0], pair[1]);
            }
        }
    }
    let retried = got.iter().filter(|one| one.reconsume_times > 0).count();
    println!(
        "pop: {kills} kills of {CONSUMERS} consumers, {sent} messages, {skipped} skipped, \
         {retried} came back, {again} of them consumed before, {early} too early, slowest after \
         {slowest} ms; all consumed {took:.1?} after the last send"
    );
    ensure!(sent > 0, "nothing was sent");
    Ok(skipped == 0 && early == 0 && retried > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn got(number: u64, stored: i64) -> Got {
        Got { number, reconsume_times: i32::from(stored > 0), stored, pop_time: stored }
    }

    #[test]
    fn what_is_skipped_or_early_does_not_pass() {
        let judged = |got: &[Got]| judge(got, 2, 1, Duration::ZERO).unwrap();
        assert!(judged(&[got(0, 0), got(1, 0), got(1, 5_000)]));
        assert!(!judged(&[got(0, 0), got(1, 0), got(1, 4_999)]));
        assert!(!judged(&[got(1, 0), got(1, 5_000)]));
        // Nobody was killed with a message in its hands: the test said nothing.
        assert!(!judged(&[got(0, 0), got(1, 0)]));
    }
}
