//! kill at named moments of the store's life: the process kills itself when it passes one.
//!
//! In each cycle the server is started on what a kill -9 has left, is told where to kill itself,
//! and gets the work that leads there. After the next start everything acknowledged is there, as
//! after a kill at random: messages, those for later once and at their time, transactions as they
//! were ended. Moments that only a start passes kill it there.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use store::faults::Point;

use super::load::Load;
use super::producers::Ack;
use super::senders::{self, Shape};
use super::server::Server;
use super::transaction::audit::Audit;
use super::transaction::producer::{Fate, Producer};
use super::{Args, RESTART_MAX, Random, audit, disk, print_lost, transaction};

/// A cycle kills at one of so many first passes.
const PASS_MAX: u64 = 8;
/// Time of the work before the first kill.
const BEFORE: Duration = Duration::from_millis(150);
/// How long the work may take to come to the moment.
const PATIENCE: Duration = Duration::from_secs(4);
const DUE_IN: Duration = Duration::from_millis(400);
/// How much later than its time a message for later may come.
const LATE_MAX: Duration = Duration::from_secs(5);
/// Whatever happens rarely happens often.
const SETTINGS: &str = "flushIntervalConsumeQueue=20\nflushConsumeQueueThoroughInterval=60\n\
                        timerFlushIntervalMs=50\ncleanResourceInterval=100\n";
/// Files are full soon, and have expired then.
const SMALL_FILES: &str = "mappedFileSizeCommitLog=65536\nmappedFileSizeConsumeQueue=200\n";
const EXPIRE: &str = "fileReservedTime=0\ndeleteWhen=00;01;02;03;04;05;06;07;08;09;10;11;12;13;14;\
                      15;16;17;18;19;20;21;22;23\n";
const TRANSACTIONS: &str = "transactionCheckInterval=500\ntransactionTimeOut=1000\n\
                            transactionCheckMax=1000\n";
const HALVES: u64 = 200;

/// What is done to come to a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Sends,
    /// Sends, each to a topic of its own.
    Topics,
    /// Sends of messages for later.
    Timers,
    /// Sends, while old files are deleted.
    Expiry,
    Transactions,
}

impl Work {
    fn of(point: Point) -> Work {
        match point {
            Point::JsonWritten
            | Point::JsonSynced
            | Point::JsonMoved
            | Point::JsonRenamed
            | Point::JsonAdded => Work::Topics,
            Point::TimerLogSynced
            | Point::WheelWritten
            | Point::WheelSynced
            | Point::TimerCheckWritten
            | Point::TimerDelivered => Work::Timers,
            Point::LogFileDeleted | Point::QueueFileDeleted => Work::Expiry,
            Point::HalfCommitted | Point::OpWritten => Work::Transactions,
            _ => Work::Sends,
        }
    }

    fn settings(self) -> String {
        let more = match self {
            Work::Expiry => SMALL_FILES,
            Work::Transactions => TRANSACTIONS,
            Work::Sends | Work::Topics | Work::Timers => "",
        };
        format!("{SETTINGS}{more}")
    }

    /// Those that hold while it is done, and not while it is looked at.
    fn settings_at_work(self) -> String {
        let more = if self == Work::Expiry { EXPIRE } else { "" };
        format!("{}{more}", self.settings())
    }

    fn shape(self) -> Shape {
        let topic = super::TOPIC.to_owned();
        let due_in = (self == Work::Timers).then_some(DUE_IN);
        Shape { topic, fresh: self == Work::Topics, due_in }
    }
}

/// Prints the table of moments.
pub fn list() {
    for (_, name, when) in Point::ALL {
        println!("{name:20} {when}");
    }
}

