//! Transactions as producers see them.

mod check;
mod end;
mod hostile;
mod restart;
mod takeover;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use broker::Settings;
use remoting::net::{Client, ClientOptions, Outcome, Peer, Service};
use remoting::protocol::body::Body;
use remoting::protocol::code::RequestCode;
use remoting::protocol::command::{Frame, Responder};
use remoting::protocol::header::{
    EndTransactionRequestHeader, NoHeader, SendMessageRequestHeader, Short,
};
use remoting::protocol::message::id::OffsetMessageId;
use remoting::protocol::message::record::{Record, records};
use tokio::sync::mpsc;

use crate::kit::{Kit, PATIENCE, TestClient, producer};

const HALF_TOPIC: &str = "RMQ_SYS_TRANS_HALF_TOPIC";
const OP_TOPIC: &str = "RMQ_SYS_TRANS_OP_HALF_TOPIC";
const CHECKED_OUT_TOPIC: &str = "TRANS_CHECK_MAX_TIME_TOPIC";

const COMMIT: i32 = 8;
const ROLLBACK: i32 = 12;
const UNKNOWN: i32 = 0;

/// A producer that is asked about its transactions.
struct Producer {
    client: Client,
    address: String,
    group: String,
    questions: mpsc::UnboundedReceiver<Question>,
}

/// What a producer knows of a half message, from its send or from a question.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Half {
    queue_offset: i64,
    physical_offset: i64,
    unique_key: String,
}

/// A question of the broker.
#[derive(Clone, Debug)]
struct Question {
    half: Half,
    body: String,
    topic: String,
    queue_id: i32,
    properties: String,
    broker_name: Option<String>,
}

struct Ear(mpsc::UnboundedSender<Question>);

impl Service for Ear {
    fn call(&self, _peer: &Arc<Peer>, frame: Frame, _out: &mut Responder<'_>) -> Outcome {
        assert_eq!(frame.code(), RequestCode::CheckTransactionState as i32);
        assert!(frame.is_oneway());
        let number = |name| frame.field(name).unwrap().parse::<i64>().unwrap();
        let record = Record::decode(frame.body()).unwrap();
        assert_eq!(record.total_size as usize, frame.body().len());
        let half = Half {
            queue_offset: number("tranStateTableOffset"),
            physical_offset: number("commitLogOffset"),
            unique_key: frame.field("msgId").unwrap().to_owned(),
        };
        assert_eq!(frame.field("transactionId"), Some(half.unique_key.as_str()));
        let id = OffsetMessageId::parse(frame.field("offsetMsgId").unwrap()).unwrap();
        assert_eq!(id.physical_offset, half.physical_offset);
        assert_eq!(record.queue_offset, half.queue_offset);
        // The test may have ended.
        let _ = self.0.send(Question {
            body: String::from_utf8(record.body.to_vec()).unwrap(),
            topic: record.topic.to_owned(),
            queue_id: record.queue_id,
            properties: record.properties.to_owned(),
            broker_name: frame.field("bname").map(str::to_owned),
            half,
        });
        Outcome::Done
    }
}

impl Producer {
    /// Connects a producer and says which group it is of.
    async fn start(kit: &Kit, group: &str) -> Producer {
        let (heard, questions) = mpsc::unbounded_channel();
        let service: Arc<dyn Service> = Arc::new(Ear(heard));
        let client = Client::with_service(ClientOptions::default(), service);
        let producer_ =
            Producer { client, address: kit.address.clone(), group: group.to_owned(), questions };
        let beat = producer("producer", group).encode();
        let answer = producer_.call(RequestCode::HeartBeat, &NoHeader, &beat).await;
        assert_eq!(answer.code(), 0);
        producer_
    }

    async fn call(
        &self,
        code: RequestCode,
        header: &impl remoting::protocol::header::EncodeHeader,
        body: &[u8],
    ) -> Frame {
        self.client.call(&self.address, code, header, &[], body, PATIENCE).await.unwrap()
    }

    /// Sends a half message and returns where it is.
    async fn half(&self, topic: &str, body: &str, properties: &str) -> Half {
        let answer = self.try_half(topic, body, properties).await;
        assert_eq!(answer.code(), 0, "{:?}", answer.remark());
        let id = OffsetMessageId::parse(answer.field("msgId").unwrap()).unwrap();
        Half {
            queue_offset: answer.field("queueOffset").unwrap().parse().unwrap(),
            physical_offset: id.physical_offset,
            unique_key: answer.field("transactionId").unwrap().to_owned(),
        }
    }

