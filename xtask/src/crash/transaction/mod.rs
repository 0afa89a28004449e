//! Transactions: exactly what was committed is visible, once.
//!
//! A producer sends half messages; it commits a third, rolls back a third and leaves a third to
//! the questions of the broker, which it answers with a commit. Some ends are sent twice, and
//! some questions answered twice. In the middle the server is killed: sends and ends are lost
//! with it. Afterwards every acknowledged message that was not rolled back must be visible once,
//! the others not at all, and after another kill nobody may be asked about any of them.
//!
//! A second part leaves 100,000 half messages open and measures what their questions cost.

pub mod audit;
mod open;
pub mod producer;

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use self::audit::Audit;
use self::producer::{Fate, Producer};
use super::server::Server;

const TOPIC: &str = "TransactionCrash";
/// Queues the topic of a producer gets.
pub const QUEUES: i32 = 4;
const HALVES: u64 = 10_000;
const SENDERS: usize = 32;
const PATIENCE: Duration = Duration::from_secs(120);
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
const SETTINGS: &str = "transactionCheckInterval=1000\ntransactionTimeOut=1000\n\
                        transactionCheckMax=1000\n";

/// Runs both parts; true if everything held.
pub fn run(binary: &Path) -> Result<bool> {
    Ok(kill_in_the_middle(binary)? && open::run(binary)?)
}

/// What becomes of a message by its number.
fn fate(number: u64) -> Fate {
    match number % 3 {
        0 => Fate::Commit,
        1 => Fate::Rollback,
        _ => Fate::Check,
    }
}

fn kill_in_the_middle(binary: &Path) -> Result<bool> {
    let mut server = Server::prepare(binary, "ASYNC_FLUSH", SETTINGS)?;
    server.start()?;
    let producer = Producer::new(&server.broker(), TOPIC, fate)?;
    let mut restart = Duration::ZERO;
    let took = thread::scope(|scope| -> Result<Duration> {
        let driver = scope.spawn(|| producer.send_all(HALVES, SENDERS));
        let start = Instant::now();
        while producer.sent() < HALVES / 2 {
            ensure!(start.elapsed() < PATIENCE, "the producer does not come on");
            thread::sleep(Duration::from_millis(1));
        }
        server.kill()?;
        let start = Instant::now();
        server.start()?;
        restart = start.elapsed();
        driver.join().ok().context("the producer has ended by a panic")
    })?;
    let asked = producer.wait_quiet(CHECK_INTERVAL * 5, PATIENCE)?;
    let held = judge(&producer, &server.broker())?;
    server.kill()?;
    server.start()?;
    let again = producer.wait_quiet(CHECK_INTERVAL * 5, PATIENCE)?;
    let still = judge(&producer, &server.broker())?;
    println!(
        "transactions: {HALVES} half messages in {took:.1?}, {} not acknowledged; restart \
         {restart:.0?}; {asked} questions, {again} after another kill",
        HALVES - producer.acknowledged().len() as u64
    );
    if again > 0 {
        println!("the broker asked about transactions that had ended");
    }
    server.stop()?;
    Ok(held && still && again == 0)
}

/// Compares what is visible with what should be.
fn judge(producer: &Producer, broker: &str) -> Result<bool> {
    let visible: BTreeMap<u64, usize> = Audit::new(broker)?.read(TOPIC, QUEUES)?;
    let acknowledged = producer.acknowledged();
    let (mut lost, mut doubled, mut undone) = (0, 0, 0);
    for number in 0..HALVES {
        let count = visible.get(&number).copied().unwrap_or(0);
        match fate(number) {
            Fate::Rollback => undone += usize::from(count > 0),
            _ => lost += usize::from(count == 0 && acknowledged.contains(&number)),
        }
        doubled += usize::from(count > 1);
    }
    println!(
        "transactions: {} visible, {lost} lost, {doubled} doubled, {undone} visible though \
         rolled back",
        visible.len()
    );
    Ok(lost + doubled + undone == 0 && !visible.is_empty())
}
