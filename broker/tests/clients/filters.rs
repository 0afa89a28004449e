//! Subscriptions by SQL92 expressions over the properties of messages.

use remoting::protocol::body::{Body, CheckClientRequestBody, HeartbeatData, SubscriptionData};
use remoting::protocol::code::{RequestCode, ResponseCode};
use remoting::protocol::command::Frame;
use remoting::protocol::header::{NoHeader, PullMessageRequestHeader};

use crate::kit::{Kit, PATIENCE, Pulled, TestClient, consumer, subscription};

async fn start(root: &std::path::Path) -> Kit {
    Kit::start_with(root, |settings| settings.live.enable_property_filter = true).await
}

fn sql(topic: &str, text: &str, version: i64) -> SubscriptionData {
    SubscriptionData {
        sub_string: text.to_owned(),
        expression_type: "SQL92".to_owned(),
        ..subscription(topic, version)
    }
}

fn heartbeat(group: &str, data: SubscriptionData) -> HeartbeatData {
    let mut heartbeat = consumer("c", group, &[]);
    heartbeat.consumer_data_set[0].subscription_data_set = vec![data];
    heartbeat
}

/// A pull that relies on the heartbeat's subscription, as Go sends it: its type says TAG.
fn by_heartbeat<'a>(group: &'a str, topic: &'a str) -> PullMessageRequestHeader<'a> {
    PullMessageRequestHeader {
        consumer_group: group,
        topic,
        max_msg_nums: 32,
        subscription: Some(""),
        expression_type: Some("TAG"),
        ..PullMessageRequestHeader::default()
    }
}

/// A pull that brings its own subscription.
fn by_request<'a>(topic: &'a str, kind: &'a str, text: &'a str) -> PullMessageRequestHeader<'a> {
    PullMessageRequestHeader {
        sys_flag: 4,
        subscription: Some(text),
        expression_type: Some(kind),
        ..by_heartbeat("reader", topic)
    }
}

async fn pull(client: &TestClient, header: PullMessageRequestHeader<'_>) -> Frame {
    client.call(RequestCode::PullMessage, &header, &[]).await
}

async fn bodies(client: &TestClient, header: PullMessageRequestHeader<'_>) -> Vec<String> {
    let pulled = Pulled(pull(client, header).await);
    pulled.messages().into_iter().map(|message| message.body).collect()
}

fn code(frame: &Frame) -> ResponseCode {
    ResponseCode::from_i32(frame.code()).unwrap()
}

async fn check(client: &TestClient, data: Option<SubscriptionData>) -> ResponseCode {
    let body = CheckClientRequestBody {
        client_id: "c".to_owned(),
        group: "g".to_owned(),
        subscription_data: data,
        ..CheckClientRequestBody::default()
    };
    code(&client.call(RequestCode::CheckClientConfig, &NoHeader, &body.encode()).await)
}

#[tokio::test]
async fn the_registered_expression_decides_what_a_pull_gets() {
    let root = tempfile::tempdir().unwrap();
    let kit = start(root.path()).await;
    let client = kit.client();
    for (body, properties) in [
        ("1", "a\u{1}1\u{2}b\u{1}x\u{2}"),
        ("2", "a\u{1}7\u{2}b\u{1}x\u{2}"),
        ("3", ""),
        ("4", "a\u{1}9\u{2}b\u{1}y\u{2}TAGS\u{1}t\u{2}"),
    ] {
        client.send("T", 0, body, properties).await;
    }
    client.heartbeat(&heartbeat("g", sql("T", "a > 5 AND b IN ('x', 'y')", 10))).await;
    assert_eq!(bodies(&client, by_heartbeat("g", "T")).await, ["2", "4"]);
    // Those turned down count as looked at.
    let last = PullMessageRequestHeader { queue_offset: 2, ..by_heartbeat("g", "T") };
    client.heartbeat(&heartbeat("g", sql("T", "a = 7", 11))).await;
    let answer = pull(&client, last).await;
    assert_eq!(code(&answer), ResponseCode::PullRetryImmediately);
    assert_eq!(answer.remark(), Some("NO_MATCHED_MESSAGE"));
    assert_eq!(answer.field("nextBeginOffset"), Some("4"));
    assert_eq!(bodies(&client, by_request("T", "SQL92", "b = 'y' OR a IS NULL")).await, ["3", "4"]);
    kit.stop().await;
}

