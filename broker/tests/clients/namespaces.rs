//! Namespaces are a matter of clients: the broker sees names, and fields that it does not heed.

use remoting::protocol::body::{Body, TopicConfigSerializeWrapper};
use remoting::protocol::code::RequestCode;
use remoting::protocol::header::{
    ConsumerSendMsgBackRequestHeader, NoHeader, PullMessageRequestHeader, SendMessageRequestHeader,
    UpdateConsumerOffsetRequestHeader,
};

use crate::kit::{Kit, Pulled, TestClient, consumer};

async fn topics(client: &TestClient) -> Vec<String> {
    let answer = client.ok(RequestCode::GetAllTopicConfig, &NoHeader, &[]).await;
    let table = TopicConfigSerializeWrapper::decode(answer.body()).unwrap().topic_config_table;
    table.into_keys().collect()
}

#[tokio::test]
async fn names_with_a_namespace_are_names() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start_with(dir.path(), |settings| {
        settings.store.message_delay_level = "1s 1s 1s 1s".to_owned();
    })
    .await;
    let a = kit.client();
    for (topic, body) in [("MQ_INST_1%T", "one"), ("MQ_INST_2%T", "two"), ("T", "bare")] {
        a.send(topic, 0, body, "INSTANCE_ID\u{1}MQ_INST_1\u{2}").await;
    }
    let first = a.pull_all("MQ_INST_1%T", 0, 1).await.remove(0);
    assert_eq!((first.body.as_str(), first.get("INSTANCE_ID")), ("one", Some("MQ_INST_1")));
    assert_eq!(a.pull_all("MQ_INST_2%T", 0, 1).await[0].body, "two");

    // The retry and dead-letter topics of a group stand before its namespace.
    let group = "MQ_INST_1%g";
    a.heartbeat(&consumer("a", group, &["MQ_INST_1%T"])).await;
    let mut back = ConsumerSendMsgBackRequestHeader {
        offset: first.physical_offset,
        group: group.to_owned(),
        delay_level: 1,
        origin_msg_id: None,
        origin_topic: Some("MQ_INST_1%T".to_owned()),
        unit_mode: false,
        max_reconsume_times: None,
    };
    a.ok(RequestCode::ConsumerSendMsgBack, &back, &[]).await;
    let again = a.pull_all("%RETRY%MQ_INST_1%g", 0, 1).await.remove(0);
    assert_eq!((again.body.as_str(), again.get("RETRY_TOPIC")), ("one", Some("MQ_INST_1%T")));
    back.delay_level = -1;
    a.ok(RequestCode::ConsumerSendMsgBack, &back, &[]).await;
    assert_eq!(a.pull_all("%DLQ%MQ_INST_1%g", 0, 1).await[0].body, "one");
    kit.stop().await;
}

#[tokio::test]
async fn fields_of_a_namespace_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let a = kit.client();
    let fields = [("ns", "MQ_INST_1"), ("nsd", "true")];
    let send = SendMessageRequestHeader {
        producer_group: "p",
        topic: "T",
        default_topic: "TBW102",
        default_topic_queue_nums: 4,
        ..SendMessageRequestHeader::default()
    };
    let answer = a.ok_with(RequestCode::SendMessage, &send, &fields, b"x").await;
    assert_eq!(answer.field("queueOffset"), Some("0"));
    assert!(answer.field("ns").is_none() && answer.field("nsd").is_none());
    let topics = topics(&a).await;
    assert!(topics.contains(&"T".to_owned()), "{topics:?}");
    assert!(!topics.iter().any(|topic| topic.contains("MQ_INST")), "{topics:?}");
    let pull = PullMessageRequestHeader {
        consumer_group: "g",
        topic: "T",
        max_msg_nums: 32,
        sys_flag: 4,
        subscription: Some("*"),
        ..PullMessageRequestHeader::default()
    };
    let pulled = Pulled(a.ok_with(RequestCode::PullMessage, &pull, &fields, &[]).await);
    assert_eq!(pulled.messages()[0].body, "x");
    let commit = UpdateConsumerOffsetRequestHeader {
        consumer_group: "g",
        topic: "T",
        queue_id: Some(0),
        commit_offset: Some(1),
    };
    a.ok_with(RequestCode::UpdateConsumerOffset, &commit, &fields, &[]).await;
    kit.stop().await;
    let stored = std::fs::read_to_string(dir.path().join("config/consumerOffset.json")).unwrap();
    assert!(stored.contains("\"T@g\"") && !stored.contains("MQ_INST"), "{stored}");
}
