//! The Java producers: one process, a line of output for each acknowledgement.

use std::io::{BufRead, BufReader};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};

use super::senders::Answer;
use crate::compat::{self, Process};

/// What a producer was told about one message.
pub struct Ack {
    /// Queue of the topic.
    pub queue_id: i32,
    /// Offset in the queue.
    pub queue_offset: i64,
    /// Position in the log; -1 where the producer does not say.
    pub physical_offset: i64,
    /// The client's unique key.
    pub unique_key: String,
    /// The number at the start of the body.
    pub number: String,
    /// When it was told.
    pub at: Instant,
}

/// The running producers.
pub struct Producers {
    _process: Process,
}

impl Producers {
    /// Starts `count` producers in one JVM; `argv` is the scenario program's.
    pub fn start(
        argv: &[String],
        name_server: &str,
        topic: &str,
        count: u32,
    ) -> Result<(Self, Receiver<Answer>)> {
        let mut argv = argv.to_vec();
        let main = argv.last_mut().context("no Java command")?;
        *main = "compat.CrashProducers".to_owned();
        argv.extend([name_server.to_owned(), topic.to_owned(), count.to_string()]);
        let log = compat::cache().join("crash-producers.log");
        let mut process = Process::start(&argv, &[], &log, true)?;
        let output = process.child.stdout.take().context("no standard output")?;
        let (answers, received) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let Some(ack) = parse(&line) else { continue };
                if answers.send(Answer { code: 0, ack: Some(ack) }).is_err() {
                    return;
                }
            }
        });
        Ok((Self { _process: process }, received))
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
        physical_offset: -1,
        unique_key: words.next()?.to_owned(),
        number: words.next()?.to_owned(),
        at: Instant::now(),
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
