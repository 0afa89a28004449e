//! What each setting of a consumer group does.

use remoting::protocol::body::{
    Body, ConsumeType, CustomizedRetryPolicy, ExponentialRetryPolicy, GroupRetryPolicy,
    GroupRetryPolicyType, MessageModel, QuerySubscriptionResponseBody, SimpleSubscriptionData,
    SubscriptionGroupConfig,
};
use remoting::protocol::code::{RequestCode, ResponseCode};
use remoting::protocol::command::Frame;
use remoting::protocol::header::{
    ConsumerSendMsgBackRequestHeader, GetSubscriptionGroupConfigRequestHeader,
    GetTopicConfigRequestHeader, NoHeader, PullMessageRequestHeader,
    QuerySubscriptionByConsumerRequestHeader,
};

use crate::kit::{Kit, TestClient, consumer};

async fn set(client: &TestClient, config: &SubscriptionGroupConfig) {
    let code = RequestCode::UpdateAndCreateSubscriptiongroup;
    client.ok(code, &NoHeader, &config.encode()).await;
}

/// A pull of queue 0 of `T` by group `g`, as the members' heartbeats say.
fn announced() -> PullMessageRequestHeader<'static> {
    PullMessageRequestHeader {
        consumer_group: "g",
        topic: "T",
        max_msg_nums: 32,
        ..PullMessageRequestHeader::default()
    }
}

/// The same with a subscription of its own.
fn unannounced() -> PullMessageRequestHeader<'static> {
    PullMessageRequestHeader { sys_flag: 4, subscription: Some("*"), ..announced() }
}

async fn pull(client: &TestClient, header: &PullMessageRequestHeader<'_>) -> Frame {
    client.call(RequestCode::PullMessage, header, &[]).await
}

fn refusal(answer: &Frame) -> (i32, Option<&str>) {
    (answer.code(), answer.field("forbiddenType"))
}

const NO_PERMISSION: i32 = 16;

#[tokio::test]
async fn a_group_that_may_not_consume_gets_nothing_until_it_may() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let a = kit.client();
    a.send("T", 0, "x", "").await;
    a.heartbeat(&consumer("a", "g", &["T"])).await;
    let mut config = SubscriptionGroupConfig::new("g");
    config.consume_enable = false;
    set(&a, &config).await;
    for header in [announced(), unannounced()] {
        assert_eq!(refusal(&pull(&a, &header).await), (NO_PERMISSION, Some("2")));
    }
    config.consume_enable = true;
    config.group_sys_flag = 5;
    set(&a, &config).await;
    let answer = pull(&a, &announced()).await;
    assert_eq!((answer.code(), answer.field("groupSysFlag")), (0, Some("5")));
    kit.stop().await;
}

#[tokio::test]
async fn a_group_that_may_not_broadcast_is_refused_by_its_heartbeats() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let a = kit.client();
    a.send("T", 0, "x", "").await;
    let config = SubscriptionGroupConfig {
        consume_broadcast_enable: false,
        ..SubscriptionGroupConfig::new("g")
    };
    set(&a, &config).await;
    let mut data = consumer("a", "g", &["T"]);
    a.heartbeat(&data).await;
    assert_eq!(pull(&a, &announced()).await.code(), 0, "a group that shares is not concerned");
    data.consumer_data_set[0].message_model = Some(MessageModel::Broadcasting);
    a.heartbeat(&data).await;
    assert_eq!(refusal(&pull(&a, &announced()).await), (NO_PERMISSION, Some("4")));
    // Only a pull that relies on the heartbeats is looked at.
    assert_eq!(pull(&a, &unannounced()).await.code(), 0);
    kit.stop().await;
}

#[tokio::test]
async fn consumers_are_sent_to_the_broker_their_group_is_set_to() {
    for (slave_read, expected) in [(true, "7"), (false, "0")] {
        let dir = tempfile::tempdir().unwrap();
        let kit = Kit::start_with(dir.path(), |settings| {
            settings.live.slave_read_enable = slave_read;
        })
        .await;
        let a = kit.client();
        a.send("T", 0, "x", "").await;
        let config = SubscriptionGroupConfig {
            broker_id: 7,
            which_broker_when_consume_slowly: 9,
            ..SubscriptionGroupConfig::new("g")
        };
        set(&a, &config).await;
        let answer = pull(&a, &unannounced()).await;
        assert_eq!(answer.field("suggestWhichBrokerId"), Some(expected));
        kit.stop().await;
    }
}

