//! Names of topics and groups that lead out of the store, are too long or are none.

use remoting::protocol::body::{
    Body, ConsumeType, ConsumerData, CreateTopicListRequestBody, HeartbeatData,
    LockBatchRequestBody, MessageModel, MessageQueue, ProducerData, SubscriptionData,
    SubscriptionGroupConfig, SubscriptionGroupList, TopicConfig,
};
use remoting::protocol::code::{RequestCode as Code, ResponseCode};

use crate::kit::{Raw, Servers, TOPIC, pull_fields, send_fields, with};

/// Part of every name here that is not blank; nothing on disk may carry it.
const MARK: &str = "evil";

fn names() -> Vec<String> {
    let mut names: Vec<String> = [
        "../evil",
        "../../evil",
        "/tmp/evil",
        "evil/../../evil",
        "evil/evil",
        "..\\evil",
        "evil\0",
        "evil evil",
        "evil\n",
        "evil@evil",
        "évil-evil",
        "evil.json",
        "%RETRY%../evil",
        "%DLQ%/evil",
    ]
    .map(str::to_owned)
    .to_vec();
    names.push(format!("evil{}", "x".repeat(300)));
    names.push(format!("evil{}", "x".repeat(30_000)));
    names
}

const BLANK: [&str; 4] = ["", " ", "..", "."];

fn all_names() -> impl Iterator<Item = String> {
    names().into_iter().chain(BLANK.map(str::to_owned))
}

/// Asserts that neither files nor tables carry a name of these tests.
async fn nothing_remains(servers: Servers, before: usize) {
    let files = servers.files();
    let directories = std::fs::read_dir(servers.outer()).unwrap().count();
    assert_eq!(directories, before, "something new beside the store");
    let outer = servers.stop().await;
    assert!(!files.is_empty());
    let mut after = Vec::new();
    list(outer.path(), &mut after);
    for path in after {
        let name = path.strip_prefix(outer.path()).unwrap().display().to_string();
        assert!(!name.contains(MARK), "{name}");
        if name.ends_with(".json") {
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(!text.contains(MARK), "{name}: {text}");
        }
    }
}

fn list(directory: &std::path::Path, paths: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            list(&path, paths);
        }
        paths.push(path);
    }
}

