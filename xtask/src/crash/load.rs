//! Who sends while the server is in trouble: Java producers, or our own.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::producers::{Ack, Producers};
use super::senders::{Answer, Senders, Shape};

const PATIENCE: Duration = Duration::from_secs(60);

/// The running load and what it was answered.
pub struct Load {
    received: Receiver<Answer>,
    taken: Vec<Answer>,
    source: Source,
}

enum Source {
    Java(#[expect(dead_code, reason = "runs until it is dropped")] Producers),
    Own(Senders),
}

impl Load {
    /// Real Java producers in one JVM; `argv` is the scenario program's.
    pub fn java(argv: &[String], name_server: &str, topic: &str, count: u32) -> Result<Self> {
        let (producers, received) = Producers::start(argv, name_server, topic, count)?;
        Ok(Self { received, taken: Vec::new(), source: Source::Java(producers) })
    }

    /// Our own.
    pub fn own(broker: &str, topic: &str, count: u32) -> Result<Self> {
        Self::shaped(broker, &Shape::plain(topic), count)
    }

    /// Our own, sending something else than messages to one topic.
    pub fn shaped(broker: &str, shape: &Shape, count: u32) -> Result<Self> {
        let (senders, received) = Senders::start(broker, shape, count)?;
        Ok(Self { received, taken: Vec::new(), source: Source::Own(senders) })
    }

    /// Waits until a message is acknowledged: the load has started. Returns when that was.
    pub fn wait_first(&mut self) -> Result<Instant> {
        self.wait("no send is acknowledged", |answer| answer.ack.as_ref().map(|ack| ack.at))
    }

    /// Waits until a send is refused.
    pub fn wait_refused(&mut self) -> Result<()> {
        self.wait("no send is refused", |answer| answer.ack.is_none().then_some(()))
    }

    fn wait<T>(&mut self, missed: &str, found: impl Fn(&Answer) -> Option<T>) -> Result<T> {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.received.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(answer) => {
                    let found = found(&answer);
                    self.taken.push(answer);
                    if let Some(found) = found {
                        return Ok(found);
                    }
                }
                Err(error) => bail!("{missed}: {error}"),
            }
        }
    }

    /// Collects answers for a while.
    pub fn collect(&mut self, duration: Duration) -> Result<()> {
        let end = Instant::now() + duration;
        loop {
            match self.received.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(answer) => self.taken.push(answer),
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => bail!("the producers have ended"),
            }
        }
    }

    /// Sends nothing until told to. Java producers go on.
    pub fn pause(&self) {
        if let Source::Own(senders) = &self.source {
            senders.pause();
        }
    }

    /// Goes on sending.
    pub fn resume(&self) {
        if let Source::Own(senders) = &self.source {
            senders.resume();
        }
    }

    /// Everything answered since the last call. Java producers tell of acknowledgements only.
    pub fn answers(&mut self) -> Vec<Answer> {
        self.taken.extend(self.received.try_iter());
        std::mem::take(&mut self.taken)
    }

    /// The acknowledgements among them.
    pub fn acks(&mut self) -> Vec<Ack> {
        self.answers().into_iter().filter_map(|answer| answer.ack).collect()
    }
}
