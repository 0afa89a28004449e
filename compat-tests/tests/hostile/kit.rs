//! A name server and a broker in this process, raw sockets to them, and one client of good will.
#![allow(dead_code, reason = "each test program uses its part")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use broker::{Broker, Running, Settings};
use bytes::BytesMut;
use namesrv::{NameServer, NamesrvConfig};
use remoting::net::{Client, ClientOptions};
use remoting::protocol::code::{RequestCode, ResponseCode};
use remoting::protocol::command::{Frame, FrameWriter, Head, frame_len};
use remoting::protocol::encoding::Encoding;
use remoting::protocol::header::NoHeader;
use runtime::services::Services;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Within this a client of good will is answered, whatever others send.
pub const BOUND: Duration = Duration::from_secs(2);

/// Topic with messages.
pub const TOPIC: &str = "Good";

static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Counts panics of the servers; those of the tests speak for themselves.
fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let of_test = info.location().is_some_and(|at| at.file().contains("tests/"));
            if !of_test {
                PANICS.fetch_add(1, Ordering::SeqCst);
            }
            report(info);
        }));
    });
}

/// Both servers; their files are below `outer`, the store in `outer/store`.
pub struct Servers {
    running: Running,
    services: Services,
    outer: tempfile::TempDir,
    pub broker: String,
    pub namesrv: String,
    good: Client,
}

impl Servers {
    pub async fn start() -> Servers {
        Servers::start_with(|_| {}).await
    }

    /// Starts with further settings of the broker.
    pub async fn start_with(change: impl FnOnce(&mut Settings)) -> Servers {
        count_panics();
        let outer = tempfile::tempdir().unwrap();
        let path = |name: &str| outer.path().join(name).display().to_string();
        let mut services = Services::new(tokio::runtime::Handle::current());
        let config = NamesrvConfig {
            listen_port: 0,
            bind_address: "127.0.0.1".to_owned(),
            kv_config_path: path("namesrv/kvConfig.json"),
            config_store_path: path("namesrv/namesrv.properties"),
            ..NamesrvConfig::default()
        };
        let settings = namesrv::Settings { config, ..Default::default() };
        let name_server = NameServer::open(settings).unwrap();
        let namesrv = name_server.start(&mut services).unwrap().to_string();
        let mut settings = Settings::default();
        settings.broker.namesrv_addr = Some(namesrv.clone());
        settings.network.listen_port = 0;
        settings.network.bind_address = "127.0.0.1".to_owned();
        settings.store.store_path_root_dir = path("store");
        settings.store.mapped_file_size_commit_log = 1 << 20;
        settings.store.max_hash_slot_num = 500;
        settings.store.max_index_num = 2_000;
        change(&mut settings);
        let running = Broker::start(settings).await.unwrap();
        let broker = running.listens_on().to_string();
        let good = Client::new(ClientOptions::default());
        let servers = Servers { running, services, outer, broker, namesrv, good };
        servers.answer_others().await;
        servers
    }

    /// Both addresses.
    pub fn addresses(&self) -> [&str; 2] {
        [&self.broker, &self.namesrv]
    }

    /// Asks both servers over connections that have been there all along; returns the longer wait.
    pub async fn answer_others(&self) -> Duration {
        let mut longest = Duration::ZERO;
        for (address, code) in [
            (&self.broker, RequestCode::GetSystemTopicListFromBroker),
            (&self.namesrv, RequestCode::GetBrokerClusterInfo),
        ] {
            let begun = Instant::now();
            let answer = self.good.call(address, code, &NoHeader, &[], &[], PATIENCE).await;
            assert_eq!(answer.unwrap().code(), 0);
            longest = longest.max(begun.elapsed());
        }
        assert!(longest < BOUND, "{longest:?}");
        longest
    }

    /// Sends one request of good will to the broker.
    pub async fn ask(&self, code: RequestCode, fields: &[(&str, &str)], body: &[u8]) -> Frame {
        let client = &self.good;
        client.call(&self.broker, code, &NoHeader, fields, body, PATIENCE).await.unwrap()
    }

    /// Puts `count` messages into queue 0 of the good topic.
    pub async fn fill(&self, count: i64) {
        for n in 0..count {
            let answer = self.ask(RequestCode::SendMessage, &send_fields(TOPIC, "0"), b"x").await;
            assert_eq!(answer.code(), 0, "{:?}", answer.remark());
            assert_eq!(answer.field("queueOffset"), Some(n.to_string().as_str()));
        }
    }

    /// All that requests can change: the end of the log and the tables, as requests show them.
    pub async fn state(&self) -> BTreeMap<&'static str, String> {
        const TABLES: [(&str, RequestCode); 4] = [
            ("topics", RequestCode::GetAllTopicConfig),
            ("groups", RequestCode::GetAllSubscriptiongroupConfig),
            ("offsets", RequestCode::GetAllConsumerOffset),
            ("modes", RequestCode::GetAllMessageRequestMode),
        ];
        let mut state = BTreeMap::new();
        for (name, code) in TABLES {
            let answer = self.ask(code, &[], b"").await;
            assert_eq!(answer.code(), 0, "{name}: {:?}", answer.remark());
            state.insert(name, String::from_utf8(answer.body().to_vec()).unwrap());
        }
        let answer = self.ask(RequestCode::GetBrokerRuntimeInfo, &[], b"").await;
        let info: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
        state.insert("log", info["table"]["commitLogMaxOffset"].to_string());
        state
    }

    /// Every file below the outer directory, by path, with the text of those in `config/`.
    pub fn files(&self) -> BTreeMap<PathBuf, String> {
        let mut files = BTreeMap::new();
        collect(self.outer.path(), &mut files);
        files
    }

    pub fn outer(&self) -> &Path {
        self.outer.path()
    }

    /// Stops both in order; nothing may have panicked in between.
    pub async fn stop(self) -> tempfile::TempDir {
        self.answer_others().await;
        self.good.close();
        self.running.stop().await.unwrap();
        assert!(self.services.stop(PATIENCE).await.is_empty());
        assert_eq!(PANICS.load(Ordering::SeqCst), 0, "a server panicked");
        self.outer
    }
}