/// Kills at each of the chosen moments; true if it held.
pub fn run(args: &Args, flush: &str, binary: &Path, random: &mut Random) -> Result<bool> {
    for name in &args.point {
        ensure!(Point::ALL.iter().any(|(_, known, _)| known == name), "no moment is called {name}");
    }
    let begun = Instant::now();
    let chosen = |name: &str| args.point.is_empty() || args.point.iter().any(|one| one == name);
    let (mut kills, mut acknowledged, mut held) = (0, 0, true);
    let mut slowest = Duration::ZERO;
    for (point, name, _) in Point::ALL.iter().filter(|(_, name, _)| chosen(name)) {
        let memory = disk::memory()?;
        let work = Work::of(*point);
        let server = Server::prepare_on(Some(memory.path()), binary, flush, &work.settings())?;
        let mut moment = Moment { name, work, server, acknowledged: 0, restart: Duration::ZERO };
        let done = moment.cycles(args.cycles, random).with_context(|| format!("at {name}"))?;
        if done.kills == 0 {
            println!("{flush}: {name} is never passed");
        }
        held &= done.kills > 0 && done.wrong == 0;
        kills += done.kills;
        acknowledged += moment.acknowledged;
        slowest = slowest.max(moment.restart);
    }
    println!(
        "{flush}: {kills} kills at named moments in {:.0?}, {acknowledged} acknowledged, slowest \
         restart {slowest:.0?}; {}",
        begun.elapsed(),
        if held { "nothing lost" } else { "it did not hold" }
    );
    if slowest > RESTART_MAX {
        println!("{flush}: a restart took longer than {RESTART_MAX:?}");
    }
    Ok(held)
}

/// What the cycles of a moment have shown.
#[derive(Default)]
struct Done {
    kills: u32,
    wrong: usize,
}

/// A moment and the server that is killed at it.
struct Moment<'a> {
    name: &'a str,
    work: Work,
    server: Server,
    acknowledged: usize,
    /// The slowest.
    restart: Duration,
}

