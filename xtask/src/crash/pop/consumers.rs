//! The Java consumers: one process each, a line of output for each message.

use std::collections::{BTreeSet, VecDeque};
use std::io::{BufRead, BufReader};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::compat::{self, Process};

/// A message as a consumer got it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Got {
    /// What its body says.
    pub number: u64,
    /// How often it came before.
    pub reconsume_times: i32,
    /// When it was stored, and each time it came back anew, by the broker's clock.
    pub stored: i64,
    /// When it was popped, by the broker's clock.
    pub pop_time: i64,
}

/// The running consumers, the oldest first.
pub struct Consumers {
    argv: Vec<String>,
    running: VecDeque<Process>,
    started: usize,
    lines: Sender<Got>,
    received: Receiver<Got>,
    numbers: BTreeSet<u64>,
    /// Everything consumed so far.
    pub got: Vec<Got>,
}

impl Consumers {
    /// None yet; `argv` is the scenario program's.
    pub fn new(
        argv: &[String],
        name_server: &str,
        topic: &str,
        group: &str,
        invisible: Duration,
    ) -> Result<Self> {
        let mut argv = argv.to_vec();
        let main = argv.last_mut().context("no Java command")?;
        *main = "compat.CrashConsumer".to_owned();
        let heap = argv.iter_mut().find(|word| word.starts_with("-Xmx"));
        *heap.context("no size of the heap")? = "-Xmx128m".to_owned();
        argv.extend([name_server, topic, group].map(str::to_owned));
        argv.push(invisible.as_millis().to_string());
        let (lines, received) = mpsc::channel();
        Ok(Self {
            argv,
            running: VecDeque::new(),
            started: 0,
            lines,
            received,
            numbers: BTreeSet::new(),
            got: Vec::new(),
        })
    }

    /// Starts one more.
    pub fn start(&mut self) -> Result<()> {
        let log = compat::cache().join(format!("crash-consumer-{}.log", self.started % 4));
        self.started += 1;
        let mut process = Process::start(&self.argv, &[], &log, true)?;
        let output = process.child.stdout.take().context("no standard output")?;
        let lines = self.lines.clone();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if parse(&line).is_some_and(|got| lines.send(got).is_err()) {
                    return;
                }
            }
        });
        self.running.push_back(process);
        Ok(())
    }

    /// Kills the one that runs longest (SIGKILL).
    pub fn kill_oldest(&mut self) -> Result<()> {
        let mut process = self.running.pop_front().context("nobody to kill")?;
        let ended = process.ended()?;
        ensure!(ended.is_none(), "a consumer had ended by itself: {ended:?}");
        drop(process);
        Ok(())
    }

    /// Collects what is consumed for a while.
    pub fn collect(&mut self, duration: Duration) -> Result<()> {
        let end = Instant::now() + duration;
        loop {
            match self.received.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(got) => {
                    self.numbers.insert(got.number);
                    self.got.push(got);
                }
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => bail!("nobody consumes any more"),
            }
        }
    }

    /// How many different messages were consumed.
    pub fn distinct(&self) -> u64 {
        self.numbers.len() as u64
    }
}

/// Reads `GOT number times stored startOffset popTime ...`; a line cut off by the kill is none.
fn parse(line: &str) -> Option<Got> {
    let words: Vec<&str> = line.split(' ').collect();
    let ["GOT", number, times, stored, _start, pop_time, ..] = words[..] else { return None };
    // The receipt has eight items.
    if words.len() != 4 + 8 {
        return None;
    }
    Some(Got {
        number: number.parse().ok()?,
        reconsume_times: times.parse().ok()?,
        stored: stored.parse().ok()?,
        pop_time: pop_time.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read() {
        let got = parse("GOT 42 1 16 7 1700000000000 5000 3 1 broker-a 0 9").unwrap();
        assert_eq!((got.number, got.reconsume_times, got.stored), (42, 1, 16));
        assert_eq!(got.pop_time, 1_700_000_000_000);
        for cut_off in ["GOT 42 1 16 7 17", "GOT 42 1 16 7 1700000000000 5000 3 1 b 0", "x"] {
            assert_eq!(parse(cut_off), None);
        }
    }
}