fn collect(directory: &Path, files: &mut BTreeMap<PathBuf, String>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            let json = path.extension().is_some_and(|extension| extension == "json");
            let text = if json { std::fs::read_to_string(&path).unwrap() } else { String::new() };
            files.insert(path, text);
        }
    }
}

/// Fields of a send as the newest clients write them, but with long names.
pub fn send_fields<'a>(topic: &'a str, queue_id: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("producerGroup", "p"),
        ("topic", topic),
        ("defaultTopic", "TBW102"),
        ("defaultTopicQueueNums", "4"),
        ("queueId", queue_id),
        ("sysFlag", "0"),
        ("bornTimestamp", "1"),
        ("flag", "0"),
        ("properties", ""),
        ("reconsumeTimes", "0"),
        ("unitMode", "false"),
        ("batch", "false"),
    ]
}

/// Fields of a pull that is not held.
pub fn pull_fields<'a>(group: &'a str, topic: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("consumerGroup", group),
        ("topic", topic),
        ("queueId", "0"),
        ("queueOffset", "0"),
        ("maxMsgNums", "32"),
        ("sysFlag", "4"),
        ("commitOffset", "0"),
        ("suspendTimeoutMillis", "0"),
        ("subscription", "*"),
        ("subVersion", "0"),
        ("expressionType", "TAG"),
    ]
}

/// The same fields, one of them changed.
pub fn with<'a>(
    fields: &[(&'a str, &'a str)],
    name: &str,
    value: &'a str,
) -> Vec<(&'a str, &'a str)> {
    let change = |&(key, old): &(&'a str, &'a str)| (key, if key == name { value } else { old });
    fields.iter().map(change).collect()
}

/// The bytes of one request.
pub fn request(code: i32, opaque: i32, fields: &[(&str, &str)], body: &[u8]) -> BytesMut {
    request_in(Encoding::Json, code, opaque, fields, body)
}

/// The bytes of one request in an encoding.
pub fn request_in(
    encoding: Encoding,
    code: i32,
    opaque: i32,
    fields: &[(&str, &str)],
    body: &[u8],
) -> BytesMut {
    let mut out = BytesMut::new();
    let head = Head { code, opaque, encoding, ..Head::default() };
    let mut writer = FrameWriter::begin(&mut out, &head, &NoHeader, fields);
    writer.body().extend_from_slice(body);
    writer.finish();
    out
}

/// A socket of bad will.
pub struct Raw {
    stream: TcpStream,
    input: BytesMut,
}

impl Raw {
    pub async fn connect(address: &str) -> Raw {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Raw { stream, input: BytesMut::new() }
    }

    /// Sends; a server that has closed already is no error here.
    pub async fn send(&mut self, bytes: &[u8]) {
        let _ = tokio::time::timeout(PATIENCE, self.stream.write_all(bytes)).await.unwrap();
    }

    /// The next answer, or nothing when the server closed the connection.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(len) = frame_len(&self.input).unwrap()
                && len <= self.input.len()
            {
                return Some(Frame::decode(self.input.split_to(len)).unwrap());
            }
            let read = self.stream.read_buf(&mut self.input);
            match tokio::time::timeout(PATIENCE, read).await.expect("an answer or the end") {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// The next answer, which must come.
    pub async fn answer(&mut self) -> Frame {
        self.next().await.expect("an answer")
    }

    /// Sends one request and returns its answer.
    pub async fn call(&mut self, code: i32, fields: &[(&str, &str)], body: &[u8]) -> Frame {
        self.send(&request(code, 1, fields, body)).await;
        self.answer().await
    }

    /// Sends one request that must be refused with a code; the connection lives on.
    pub async fn refused(
        &mut self,
        with: ResponseCode,
        code: RequestCode,
        fields: &[(&str, &str)],
        body: &[u8],
    ) {
        let answer = self.call(code.into(), fields, body).await;
        let remark = answer.remark().unwrap_or_default();
        assert_eq!(answer.code(), i32::from(with), "{code:?} {fields:?}: {remark}");
        assert!(!remark.is_empty(), "{code:?} {fields:?}");
    }

    /// Whether the connection still answers.
    pub async fn lives(&mut self) {
        let unknown = 9_999_999;
        assert_eq!(self.call(unknown, &[], &[]).await.code(), 3);
    }

    /// Waits for the server to close the connection without another word.
    pub async fn expect_end(&mut self, what: &str) {
        let answer = self.next().await;
        assert!(answer.is_none(), "{what}: {answer:?}");
    }
}

/// Numbers that look random and are the same in each run (xorshift).
pub struct Noise(u64);

impl Noise {
    pub fn of(seed: u64) -> Noise {
        Noise(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| (self.next() >> 32) as u8).collect()
    }
}
