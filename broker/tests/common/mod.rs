//! A broker in this process and a client that talks to it over a socket.
#![allow(dead_code, reason = "every test program uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

use std::path::Path;
use std::time::Duration;

use broker::{Broker, Running, Settings};
use bytes::BytesMut;
use remoting::net::{Client, ClientOptions};
use remoting::protocol::code::{RequestCode, ResponseCode};
use remoting::protocol::command::Frame;
use remoting::protocol::header::{
    CreateTopicRequestHeader, EncodeHeader, PullMessageRequestHeader, PullMessageResponseHeader,
    SendMessageRequestHeader, SendMessageResponseHeader, Short,
};
use remoting::protocol::message::batch::BatchMessage;
use remoting::protocol::message::record::{Record, records};

pub const PATIENCE: Duration = Duration::from_secs(10);

pub struct Bench {
    pub running: Running,
    pub client: Client,
    address: String,
}

impl Bench {
    /// Starts a broker on a free port over `root`.
    pub async fn start(root: &Path) -> Bench {
        Bench::with(root, "").await
    }

    /// Starts a broker with further settings, as in a file.
    pub async fn with(root: &Path, properties: &str) -> Bench {
        let mut settings = Settings::default();
        let common = format!(
            "listenPort=0\nbindAddress=127.0.0.1\nbrokerName=b\nstorePathRootDir={}\n\
             mappedFileSizeCommitLog=1048576\nnamesrvAddr=\n{properties}",
            root.display()
        );
        let pairs = runtime::config::parse(&common).unwrap();
        settings.apply(&pairs).unwrap();
        let running = Broker::start(settings).await.unwrap();
        let address = running.listens_on().to_string();
        Bench { running, client: Client::new(ClientOptions::default()), address }
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    pub async fn stop(self) {
        self.client.close();
        self.running.stop().await.unwrap();
    }

    pub async fn call(&self, code: RequestCode, header: &impl EncodeHeader, body: &[u8]) -> Frame {
        self.client.call(&self.address, code, header, &[], body, PATIENCE).await.unwrap()
    }

    /// Sends by 310 and returns the answer.
    pub async fn send(&self, header: SendMessageRequestHeader<'_>, body: &[u8]) -> Frame {
        self.call(RequestCode::SendMessageV2, &Short(header), body).await
    }

    /// Sends a plain message and returns its queue offset.
    pub async fn put(&self, topic: &str, queue_id: i32, properties: &str, body: &[u8]) -> i64 {
        let header =
            SendMessageRequestHeader { queue_id, properties: Some(properties), ..to(topic) };
        let answer = self.send(header, body).await;
        assert_eq!(code(&answer), ResponseCode::Success, "{:?}", answer.remark());
        sent(&answer).queue_offset
    }

    pub async fn pull(&self, header: PullMessageRequestHeader<'_>) -> Frame {
        self.call(RequestCode::PullMessage, &header, &[]).await
    }
}

pub fn code(frame: &Frame) -> ResponseCode {
    ResponseCode::from_i32(frame.code()).unwrap()
}

/// A request for a topic, as tools make it.
pub fn new_topic(topic: &str, queues: i32) -> CreateTopicRequestHeader {
    CreateTopicRequestHeader {
        topic: topic.to_owned(),
        default_topic: "TBW102".to_owned(),
        read_queue_nums: queues,
        write_queue_nums: queues,
        perm: 6,
        topic_filter_type: "SINGLE_TAG".to_owned(),
        ..CreateTopicRequestHeader::default()
    }
}

/// A send to queue 0 of a topic, as the Java client fills it.
pub fn to(topic: &str) -> SendMessageRequestHeader<'_> {
    SendMessageRequestHeader {
        producer_group: "pg",
        topic,
        default_topic: "TBW102",
        default_topic_queue_nums: 4,
        born_timestamp: 1_700_000_000_000,
        ..SendMessageRequestHeader::default()
    }
}

/// A pull of queue 0 with its own subscription to everything.
pub fn from<'a>(topic: &'a str, queue_offset: i64) -> PullMessageRequestHeader<'a> {
    PullMessageRequestHeader {
        consumer_group: "cg",
        topic,
        queue_offset,
        max_msg_nums: 32,
        sys_flag: 4,
        subscription: Some("*"),
        ..PullMessageRequestHeader::default()
    }
}

pub fn sent(frame: &Frame) -> SendMessageResponseHeader<'_> {
    frame.header().unwrap()
}

pub fn pulled(frame: &Frame) -> PullMessageResponseHeader {
    frame.header().unwrap()
}

/// The records of a pull answer.
pub fn messages(frame: &Frame) -> Vec<Record<'_>> {
    records(frame.body()).map(Result::unwrap).collect()
}

pub fn bodies(frame: &Frame) -> Vec<String> {
    let text = |record: &Record<'_>| String::from_utf8(record.body.to_vec()).unwrap();
    messages(frame).iter().map(text).collect()
}

/// A property string of pairs.
pub fn properties(pairs: &[(&str, &str)]) -> String {
    pairs.iter().map(|(name, value)| format!("{name}\u{1}{value}\u{2}")).collect()
}

/// A batch body of messages with properties and body.
pub fn batch(messages: &[(&str, &[u8])]) -> BytesMut {
    let mut out = BytesMut::new();
    for (properties, body) in messages {
        BatchMessage { flag: 0, body, properties }.encode(&mut out).unwrap();
    }
    out
}
