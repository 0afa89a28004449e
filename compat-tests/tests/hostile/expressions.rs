//! SQL expressions that would take the stack, the memory or the time of their compiler.

use std::fmt::Write;

use remoting::protocol::body::{
    Body, CheckClientRequestBody, ConsumerData, HeartbeatData, SubscriptionData,
};
use remoting::protocol::code::{RequestCode as Code, ResponseCode};

use crate::kit::{Raw, Servers, TOPIC, pull_fields, with};

const SQL: &str = "SQL92";

/// Expressions that would take a parser's stack, its memory or its time.
fn expressions() -> Vec<(&'static str, String)> {
    let nested = |open: &str, inner: &str, close: &str, depth| {
        format!("{}{inner}{}", open.repeat(depth), close.repeat(depth))
    };
    let mut list = "a IN ('x'".to_owned();
    for n in 0..100_000 {
        // Writing to a String does not fail.
        let _ = write!(list, ",'{n}'");
    }
    vec![
        ("a megabyte of letters", "x".repeat(1 << 20)),
        ("a megabyte of terms", format!("{}a = 1", "a = 1 OR ".repeat(116_508))),
        ("a megabyte of one text", format!("a = '{}'", "x".repeat(1 << 20))),
        ("a text without an end", format!("a = '{}", "x".repeat(1 << 20))),
        ("10,000 parentheses", nested("(", "a = 1", ")", 10_000)),
        ("10,000 open parentheses", "(".repeat(10_000)),
        ("10,000 closed parentheses", ")".repeat(10_000)),
        ("negations", format!("{}a = 1", "NOT ".repeat(100_000))),
        ("signs", format!("a = {}1", "- ".repeat(100_000))),
        ("a list of 100,000", format!("{list})")),
        ("a comment without an end", format!("/*{}", "*".repeat(1 << 20))),
        ("a number of a million digits", format!("a = {}", "9".repeat(1 << 20))),
        ("zeros", "\0".repeat(1 << 20)),
    ]
}

/// Asks for the subscription to be checked, as a consumer does before its start.
fn check_of(expression: &str) -> Vec<u8> {
    let data = SubscriptionData {
        topic: TOPIC.to_owned(),
        expression_type: SQL.to_owned(),
        sub_string: expression.to_owned(),
        ..SubscriptionData::default()
    };
    let subscription_data = Some(data);
    CheckClientRequestBody { subscription_data, ..CheckClientRequestBody::default() }.encode()
}

fn heartbeat_of(expression: &str) -> Vec<u8> {
    let data = SubscriptionData {
        topic: TOPIC.to_owned(),
        expression_type: SQL.to_owned(),
        sub_string: expression.to_owned(),
        sub_version: 1,
        ..SubscriptionData::default()
    };
    let group = ConsumerData {
        group_name: "g".to_owned(),
        subscription_data_set: vec![data],
        ..ConsumerData::default()
    };
    let client_id = "hostile".to_owned();
    let consumer_data_set = vec![group];
    HeartbeatData { client_id, consumer_data_set, ..HeartbeatData::default() }.encode()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expressions_of_any_size_and_depth() {
    let servers = Servers::start_with(|settings| {
        settings.live.enable_property_filter = true;
    })
    .await;
    servers.fill(3).await;
    let mut raw = Raw::connect(&servers.broker).await;
    // What a first heartbeat makes is there before.
    assert_eq!(servers.ask(Code::HeartBeat, &[], &heartbeat_of("a = 1")).await.code(), 0);
    let before = servers.state().await;
    for (what, expression) in expressions() {
        let check = check_of(&expression);
        let answer = raw.call(Code::CheckClientConfig.into(), &[], &check).await;
        let failed = i32::from(ResponseCode::SubscriptionParseFailed);
        assert_eq!(answer.code(), failed, "{what}: {:?}", answer.remark());
        servers.answer_others().await;
        // As in Java, what does not compile filters nothing in a pull of its own.
        let pull = with(&pull_fields("g", TOPIC), "subscription", &expression);
        let pull = with(&pull, "expressionType", SQL);
        let answer = raw.call(Code::PullMessage.into(), &pull, b"").await;
        let found = (answer.code(), answer.field("nextBeginOffset"));
        assert_eq!(found, (0, Some("3")), "{what}: {:?}", answer.remark());
        servers.answer_others().await;
        let beat = servers.ask(Code::HeartBeat, &[], &heartbeat_of(&expression)).await;
        assert_eq!(beat.code(), 0, "{what}: {:?}", beat.remark());
        servers.answer_others().await;
    }
    assert_eq!(servers.state().await, before);
    servers.stop().await;
}
