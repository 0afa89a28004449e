//! A name server on a port of its own, and brokers and clients that talk to it.

#![allow(clippy::unwrap_used, dead_code)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use namesrv::{NameServer, NamesrvConfig, Settings};
use remoting::net::{Client, ClientOptions, Service};
use remoting::protocol::body::{
    Body, DataVersion, RegisterBrokerBody, TopicConfig, TopicRouteData,
};
use remoting::protocol::code::{RequestCode, ResponseCode};
use remoting::protocol::command::{Frame, FrameWriter, Head, frame_len};
use remoting::protocol::header::{
    EncodeHeader, GetRouteInfoRequestHeader, NoHeader, RegisterBrokerRequestHeader,
};
use runtime::services::Services;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub const TIMEOUT: Duration = Duration::from_secs(10);

/// A running name server and its directory.
pub struct Harness {
    pub name_server: Arc<NameServer>,
    pub address: SocketAddr,
    pub directory: TempDir,
    client: Client,
    services: Services,
}

impl Harness {
    pub fn start() -> Self {
        Self::start_with(|_| {})
    }

    pub fn start_with(change: impl FnOnce(&mut NamesrvConfig)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("namesrv.conf");
        std::fs::write(&file, "# settings\nlistenPort=0\n").unwrap();
        let mut settings = Settings::default();
        settings.load(&file).unwrap();
        settings.config.bind_address = "127.0.0.1".to_owned();
        settings.config.kv_config_path =
            directory.path().join("kvConfig.json").display().to_string();
        change(&mut settings.config);
        let mut services = Services::new(tokio::runtime::Handle::current());
        let name_server = NameServer::open(settings).unwrap();
        let address = name_server.start(&mut services).unwrap();
        let client = Client::new(ClientOptions::default());
        Harness { name_server, address, directory, client, services }
    }

    pub async fn stop(self) {
        assert!(self.services.stop(TIMEOUT).await.is_empty());
    }

    pub async fn call(
        &self,
        code: RequestCode,
        header: &impl EncodeHeader,
        extra: &[(&str, &str)],
        body: &[u8],
    ) -> Frame {
        let address = self.address.to_string();
        self.client.call(&address, code, header, extra, body, TIMEOUT).await.unwrap()
    }

    /// Calls and returns the body of a success.
    pub async fn ask(&self, code: RequestCode, header: &impl EncodeHeader) -> String {
        text(&self.call(code, header, &[], &[]).await)
    }

    /// Registers a broker over the connection that all calls of the harness share.
    pub async fn register(&self, broker: &Broker) -> Frame {
        self.call(RequestCode::RegisterBroker, &broker.header, &broker.extra(), &broker.body())
            .await
    }

    pub async fn route_frame(&self, topic: &str) -> Frame {
        let header = GetRouteInfoRequestHeader { topic: topic.to_owned(), ..Default::default() };
        self.call(RequestCode::GetRouteinfoByTopic, &header, &[], &[]).await
    }

    /// The route of a topic, unless the answer is that there is none.
    pub async fn route(&self, topic: &str) -> Option<TopicRouteData> {
        let frame = self.route_frame(topic).await;
        if frame.code() == i32::from(ResponseCode::TopicNotExist) {
            return None;
        }
        Some(TopicRouteData::decode(text(&frame).as_bytes()).unwrap())
    }

    /// Asks again and again until a topic has no route; the test fails if it keeps one.
    pub async fn until_no_route(&self, topic: &str) {
        let gone = async {
            while self.route(topic).await.is_some() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(TIMEOUT, gone).await.unwrap();
    }

    /// A client with a connection of its own, as a broker is.
    pub fn other_client(&self, service: Arc<dyn Service>) -> Client {
        Client::with_service(ClientOptions::default(), service)
    }
}

/// The body of a success.
pub fn text(frame: &Frame) -> String {
    assert_eq!(frame.code(), 0, "{:?}", frame.remark());
    String::from_utf8(frame.body().to_vec()).unwrap()
}

/// Code and remark of an answer.
pub fn refusal(frame: &Frame) -> (i32, String) {
    (frame.code(), frame.remark().unwrap_or("").to_owned())
}

/// A broker that registers.
#[derive(Clone)]
pub struct Broker {
    pub header: RegisterBrokerRequestHeader,
    pub zone: Option<String>,
    pub topics: Vec<TopicConfig>,
    pub version: DataVersion,
    pub filter_servers: Vec<String>,
}

impl Broker {
    pub fn new(name: &str, id: i64, addr: &str, topics: &[&str]) -> Self {
        Broker {
            header: RegisterBrokerRequestHeader {
                broker_name: name.to_owned(),
                broker_addr: addr.to_owned(),
                cluster_name: "c".to_owned(),
                ha_server_addr: format!("{addr}-ha"),
                broker_id: id,
                ..Default::default()
            },
            zone: None,
            topics: topics.iter().map(|topic| TopicConfig::new(topic, 8, 6)).collect(),
            version: DataVersion { counter: 1, state_version: 0, timestamp: 1 },
            filter_servers: Vec::new(),
        }
    }

    pub fn registration(&self) -> RegisterBrokerBody {
        let mut body = RegisterBrokerBody::default();
        body.filter_server_list.clone_from(&self.filter_servers);
        let wrapper = &mut body.topic_config_serialize_wrapper;
        wrapper.data_version = self.version.clone();
        let topics = self.topics.iter().map(|topic| (topic.topic_name.clone(), topic.clone()));
        wrapper.topic_config_table = topics.collect();
        body
    }

    pub fn body(&self) -> Vec<u8> {
        self.registration().encode()
    }

    pub fn extra(&self) -> Vec<(&str, &str)> {
        self.zone.as_deref().map(|zone| ("__ZONE_NAME", zone)).into_iter().collect()
    }
}

/// Sends one request of a client of any version, and returns the answer.
pub async fn exchange(
    address: SocketAddr,
    code: i32,
    version: i32,
    extra: &[(&str, &str)],
    body: &[u8],
) -> Frame {
    let mut out = BytesMut::new();
    let head = Head { code, opaque: 1, version, ..Head::default() };
    let mut writer = FrameWriter::begin(&mut out, &head, &NoHeader, extra);
    writer.body().extend_from_slice(body);
    writer.finish();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&out).await.unwrap();
    let mut answer = BytesMut::new();
    loop {
        if frame_len(&answer).unwrap() == Some(answer.len()) {
            return Frame::decode(answer).unwrap();
        }
        assert!(stream.read_buf(&mut answer).await.unwrap() > 0, "closed without an answer");
    }
}
