//! A broker in this process and clients that speak to it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, Running, Settings};
use remoting::net::{Client, ClientOptions, Outcome, Peer, Service};
use remoting::protocol::body::{
    Body, ConsumeType, ConsumerData, HeartbeatData, MessageModel, ProducerData, SubscriptionData,
};
use remoting::protocol::code::{RequestCode, ResponseCode};
use remoting::protocol::command::{Frame, Responder};
use remoting::protocol::header::{
    EncodeHeader, NoHeader, PullMessageRequestHeader, SendMessageRequestHeader,
};
use remoting::protocol::message::record::{Record, records};
use tokio::sync::mpsc;

/// Longer than anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A broker on a port of its own.
pub struct Kit {
    running: Running,
    pub address: String,
}

impl Kit {
    /// Starts a broker on the store below `root`.
    pub async fn start(root: &Path) -> Kit {
        Kit::start_with(root, |_| {}).await
    }

    /// Starts a broker whose settings were changed.
    pub async fn start_with(root: &Path, change: impl FnOnce(&mut Settings)) -> Kit {
        let mut settings = Settings::default();
        settings.broker.broker_name = "b".to_owned();
        settings.network.listen_port = 0;
        settings.network.bind_address = "127.0.0.1".to_owned();
        settings.store.store_path_root_dir = root.to_str().unwrap().to_owned();
        settings.store.mapped_file_size_commit_log = 1 << 20;
        settings.store.max_hash_slot_num = 500;
        settings.store.max_index_num = 2_000;
        change(&mut settings);
        let running = Broker::start(settings).await.unwrap();
        let address = running.listens_on().to_string();
        Kit { running, address }
    }

    /// Stops the broker cleanly.
    pub async fn stop(self) {
        self.running.stop().await.unwrap();
    }

    /// Waits until the name servers know every topic.
    pub async fn registered(&self) {
        self.running.registered(PATIENCE).await;
    }

    /// Connects a client.
    pub fn client(&self) -> TestClient {
        self.client_answering(None)
    }

    /// Connects a client that answers every question with this code and body.
    pub fn client_answering(&self, answer: Option<(i32, Vec<u8>)>) -> TestClient {
        let (heard, hears) = mpsc::unbounded_channel();
        let service: Arc<dyn Service> = Arc::new(Ear { heard, answer });
        let client = Client::with_service(ClientOptions::default(), service);
        TestClient { client, address: self.address.clone(), hears }
    }
}

/// A client and the requests the broker sent it.
pub struct TestClient {
    client: Client,
    address: String,
    hears: mpsc::UnboundedReceiver<Frame>,
}

/// Notes the requests nobody waits for, and answers the others.
struct Ear {
    heard: mpsc::UnboundedSender<Frame>,
    answer: Option<(i32, Vec<u8>)>,
}

impl Service for Ear {
    fn call(&self, _peer: &Arc<Peer>, frame: Frame, out: &mut Responder<'_>) -> Outcome {
        if !frame.is_oneway() {
            // A question handed on by the broker: what came goes back, with a code of its own.
            let fields: Vec<(&str, &str)> = frame.fields().collect();
            let (code, body) = match &self.answer {
                Some((code, body)) => (*code, body.as_slice()),
                None => (0, frame.body()),
            };
            out.respond(code, Some("heard"), &NoHeader, &fields, body);
            return Outcome::Done;
        }
        // The test may have ended.
        let _ = self.heard.send(frame);
        Outcome::Done
    }
}

impl TestClient {
    /// Sends a request and returns the answer.
    pub async fn call(&self, code: RequestCode, header: &impl EncodeHeader, body: &[u8]) -> Frame {
        self.client.call(&self.address, code, header, &[], body, PATIENCE).await.unwrap()
    }

    /// Sends a request with further fields that must succeed.
    pub async fn ok_with(
        &self,
        code: RequestCode,
        header: &impl EncodeHeader,
        extra: &[(&str, &str)],
        body: &[u8],
    ) -> Frame {
        let answer = self.client.call(&self.address, code, header, extra, body, PATIENCE).await;
        let answer = answer.unwrap();
        assert_eq!(answer.code(), 0, "{code:?}: {:?}", answer.remark());
        answer
    }

    /// Sends a request to somebody else and returns the answer.
    pub async fn call_at(
        &self,
        address: &str,
        code: RequestCode,
        header: &impl EncodeHeader,
        body: &[u8],
    ) -> Frame {
        self.client.call(address, code, header, &[], body, PATIENCE).await.unwrap()
    }

    /// Sends a request that must succeed.
    pub async fn ok(&self, code: RequestCode, header: &impl EncodeHeader, body: &[u8]) -> Frame {
        let answer = self.call(code, header, body).await;
        assert_eq!(answer.code(), 0, "{code:?}: {:?}", answer.remark());
        answer
    }

    /// Sends a request that must be refused with a code.
    pub async fn refused(
        &self,
        with: ResponseCode,
        code: RequestCode,
        header: &impl EncodeHeader,
        body: &[u8],
    ) -> Frame {
        let answer = self.call(code, header, body).await;
        assert_eq!(answer.code(), i32::from(with), "{code:?}: {:?}", answer.remark());
        answer
    }

    /// Waits for the next request of the broker.
    pub async fn hear_whole(&mut self) -> Frame {
        tokio::time::timeout(PATIENCE, self.hears.recv()).await.unwrap().unwrap()
    }

    /// Waits for it, too, and returns its code and the group it is about.
    pub async fn hear(&mut self) -> (i32, String) {
        let frame = self.hear_whole().await;
        let group = frame.field("consumerGroup").or(frame.field("group")).unwrap_or_default();
        (frame.code(), group.to_owned())
    }

