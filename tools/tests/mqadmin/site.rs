//! A name server and a broker in this process, and the tool in one of its own.

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use broker::{Broker, Running, Settings};
use namesrv::{NameServer, NamesrvConfig};
use remoting::net::{Client, ClientOptions};
use remoting::protocol::body::{
    Body, ConsumeType, ConsumerData, HeartbeatData, MessageModel, ProducerData, SubscriptionData,
};
use remoting::protocol::code::RequestCode;
use remoting::protocol::header::NoHeader;
use runtime::services::Services;
use tempfile::TempDir;
use tokio::runtime::Handle;

/// Longer than anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Site {
    dir: TempDir,
    running: Running,
    services: Services,
    pub name_server: String,
    pub broker: String,
}

/// How the tool ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Site {
    pub async fn start() -> Site {
        let dir = tempfile::tempdir().unwrap();
        let mut services = Services::new(Handle::current());
        let name_server = name_server(dir.path(), &mut services);
        let mut settings = Settings::default();
        settings.broker.broker_name = "b".to_owned();
        settings.broker.namesrv_addr = Some(name_server.clone());
        settings.network.listen_port = 0;
        settings.network.bind_address = "127.0.0.1".to_owned();
        settings.store.store_path_root_dir = dir.path().join("store").display().to_string();
        settings.store.mapped_file_size_commit_log = 1 << 20;
        settings.store.max_hash_slot_num = 500;
        settings.store.max_index_num = 2_000;
        let running = Broker::start(settings).await.unwrap();
        running.registered(PATIENCE).await;
        let broker = running.listens_on().to_string();
        Site { dir, running, services, name_server, broker }
    }

    pub async fn stop(self) {
        self.running.stop().await.unwrap();
        self.services.stop(PATIENCE).await;
    }

    /// A file for the tool to read or write.
    pub fn file(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// Waits until the name server knows every topic.
    pub async fn registered(&self) {
        self.running.registered(PATIENCE).await;
    }

    /// Runs the tool with a command line; words are separated by blanks, `@` stands for the
    /// address of the broker.
    pub async fn run(&self, line: &str) -> Ended {
        let mut command = self.command(line);
        let run = move || command.output().unwrap();
        let output = tokio::task::spawn_blocking(run).await.unwrap();
        Ended {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn command(&self, line: &str) -> Command {
        let words = line.split(' ').map(|word| word.replace('@', &self.broker));
        let mut mqadmin = Command::new(env!("CARGO_BIN_EXE_mqadmin"));
        mqadmin.args(words).env("NAMESRV_ADDR", &self.name_server).env("TZ", "UTC");
        mqadmin.env("XDG_STATE_HOME", self.dir.path().join("state")).env_remove("ROCKETMQ_HOME");
        mqadmin
    }

    /// Runs the tool with a terminal as standard error; returns what that shows.
    pub async fn on_terminal(&self, line: &str) -> String {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let name = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
        let mut command = self.command(line);
        command.env("TERM", "xterm").stdin(Stdio::null()).stdout(Stdio::null());
        let run = move || {
            let end = std::fs::OpenOptions::new().write(true).open(name).unwrap();
            let mut child = command.stderr(end).spawn().unwrap();
            // Its end of the terminal is with the child alone, so that reading has an end.
            drop(command);
            let mut seen = Vec::new();
            // The last read fails with EIO.
            let _ = std::fs::File::from(terminal).read_to_end(&mut seen);
            assert!(child.wait().unwrap().code().is_some_and(|code| code < 2));
            String::from_utf8(seen).unwrap()
        };
        tokio::task::spawn_blocking(run).await.unwrap()
    }

    /// Runs the tool, which must succeed, and returns what it prints.
    pub async fn ok(&self, line: &str) -> String {
        let ended = self.run(line).await;
        assert_eq!(ended.code, 0, "{line}: {ended:?}");
        ended.out
    }

    /// Runs the tool for a JSON document.
    pub async fn json(&self, line: &str) -> serde_json::Value {
        let out = self.ok(&format!("--output json {line}")).await;
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{line}: {error}\n{out}"))
    }

    /// A client that has told the broker of a producer and a consumer group; they are there as
    /// long as it is.
    pub async fn member(&self, group: &str, topic: &str) -> Client {
        let client = Client::new(ClientOptions::default());
        let subscription = SubscriptionData {
            topic: topic.to_owned(),
            sub_string: "*".to_owned(),
            sub_version: 1,
            ..SubscriptionData::default()
        };
        let heartbeat = HeartbeatData {
            client_id: "10.0.0.9@member".to_owned(),
            producer_data_set: vec![ProducerData { group_name: "producers".to_owned() }],
            consumer_data_set: vec![ConsumerData {
                consume_type: Some(ConsumeType::Passively),
                group_name: group.to_owned(),
                message_model: Some(MessageModel::Clustering),
                subscription_data_set: vec![subscription],
                ..ConsumerData::default()
            }],
            ..HeartbeatData::default()
        };
        let (code, body) = (RequestCode::HeartBeat, heartbeat.encode());
        let answer = client.call(&self.broker, code, &NoHeader, &[], &body, PATIENCE).await;
        assert_eq!(answer.unwrap().code(), 0);
        self.registered().await;
        client
    }
}

fn name_server(root: &Path, services: &mut Services) -> String {
    let file = |name: &str| root.join(name).display().to_string();
    let config = NamesrvConfig {
        listen_port: 0,
        bind_address: "127.0.0.1".to_owned(),
        kv_config_path: file("kvConfig.json"),
        config_store_path: file("namesrv.properties"),
        ..NamesrvConfig::default()
    };
    let settings = namesrv::Settings { config, ..namesrv::Settings::default() };
    NameServer::open(settings).unwrap().start(services).unwrap().to_string()
}
