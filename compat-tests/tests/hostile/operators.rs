//! What operators' tools may send: every setting with values that no one should give, tables with
//! members nobody knows, names of a megabyte. Nothing is half applied, and a restart finds what
//! was answered last.

use std::collections::BTreeMap;

use broker::{Broker, Settings};
use remoting::protocol::code::RequestCode as Code;
use remoting::protocol::encoding::Encoding;

use crate::kit::{Raw, Servers, TOPIC, request_in, send_fields};

const KEYS: &str = include_str!("../../facts/config-keys.tsv");
const CODES: &str = include_str!("../../facts/request-codes.tsv");
const HEADERS: &str = include_str!("../../facts/headers.tsv");

/// Classes whose keys a broker and a name server read.
const CLASSES: [&str; 5] = [
    "BrokerConfig",
    "MessageStoreConfig",
    "NettyServerConfig",
    "NettyClientConfig",
    "NamesrvConfig",
];

const VALUES: [&str; 8] = [
    "",
    "-1",
    "9223372036854775808",
    "NaN",
    "maybe",
    "../../evil",
    "1\\u000amaxMessageSize=7",
    "\u{1}\u{2}",
];

fn keys() -> Vec<&'static str> {
    let mut keys: Vec<_> = KEYS
        .lines()
        .skip(1)
        .map(|row| row.split('\t').collect::<Vec<_>>())
        .filter(|columns| CLASSES.contains(&columns[0]))
        .map(|columns| columns[1])
        .collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// Every setting as the broker shows it.
