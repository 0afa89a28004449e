//! The Java producers: one process, a line of output for each acknowledgement.

use std::io::{BufRead, BufReader};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::compat::{self, Process};

const START_PATIENCE: Duration = Duration::from_secs(60);

/// What a producer was told about one message.
pub struct Ack {
    /// Queue of the topic.
    pub queue_id: i32,
    /// Offset in the queue.
    pub queue_offset: i64,
    /// The client's unique key.
    pub unique_key: String,
    /// The number at the start of the body.
    pub number: String,
}

/// The running producers.
pub struct Producers {
    received: Receiver<Ack>,
    taken: Vec<Ack>,
    _process: Process,
}

impl Producers {
    /// Starts `count` producers in one JVM; `argv` is the scenario program's.
    pub fn start(argv: &[String], name_server: &str, topic: &str, count: u32) -> Result<Self> {
        let mut argv = argv.to_vec();
        let main = argv.last_mut().context("no Java command")?;
        *main = "compat.CrashProducers".to_owned();
        argv.extend([name_server.to_owned(), topic.to_owned(), count.to_string()]);
        let log = compat::cache().join("crash-producers.log");
        let mut process = Process::start(&argv, &[], &log, true)?;
        let output = process.child.stdout.take().context("no standard output")?;
        let (acks, received) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if parse(&line).is_some_and(|ack| acks.send(ack).is_err()) {
                    return;
                }
            }
        });
        Ok(Self { received, taken: Vec::new(), _process: process })
    }

    /// Waits until a message is acknowledged: the load has started.
    pub fn wait_first(&mut self) -> Result<()> {
        match self.received.recv_timeout(START_PATIENCE) {
            Ok(ack) => self.taken.push(ack),
            Err(error) => bail!("the producers get no acknowledgement: {error}"),
        }
        Ok(())
    }

    /// Collects acknowledgements for a while.
    pub fn collect(&mut self, duration: Duration) -> Result<()> {
        let end = Instant::now() + duration;
        loop {
            match self.received.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(ack) => self.taken.push(ack),
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => bail!("the producers have ended"),
            }
        }
    }

    /// Everything acknowledged since the last call.
    pub fn taken(&mut self) -> Vec<Ack> {
        self.taken.extend(self.received.try_iter());
        std::mem::take(&mut self.taken)
    }
}

fn parse(line: &str) -> Option<Ack> {
    let mut words = line.split(' ');
    if words.next()? != "ACK" {
        return None;
    }
    Some(Ack {
        queue_id: words.next()?.parse().ok()?,
        queue_offset: words.next()?.parse().ok()?,
        unique_key: words.next()?.to_owned(),
        number: words.next()?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledgement_is_read() {
        let ack = parse("ACK 3 17 AC11 42").unwrap();
        assert_eq!((ack.queue_id, ack.queue_offset), (3, 17));
        assert_eq!((ack.unique_key.as_str(), ack.number.as_str()), ("AC11", "42"));
        assert!(parse("ACK 3 17").is_none() && parse("NAK 3 17 AC11 42").is_none());
    }
}
