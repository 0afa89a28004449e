//! What administration tools ask for besides topics, groups and offsets: statistics, units of
//! queues, replicas, and stores that are none of ours.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod common;

use common::{Bench, code, from};
use remoting::protocol::body::{
    Body, BrokerStatsData, HARuntimeInfo, QueryConsumeQueueResponseBody, TopicStatsTable,
};
use remoting::protocol::code::{RequestCode, ResponseCode};
use remoting::protocol::command::Frame;
use remoting::protocol::header::{
    GetTopicStatsInfoRequestHeader, NoHeader, QueryConsumeQueueRequestHeader,
    ViewBrokerStatsDataRequestHeader,
};

async fn statistic(bench: &Bench, name: &str, key: &str) -> Frame {
    let header =
        ViewBrokerStatsDataRequestHeader { stats_name: name.to_owned(), stats_key: key.to_owned() };
    bench.call(RequestCode::ViewBrokerStatsData, &header, &[]).await
}

#[tokio::test]
async fn puts_and_pulls_are_counted_for_topic_and_group() {
    let root = tempfile::tempdir().unwrap();
    let bench = Bench::start(root.path()).await;
    bench.put("T", 0, "", b"1234").await;
    bench.put("T", 0, "", b"5678").await;
    assert_eq!(code(&bench.pull(from("T", 0)).await), ResponseCode::Success);
    let group = from("T", 0).consumer_group;
    let pair = format!("T@{group}");
    let mut sum = 0;
    for _ in 0..150 {
        let answer = statistic(&bench, "TOPIC_PUT_NUMS", "T").await;
        assert_eq!(code(&answer), ResponseCode::Success);
        sum = BrokerStatsData::decode(answer.body()).unwrap().stats_minute.unwrap().sum;
        if sum > 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(sum, 2, "a sample is taken every ten seconds");
    for (name, key, expected) in [
        ("GROUP_GET_NUMS", pair.as_str(), 2),
        ("BROKER_PUT_NUMS", "DefaultCluster", 2),
        ("BROKER_GET_NUMS_WITHOUT_SYSTEM_TOPIC", "DefaultCluster", 2),
    ] {
        let answer = statistic(&bench, name, key).await;
        let data = BrokerStatsData::decode(answer.body()).unwrap();
        assert_eq!(data.stats_minute.unwrap().sum, expected, "{name}");
        assert_eq!(data.stats_day.unwrap().sum, expected, "{name}");
    }
    let header = GetTopicStatsInfoRequestHeader { topic: "T".to_owned() };
    let answer = bench.call(RequestCode::GetTopicStatsInfo, &header, &[]).await;
    let rate = TopicStatsTable::decode(answer.body()).unwrap().topic_put_tps;
    assert!(rate > 0.0, "{rate}");
    let missing = statistic(&bench, "TOPIC_PUT_NUMS", "U").await;
    assert_eq!(code(&missing), ResponseCode::SystemError);
    assert_eq!(missing.remark(), Some("The stats <TOPIC_PUT_NUMS> <U> not exist"));
    bench.stop().await;
}

#[tokio::test]
async fn units_of_a_queue_are_shown_as_they_are() {
    let root = tempfile::tempdir().unwrap();
    let bench = Bench::start(root.path()).await;
    for _ in 0..3 {
        bench.put("T", 0, "", b"1234").await;
    }
    let units = async |topic: &str, index, count| {
        let header = QueryConsumeQueueRequestHeader {
            topic: Some(topic.to_owned()),
            queue_id: 0,
            index,
            count,
            consumer_group: Some("g".to_owned()),
        };
        bench.call(RequestCode::QueryConsumeQueue, &header, &[]).await
    };
    let answer = units("T", 1, 1).await;
    assert_eq!(code(&answer), ResponseCode::Success);
    let body = QueryConsumeQueueResponseBody::decode(answer.body()).unwrap();
    assert_eq!((body.min_queue_index, body.max_queue_index), (0, 3));
    assert_eq!(body.filter_data.as_deref(), Some("g@T is not online!"));
    let [unit] = &body.queue_data[..] else { panic!("{body:?}") };
    assert_eq!(unit.physic_offset, i64::from(unit.physic_size), "the second of equal records");
    let behind = units("T", 3, 1).await;
    assert_eq!((code(&behind), behind.body().len()), (ResponseCode::Success, 0));
    assert_eq!(behind.remark(), Some("Index 3 of 0@T is not exist!"));
    let unknown = units("U", 0, 1).await;
    assert_eq!(code(&unknown), ResponseCode::SystemError);
    assert_eq!(unknown.remark(), Some("0@U is not exist!"));
    bench.stop().await;
}

#[tokio::test]
async fn a_broker_alone_says_so() {
    let root = tempfile::tempdir().unwrap();
    let bench = Bench::start(root.path()).await;
    bench.put("T", 0, "", b"1234").await;
    let answer = bench.call(RequestCode::GetBrokerHaStatus, &NoHeader, &[]).await;
    let info = HARuntimeInfo::decode(answer.body()).unwrap();
    assert!(info.master && info.master_commit_log_max_offset > 0);
    assert!(info.ha_connection_info.is_empty());
    for (request, expected, remark) in [
        (
            RequestCode::GetBrokerEpochCache,
            ResponseCode::SystemError,
            Some("this request only for controllerMode "),
        ),
        (RequestCode::ResetMasterFlushOffset, ResponseCode::Success, None),
        (RequestCode::ExportRocksdbConfigToJson, ResponseCode::Success, Some("export done.")),
        (
            RequestCode::SetCommitlogReadMode,
            ResponseCode::SystemError,
            Some("set commitlog readahead mode failed"),
        ),
    ] {
        let answer = bench.call(request, &NoHeader, &[]).await;
        assert_eq!((code(&answer), answer.remark()), (expected, remark), "{request:?}");
    }
    bench.stop().await;
}