async fn shown(raw: &mut Raw) -> BTreeMap<String, String> {
    let answer = raw.call(Code::GetBrokerConfig.into(), &[], b"").await;
    assert_eq!(answer.code(), 0, "{:?}", answer.remark());
    let text = String::from_utf8(answer.body().to_vec()).unwrap();
    text.lines()
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

fn write_file(settings: &mut Settings) {
    let root = settings.store.store_path_root_dir.clone();
    let file = std::path::Path::new(&root).parent().unwrap().join("broker.conf");
    let text = format!(
        "namesrvAddr={}\nlistenPort=0\nbindAddress=127.0.0.1\nstorePathRootDir={root}\n\
         mappedFileSizeCommitLog=1048576\nmaxHashSlotNum=500\nmaxIndexNum=2000\n",
        settings.broker.namesrv_addr.as_deref().unwrap()
    );
    std::fs::write(&file, text).unwrap();
    settings.load(&file).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_change_whole_or_not_at_all() {
    let servers = Servers::start_with(write_file).await;
    let mut raw = Raw::connect(&servers.broker).await;
    let mut state = shown(&mut raw).await;
    let keys = keys();
    assert!(keys.len() > 450, "{}", keys.len());
    let (mut taken, mut refused) = (0, 0);
    for key in keys {
        for value in VALUES {
            // The first of the three lines could be had, were it alone.
            let body = format!("maxMessageSize=4194305\n{key}={value}\nno.such.key=1\n");
            let answer = raw.call(Code::UpdateBrokerConfig.into(), &[], body.as_bytes()).await;
            assert_ne!(answer.code(), 0, "{key}={value}");
            assert!(!answer.remark().unwrap_or_default().is_empty(), "{key}={value}");
            let body = format!("{key}={value}\n");
            let answer = raw.call(Code::UpdateBrokerConfig.into(), &[], body.as_bytes()).await;
            let now = shown(&mut raw).await;
            if answer.code() == 0 {
                taken += 1;
                state = now;
            } else {
                refused += 1;
                let remark = answer.remark().unwrap_or_default();
                assert!(!remark.is_empty() && remark.len() < 1_000, "{key}={value}: {remark}");
                assert_eq!(now, state, "{key}={value}: {remark}");
            }
        }
    }
    assert!(taken > 50 && refused > 1_000, "{taken} taken, {refused} refused");
    servers.fill(1).await;
    let outer = servers.stop().await;
    let mut settings = Settings::default();
    settings.load(&outer.path().join("broker.conf")).unwrap();
    let running = Broker::start(settings).await.unwrap();
    let mut raw = Raw::connect(&running.listens_on().to_string()).await;
    let mut again = shown(&mut raw).await;
    // Both follow the port, which is another one.
    for key in ["haListenPort", "listenPort"] {
        again.remove(key);
        state.remove(key);
    }
    assert_eq!(again, state);
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_nobody_knows_are_passed_over() {
    let servers = Servers::start().await;
    let mut raw = Raw::connect(&servers.broker).await;
    let deep = format!("{}7{}", "[".repeat(60), "]".repeat(60));
    let topic = |name: &str, more: &str| {
        format!(
            "{{\"topicName\":\"{name}\",\"readQueueNums\":3,\"writeQueueNums\":3,\"perm\":6{more}}}"
        )
    };
    let list = |topics: &[String]| format!("{{\"topicConfigList\":[{}]}}", topics.join(","));
    let more = format!(",\"future\":{{\"a\":{deep}}},\"futures\":[1,null,\"x\"],\"order\":false");
    let answer = raw
        .call(Code::UpdateAndCreateTopicList.into(), &[], list(&[topic("New1", &more)]).as_bytes())
        .await;
    assert_eq!(answer.code(), 0, "{:?}", answer.remark());
    let group = br#"{"groupName":"new1","retryMaxTimes":5,"future":[{}],"attributes":null}"#;
    let code = Code::UpdateAndCreateSubscriptiongroup;
    assert_eq!(raw.call(code.into(), &[], group).await.code(), 0);
    let before = servers.state().await;
    assert!(before["topics"].contains("New1") && before["groups"].contains("new1"));

    // One topic of a list that cannot be: none of them is made.
    for wrong in [
        topic("New3", ",\"readQueueNums\":\"many\""),
        topic("New3", ",\"perm\":[6]"),
        topic("../evil", ""),
        topic(&"x".repeat(1 << 20), ""),
        "7".to_owned(),
        "null".to_owned(),
        "{}".to_owned(),
    ] {
        let body = list(&[topic("New2", ""), wrong.clone()]);
        let answer = raw.call(Code::UpdateAndCreateTopicList.into(), &[], body.as_bytes()).await;
        let shown = &wrong[..wrong.len().min(60)];
        let remark = answer.remark().unwrap_or_default();
        assert!(answer.code() != 0 && !remark.is_empty(), "{shown}");
        assert!(remark.len() < 5_000, "{shown}: {} bytes", remark.len());
        assert_eq!(servers.state().await, before, "{shown}");
    }
    servers.stop().await;
}

/// Every field of every request that is text, as a name of a megabyte.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_of_a_megabyte_are_refused_quickly() {
    let servers = Servers::start().await;
    servers.fill(1).await;
    let before = servers.state().await;
    let long = "x".repeat(1 << 20);
    let mut asked = 0;
    for row in CODES.lines().skip(1) {
        let columns: Vec<_> = row.split('\t').collect();
        let code: i32 = columns[0].parse().unwrap();
        let fields: Vec<(&str, &str)> = HEADERS
            .lines()
            .skip(1)
            .map(|row| row.split('\t').collect::<Vec<_>>())
            .filter(|field| field[0] == columns[6])
            .map(|field| (field[2], if field[3] == "String" { long.as_str() } else { "1" }))
            .collect();
        if fields.iter().all(|(_, value)| *value == "1") {
            continue;
        }
        asked += 1;
        for address in servers.addresses() {
            for encoding in [Encoding::Json, Encoding::Rocketmq] {
                let mut raw = Raw::connect(address).await;
                raw.send(&request_in(encoding, code, 1, &fields, b"")).await;
                raw.send(&request_in(Encoding::Json, 9_999_999, -1, &[], b"")).await;
                // A frame that is too large ends its connection; what is answered is short.
                while let Some(answer) = raw.next().await {
                    let remark = answer.remark().unwrap_or_default();
                    assert!(remark.len() < 10_000, "{code}: {} bytes of remark", remark.len());
                    if answer.opaque() == -1 {
                        break;
                    }
                }
            }
        }
    }
    assert!(asked > 70, "{asked}");
    let after = servers.state().await;
    for (name, table) in &after {
        assert!(!table.contains(&long), "{name} has a long name");
    }
    assert_eq!(after["topics"], before["topics"]);
    assert_eq!(servers.ask(Code::SendMessage, &send_fields(TOPIC, "0"), b"x").await.code(), 0);
    servers.stop().await;
}
