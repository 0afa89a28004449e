//! Quotas: off by default, changed while the broker runs, answered 215.

use std::path::Path;
use std::time::{Duration, Instant};

use broker::Rates;
use remoting::protocol::code::{RequestCode, ResponseCode};
use remoting::protocol::header::NoHeader;
use runtime::config::PropertyValue as _;

use crate::kit::{Kit, TestClient};

const OVER: i32 = ResponseCode::FlowControl as i32;

async fn set(client: &TestClient, line: &str) {
    client.ok(RequestCode::UpdateBrokerConfig, &NoHeader, line.as_bytes()).await;
}

/// Sends as fast as it can for a while; how many were stored and how many refused.
async fn send_for(client: &TestClient, topic: &str, time: Duration) -> (u32, u32) {
    let begun = Instant::now();
    let (mut stored, mut refused) = (0, 0);
    while begun.elapsed() < time {
        match client.try_send(topic, 0, "body", "", 0).await {
            answer if answer.code() == 0 => stored += 1,
            answer => {
                assert_eq!(answer.code(), OVER, "{:?}", answer.remark());
                refused += 1;
            }
        }
    }
    (stored, refused)
}

async fn kit(root: &Path, topics: &str) -> Kit {
    let rates = Rates::parse(topics).unwrap();
    Kit::start_with(root, |settings| settings.live.quota_topics = rates).await
}

#[tokio::test]
async fn a_topic_gets_its_rate_and_others_are_not_slowed() {
    let dir = tempfile::tempdir().unwrap();
    let kit = kit(dir.path(), "Slow:100/10").await;
    let client = kit.client();
    let begun = Instant::now();
    let (stored, refused) = send_for(&client, "Slow", Duration::from_secs(2)).await;
    // 10 saved up and 100 a second, less what a busy machine lets overflow.
    let most = 12.0 + 100.0 * begun.elapsed().as_secs_f64();
    assert!(stored > 60 && f64::from(stored) <= most, "{stored} of {most}");
    assert!(refused > 0, "{refused} of {stored}");
    let mut answer = client.try_send("Slow", 0, "body", "", 0).await;
    while answer.code() == 0 {
        answer = client.try_send("Slow", 0, "body", "", 0).await;
    }
    let remark = "topic Slow is over its quota of 100 a second (quotaTopics)";
    assert_eq!((answer.code(), answer.remark()), (OVER, Some(remark)));
    let (_, refused) = send_for(&client, "Free", Duration::from_millis(200)).await;
    assert_eq!(refused, 0);

    // Lifted while it runs, and set for another.
    set(&client, "quotaTopics=Free:1").await;
    let (_, refused) = send_for(&client, "Slow", Duration::from_millis(200)).await;
    assert_eq!(refused, 0);
    let (stored, refused) = send_for(&client, "Free", Duration::from_millis(200)).await;
    assert!(stored <= 2 && refused > 0, "{stored} {refused}");
    let with = ResponseCode::SystemError;
    let code = RequestCode::UpdateBrokerConfig;
    client.refused(with, code, &NoHeader, b"quotaTopics=Free").await;
    kit.stop().await;
}

#[tokio::test]
async fn groups_and_addresses_have_quotas_too() {
    let dir = tempfile::tempdir().unwrap();
    let kit = kit(dir.path(), "").await;
    let client = kit.client();
    for number in 0..40 {
        client.send("T", 0, &number.to_string(), "").await;
    }
    set(&client, "quotaGroups=reader:5").await;
    // What a pull brings is known when it has brought it, and counts against the next.
    assert_eq!(client.pull("reader", "T", 0, 0).await.messages().len(), 32);
    let answer = client.pull("reader", "T", 0, 32).await.0;
    let remark = "group reader is over its quota of 5 a second (quotaGroups)";
    assert_eq!((answer.code(), answer.remark()), (OVER, Some(remark)));
    assert_eq!(client.pull("other", "T", 0, 32).await.messages().len(), 8);

    set(&client, "quotaGroups=").await;
    assert_eq!(client.pull("reader", "T", 0, 32).await.messages().len(), 8);
    set(&client, "quotaClientIps=*:3").await;
    let (stored, refused) = send_for(&client, "T", Duration::from_millis(300)).await;
    assert!(stored <= 5 && refused > 0, "{stored} {refused}");
    let answer = client.pull("other", "T", 0, 0).await.0;
    assert_eq!(answer.code(), OVER);
    // What is administration is not counted.
    set(&client, "quotaClientIps=").await;
    client.send("T", 0, "free", "").await;
    kit.stop().await;
}
