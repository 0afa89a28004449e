//! Committed offsets, bounds of queues, queries.

use remoting::protocol::code::{RequestCode, ResponseCode};
use remoting::protocol::header::{
    BoundaryType, GetEarliestMsgStoretimeRequestHeader, GetMaxOffsetRequestHeader,
    GetMinOffsetRequestHeader, QueryConsumerOffsetRequestHeader, QueryMessageRequestHeader,
    ResetOffsetRequestHeader, SearchOffsetRequestHeader, UpdateConsumerOffsetRequestHeader,
    ViewMessageRequestHeader,
};
use remoting::protocol::message::record::{Record, records};

use crate::kit::{Kit, TestClient, consumer};

fn commit(
    group: &'static str,
    topic: &'static str,
    queue_id: Option<i32>,
    commit_offset: Option<i64>,
) -> UpdateConsumerOffsetRequestHeader<'static> {
    UpdateConsumerOffsetRequestHeader { consumer_group: group, topic, queue_id, commit_offset }
}

fn query(queue_id: i32, zero: Option<bool>) -> QueryConsumerOffsetRequestHeader<'static> {
    QueryConsumerOffsetRequestHeader {
        consumer_group: "g",
        topic: "T",
        queue_id,
        set_zero_if_not_found: zero,
    }
}

async fn offset_of(client: &TestClient, queue_id: i32) -> Option<i64> {
    let answer = client.call(RequestCode::QueryConsumerOffset, &query(queue_id, None), &[]).await;
    if answer.code() == i32::from(ResponseCode::QueryNotFound) {
        return None;
    }
    assert_eq!(answer.code(), 0);
    Some(answer.field("offset").unwrap().parse().unwrap())
}

#[tokio::test]
async fn commits_are_checked_in_order() {
    use ResponseCode as Code;
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let a = kit.client();
    let update = RequestCode::UpdateConsumerOffset;
    a.refused(Code::SubscriptionGroupNotExist, update, &commit("g", "T", None, None), &[]).await;
    a.heartbeat(&consumer("a", "g", &["T"])).await;
    a.refused(Code::TopicNotExist, update, &commit("g", "T", None, None), &[]).await;
    a.send("T", 0, "x", "").await;
    a.refused(Code::InvalidParameter, update, &commit("g", "T", None, Some(1)), &[]).await;
    a.refused(Code::InvalidParameter, update, &commit("g", "T", Some(1), None), &[]).await;
    // Any number is stored, a negative one reads as none.
    a.ok(update, &commit("g", "T", Some(77), Some(1_000)), &[]).await;
    assert_eq!(offset_of(&a, 77).await, Some(1_000));
    a.ok(update, &commit("g", "T", Some(77), Some(-5)), &[]).await;
    assert_eq!(offset_of(&a, 77).await, None);
    kit.stop().await;
}

#[tokio::test]
async fn a_new_group_on_a_young_topic_begins_at_zero() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let a = kit.client();
    assert_eq!(offset_of(&a, 0).await, None, "neither topic nor group");
    a.send("T", 0, "x", "").await;
    assert_eq!(offset_of(&a, 0).await, Some(0));
    assert_eq!(offset_of(&a, 1).await, None, "an empty queue");
    let asked = query(0, Some(false));
    a.refused(ResponseCode::QueryNotFound, RequestCode::QueryConsumerOffset, &asked, &[]).await;
    let asked = query(0, Some(true));
    a.ok(RequestCode::QueryConsumerOffset, &asked, &[]).await;
    kit.stop().await;
}

#[tokio::test]
async fn a_reset_is_pulled_before_anything_is_committed() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let a = kit.client();
    for body in ["0", "1", "2"] {
        a.send("T", 0, body, "").await;
    }
    a.heartbeat(&consumer("a", "g", &["T"])).await;
    a.ok(RequestCode::UpdateConsumerOffset, &commit("g", "T", Some(0), Some(3)), &[]).await;
    let mut reset = ResetOffsetRequestHeader {
        topic: "T".to_owned(),
        group: "g".to_owned(),
        timestamp: 0,
        is_force: true,
        queue_id: 0,
        offset: Some(9),
    };
    let code = RequestCode::InvokeBrokerToResetOffset;
    let refused = a.refused(ResponseCode::SystemError, code, &reset, &[]).await;
    assert_eq!(refused.remark(), Some("Target offset 9 not in consume queue range [0-3]"));
    reset.offset = Some(1);
    let answer = a.ok(code, &reset, &[]).await;
    let body = r#"{"offsetTable":{{"brokerName":"b","queueId":0,"topic":"T"}:1}}"#;
    assert_eq!(std::str::from_utf8(answer.body()), Ok(body));
    let ignored = commit("g", "T", Some(0), Some(3));
    let answer = a.ok(RequestCode::UpdateConsumerOffset, &ignored, &[]).await;
    assert_eq!(answer.remark(), Some("Offset has been previously reset"));
    assert_eq!(offset_of(&a, 0).await, Some(1));
    let pulled = a.pull("g", "T", 0, 3).await;
    assert_eq!(pulled.0.code(), i32::from(ResponseCode::PullOffsetMoved));
    assert_eq!((pulled.next(), pulled.0.remark()), (1, Some("OFFSET_RESET")));
    a.ok(RequestCode::UpdateConsumerOffset, &commit("g", "T", Some(0), Some(2)), &[]).await;
    assert_eq!(offset_of(&a, 0).await, Some(2));
    kit.stop().await;
}