    async fn try_half(&self, topic: &str, body: &str, properties: &str) -> Frame {
        let group = &self.group;
        let properties = format!("TRAN_MSG\u{1}true\u{2}PGROUP\u{1}{group}\u{2}{properties}");
        let header = SendMessageRequestHeader {
            producer_group: group,
            topic,
            default_topic: "TBW102",
            default_topic_queue_nums: 4,
            queue_id: 1,
            sys_flag: 4,
            born_timestamp: runtime::clock::now_ms(),
            flag: 7,
            properties: Some(&properties),
            ..SendMessageRequestHeader::default()
        };
        self.call(RequestCode::SendMessageV2, &Short(header), body.as_bytes()).await
    }

    /// Ends a transaction that must be accepted.
    async fn end(&self, half: &Half, how: i32) {
        let answer = self.try_end(&self.ending(half, how)).await;
        assert_eq!(answer.code(), 0, "{:?}", answer.remark());
    }

    /// Answers a question.
    async fn answer(&self, question: &Question, how: i32) {
        let header = EndTransactionRequestHeader {
            from_transaction_check: true,
            ..self.ending(&question.half, how)
        };
        let code = RequestCode::EndTransaction;
        self.client.oneway(&self.address, code, &header, &[], &[]).await.unwrap();
    }

    fn ending<'a>(&'a self, half: &'a Half, how: i32) -> EndTransactionRequestHeader<'a> {
        EndTransactionRequestHeader {
            producer_group: &self.group,
            tran_state_table_offset: half.queue_offset,
            commit_log_offset: half.physical_offset,
            commit_or_rollback: how,
            msg_id: &half.unique_key,
            ..EndTransactionRequestHeader::default()
        }
    }

    async fn try_end(&self, header: &EndTransactionRequestHeader<'_>) -> Frame {
        self.call(RequestCode::EndTransaction, header, &[]).await
    }

    /// Waits for the next question.
    async fn question(&mut self) -> Question {
        tokio::time::timeout(PATIENCE, self.questions.recv()).await.unwrap().unwrap()
    }
}

/// Settings under which nobody is asked during a test.
fn quiet(settings: &mut Settings) {
    settings.live.transaction_check_interval = 3_600_000;
}

/// Settings under which producers are asked at once and often.
fn curious(settings: &mut Settings) {
    settings.live.transaction_check_interval = 50;
    settings.live.transaction_time_out = 1;
    settings.live.transaction_check_max = 1_000;
    settings.broker.transaction_op_batch_interval = 50;
}

/// What a queue holds, from its first offset to its last.
async fn bodies(client: &TestClient, topic: &str, queue_id: i32) -> Vec<String> {
    let end = end_of(client, topic, queue_id).await;
    let mut bodies = Vec::new();
    let mut next = 0;
    while next < end {
        let pulled = client.pull("reader", topic, queue_id, next).await;
        assert_eq!(pulled.0.code(), 0, "{:?}", pulled.0.remark());
        bodies.extend(pulled.messages().into_iter().map(|message| message.body));
        next = pulled.next();
    }
    bodies
}

/// Offset behind the last message of a queue.
async fn end_of(client: &TestClient, topic: &str, queue_id: i32) -> i64 {
    let header = remoting::protocol::header::GetMaxOffsetRequestHeader {
        topic: topic.to_owned(),
        queue_id,
        ..Default::default()
    };
    let answer = client.ok(RequestCode::GetMaxOffset, &header, &[]).await;
    answer.field("offset").unwrap().parse().unwrap()
}

/// Waits until a queue is as long as it should become.
async fn wait_end(client: &TestClient, topic: &str, queue_id: i32, end: i64) {
    let wait = async {
        while end_of(client, topic, queue_id).await < end {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap();
    assert_eq!(end_of(client, topic, queue_id).await, end);
}

/// The records of a queue, undone from their answers.
async fn with_records<R>(
    client: &TestClient,
    topic: &str,
    queue_id: i32,
    read: impl FnOnce(&[Record<'_>]) -> R,
) -> R {
    let pulled = client.pull("reader", topic, queue_id, 0).await;
    let records: Vec<_> = records(pulled.0.body()).map(Result::unwrap).collect();
    read(&records)
}

/// What a kill at this moment would leave of a store.
fn killed(root: &Path, into: &Path) -> PathBuf {
    std::fs::create_dir(into).unwrap();
    let status =
        Command::new("cp").args(["-r", "--sparse=always"]).args([root, into]).status().unwrap();
    assert!(status.success());
    let copy = into.join(root.file_name().unwrap());
    assert!(copy.join("abort").exists());
    copy
}
