//! Settings on request: 25 and 26.

use std::collections::BTreeMap;
use std::path::Path;

use remoting::protocol::code::RequestCode;
use remoting::protocol::header::NoHeader;
use runtime::config::{Change, Process};

use crate::kit::{Kit, TestClient};

async fn start(root: &Path) -> Kit {
    let file = root.join("broker.conf");
    if !file.exists() {
        std::fs::write(&file, "# mine\nfileReservedTime = 48\nmsgTraceTopicName=t\n").unwrap();
    }
    let store = root.join("store");
    Kit::start_with(&store, |settings| {
        settings.load(&file).unwrap();
    })
    .await
}

async fn shown(client: &TestClient) -> BTreeMap<String, String> {
    let answer = client.ok(RequestCode::GetBrokerConfig, &NoHeader, &[]).await;
    let text = std::str::from_utf8(answer.body()).unwrap();
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

async fn update(client: &TestClient, text: &str) -> (i32, String) {
    let answer = client.call(RequestCode::UpdateBrokerConfig, &NoHeader, text.as_bytes()).await;
    (answer.code(), answer.remark().unwrap_or_default().to_owned())
}

fn text_of(root: &Path, name: &str) -> String {
    std::fs::read_to_string(root.join(name)).unwrap()
}

#[tokio::test]
async fn what_changes_counts_at_once_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let kit = start(dir.path()).await;
    let client = kit.client();
    let before = shown(&client).await;
    assert_eq!((before["fileReservedTime"].as_str(), before["traceOn"].as_str()), ("48", "true"));
    assert_eq!(before["brokerIP1"], "127.0.0.1");
    let version = client.ok(RequestCode::GetBrokerConfig, &NoHeader, &[]).await;
    assert!(version.field("version").unwrap().contains("\"counter\":0"));

    let changes = "fileReservedTime=24\nrejectPullConsumerEnable=true\nmaxMessageSize=10\n\
                   waitTimeMillsInSendQueue=500\nautoCreateTopicEnable=false";
    assert_eq!(update(&client, changes).await, (0, String::new()));
    let version = client.ok(RequestCode::GetBrokerConfig, &NoHeader, &[]).await;
    assert!(version.field("version").unwrap().contains("\"counter\":1"));
    let now = shown(&client).await;
    for line in changes.lines() {
        let (key, value) = line.split_once('=').unwrap();
        assert_eq!(now[key], value, "{key}");
    }
    assert_eq!(now.len(), before.len());
    let code = client.try_send("TopicOfNobody", 0, "short", "", 0).await.code();
    assert_eq!(code, 17, "no topic is created any more");
    assert_eq!(update(&client, "autoCreateTopicEnable=true").await.0, 0);
    assert_eq!(client.try_send("TopicOfSomebody", 0, "short", "", 0).await.code(), 0);
    let long = client.try_send("TopicOfSomebody", 0, "more than ten letters", "", 0).await;
    assert_eq!(long.code(), 13);

    let file = "# mine\nfileReservedTime=24\nmsgTraceTopicName=t\nrejectPullConsumerEnable=true\n\
                maxMessageSize=10\nwaitTimeMillsInSendQueue=500\nautoCreateTopicEnable=true\n";
    assert_eq!(text_of(dir.path(), "broker.conf"), file);
    let now = shown(&client).await;
    kit.stop().await;
    let kit = start(dir.path()).await;
    let again = shown(&kit.client()).await;
    let moving = |key: &str| matches!(key, "listenPort" | "haListenPort");
    for (key, value) in now.iter().filter(|(key, _)| !moving(key)) {
        assert_eq!(again.get(key), Some(value), "{key}");
    }
    kit.stop().await;
}

#[tokio::test]
async fn the_permission_reaches_senders_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let kit = start(dir.path()).await;
    let client = kit.client();
    client.send("T", 0, "x", "").await;
    assert_eq!(update(&client, "brokerPermission=2").await.0, 0);
    assert_eq!(client.pull("g", "T", 0, 0).await.0.code(), 16);
    assert_eq!(update(&client, "brokerPermission=8").await.0, 1);
    assert_eq!(update(&client, "brokerPermission=6").await.0, 0);
    assert_ne!(client.pull("g", "T", 0, 0).await.0.code(), 16);
    kit.stop().await;
}