impl Moment<'_> {
    fn cycles(&mut self, cycles: u32, random: &mut Random) -> Result<Done> {
        let mut done = Done::default();
        let mut pass = 1;
        for _ in 0..cycles {
            self.server.configure(&self.work.settings_at_work())?;
            self.server.start()?;
            let at_start = match self.work {
                Work::Transactions => self.cycle_of_transactions(pass, &mut done)?,
                _ => self.cycle(pass, &mut done)?,
            };
            // A start passes each of its moments once.
            pass = if at_start { 1 } else { 1 + random.below(PASS_MAX) };
            self.server.stop()?;
            self.server.clear()?;
        }
        Ok(done)
    }

    /// Works, kills, works until the server kills itself, and looks; true if it did at its start.
    fn cycle(&mut self, pass: u64, done: &mut Done) -> Result<bool> {
        let mut load = Load::shaped(&self.server.broker(), &self.work.shape(), 4)?;
        load.wait_first()?;
        load.collect(BEFORE)?;
        self.server.kill()?;
        let started = self.start_armed(pass, done)?;
        if started {
            let end = Instant::now() + PATIENCE;
            loop {
                load.collect(Duration::from_millis(5))?;
                if let Some(status) = self.server.ended_within(Duration::ZERO)? {
                    self.expect_kill(status.signal())?;
                    done.kills += 1;
                    break;
                }
                if Instant::now() > end {
                    self.server.kill()?;
                    break;
                }
            }
        }
        load.pause();
        let acks = load.acks();
        drop(load);
        self.restart()?;
        self.acknowledged += acks.len();
        let wrong = match self.work {
            Work::Timers => self.missing_timers(&acks)?,
            Work::Expiry => self.lost(&self.not_expired(acks)?)?,
            _ => self.lost(&acks)?,
        };
        done.wrong += wrong;
        if wrong > 0 {
            println!("{}, pass {pass}: {wrong} wrong\n{}", self.name, self.server.said());
        }
        Ok(!started)
    }

    /// Starts with a kill to come; false if it came during the start.
    fn start_armed(&mut self, pass: u64, done: &mut Done) -> Result<bool> {
        self.server.kill_at = format!("{}:{pass}", self.name);
        let started = self.server.start().is_ok();
        let said = self.server.said();
        ensure!(said.contains("a kill is on"), "the server lacks the feature faults\n{said}");
        if !started {
            let status = self.server.ended()?;
            self.expect_kill(status.signal())?;
            done.kills += 1;
        }
        Ok(started)
    }

    fn expect_kill(&self, signal: Option<i32>) -> Result<()> {
        const SIGKILL: i32 = 9;
        ensure!(signal == Some(SIGKILL), "no kill, but {signal:?}\n{}", self.server.said());
        Ok(())
    }

    fn restart(&mut self) -> Result<()> {
        self.server.kill_at.clear();
        self.server.configure(&self.work.settings())?;
        let begun = Instant::now();
        self.server.start()?;
        self.restart = self.restart.max(begun.elapsed());
        Ok(())
    }

    fn lost(&self, acks: &[Ack]) -> Result<usize> {
        let shape = self.work.shape();
        let lost = match shape.fresh {
            false => audit::lost(&self.server.broker(), &shape.topic, acks)?,
            true => {
                let topics = acks.iter().map(|ack| (shape.topic_of(&ack.number), ack));
                let topics = topics.map(|(topic, ack)| (topic, std::slice::from_ref(ack)));
                audit::lost_of(&self.server.broker(), topics)?
            }
        };
        Ok(print_lost(&lost))
    }

    /// Those whose log file has not been deleted.
    fn not_expired(&self, mut acks: Vec<Ack>) -> Result<Vec<Ack>> {
        let mut first = i64::MAX;
        for entry in fs::read_dir(self.server.data().join("commitlog"))? {
            let name = entry?.file_name();
            first = first.min(name.to_string_lossy().parse()?);
        }
        acks.retain(|ack| ack.physical_offset >= first);
        Ok(acks)
    }

    /// How many messages for later have not come, or came twice, when all are due.
    fn missing_timers(&self, acks: &[Ack]) -> Result<usize> {
        let shape = self.work.shape();
        let wanted: BTreeSet<u64> = acks.iter().filter_map(|ack| ack.number.parse().ok()).collect();
        let end = Instant::now() + LATE_MAX;
        loop {
            thread::sleep(DUE_IN / 2);
            let audit = Audit::new(&self.server.broker())?;
            let seen = audit.read(&shape.topic, senders::QUEUES as i32)?;
            let missing = wanted.iter().filter(|number| !seen.contains_key(number)).count();
            let twice = seen.values().filter(|count| **count > 1).count();
            if missing == 0 || Instant::now() > end {
                if missing + twice > 0 {
                    println!("{}: {missing} for later did not come, {twice} twice", self.name);
                }
                return Ok(missing + twice);
            }
        }
    }

    /// The same with transactions: what was committed is visible once, the rest is not.
    fn cycle_of_transactions(&mut self, pass: u64, done: &mut Done) -> Result<bool> {
        self.server.kill()?;
        ensure!(self.start_armed(pass, done)?, "a start ends no transaction");
        let broker = self.server.broker();
        let fate =
            |number: u64| if number.is_multiple_of(2) { Fate::Commit } else { Fate::Rollback };
        let producer = Producer::new(&broker, super::TOPIC, fate)?;
        thread::scope(|scope| -> Result<()> {
            let driver = scope.spawn(|| producer.send_all(HALVES, 4));
            let status = self.server.ended_within(PATIENCE)?;
            match status {
                Some(status) => {
                    self.expect_kill(status.signal())?;
                    done.kills += 1;
                }
                None => self.server.kill()?,
            }
            self.restart()?;
            if driver.join().is_err() {
                bail!("the producer has ended by a panic");
            }
            Ok(())
        })?;
        producer.wait_quiet(Duration::from_secs(3), Duration::from_secs(30))?;
        let visible = Audit::new(&broker)?.read(super::TOPIC, transaction::QUEUES)?;
        let acknowledged = producer.acknowledged();
        self.acknowledged += acknowledged.len();
        for number in 0..HALVES {
            let count = visible.get(&number).copied().unwrap_or(0);
            let right = match number % 2 {
                0 if acknowledged.contains(&number) => count == 1,
                0 => count <= 1,
                _ => count == 0,
            };
            if !right {
                println!("{}: message {number} is visible {count} times", self.name);
                done.wrong += 1;
            }
        }
        Ok(false)
    }
}
