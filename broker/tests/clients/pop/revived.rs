//! Acknowledged in time or back in time, through timer and revive topic.

use std::time::{Duration, Instant};

use remoting::protocol::header::PopMessageRequestHeader;

use super::{Popped, ack, any, bodies, change, pop, start};
use crate::kit::{Kit, PATIENCE, TestClient};

/// Pops until so many messages came, each with the time that passed since `begun`.
async fn pop_until(client: &TestClient, count: usize, begun: Instant) -> Vec<(Popped, Duration)> {
    let mut all = Vec::new();
    while all.len() < count {
        assert!(begun.elapsed() < PATIENCE, "only {all:?}");
        let popped = pop(client, &PopMessageRequestHeader { ..any("T") }).await;
        all.extend(popped.into_iter().map(|message| (message, begun.elapsed())));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    all
}

fn brief(invisible_time: i64) -> PopMessageRequestHeader<'static> {
    PopMessageRequestHeader { invisible_time, ..any("T") }
}

async fn scenario(kit: Kit, client: TestClient) {
    let begun = Instant::now();
    let mut popped = pop(&client, &brief(2500)).await;
    popped.sort_by(|a, b| a.body.cmp(&b.body));
    assert_eq!(bodies(&popped), ["0", "1", "2", "3", "4", "5"]);
    for message in &popped[..3] {
        assert_eq!(ack(&client, message).await.code(), 0);
    }
    assert_eq!(change(&client, &popped[3], 4000).await.code(), 0);
    let back = pop_until(&client, 3, begun).await;
    let mut seen: Vec<_> = back.iter().map(|(message, at)| (message.body.as_str(), *at)).collect();
    seen.sort();
    let [(a, first), (b, second), (c, third)] = seen[..] else { panic!("{seen:?}") };
    assert_eq!([a, b, c], ["3", "4", "5"]);
    let between = |at: Duration, from: u64| {
        let from = Duration::from_millis(from);
        assert!(at >= from && at < from + Duration::from_secs(3), "{at:?} for {from:?}");
    };
    between(first, 4000);
    between(second, 2500);
    between(third, 2500);
    for (message, _) in &back {
        assert_eq!(message.reconsume_times, 1);
        assert_eq!(ack(&client, message).await.code(), 0);
    }
    kit.stop().await;
}

#[tokio::test]
async fn what_is_not_acknowledged_in_time_comes_back_soon() {
    let dir = tempfile::tempdir().unwrap();
    let (kit, client) = start(dir.path(), &["0", "1", "2", "3", "4", "5"]).await;
    scenario(kit, client).await;
}

#[tokio::test]
async fn check_points_in_memory_make_no_difference() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start_with(dir.path(), |settings| {
        settings.broker.enable_pop_buffer_merge = true;
        settings.broker.pop_ck_stay_buffer_time_out = 300;
    })
    .await;
    let client = kit.client();
    for body in ["0", "1", "2", "3", "4", "5"] {
        client.send("T", 0, body, "").await;
    }
    scenario(kit, client).await;
}

#[tokio::test]
async fn a_stop_keeps_what_was_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let merging = |settings: &mut broker::Settings| settings.broker.enable_pop_buffer_merge = true;
    let kit = Kit::start_with(dir.path(), merging).await;
    let client = kit.client();
    for body in ["0", "1"] {
        client.send("T", 0, body, "").await;
    }
    let begun = Instant::now();
    let popped = pop(&client, &brief(5000)).await;
    assert_eq!(bodies(&popped), ["0", "1"]);
    assert_eq!(ack(&client, &popped[0]).await.code(), 0);
    kit.stop().await;
    let kit = Kit::start_with(dir.path(), merging).await;
    let client = kit.client();
    let back = pop_until(&client, 1, begun).await;
    assert_eq!(back[0].0.body, "1");
    assert!(back[0].1 >= Duration::from_secs(5), "{back:?}");
    assert!(pop(&client, &brief(5000)).await.is_empty());
    kit.stop().await;
}
