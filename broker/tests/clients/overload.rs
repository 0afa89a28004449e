//! When the broker has too much to do, and only then: code 2.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use remoting::protocol::code::{RequestCode, ResponseCode};
use remoting::protocol::command::Frame;
use remoting::protocol::header::{NoHeader, PullMessageRequestHeader};
use store::FlushDiskType;

use crate::kit::{Kit, PATIENCE, Pulled, TestClient, consumer};

const BUSY: i32 = ResponseCode::SystemBusy as i32;

#[tokio::test]
async fn sends_beyond_the_capacity_are_refused_while_others_wait_for_the_disk() {
    let root = tempfile::tempdir().unwrap();
    let kit = Kit::start_with(root.path(), |settings| {
        settings.store.flush_disk_type = FlushDiskType::SyncFlush;
        settings.broker.send_thread_pool_queue_capacity = 2;
    })
    .await;
    let client = kit.client();
    client.send("T", 0, "first", "").await;
    let crowd = (0..100).map(|_| client.try_send("T", 0, "crowd", "", 0));
    let answers = join_all(crowd).await;
    let (stored, refused): (Vec<&Frame>, Vec<&Frame>) =
        answers.iter().partition(|answer| answer.code() == 0);
    assert!(!stored.is_empty() && !refused.is_empty());
    for answer in refused {
        assert_eq!(answer.code(), BUSY);
        let remark = "[OVERLOAD]system busy, start flow control for a while";
        assert_eq!(answer.remark(), Some(remark));
    }
    client.send("T", 0, "afterwards", "").await;
    let stored = stored.len() + 2;
    assert_eq!(client.pull_all("T", 0, stored).await.len(), stored, "a refused send is not stored");
    kit.stop().await;
}

#[tokio::test]
async fn without_overload_nobody_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let kit = Kit::start(root.path()).await;
    let client = kit.client();
    client.send("T", 0, "first", "").await;
    let crowd = (0..500).map(|_| client.try_send("T", 0, "crowd", "", 0));
    assert!(join_all(crowd).await.iter().all(|answer| answer.code() == 0));
    kit.stop().await;
}

/// Everything that is stored counts as old, and a byte of it is a group's share.
async fn cold(root: &std::path::Path) -> Kit {
    let kit = Kit::start_with(root, |settings| {
        settings.store.access_message_in_memory_max_ratio = 0;
        settings.broker.cold_data_flow_control_enable = true;
        settings.broker.cg_cold_read_threshold = 1;
    })
    .await;
    let client = kit.client();
    for index in 0..20 {
        client.send("T", 0, &index.to_string(), "").await;
    }
    kit
}

async fn pull(client: &TestClient, group: &str, sys_flag: i32) -> Frame {
    let header = PullMessageRequestHeader {
        consumer_group: group,
        topic: "T",
        max_msg_nums: 32,
        sys_flag,
        subscription: Some("*"),
        ..PullMessageRequestHeader::default()
    };
    client.call(RequestCode::PullMessage, &header, &[]).await
}

#[tokio::test]
async fn a_pushing_group_that_read_its_share_of_old_data_is_told_busy() {
    let root = tempfile::tempdir().unwrap();
    let kit = cold(root.path()).await;
    let client = kit.client();
    client.heartbeat(&consumer("c", "g", &["T"])).await;
    let begun = Instant::now();
    // The next round may begin between two pulls; there is none without an end.
    let refused = loop {
        let answer = pull(&client, "g", 0).await;
        if answer.code() == BUSY {
            break answer;
        }
        assert_eq!(Pulled(answer).messages().len(), 8, "as many as the disk gives at a time");
        assert!(begun.elapsed() < PATIENCE);
    };
    let remark = "This consumer group is reading cold data. It has been flow control";
    assert_eq!(refused.remark(), Some(remark));

    client.ok(RequestCode::UpdateColdDataFlowCtrConfig, &NoHeader, b"g=1000000\nh=x").await;
    assert_eq!(Pulled(pull(&client, "g", 0).await).messages().len(), 8);
    let info = client.ok(RequestCode::GetColdDataFlowCtrInfo, &NoHeader, &[]).await;
    let info: serde_json::Value = serde_json::from_slice(info.body()).unwrap();
    assert_eq!(info["configTable"], serde_json::json!({"g": 1_000_000}));
    assert_eq!(info["cgColdReadThreshold"], 1);
    assert!(info["runtimeTable"]["g"]["lastColdReadTimeMills"].is_i64());
    client.ok(RequestCode::RemoveColdDataFlowCtrConfig, &NoHeader, b"g").await;
    let info = client.ok(RequestCode::GetColdDataFlowCtrInfo, &NoHeader, &[]).await;
    let info: serde_json::Value = serde_json::from_slice(info.body()).unwrap();
    assert_eq!(info["configTable"], serde_json::json!({}));
    kit.stop().await;
}

#[tokio::test]
async fn a_pulling_group_that_read_its_share_waits_and_gets_one() {
    let root = tempfile::tempdir().unwrap();
    let kit = cold(root.path()).await;
    let client = kit.client();
    assert_eq!(Pulled(pull(&client, "g", 4).await).messages().len(), 8);
    let begun = Instant::now();
    loop {
        let asked = Instant::now();
        let count = Pulled(pull(&client, "g", 4).await).messages().len();
        if count == 1 {
            assert!(asked.elapsed() >= Duration::from_secs(3));
            break;
        }
        assert_eq!(count, 8);
        assert!(begun.elapsed() < PATIENCE);
    }
    kit.stop().await;
}