    /// Whether the broker has sent nothing more. A round trip first: what it sent lies before
    /// the answer.
    pub async fn heard_nothing(&mut self) -> bool {
        self.call(RequestCode::GetSystemTopicListFromBroker, &NoHeader, &[]).await;
        self.hears.try_recv().is_err()
    }

    /// Sends a heartbeat.
    pub async fn heartbeat(&self, data: &HeartbeatData) -> Frame {
        self.ok(RequestCode::HeartBeat, &NoHeader, &data.encode()).await
    }

    /// Closes the connection.
    pub fn close(&self) {
        self.client.close();
    }

    /// Sends a message and returns its queue offset.
    pub async fn send(&self, topic: &str, queue_id: i32, body: &str, properties: &str) -> i64 {
        let answer = self.try_send(topic, queue_id, body, properties, 0).await;
        assert_eq!(answer.code(), 0, "{:?}", answer.remark());
        answer.field("queueOffset").unwrap().parse().unwrap()
    }

    /// Sends a message that was tried before and returns the answer.
    pub async fn try_send(
        &self,
        topic: &str,
        queue_id: i32,
        body: &str,
        properties: &str,
        tried: i32,
    ) -> Frame {
        let header = SendMessageRequestHeader {
            producer_group: "p",
            topic,
            default_topic: "TBW102",
            default_topic_queue_nums: 4,
            queue_id,
            sys_flag: 0,
            born_timestamp: 1,
            flag: 7,
            properties: Some(properties),
            reconsume_times: Some(tried),
            ..SendMessageRequestHeader::default()
        };
        self.call(RequestCode::SendMessage, &header, body.as_bytes()).await
    }

    /// Pulls from a queue, waiting for messages.
    pub async fn pull(&self, group: &str, topic: &str, queue_id: i32, offset: i64) -> Pulled {
        let header = PullMessageRequestHeader {
            consumer_group: group,
            topic,
            queue_id,
            queue_offset: offset,
            max_msg_nums: 32,
            sys_flag: 2 | 4,
            commit_offset: 0,
            suspend_timeout_millis: 15_000,
            subscription: Some("*"),
            sub_version: 0,
            expression_type: Some("TAG"),
            ..PullMessageRequestHeader::default()
        };
        Pulled(self.call(RequestCode::PullMessage, &header, &[]).await)
    }

    /// Pulls from a queue until `count` messages came.
    pub async fn pull_all(&self, topic: &str, queue_id: i32, count: usize) -> Vec<Message> {
        let all = self.pull_until(topic, queue_id, count).await;
        assert_eq!(all.len(), count);
        all
    }

    /// Pulls from the start until there are so many messages, or more.
    pub async fn pull_until(&self, topic: &str, queue_id: i32, count: usize) -> Vec<Message> {
        let mut all = Vec::new();
        let mut next = 0;
        while all.len() < count {
            let pulled = self.pull("reader", topic, queue_id, next).await;
            assert_eq!(pulled.0.code(), 0, "{:?} {}", pulled.0.remark(), all.len());
            all.extend(pulled.messages());
            next = pulled.next();
        }
        all
    }
}

/// The answer to a pull.
pub struct Pulled(pub Frame);

/// What a test looks at of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub body: String,
    pub queue_offset: i64,
    pub physical_offset: i64,
    pub reconsume_times: i32,
    pub store_timestamp: i64,
    pub flag: i32,
    pub properties: String,
}

impl Pulled {
    /// Offset to go on from.
    pub fn next(&self) -> i64 {
        self.0.field("nextBeginOffset").unwrap().parse().unwrap()
    }

    /// The messages.
    pub fn messages(&self) -> Vec<Message> {
        records(self.0.body()).map(|record| Message::of(&record.unwrap())).collect()
    }
}

impl Message {
    pub fn of(record: &Record<'_>) -> Message {
        Message {
            body: String::from_utf8(record.body.to_vec()).unwrap(),
            queue_offset: record.queue_offset,
            physical_offset: record.physical_offset,
            reconsume_times: record.reconsume_times,
            store_timestamp: record.store_timestamp,
            flag: record.flag,
            properties: record.properties.to_owned(),
        }
    }

    /// A property.
    pub fn get(&self, name: &str) -> Option<&str> {
        remoting::protocol::message::Properties::new(&self.properties).get(name)
    }
}

/// A heartbeat of one consumer group that subscribes to topics.
pub fn consumer(client_id: &str, group: &str, topics: &[&str]) -> HeartbeatData {
    HeartbeatData {
        client_id: client_id.to_owned(),
        consumer_data_set: vec![ConsumerData {
            consume_type: Some(ConsumeType::Passively),
            group_name: group.to_owned(),
            message_model: Some(MessageModel::Clustering),
            subscription_data_set: topics.iter().map(|topic| subscription(topic, 1)).collect(),
            ..ConsumerData::default()
        }],
        ..HeartbeatData::default()
    }
}

/// A heartbeat of one producer group.
pub fn producer(client_id: &str, group: &str) -> HeartbeatData {
    HeartbeatData {
        client_id: client_id.to_owned(),
        producer_data_set: vec![ProducerData { group_name: group.to_owned() }],
        ..HeartbeatData::default()
    }
}

/// A subscription to all tags.
pub fn subscription(topic: &str, version: i64) -> SubscriptionData {
    SubscriptionData {
        topic: topic.to_owned(),
        sub_string: "*".to_owned(),
        sub_version: version,
        ..SubscriptionData::default()
    }
}