#[tokio::test]
async fn slow_consumers_are_sent_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start_with(dir.path(), |settings| {
        settings.live.slave_read_enable = true;
        // Nothing counts as being in memory.
        settings.store.access_message_in_memory_max_ratio = 0;
    })
    .await;
    let a = kit.client();
    a.send("T", 0, "x", "").await;
    let config = SubscriptionGroupConfig {
        which_broker_when_consume_slowly: 9,
        ..SubscriptionGroupConfig::new("g")
    };
    set(&a, &config).await;
    assert_eq!(pull(&a, &unannounced()).await.field("suggestWhichBrokerId"), Some("9"));
    kit.stop().await;
}

#[tokio::test]
async fn a_quiet_group_hears_of_closed_connections_alone() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let (mut a, b, c) = (kit.client(), kit.client(), kit.client());
    let config = SubscriptionGroupConfig {
        notify_consumer_ids_changed_enable: false,
        ..SubscriptionGroupConfig::new("g")
    };
    set(&a, &config).await;
    for (client, id) in [(&a, "a"), (&b, "b"), (&c, "c")] {
        client.heartbeat(&consumer(id, "g", &["T"])).await;
    }
    assert!(a.heard_nothing().await);
    b.close();
    assert_eq!(a.hear().await, (40, "g".to_owned()));
    kit.stop().await;
}

#[tokio::test]
async fn settings_of_other_servers_and_clients_are_kept_and_do_nothing_here() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let a = kit.client();
    let config = SubscriptionGroupConfig {
        consume_from_min_enable: false,
        consume_message_orderly: true,
        consume_timeout_minute: 1,
        retry_queue_nums: 3,
        group_retry_policy: GroupRetryPolicy {
            policy_type: Some(GroupRetryPolicyType::Exponential),
            exponential_retry_policy: Some(ExponentialRetryPolicy {
                initial: 1,
                ..ExponentialRetryPolicy::default()
            }),
            customized_retry_policy: Some(CustomizedRetryPolicy { next: vec![1, 2] }),
        },
        subscription_data_set: Some(vec![SimpleSubscriptionData {
            topic: "T".to_owned(),
            expression: "*".to_owned(),
            expression_type: "TAG".to_owned(),
            version: 3,
        }]),
        ..SubscriptionGroupConfig::new("g")
    };
    set(&a, &config).await;
    a.send("T", 0, "x", "").await;
    let message = a.pull_all("T", 0, 1).await.remove(0);
    a.heartbeat(&consumer("a", "g", &["T"])).await;
    let topic = GetTopicConfigRequestHeader { topic: "%RETRY%g".to_owned() };
    let answer = a.ok(RequestCode::GetTopicConfig, &topic, &[]).await;
    let json: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!((&json["readQueueNums"], &json["writeQueueNums"]), (&3.into(), &3.into()));
    // The retry policy is for clients of the proxy: a message sent back waits for its level.
    let back = ConsumerSendMsgBackRequestHeader {
        offset: message.physical_offset,
        group: "g".to_owned(),
        delay_level: 0,
        origin_msg_id: None,
        origin_topic: Some("T".to_owned()),
        unit_mode: false,
        max_reconsume_times: None,
    };
    a.ok(RequestCode::ConsumerSendMsgBack, &back, &[]).await;
    let parked = a.pull_all("SCHEDULE_TOPIC_XXXX", 2, 1).await.remove(0);
    assert_eq!((parked.get("DELAY"), parked.get("REAL_TOPIC")), (Some("3"), Some("%RETRY%g")));
    kit.stop().await;

    let kit = Kit::start(dir.path()).await;
    let a = kit.client();
    let asked = GetSubscriptionGroupConfigRequestHeader { group: "g".to_owned() };
    let answer = a.ok(RequestCode::GetSubscriptiongroupConfig, &asked, &[]).await;
    assert_eq!(SubscriptionGroupConfig::decode(answer.body()).unwrap(), config);
    kit.stop().await;
}

