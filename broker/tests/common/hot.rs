//! The requests of the hot paths, and a client that sends them over a socket without allocating.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

use std::time::Duration;

use bytes::BytesMut;
use remoting::protocol::body::{
    Body, ConsumeType, ConsumerData, HeartbeatData, MessageModel, ProducerData, SubscriptionData,
};
use remoting::protocol::code::{RequestCode, ResponseCode};
use remoting::protocol::command::{RequestHead, encode_request, written_code};
use remoting::protocol::encoding::Encoding;
use remoting::protocol::header::{
    EncodeHeader, NoHeader, PullMessageRequestHeader, SendMessageRequestHeader, Short,
    UpdateConsumerOffsetRequestHeader,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::common::{Bench, batch, from, properties, to};

/// Messages of a pull, of a batch, and of the requests written at once when they are pipelined.
const PULLED: usize = 32;
const BATCHED: usize = 32;
const PIPELINED: usize = 16;
/// Tags of the messages that are pulled.
const TAGS: usize = 10;
const BODY: [u8; 128] = [b'x'; 128];
/// A unique key, which producers put into every message.
const KEY: &str = "7F000001000118B4AAC2000000000000";

/// Topic that is sent to, topic with messages of every tag, and topic without any.
const SENT: &str = "Sent";
const FILLED: &str = "Filled";
const EMPTY: &str = "Empty";

/// Settings of a broker whose log rolls in no round, and that takes every kind of filter.
pub const SETTINGS: &str = "mappedFileSizeCommitLog=67108864\nenablePropertyFilter=true\n";

/// Bits of the `sysFlag` of a pull.
const SUSPEND: i32 = 2;
const SUBSCRIPTION: i32 = 4;

/// Requests that are written at once, and the answers that are waited for.
pub struct Turn {
    pub name: String,
    /// Requests, or messages of a batch, in one turn.
    pub count: usize,
    bytes: BytesMut,
    answers: usize,
    code: ResponseCode,
}

impl Turn {
    fn one(name: String, bytes: BytesMut) -> Turn {
        Turn { name, count: 1, bytes, answers: 1, code: ResponseCode::Success }
    }

    fn pipelined(self) -> Turn {
        let bytes = self.bytes.repeat(PIPELINED);
        Turn {
            name: format!("{}, {PIPELINED} at once", self.name),
            count: self.count * PIPELINED,
            bytes: BytesMut::from(&bytes[..]),
            answers: PIPELINED,
            code: self.code,
        }
    }
}

/// A connection of a client.
pub struct Wire {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Wire {
    pub async fn connect(bench: &Bench) -> Wire {
        let stream = TcpStream::connect(bench.address()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Wire { stream, answer: vec![0; 1 << 20] }
    }

    /// Takes one turn; every answer must have the code of the turn.
    pub async fn take(&mut self, turn: &Turn) {
        self.write(turn).await;
        for _ in 0..turn.answers {
            self.read(turn).await;
        }
    }

    async fn write(&mut self, turn: &Turn) {
        self.stream.write_all(&turn.bytes).await.unwrap();
    }

    /// Waits for an answer; what the broker tells on its own is passed over.
    async fn read(&mut self, turn: &Turn) {
        loop {
            self.stream.read_exact(&mut self.answer[..4]).await.unwrap();
            let len = 4 + u32::from_be_bytes(*self.answer.first_chunk().unwrap()) as usize;
            self.stream.read_exact(&mut self.answer[4..len]).await.unwrap();
            let code = written_code(&self.answer[..len]);
            if code != Some(RequestCode::NotifyConsumerIdsChanged.into()) {
                assert_eq!(code, Some(turn.code.into()), "{}", turn.name);
                return;
            }
        }
    }
}

/// A consumer whose pull is held, and the producer that ends its wait.
pub struct LongPoll {
    pub name: &'static str,
    consumer: Wire,
    producer: Wire,
    pull: Turn,
    send: Turn,
    queue_offset: i64,
}

impl LongPoll {
    pub async fn new(bench: &Bench) -> LongPoll {
        let name = "pull, held, and the send that it waits for";
        LongPoll {
            name,
            consumer: Wire::connect(bench).await,
            producer: Wire::connect(bench).await,
            pull: Turn::one(name.to_owned(), BytesMut::with_capacity(1024)),
            send: send(Encoding::Json, 1),
            queue_offset: bench.put(SENT, 1, "", &BODY).await + 1,
        }
    }

    /// Pulls what is not there yet, sends it, and waits for both answers.
    pub async fn take(&mut self) {
        let header = PullMessageRequestHeader {
            queue_id: 1,
            sys_flag: SUSPEND | SUBSCRIPTION,
            suspend_timeout_millis: 15_000,
            ..from(SENT, self.queue_offset)
        };
        self.queue_offset += 1;
        self.pull.bytes.clear();
        let bytes = &mut self.pull.bytes;
        encode(bytes, RequestCode::PullMessage, Encoding::Json, &header, &[]);
        self.consumer.write(&self.pull).await;
        // The broker runs on this thread, and has held the pull before this returns.
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.producer.take(&self.send).await;
        self.consumer.read(&self.pull).await;
    }
}

/// Makes the topics, and returns every path that is answered at once.
pub async fn turns(bench: &Bench) -> Vec<Turn> {
    for queue in 0..2 {
        // Answered when the new topic is in its file; the sends of the turns wait for nothing.
        bench.put(SENT, queue, "", &BODY).await;
    }
    bench.put(EMPTY, 1, "", &BODY).await;
    for number in 0..PULLED * TAGS {
        let tag = format!("t{}", number % TAGS);
        bench.put(FILLED, 0, &properties(&[("TAGS", &tag), ("UNIQ_KEY", KEY)]), &BODY).await;
    }
    let mut turns = Vec::new();
    for encoding in [Encoding::Json, Encoding::Rocketmq] {
        turns.extend([
            send(encoding, 0),
            send(encoding, 0).pipelined(),
            send_batch(encoding),
            pull(encoding, "32 neighbours", RequestCode::PullMessage, &from(FILLED, 0)),
            pull(encoding, "32 neighbours, lite", RequestCode::LitePullMessage, &from(FILLED, 0)),
            pull(
                encoding,
                "32 of a tag of 10",
                RequestCode::PullMessage,
                &PullMessageRequestHeader { subscription: Some("t3 || x"), ..from(FILLED, 0) },
            ),
            pull(
                encoding,
                "32 of 320 by SQL92",
                RequestCode::PullMessage,
                &PullMessageRequestHeader {
                    subscription: Some("TAGS = 't3'"),
                    expression_type: Some("SQL92"),
                    ..from(FILLED, 0)
                },
            ),
            Turn {
                code: ResponseCode::PullNotFound,
                ..pull(encoding, "nothing there", RequestCode::PullMessage, &from(EMPTY, 0))
            },
            update_offset(encoding),
        ]);
    }
    turns
}

pub fn send(encoding: Encoding, queue_id: i32) -> Turn {
    let properties =
        properties(&[("KEYS", "k1 k2"), ("UNIQ_KEY", KEY), ("TAGS", "t3"), ("WAIT", "true")]);
    let header = Short(SendMessageRequestHeader {
        queue_id,
        properties: Some(&properties),
        reconsume_times: Some(0),
        max_reconsume_times: Some(0),
        ..to(SENT)
    });
    let bytes = request(RequestCode::SendMessageV2, encoding, &header, &BODY);
    Turn::one(format!("send of 128 B, {encoding:?}"), bytes)
}

fn send_batch(encoding: Encoding) -> Turn {
    let own = properties(&[("UNIQ_KEY", KEY), ("WAIT", "true")]);
    let messages: Vec<(&str, &[u8])> = vec![(&own, &BODY); BATCHED];
    let header = Short(SendMessageRequestHeader {
        properties: Some("WAIT\u{1}true\u{2}"),
        reconsume_times: Some(0),
        max_reconsume_times: Some(0),
        batch: true,
        ..to(SENT)
    });
    let bytes = request(RequestCode::SendBatchMessage, encoding, &header, &batch(&messages));
    let name = format!("batch of {BATCHED} x 128 B, a message, {encoding:?}");
    Turn { count: BATCHED, ..Turn::one(name, bytes) }
}

fn pull(
    encoding: Encoding,
    what: &str,
    code: RequestCode,
    header: &PullMessageRequestHeader<'_>,
) -> Turn {
    let expression_type = header.expression_type.or(Some("TAG"));
    let header = PullMessageRequestHeader { expression_type, ..header.clone() };
    let bytes = request(code, encoding, &header, &[]);
    Turn::one(format!("pull, {what}, {encoding:?}"), bytes)
}

fn update_offset(encoding: Encoding) -> Turn {
    let header = UpdateConsumerOffsetRequestHeader {
        consumer_group: "cg",
        topic: FILLED,
        queue_id: Some(0),
        commit_offset: Some(1_000),
    };
    let bytes = request(RequestCode::UpdateConsumerOffset, encoding, &header, &[]);
    Turn::one(format!("offset update, {encoding:?}"), bytes)
}

/// The heartbeat of a client with a producer and a consumer, as the newest clients send it.
pub fn heartbeat() -> Turn {
    let subscription = SubscriptionData {
        sub_string: "*".to_owned(),
        topic: FILLED.to_owned(),
        sub_version: 1_700_000_000_000,
        ..SubscriptionData::default()
    };
    let consumer = ConsumerData {
        consume_type: Some(ConsumeType::Passively),
        group_name: "cg".to_owned(),
        message_model: Some(MessageModel::Clustering),
        subscription_data_set: vec![subscription],
        ..ConsumerData::default()
    };
    let data = HeartbeatData {
        client_id: "127.0.0.1@1#1".to_owned(),
        consumer_data_set: vec![consumer],
        producer_data_set: vec![ProducerData { group_name: "pg".to_owned() }],
        ..HeartbeatData::default()
    };
    let bytes = request(RequestCode::HeartBeat, Encoding::Json, &NoHeader, &data.encode());
    Turn::one("heartbeat".to_owned(), bytes)
}

fn request(
    code: RequestCode,
    encoding: Encoding,
    header: &impl EncodeHeader,
    body: &[u8],
) -> BytesMut {
    let mut out = BytesMut::new();
    encode(&mut out, code, encoding, header, body);
    out
}

fn encode(
    out: &mut BytesMut,
    code: RequestCode,
    encoding: Encoding,
    header: &impl EncodeHeader,
    body: &[u8],
) {
    let head = RequestHead { code: code.into(), opaque: 1, oneway: false, encoding };
    encode_request(out, head, header, &[], body).unwrap();
}