/// Texts no setting should be taken down by.
const HOSTILE: [&str; 13] = [
    "",
    " ",
    "true",
    "-1",
    "0",
    "999999999999999999999",
    "-2147483648",
    "1e9",
    "/etc/passwd",
    "a;b",
    "\\u0000\\u0001",
    "1\\nlistenPort=1",
    "${java.home}\\\nlistenPort=1",
];

#[tokio::test]
async fn every_key_with_every_text_changes_wholly_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let kit = start(dir.path()).await;
    let client = kit.client();
    let settings = broker::Settings::default();
    let own = broker::Settings::properties().map(|property| property.key);
    let mut keys: Vec<&str> = own.chain(Process::Broker.keys().map(|known| known.key)).collect();
    keys.sort_unstable();
    keys.dedup();
    assert!(keys.len() > 450);
    let long = "9".repeat(1_000);
    let mut before = shown(&client).await;
    for key in keys {
        let default = before.get(key).cloned().unwrap_or_default();
        // What a key without effect is given is looked at by its type only.
        let own = broker::Settings::properties().any(|property| property.key == key);
        let texts = if own { &HOSTILE[..] } else { &HOSTILE[11..] };
        for value in texts.iter().copied().chain([default.as_str(), long.as_str()]) {
            // Beside a good change, which counts only if all do.
            let hours = if before["fileReservedTime"] == "1" { "2" } else { "1" };
            let text = format!("fileReservedTime={hours}\n{key}={value}");
            let (code, remark) = update(&client, &text).await;
            let now = shown(&client).await;
            match code {
                0 => assert_eq!(settings.change(key), Some(Change::Running), "{key}"),
                1 | 16 => {
                    assert!(!remark.is_empty() && !remark.contains('\n'), "{key}: {remark}");
                    assert_eq!(now, before, "{key}={value:?}");
                }
                _ => panic!("{key}={value:?}: code {code}, {remark}"),
            }
            if code == 0 && key != "fileReservedTime" {
                assert_eq!(now["fileReservedTime"], hours, "{key}");
            }
            before = now;
        }
        if settings.change(key) == Some(Change::Fixed) {
            let (code, remark) = update(&client, &format!("{key}={default}")).await;
            assert_eq!((code, remark.as_str()), (16, "Can not update config in black list."));
        }
    }
    kit.stop().await;
    let kit = start(dir.path()).await;
    let again = shown(&kit.client()).await;
    let moving = |key: &str| matches!(key, "listenPort" | "haListenPort");
    for (key, value) in before.iter().filter(|(key, _)| !moving(key)) {
        assert_eq!(again.get(key), Some(value), "{key}");
    }
    kit.stop().await;
}

#[tokio::test]
async fn a_file_that_cannot_be_written_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let kit = start(dir.path()).await;
    let client = kit.client();
    std::fs::create_dir_all(dir.path().join("broker.conf.bak/in the way")).unwrap();
    let (code, remark) = update(&client, "fileReservedTime=1").await;
    assert_eq!(code, 1);
    assert!(remark.contains("broker.conf: "), "{remark}");
    assert_eq!(shown(&client).await["fileReservedTime"], "48");
    kit.stop().await;
}

#[tokio::test]
async fn a_secret_is_shown_to_nobody() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("broker.conf"),
        "metricsGrpcExporterHeader=authorization:s3cret\ninitAuthenticationUser={\"p\":\"s3cret\"}\n",
    )
    .unwrap();
    let kit = start(dir.path()).await;
    let client = kit.client();
    let settings = shown(&client).await;
    assert_eq!(settings["metricsGrpcExporterHeader"], "******");
    assert!(settings.values().all(|value| !value.contains("s3cret")));
    assert_eq!(update(&client, "fileReservedTime=1").await.0, 0);
    assert!(text_of(dir.path(), "broker.conf").contains("authorization:s3cret"));
    kit.stop().await;
}
