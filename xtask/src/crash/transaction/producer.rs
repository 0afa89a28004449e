//! A producer of transactions that goes on whatever becomes of the server.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use futures_util::future::join_all;
use remoting::net::{Client, ClientOptions, Outcome, Peer, Service};
use remoting::protocol::body::{Body, HeartbeatData, ProducerData};
use remoting::protocol::code::RequestCode;
use remoting::protocol::command::{Frame, Responder};
use remoting::protocol::header::{
    EndTransactionRequestHeader, NoHeader, SendMessageRequestHeader, Short,
};
use remoting::protocol::message::id::OffsetMessageId;
use remoting::protocol::message::record::Record;
use remoting::protocol::message::sys_flag;

use tokio::runtime::Runtime;

use super::QUEUES;
use super::audit::number_of;

const GROUP: &str = "transaction-crash";
const TIMEOUT: Duration = Duration::from_secs(3);
const BODY_LEN: usize = 256;

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Committed after its send.
    Commit,
    /// Rolled back after its send.
    Rollback,
    /// Committed when the broker asks.
    Check,
}

/// A producer and the answers it gives.
pub struct Producer {
    /// Runs the connection also while nobody calls.
    runtime: Runtime,
    client: Client,
    broker: String,
    topic: String,
    fate: fn(u64) -> Fate,
    sent: AtomicU64,
    acknowledged: Mutex<BTreeSet<u64>>,
    answers: Arc<Answers>,
}

/// Answers to the broker's questions.
pub struct Answers {
    fate: fn(u64) -> Fate,
    /// Whether the producer knows yet.
    decided: AtomicBool,
    state: Mutex<Asked>,
}

/// What the broker asked.
#[derive(Default)]
struct Asked {
    numbers: BTreeSet<u64>,
    count: u64,
    last: Option<Instant>,
}

/// Where a half message is.
struct Half {
    queue_offset: i64,
    physical_offset: i64,
}

impl Service for Answers {
    fn call(&self, peer: &Arc<Peer>, frame: Frame, _out: &mut Responder<'_>) -> Outcome {
        let record = Record::decode(frame.body()).ok();
        let Some(number) = record.and_then(|record| number_of(record.body)) else {
            return Outcome::Done;
        };
        let count = {
            let mut asked = self.asked();
            asked.numbers.insert(number);
            asked.count += 1;
            asked.last = Some(Instant::now());
            asked.count
        };
        let offset = |name| frame.field(name).and_then(|text| text.parse().ok()).unwrap_or(-1);
        let how = match (self.fate)(number) {
            _ if !self.decided.load(Ordering::Relaxed) => 0,
            Fate::Rollback => sys_flag::TRANSACTION_ROLLBACK,
            _ => sys_flag::TRANSACTION_COMMIT,
        };
        let header = EndTransactionRequestHeader {
            producer_group: GROUP,
            tran_state_table_offset: offset("tranStateTableOffset"),
            commit_log_offset: offset("commitLogOffset"),
            commit_or_rollback: how,
            from_transaction_check: true,
            msg_id: frame.field("msgId").unwrap_or_default(),
            ..EndTransactionRequestHeader::default()
        };
        // Every seventh answer is given twice.
        for _ in 0..1 + u64::from(count.is_multiple_of(7)) {
            // Lost answers are asked for again.
            let _ = peer.oneway(RequestCode::EndTransaction, &header, &[]);
        }
        Outcome::Done
    }
}