async fn start() -> (Servers, usize) {
    let servers = Servers::start().await;
    servers.fill(3).await;
    std::fs::create_dir(servers.outer().join("neighbour")).unwrap();
    std::fs::write(servers.outer().join("neighbour/file"), "precious").unwrap();
    let before = std::fs::read_dir(servers.outer()).unwrap().count();
    (servers, before)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_are_not_sent_to_nor_made_nor_deleted() {
    let (servers, before) = start().await;
    let mut raw = Raw::connect(&servers.broker).await;
    let invalid = ResponseCode::InvalidParameter;
    for name in all_names() {
        let name = name.as_str();
        raw.refused(invalid, Code::SendMessage, &send_fields(name, "0"), b"x").await;
        let short = [
            ("a", "p"),
            ("b", name),
            ("c", "TBW102"),
            ("d", "4"),
            ("e", "0"),
            ("f", "0"),
            ("g", "1"),
            ("h", "0"),
            ("i", ""),
            ("j", "0"),
        ];
        raw.refused(invalid, Code::SendMessageV2, &short, b"x").await;
        let create = [
            ("topic", name),
            ("defaultTopic", "TBW102"),
            ("readQueueNums", "1"),
            ("writeQueueNums", "1"),
            ("perm", "6"),
            ("topicFilterType", "SINGLE_TAG"),
            ("topicSysFlag", "0"),
            ("order", "false"),
        ];
        raw.refused(invalid, Code::UpdateAndCreateTopic, &create, b"").await;
        let list =
            CreateTopicListRequestBody { topic_config_list: vec![TopicConfig::new(name, 1, 6)] };
        raw.refused(invalid, Code::UpdateAndCreateTopicList, &[], &list.encode()).await;
        let pull = pull_fields("g", name);
        raw.refused(ResponseCode::TopicNotExist, Code::PullMessage, &pull, b"").await;
        let commit =
            [("consumerGroup", "g"), ("topic", name), ("queueId", "0"), ("commitOffset", "1")];
        let unknown = ResponseCode::TopicNotExist;
        raw.refused(unknown, Code::UpdateConsumerOffset, &commit, b"").await;
    }
    // Deleting is no way out either; an unknown name is a success without effect.
    for name in ["../neighbour", "../../neighbour", "..", ".", "../store", "/"] {
        raw.call(Code::DeleteTopicInBroker.into(), &[("topic", name)], b"").await;
    }
    let precious = std::fs::read_to_string(servers.outer().join("neighbour/file")).unwrap();
    assert_eq!(precious, "precious");
    let kept = servers.ask(Code::PullMessage, &pull_fields("g", TOPIC), b"").await;
    assert_eq!(kept.code(), 0);
    raw.lives().await;
    nothing_remains(servers, before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_are_not_made() {
    let (servers, before) = start().await;
    let mut raw = Raw::connect(&servers.broker).await;
    let unknown = ResponseCode::SubscriptionGroupNotExist;
    for name in all_names() {
        let name = name.as_str();
        let config = SubscriptionGroupConfig::new(name);
        let invalid = ResponseCode::InvalidParameter;
        let code = Code::UpdateAndCreateSubscriptiongroup;
        raw.refused(invalid, code, &[], &config.encode()).await;
        let list = SubscriptionGroupList {
            group_config_list: vec![SubscriptionGroupConfig::new("fine"), config],
        };
        let code = Code::UpdateAndCreateSubscriptiongroupList;
        raw.refused(invalid, code, &[], &list.encode()).await;
        raw.refused(unknown, Code::PullMessage, &pull_fields(name, TOPIC), b"").await;
        raw.refused(unknown, Code::GetSubscriptiongroupConfig, &[("group", name)], b"").await;
        let commit =
            [("consumerGroup", name), ("topic", TOPIC), ("queueId", "0"), ("commitOffset", "1")];
        raw.refused(unknown, Code::UpdateConsumerOffset, &commit, b"").await;
        let back = [("offset", "0"), ("group", name), ("delayLevel", "0"), ("unitMode", "false")];
        raw.refused(unknown, Code::ConsumerSendMsgBack, &back, b"").await;
        let reset = [
            ("topic", TOPIC),
            ("group", name),
            ("timestamp", "0"),
            ("isForce", "true"),
            ("queueId", "0"),
            ("offset", "1"),
        ];
        raw.refused(unknown, Code::InvokeBrokerToResetOffset, &reset, b"").await;
        // To a group nobody can be in, a retry is sent that no topic may be made for.
        let retry = format!("%RETRY%{name}");
        let fields = send_fields(&retry, "0");
        let answer = raw.call(Code::SendMessage.into(), &fields, b"x").await;
        let known = [unknown, invalid].map(i32::from).contains(&answer.code());
        assert!(known || name.is_empty(), "{name}: {} {:?}", answer.code(), answer.remark());
    }
    raw.lives().await;
    nothing_remains(servers, before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heartbeats_and_questions_leave_no_names_behind() {
    let (servers, before) = start().await;
    for name in all_names() {
        let mut raw = Raw::connect(&servers.broker).await;
        let subscription = SubscriptionData {
            topic: name.clone(),
            sub_string: "*".to_owned(),
            ..SubscriptionData::default()
        };
        let heartbeat = HeartbeatData {
            client_id: name.clone(),
            consumer_data_set: vec![ConsumerData {
                consume_type: Some(ConsumeType::Passively),
                group_name: name.clone(),
                message_model: Some(MessageModel::Clustering),
                subscription_data_set: vec![subscription],
                ..ConsumerData::default()
            }],
            producer_data_set: vec![ProducerData { group_name: name.clone() }],
            ..HeartbeatData::default()
        };
        // As in Java, a group that may not be made is passed over; the client is answered.
        assert_eq!(raw.call(Code::HeartBeat.into(), &[], &heartbeat.encode()).await.code(), 0);
        let queue = MessageQueue { topic: name.clone(), broker_name: name.clone(), queue_id: -1 };
        let lock = LockBatchRequestBody {
            consumer_group: name.clone(),
            client_id: name.clone(),
            mq_set: vec![queue],
            ..LockBatchRequestBody::default()
        };
        assert_eq!(raw.call(Code::LockBatchMq.into(), &[], &lock.encode()).await.code(), 0);
        let (group, topic) = (("consumerGroup", &*name), ("topic", &*name));
        let queue = ("queueId", "0");
        for (code, fields) in [
            (Code::GetConsumerListByGroup, vec![group]),
            (Code::QueryConsumerOffset, vec![group, topic, queue]),
            (Code::GetMaxOffset, vec![topic, queue]),
            (Code::GetMinOffset, vec![topic, queue]),
            (Code::GetEarliestMsgStoretime, vec![topic, queue]),
            (Code::SearchOffsetByTimestamp, vec![topic, queue, ("timestamp", "0")]),
            (Code::GetTopicConfig, vec![topic]),
            (Code::GetTopicStatsInfo, vec![topic]),
            (Code::GetConsumeStats, vec![group, topic]),
            (Code::QueryTopicConsumeByWho, vec![topic]),
            (Code::GetConsumerConnectionList, vec![group]),
            (Code::DeleteSubscriptiongroup, vec![("groupName", &*name)]),
            (Code::UnregisterClient, vec![("clientID", &*name), group, ("producerGroup", &*name)]),
        ] {
            let answer = raw.call(code.into(), &fields, b"").await;
            let code = answer.code();
            assert!(code == 0 || answer.remark().is_some_and(|text| !text.is_empty()), "{code}");
        }
        raw.lives().await;
    }
    nothing_remains(servers, before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_template_or_a_delay_leads_nowhere_else() {
    let (servers, before) = start().await;
    let mut raw = Raw::connect(&servers.broker).await;
    for name in all_names() {
        let fields = with(&send_fields("Fresh", "0"), "defaultTopic", &name);
        raw.refused(ResponseCode::TopicNotExist, Code::SendMessage, &fields, b"x").await;
        // The properties under which the broker itself parks delayed messages.
        let properties = format!("REAL_TOPIC\u{1}{name}\u{2}REAL_QID\u{1}0\u{2}");
        if !name.contains(['\0', '\n']) && properties.len() < 20_000 {
            let fields = with(&send_fields(TOPIC, "0"), "properties", &properties);
            let answer = raw.call(Code::SendMessage.into(), &fields, b"x").await;
            assert!([0, 13].contains(&answer.code()), "{name}: {:?}", answer.remark());
        }
    }
    raw.lives().await;
    nothing_remains(servers, before).await;
}