#[tokio::test]
async fn queues_tell_their_bounds() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let a = kit.client();
    let bound = async |code, header: &dyn Fn() -> (String, i32)| {
        let (topic, queue_id) = header();
        let answer = match code {
            RequestCode::GetMaxOffset => {
                let header = GetMaxOffsetRequestHeader { topic, queue_id, committed: true };
                a.ok(code, &header, &[]).await
            }
            RequestCode::GetMinOffset => {
                let answer = a.ok(code, &GetMinOffsetRequestHeader { topic, queue_id }, &[]).await;
                assert_eq!(answer.remark(), Some(""));
                answer
            }
            _ => {
                let header = GetEarliestMsgStoretimeRequestHeader { topic, queue_id };
                a.ok(code, &header, &[]).await
            }
        };
        let field = answer.field("offset").or(answer.field("timestamp")).unwrap();
        field.parse::<i64>().unwrap()
    };
    let first = || ("T".to_owned(), 0);
    assert_eq!(bound(RequestCode::GetMaxOffset, &first).await, 0);
    assert_eq!(bound(RequestCode::GetMinOffset, &first).await, 0);
    assert_eq!(bound(RequestCode::GetEarliestMsgStoretime, &first).await, -1);
    for body in ["0", "1", "2"] {
        a.send("T", 0, body, "").await;
    }
    let stored: Vec<i64> =
        a.pull_all("T", 0, 3).await.iter().map(|message| message.store_timestamp).collect();
    assert_eq!(bound(RequestCode::GetMaxOffset, &first).await, 3);
    assert_eq!(bound(RequestCode::GetMinOffset, &first).await, 0);
    assert_eq!(bound(RequestCode::GetEarliestMsgStoretime, &first).await, stored[0]);

    let search = async |timestamp, boundary_type| {
        let header = SearchOffsetRequestHeader {
            topic: "T".to_owned(),
            queue_id: 0,
            timestamp,
            boundary_type,
            lite_topic: None,
        };
        let answer = a.ok(RequestCode::SearchOffsetByTimestamp, &header, &[]).await;
        answer.field("offset").unwrap().parse::<i64>().unwrap()
    };
    assert_eq!(search(0, None).await, 0);
    assert_eq!(search(stored[2] + 1, None).await, 3);
    assert_eq!(search(stored[2] + 1, Some(BoundaryType::Upper)).await, 2);
    kit.stop().await;
}

#[tokio::test]
async fn messages_are_found_by_key_and_by_place() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let a = kit.client();
    for (body, key) in [("one", "k1"), ("two", "k2"), ("three", "k1 k3")] {
        a.send("T", 0, body, &format!("KEYS\u{1}{key}\u{2}")).await;
    }
    let mut header = QueryMessageRequestHeader {
        topic: "T".to_owned(),
        key: "k1".to_owned(),
        max_num: 10,
        begin_timestamp: 0,
        end_timestamp: i64::MAX,
        ..QueryMessageRequestHeader::default()
    };
    // The index follows the log; it is asked until it has both.
    let mut bodies = Vec::new();
    for _ in 0..10_000 {
        let answer = a.call(RequestCode::QueryMessage, &header, &[]).await;
        assert!(answer.field("indexLastUpdateTimestamp").is_some());
        assert!(answer.field("indexLastUpdatePhyoffset").is_some());
        bodies = records(answer.body()).map(|r| r.unwrap().body.to_vec()).collect::<Vec<_>>();
        if bodies.len() == 2 {
            break;
        }
        tokio::task::yield_now().await;
    }
    bodies.sort();
    assert_eq!(bodies, [b"one".to_vec(), b"three".to_vec()]);
    header.key = "nothing".to_owned();
    a.refused(ResponseCode::QueryNotFound, RequestCode::QueryMessage, &header, &[]).await;

    let second = a.pull_all("T", 0, 3).await[1].physical_offset;
    let view = ViewMessageRequestHeader { offset: second, topic: None };
    let answer = a.ok(RequestCode::ViewMessageById, &view, &[]).await;
    assert_eq!(Record::decode(answer.body()).unwrap().body, b"two");
    for offset in [second + 1, 1 << 40, -1] {
        let view = ViewMessageRequestHeader { offset, topic: None };
        a.refused(ResponseCode::SystemError, RequestCode::ViewMessageById, &view, &[]).await;
    }
    kit.stop().await;
}
