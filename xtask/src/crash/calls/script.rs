//! What is done to the server while a call fails: two connections send to one topic after the
//! other, and delete every second one.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::future::join;
use remoting::net::{Client, ClientOptions};
use remoting::protocol::code::RequestCode;
use remoting::protocol::header::DeleteTopicRequestHeader;
use tokio::runtime::Builder;

use super::SEGMENT;
use crate::crash::producers::Ack;
use crate::crash::senders::{Message, QUEUES, send_one};

/// Topics of each connection.
const TOPICS: u64 = 40;
/// Two messages fill a log file.
const BODY_LEN: usize = 1500;
const TIMEOUT: Duration = Duration::from_secs(3);
/// How long the work goes on after the call has failed.
const AFTER: Duration = Duration::from_millis(40);
/// How long the server may take to draw its conclusion from a failed sync.
pub const SETTLED: Duration = Duration::from_millis(10);

/// What the server has answered.
#[derive(Default)]
pub struct Told {
    /// Acknowledged messages of the topics that are still there.
    pub topics: Vec<(String, Vec<Ack>)>,
    /// Where the messages stand that were acknowledged before the call failed.
    before: Vec<i64>,
    /// Acknowledged, sent later than [`SETTLED`] after the call had failed.
    after: usize,
    /// Acknowledged, sent earlier than that, but after it.
    pub at_once: usize,
    pub acknowledged: usize,
    pub sent: usize,
    refused: usize,
    unanswered: usize,
    deletions_refused: usize,
}

/// Does it until the call has failed, or to its end.
pub fn run(broker: &str, hits: PathBuf) -> Result<Told> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (mut one, mut other) = (Connection::new(broker, &hits), Connection::new(broker, &hits));
    runtime.block_on(join(one.work("A"), other.work("B")));
    let (mut told, other) = (one.told, other.told);
    told.topics.extend(other.topics);
    told.before.extend(other.before);
    told.after += other.after;
    told.at_once += other.at_once;
    told.acknowledged += other.acknowledged;
    told.sent += other.sent;
    told.refused += other.refused;
    told.unanswered += other.unanswered;
    told.deletions_refused += other.deletions_refused;
    Ok(told)
}

/// Whether a message is accepted; if not, why.
pub fn goes_on(broker: &str) -> Result<Option<String>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let client = Client::new(ClientOptions::default());
    let message = message("Afterwards", 0);
    let answer = runtime.block_on(send_one(&client, broker, &message));
    Ok(match answer {
        Ok(answer) if answer.code == 0 => None,
        Ok(answer) => Some(format!("after the restart a send is answered {}", answer.code)),
        Err(error) => Some(format!("after the restart a send has no answer: {error:#}")),
    })
}

fn message(topic: &str, number: u64) -> Message<'_> {
    Message { topic, number, body_len: BODY_LEN, due_in: None }
}

impl Told {
    /// Adds what is wrong with the answers, given the call that failed and whether the server
    /// said that it accepts nothing any more.
    pub fn judge(&self, error: &str, hit: &str, closed: bool, wrong: &mut Vec<String>) {
        if self.unanswered > 0 {
            wrong.push(format!("{} sends without an answer", self.unanswered));
        }
        if matches!(error, "EINTR" | "short") || hit.is_empty() {
            let refused = self.refused + self.deletions_refused + usize::from(self.sent == 0);
            if refused > 0 {
                wrong.push(format!("{refused} requests refused without a cause"));
            }
            return;
        }
        if closed && self.after > 0 {
            wrong.push(format!("{} acknowledged by a server that accepts nothing", self.after));
        }
        let Some(path) = hit.trim().strip_prefix("fdatasync ").map(Path::new) else { return };
        let in_log = path.parent().is_some_and(|parent| parent.ends_with("commitlog"));
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(base) = name.parse::<i64>().ok().filter(|_| in_log) else { return };
        let file = base..base + SEGMENT;
        if !closed && self.before.iter().any(|position| file.contains(position)) {
            wrong.push("the log goes on after a failed sync of a file in use".to_owned());
        }
    }
}

/// One connection and what it has been told.
struct Connection<'a> {
    client: Client,
    broker: &'a str,
    hits: &'a Path,
    /// When the call was seen to have failed.
    failed: Option<Instant>,
    told: Told,
}

impl<'a> Connection<'a> {
    fn new(broker: &'a str, hits: &'a Path) -> Self {
        let client = Client::new(ClientOptions::default());
        Self { client, broker, hits, failed: None, told: Told::default() }
    }

    async fn work(&mut self, name: &str) {
        for topic in 0..TOPICS {
            let name = format!("Calls{name}{topic}");
            let mut acks = Vec::new();
            for number in 0..QUEUES {
                self.send(&name, number, &mut acks).await;
            }
            self.told.topics.push((name, acks));
            if self.failed.is_some_and(|failed| failed.elapsed() > AFTER) {
                return;
            }
            // The former topic is in files by now.
            if topic > 0 && topic.is_multiple_of(2) {
                let former = self.told.topics.len() - 2;
                let (name, _) = self.told.topics.remove(former);
                self.delete(&name).await;
            }
        }
    }

    async fn send(&mut self, topic: &str, number: u64, acks: &mut Vec<Ack>) {
        self.look();
        let since = self.failed.map(|failed| failed.elapsed());
        self.told.sent += 1;
        let answer = send_one(&self.client, self.broker, &message(topic, number)).await;
        self.look();
        let told = &mut self.told;
        match answer.map(|answer| answer.ack) {
            Ok(Some(ack)) => {
                told.acknowledged += 1;
                match since {
                    None if self.failed.is_none() => told.before.push(ack.physical_offset),
                    None => {}
                    Some(since) if since < SETTLED => told.at_once += 1,
                    Some(_) => told.after += 1,
                }
                acks.push(ack);
            }
            Ok(None) => told.refused += 1,
            Err(_) => told.unanswered += 1,
        }
    }

    /// Looks whether the call has failed.
    fn look(&mut self) {
        if self.failed.is_none() && self.hits.metadata().is_ok_and(|hits| hits.len() > 0) {
            self.failed = Some(Instant::now());
        }
    }

    async fn delete(&mut self, topic: &str) {
        let header = DeleteTopicRequestHeader { topic: topic.to_owned() };
        let code = RequestCode::DeleteTopicInBroker;
        let answer = self.client.call(self.broker, code, &header, &[], &[], TIMEOUT).await;
        self.told.deletions_refused += usize::from(!answer.is_ok_and(|answer| answer.code() == 0));
    }
}