impl Answers {
    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Producer {
    /// A producer for a topic that knows what becomes of each message.
    pub fn new(broker: &str, topic: &str, fate: fn(u64) -> Fate) -> Result<Self> {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let decided = AtomicBool::new(true);
        let answers = Arc::new(Answers { fate, decided, state: Mutex::default() });
        let service: Arc<dyn Service> = Arc::clone(&answers) as Arc<dyn Service>;
        Ok(Self {
            runtime: runtime.worker_threads(1).enable_all().build()?,
            client: Client::with_service(ClientOptions::default(), service),
            broker: broker.to_owned(),
            topic: topic.to_owned(),
            fate,
            sent: AtomicU64::new(0),
            acknowledged: Mutex::default(),
            answers,
        })
    }

    /// Answers that nothing is decided yet, until told otherwise.
    pub fn decide(&self, decided: bool) {
        self.answers.decided.store(decided, Ordering::Relaxed);
    }

    /// Messages sent so far, with or without success.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// The numbers whose sends were acknowledged.
    pub fn acknowledged(&self) -> BTreeSet<u64> {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Different numbers asked about, questions, and the time of the last.
    pub fn asked(&self) -> (usize, u64, Option<Instant>) {
        let asked = self.answers.asked();
        (asked.numbers.len(), asked.count, asked.last)
    }

    /// Forgets what was asked so far.
    pub fn forget_asked(&self) {
        *self.answers.asked() = Asked::default();
    }

    /// Sends and ends messages; returns how long that took.
    pub fn send_all(&self, count: u64, senders: usize) -> Duration {
        let start = Instant::now();
        let next = AtomicU64::new(0);
        self.runtime.block_on(async {
            let senders = (0..senders).map(|_| self.send_some(&next, count));
            join_all(senders).await;
        });
        start.elapsed()
    }

    async fn send_some(&self, next: &AtomicU64, count: u64) {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return;
            }
            match self.send(number).await {
                Ok(half) => {
                    self.acknowledge(number);
                    self.end(number, &half).await;
                }
                // Whether it was stored, nobody knows; the broker will ask if it was.
                Err(_) => self.wait_for_broker().await,
            }
            self.sent.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn acknowledge(&self, number: u64) {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).insert(number);
    }

    async fn wait_for_broker(&self) {
        while self.heartbeat().await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn send(&self, number: u64) -> Result<Half> {
        let properties =
            format!("TRAN_MSG\u{1}true\u{2}PGROUP\u{1}{GROUP}\u{2}UNIQ_KEY\u{1}{number:032X}\u{2}");
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let header = SendMessageRequestHeader {
            producer_group: GROUP,
            topic: &self.topic,
            default_topic: "TBW102",
            default_topic_queue_nums: QUEUES,
            queue_id: (number % 4) as i32,
            sys_flag: sys_flag::TRANSACTION_PREPARED,
            born_timestamp: now.as_millis() as i64,
            properties: Some(&properties),
            ..SendMessageRequestHeader::default()
        };
        let body = format!("{number} {:width$}", "", width = BODY_LEN);
        let answer = self.call(RequestCode::SendMessageV2, &Short(header), body.as_bytes()).await?;
        let id = answer.field("msgId").and_then(OffsetMessageId::parse).context("no id")?;
        let queue_offset = answer.field("queueOffset").context("no offset")?.parse()?;
        Ok(Half { queue_offset, physical_offset: id.physical_offset })
    }

    async fn end(&self, number: u64, half: &Half) {
        let commit_or_rollback = match (self.fate)(number) {
            Fate::Commit => sys_flag::TRANSACTION_COMMIT,
            Fate::Rollback => sys_flag::TRANSACTION_ROLLBACK,
            Fate::Check => return,
        };
        let header = EndTransactionRequestHeader {
            producer_group: GROUP,
            tran_state_table_offset: half.queue_offset,
            commit_log_offset: half.physical_offset,
            commit_or_rollback,
            msg_id: "",
            ..EndTransactionRequestHeader::default()
        };
        let code = RequestCode::EndTransaction;
        // Every fifth end is sent twice. Lost ones are asked for.
        for _ in 0..1 + u64::from(number.is_multiple_of(5)) {
            let _ = self.client.oneway(&self.broker, code, &header, &[], &[]).await;
        }
    }

    /// Stays connected until the broker has asked nothing for `quiet`; returns how often it
    /// asked since the start or the last call.
    pub fn wait_quiet(&self, quiet: Duration, patience: Duration) -> Result<u64> {
        let start = Instant::now();
        let mut connected = false;
        loop {
            connected |= self.runtime.block_on(self.heartbeat()).is_ok();
            let (_, count, last) = self.asked();
            if connected && last.unwrap_or(start).max(start).elapsed() > quiet {
                self.forget_asked();
                return Ok(count);
            }
            ensure!(start.elapsed() < patience, "the broker does not stop asking");
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// Stays connected while `wait` is true.
    pub fn stay_while(&self, patience: Duration, wait: impl Fn() -> bool) -> Result<()> {
        let start = Instant::now();
        let mut beat = None::<Instant>;
        while wait() {
            if beat.is_none_or(|beat| beat.elapsed() > Duration::from_secs(5)) {
                self.runtime.block_on(self.heartbeat())?;
                beat = Some(Instant::now());
            }
            ensure!(start.elapsed() < patience, "nothing happens any more");
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    async fn heartbeat(&self) -> Result<()> {
        let data = HeartbeatData {
            client_id: "transaction-crash".to_owned(),
            producer_data_set: vec![ProducerData { group_name: GROUP.to_owned() }],
            ..HeartbeatData::default()
        };
        self.call(RequestCode::HeartBeat, &NoHeader, &data.encode()).await.map(|_| ())
    }

    async fn call(
        &self,
        code: RequestCode,
        header: &impl remoting::protocol::header::EncodeHeader,
        body: &[u8],
    ) -> Result<Frame> {
        let answer = self.client.call(&self.broker, code, header, &[], body, TIMEOUT).await?;
        let (code, remark) = (answer.code(), answer.remark().unwrap_or_default());
        ensure!(code == 0, "{code}: {remark}");
        Ok(answer)
    }
}