#[tokio::test]
async fn subscriptions_that_did_not_get_here_are_asked_for() {
    let root = tempfile::tempdir().unwrap();
    let kit = start(root.path()).await;
    let client = kit.client();
    client.send("T", 0, "1", "").await;
    let announced = |version, without_sub| {
        let mut data = heartbeat("g", subscription("T", version));
        data.heartbeat_fingerprint = 7;
        data.without_sub = without_sub;
        data
    };
    let news = async |data| {
        let answer = client.heartbeat(&data).await;
        answer.field("IS_SUB_CHANGE").map(str::to_owned).unwrap()
    };
    assert_eq!(news(announced(10, false)).await, "false");
    assert_eq!(news(announced(10, true)).await, "false");
    // The client bumped its version, and the heartbeat that said so was not sent.
    let newer = || PullMessageRequestHeader { sub_version: 11, ..by_heartbeat("g", "T") };
    assert_eq!(code(&pull(&client, newer()).await), ResponseCode::SubscriptionNotLatest);
    assert_eq!(news(announced(11, true)).await, "true");
    assert_eq!(news(announced(11, false)).await, "false");
    assert_eq!(bodies(&client, newer()).await, ["1"]);
    kit.stop().await;
}

#[tokio::test]
async fn refusals_have_javas_codes() {
    let root = tempfile::tempdir().unwrap();
    let kit = start(root.path()).await;
    let client = kit.client();
    client.send("T", 0, "1", "").await;
    client.heartbeat(&heartbeat("g", sql("T", "a = 1", 10))).await;
    let newer = PullMessageRequestHeader { sub_version: 11, ..by_heartbeat("g", "T") };
    assert_eq!(code(&pull(&client, newer).await), ResponseCode::SubscriptionNotLatest);
    // Another text of a newer version that does not compile takes the old one along.
    client.heartbeat(&heartbeat("g", sql("T", "a =", 12))).await;
    let answer = pull(&client, by_heartbeat("g", "T")).await;
    assert_eq!(code(&answer), ResponseCode::FilterDataNotExist);

    assert_eq!(check(&client, None).await, ResponseCode::Success);
    assert_eq!(check(&client, Some(subscription("T", 1))).await, ResponseCode::Success);
    assert_eq!(check(&client, Some(sql("T", "a = 1", 1))).await, ResponseCode::Success);
    let unknown = SubscriptionData { expression_type: "XQ".to_owned(), ..sql("T", "a = 1", 1) };
    let long = "a".repeat(1 << 20);
    let deep = format!("{}a{}", "(".repeat(10_000), ")".repeat(10_000));
    for data in
        [sql("T", "a =", 1), sql("T", "", 1), sql("T", &long, 1), sql("T", &deep, 1), unknown]
    {
        let answer = check(&client, Some(data)).await;
        assert_eq!(answer, ResponseCode::SubscriptionParseFailed);
    }
    kit.stop().await;
}

#[tokio::test]
async fn an_illegal_expression_in_a_pull_filters_nothing() {
    let root = tempfile::tempdir().unwrap();
    let kit = start(root.path()).await;
    let client = kit.client();
    client.send("T", 0, "1", "").await;
    for (kind, text) in [("SQL92", "a ="), ("XQ", "a")] {
        assert_eq!(bodies(&client, by_request("T", kind, text)).await, ["1"], "{kind} {text}");
    }
    let answer = pull(&client, by_request("T", "SQL92", "")).await;
    assert_eq!(code(&answer), ResponseCode::SubscriptionParseFailed);
    kit.stop().await;
}