#[tokio::test]
async fn a_group_without_a_limit_of_its_clients_gives_up_at_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let a = kit.client();
    let config =
        SubscriptionGroupConfig { retry_max_times: 0, ..SubscriptionGroupConfig::new("g") };
    set(&a, &config).await;
    a.send("T", 0, "x", "").await;
    let message = a.pull_all("T", 0, 1).await.remove(0);
    let mut back = ConsumerSendMsgBackRequestHeader {
        offset: message.physical_offset,
        group: "g".to_owned(),
        delay_level: 0,
        origin_msg_id: None,
        origin_topic: Some("T".to_owned()),
        unit_mode: false,
        max_reconsume_times: Some(1),
    };
    a.ok(RequestCode::ConsumerSendMsgBack, &back, &[]).await;
    assert_eq!(a.pull_all("SCHEDULE_TOPIC_XXXX", 2, 1).await.len(), 1, "the client's limit");
    back.max_reconsume_times = None;
    a.ok(RequestCode::ConsumerSendMsgBack, &back, &[]).await;
    assert_eq!(a.pull_all("%DLQ%g", 0, 1).await[0].reconsume_times, 1, "the group's limit");
    kit.stop().await;
}

#[tokio::test]
async fn attributes_are_refused_as_groups_have_none() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let a = kit.client();
    let mut config =
        SubscriptionGroupConfig { retry_max_times: 1, ..SubscriptionGroupConfig::new("g") };
    config.attributes.insert("+colour".to_owned(), "red".to_owned());
    let code = RequestCode::UpdateAndCreateSubscriptiongroup;
    a.refused(ResponseCode::SystemError, code, &NoHeader, &config.encode()).await;
    let asked = GetSubscriptionGroupConfigRequestHeader { group: "g".to_owned() };
    let answer = a.ok(RequestCode::GetSubscriptiongroupConfig, &asked, &[]).await;
    let kept = SubscriptionGroupConfig::decode(answer.body()).unwrap();
    assert_eq!(kept, SubscriptionGroupConfig::new("g"), "nothing of it was taken over");
    kit.stop().await;
}

#[tokio::test]
async fn pull_consumers_are_rejected_where_the_broker_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start_with(dir.path(), |settings| {
        settings.live.reject_pull_consumer_enable = true;
    })
    .await;
    let a = kit.client();
    a.send("T", 0, "x", "").await;
    let not_exist = i32::from(ResponseCode::SubscriptionNotExist);
    assert_eq!(pull(&a, &unannounced()).await.code(), not_exist, "nobody is there");
    let tool = PullMessageRequestHeader { consumer_group: "TOOLS_CONSUMER", ..unannounced() };
    assert_eq!(pull(&a, &tool).await.code(), 0);
    let mut data = consumer("a", "g", &["T"]);
    data.consumer_data_set[0].consume_type = Some(ConsumeType::Actively);
    a.heartbeat(&data).await;
    assert_eq!(pull(&a, &unannounced()).await.code(), not_exist, "its heartbeat does not count");
    data.consumer_data_set[0].consume_type = Some(ConsumeType::Passively);
    a.heartbeat(&data).await;
    assert_eq!(pull(&a, &unannounced()).await.code(), 0);
    assert_eq!(pull(&kit.client(), &unannounced()).await.code(), 0, "the group pushes");
    kit.stop().await;
}

#[tokio::test]
async fn what_a_group_pulls_without_heartbeats_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let a = kit.client();
    a.send("T", 0, "x", "").await;
    let asked = QuerySubscriptionByConsumerRequestHeader {
        group: "g".to_owned(),
        topic: Some("T".to_owned()),
    };
    let known = async || {
        let answer = a.ok(RequestCode::QuerySubscriptionByConsumer, &asked, &[]).await;
        QuerySubscriptionResponseBody::decode(answer.body()).unwrap().subscription_data
    };
    assert_eq!(known().await, None);
    let tags = PullMessageRequestHeader { subscription: Some("a || b"), ..unannounced() };
    pull(&a, &tags).await;
    let data = known().await.unwrap();
    assert_eq!((data.sub_string.as_str(), data.code_set), ("a || b", vec![97, 98]));
    // What a member announces counts more.
    a.heartbeat(&consumer("a", "g", &["T"])).await;
    assert_eq!(known().await.unwrap().sub_string, "*");
    kit.stop().await;
}
