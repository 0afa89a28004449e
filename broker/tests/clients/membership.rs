//! Heartbeats, the consumer list, notifications, locks.

use remoting::protocol::body::{
    Body, CheckClientRequestBody, GetConsumerListByGroupResponseBody, LockBatchRequestBody,
    LockBatchResponseBody, MessageModel, MessageQueue, SubscriptionData, UnlockBatchRequestBody,
};
use remoting::protocol::code::{RequestCode, ResponseCode};
use remoting::protocol::header::{
    GetConsumerListByGroupRequestHeader, NoHeader, UnregisterClientRequestHeader,
};

use crate::kit::{Kit, TestClient, consumer, producer, subscription};

const CHANGED: i32 = 40;

fn list(group: &str) -> GetConsumerListByGroupRequestHeader {
    GetConsumerListByGroupRequestHeader { consumer_group: group.to_owned() }
}

async fn members(client: &TestClient, group: &str) -> Vec<String> {
    let answer = client.ok(RequestCode::GetConsumerListByGroup, &list(group), &[]).await;
    let mut ids =
        GetConsumerListByGroupResponseBody::decode(answer.body()).unwrap().consumer_id_list;
    ids.sort();
    ids
}

fn leaving(client_id: &str, group: &str) -> UnregisterClientRequestHeader {
    UnregisterClientRequestHeader {
        client_id: client_id.to_owned(),
        producer_group: None,
        consumer_group: Some(group.to_owned()),
    }
}

#[tokio::test]
async fn members_come_and_go_and_the_others_hear_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let (mut a, mut b) = (kit.client(), kit.client());
    let answer = a.call(RequestCode::GetConsumerListByGroup, &list("g"), &[]).await;
    assert_eq!((answer.code(), answer.remark()), (1, Some("no consumer for this group, g")));

    let answer = a.heartbeat(&consumer("a", "g", &["T"])).await;
    assert_eq!(answer.field("IS_SUPPORT_HEART_BEAT_V2"), Some("true"));
    assert_eq!(answer.field("IS_SUB_CHANGE"), Some("true"));
    assert_eq!(a.hear().await, (CHANGED, "g".to_owned()));
    b.heartbeat(&consumer("b", "g", &["T"])).await;
    assert_eq!(a.hear().await, (CHANGED, "g".to_owned()));
    assert_eq!(b.hear().await, (CHANGED, "g".to_owned()));
    assert_eq!(members(&a, "g").await, ["a", "b"]);

    // The same again is no news, a new expression of the same topic neither.
    a.heartbeat(&consumer("a", "g", &["T"])).await;
    let mut newer = consumer("a", "g", &["T"]);
    newer.consumer_data_set[0].subscription_data_set = vec![subscription("T", 2)];
    a.heartbeat(&newer).await;
    assert!(a.heard_nothing().await && b.heard_nothing().await);
    // A new topic is.
    a.heartbeat(&consumer("a", "g", &["T", "U"])).await;
    assert_eq!(a.hear().await, (CHANGED, "g".to_owned()));
    assert_eq!(b.hear().await, (CHANGED, "g".to_owned()));

    b.ok(RequestCode::UnregisterClient, &leaving("b", "g"), &[]).await;
    assert_eq!(a.hear().await, (CHANGED, "g".to_owned()));
    assert_eq!(members(&a, "g").await, ["a"]);
    kit.stop().await;
}

#[tokio::test]
async fn a_closed_connection_leaves_its_groups() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let (mut a, b) = (kit.client(), kit.client());
    a.heartbeat(&consumer("a", "g", &["T"])).await;
    b.heartbeat(&consumer("b", "g", &["T"])).await;
    assert_eq!(a.hear().await.0, CHANGED);
    assert_eq!(a.hear().await.0, CHANGED);
    b.close();
    assert_eq!(a.hear().await, (CHANGED, "g".to_owned()));
    assert_eq!(members(&a, "g").await, ["a"]);
    kit.stop().await;
}

#[tokio::test]
async fn broadcasting_groups_are_not_told() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let (mut a, b) = (kit.client(), kit.client());
    for (client, id) in [(&a, "a"), (&b, "b")] {
        let mut data = consumer(id, "g", &["T"]);
        data.consumer_data_set[0].message_model = Some(MessageModel::Broadcasting);
        client.heartbeat(&data).await;
    }
    assert!(a.heard_nothing().await);
    assert_eq!(members(&a, "g").await, ["a", "b"]);
    kit.stop().await;
}

#[tokio::test]
async fn heartbeats_without_subscriptions_keep_them() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let mut a = kit.client();
    let mut data = consumer("a", "g", &["T"]);
    data.heartbeat_fingerprint = 7;
    // Nothing stored before: no change is reported.
    assert_eq!(a.heartbeat(&data).await.field("IS_SUB_CHANGE"), Some("false"));
    assert_eq!(a.hear().await.0, CHANGED);
    data.heartbeat_fingerprint = 8;
    data.without_sub = true;
    data.consumer_data_set[0].subscription_data_set = Vec::new();
    assert_eq!(a.heartbeat(&data).await.field("IS_SUB_CHANGE"), Some("true"));
    assert_eq!(a.heartbeat(&data).await.field("IS_SUB_CHANGE"), Some("false"));
    assert!(a.heard_nothing().await, "the subscription is still there");
    kit.stop().await;
}