#[tokio::test]
async fn without_property_filter_expressions_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let kit = Kit::start(root.path()).await;
    let client = kit.client();
    client.send("T", 0, "1", "a\u{1}1\u{2}").await;
    client.heartbeat(&heartbeat("g", sql("T", "a = 1", 10))).await;
    for header in [by_heartbeat("g", "T"), by_request("T", "SQL92", "a = 1")] {
        assert_eq!(code(&pull(&client, header).await), ResponseCode::SystemError);
    }
    assert_eq!(check(&client, Some(sql("T", "a =", 1))).await, ResponseCode::SystemError);
    kit.stop().await;
}

#[tokio::test]
async fn a_held_pull_wakes_for_a_matching_message_only() {
    let root = tempfile::tempdir().unwrap();
    let kit = start(root.path()).await;
    let (client, sender) = (kit.client(), kit.client());
    sender.send("T", 0, "before", "a\u{1}1\u{2}").await;
    client.heartbeat(&heartbeat("g", sql("T", "a = 1", 10))).await;
    let held = PullMessageRequestHeader {
        sys_flag: 2,
        queue_offset: 1,
        suspend_timeout_millis: PATIENCE.as_millis() as i64,
        ..by_heartbeat("g", "T")
    };
    let waiting = tokio::spawn(async move { Pulled(pull(&client, held).await) });
    // The pull may be held before or after any of these: it gets the one that matches.
    for (body, value) in [("no", "2"), ("neither", "3"), ("yes", "1")] {
        sender.send("T", 0, body, &format!("a\u{1}{value}\u{2}")).await;
    }
    let pulled = waiting.await.unwrap();
    let bodies: Vec<String> = pulled.messages().into_iter().map(|message| message.body).collect();
    // Looking in the middle of the sends finds nothing that matches and says so.
    let looked = pulled.0.code() == i32::from(ResponseCode::PullRetryImmediately);
    assert!(looked || bodies == ["yes"], "{} {bodies:?}", pulled.0.code());
    kit.stop().await;
}

#[tokio::test]
async fn expressions_outlive_a_restart() {
    let root = tempfile::tempdir().unwrap();
    let kit = start(root.path()).await;
    let client = kit.client();
    client.send("T", 0, "1", "a\u{1}1\u{2}").await;
    client.send("T", 0, "2", "a\u{1}2\u{2}").await;
    client.heartbeat(&heartbeat("g", sql("T", "a = 2", 10))).await;
    kit.stop().await;
    let file = root.path().join("config/consumerFilter.json");
    assert!(std::fs::read_to_string(file).unwrap().contains("\"expression\":\"a = 2\""));

    let kit = start(root.path()).await;
    let client = kit.client();
    // A heartbeat of the same version brings a text that is not taken: the one of the file lives.
    client.heartbeat(&heartbeat("g", sql("T", "a = 1", 10))).await;
    assert_eq!(bodies(&client, by_heartbeat("g", "T")).await, ["2"]);
    kit.stop().await;
}

#[tokio::test]
async fn a_retry_topic_is_filtered_by_what_the_group_wants_of_the_former_topic() {
    let root = tempfile::tempdir().unwrap();
    let kit = Kit::start_with(root.path(), |settings| {
        settings.live.enable_property_filter = true;
        settings.live.filter_support_retry = true;
    })
    .await;
    let client = kit.client();
    let mut both = heartbeat("g", sql("T", "a = 1", 10));
    both.consumer_data_set[0].subscription_data_set.push(sql("%RETRY%g", "TRUE", 10));
    client.heartbeat(&both).await;
    for (body, properties) in [
        ("1", "a\u{1}1\u{2}RETRY_TOPIC\u{1}T\u{2}"),
        ("2", "a\u{1}2\u{2}RETRY_TOPIC\u{1}T\u{2}"),
        ("3", "RETRY_TOPIC\u{1}U\u{2}"),
        ("4", ""),
    ] {
        client.send("%RETRY%g", 0, body, properties).await;
    }
    assert_eq!(bodies(&client, by_heartbeat("g", "%RETRY%g")).await, ["1", "3", "4"]);
    kit.stop().await;
}