#[tokio::test]
async fn fingerprints_are_the_groups_not_the_clients() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let (a, b) = (kit.client(), kit.client());
    let beat = |id: &str, fingerprint, without_sub| {
        let mut data = consumer(id, "g", if without_sub { &[] } else { &["T"] });
        data.heartbeat_fingerprint = fingerprint;
        data.without_sub = without_sub;
        data
    };
    let news = async |client: &TestClient, data| {
        let answer = client.heartbeat(&data).await;
        assert_eq!(answer.field("IS_SUPPORT_HEART_BEAT_V2"), Some("true"));
        answer.field("IS_SUB_CHANGE").map(str::to_owned).unwrap() == "true"
    };
    // A client that was here before the broker's last start is asked for its subscriptions.
    assert!(news(&a, beat("a", 7, true)).await);
    assert!(!news(&a, beat("a", 7, false)).await);
    assert!(!news(&b, beat("b", 7, true)).await, "the group's subscriptions are known");
    assert!(!news(&a, beat("a", 7, true)).await);
    assert!(news(&b, beat("b", 8, false)).await);
    assert!(news(&a, beat("a", 7, true)).await, "another member brought others");
    // The classic heartbeat has none, which is a fingerprint, too.
    assert!(news(&b, beat("b", 0, false)).await);
    assert!(news(&a, beat("a", 7, false)).await);
    assert!(!news(&a, beat("a", 7, true)).await);
    assert_eq!(members(&a, "g").await, ["a", "b"]);
    kit.stop().await;
}

#[tokio::test]
async fn groups_that_may_not_be_made_are_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start_with(dir.path(), |settings| {
        settings.live.auto_create_subscription_group = false;
    })
    .await;
    let mut a = kit.client();
    a.heartbeat(&consumer("a", "g", &["T"])).await;
    a.refused(ResponseCode::SystemError, RequestCode::GetConsumerListByGroup, &list("g"), &[])
        .await;
    assert!(a.heard_nothing().await);
    a.heartbeat(&producer("a", "p")).await;
    kit.stop().await;
}

#[tokio::test]
async fn subscriptions_are_checked_before_a_start() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let a = kit.client();
    let mut body = CheckClientRequestBody::default();
    a.ok(RequestCode::CheckClientConfig, &NoHeader, &body.encode()).await;
    let sql = SubscriptionData { expression_type: "SQL92".to_owned(), ..subscription("T", 1) };
    body.subscription_data = Some(sql);
    let (code, body) = (RequestCode::CheckClientConfig, body.encode());
    let answer = a.refused(ResponseCode::SystemError, code, &NoHeader, &body).await;
    let remark = "The broker does not support consumer to filter message by SQL92";
    assert_eq!(answer.remark(), Some(remark));
    kit.stop().await;
}

#[tokio::test]
async fn no_body_is_no_bad_expression() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let (a, code) = (kit.client(), RequestCode::CheckClientConfig);
    a.ok(code, &NoHeader, &[]).await;
    a.refused(ResponseCode::SystemError, code, &NoHeader, b"{").await;
    kit.stop().await;
}

#[tokio::test]
async fn locks_are_owned_until_released() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let a = kit.client();
    let queue =
        |queue_id| MessageQueue { topic: "T".to_owned(), broker_name: "b".to_owned(), queue_id };
    let lock = async |client_id: &str, ids: &[i32]| {
        let body = LockBatchRequestBody {
            client_id: client_id.to_owned(),
            consumer_group: "g".to_owned(),
            mq_set: ids.iter().copied().map(queue).collect(),
            only_this_broker: false,
        };
        let answer = a.ok(RequestCode::LockBatchMq, &NoHeader, &body.encode()).await;
        let mut owned = LockBatchResponseBody::decode(answer.body()).unwrap().lock_ok_mq_set;
        owned.sort();
        owned.iter().map(|queue| queue.queue_id).collect::<Vec<i32>>()
    };
    assert_eq!(lock("c1", &[0, 1]).await, [0, 1]);
    assert_eq!(lock("c2", &[1, 2]).await, [2]);
    let body = UnlockBatchRequestBody {
        client_id: "c1".to_owned(),
        consumer_group: "g".to_owned(),
        mq_set: vec![queue(1), queue(2)],
        only_this_broker: false,
    };
    a.ok(RequestCode::UnlockBatchMq, &NoHeader, &body.encode()).await;
    assert_eq!(lock("c2", &[0, 1]).await, [1]);
    assert_eq!(lock("c1", &[2]).await, Vec::<i32>::new());
    kit.stop().await;
}
