//! Pulls: what is found, what is held, and every refusal of the tables.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod common;

use std::time::{Duration, Instant};

use common::{Bench, bodies, code, from, properties, pulled, to};
use remoting::protocol::code::{RequestCode, ResponseCode};
use remoting::protocol::command::Frame;
use remoting::protocol::header::{PullMessageRequestHeader, QueryConsumerOffsetRequestHeader};

type Header<'a> = PullMessageRequestHeader<'a>;

fn bounds(frame: &Frame) -> (i64, i64, i64) {
    let header = pulled(frame);
    (header.next_begin_offset, header.min_offset, header.max_offset)
}

fn held<'a>(topic: &'a str, queue_offset: i64, millis: i64) -> Header<'a> {
    Header { sys_flag: 6, suspend_timeout_millis: millis, ..from(topic, queue_offset) }
}

#[tokio::test]
async fn statuses_have_javas_codes_and_offsets() {
    let root = tempfile::tempdir().unwrap();
    let bench = Bench::start(root.path()).await;
    for body in [b"0", b"1", b"2"] {
        bench.put("T", 0, "", body).await;
    }
    let cases = [
        (0, 0, ResponseCode::Success, "FOUND", (3, 0, 3)),
        (0, 2, ResponseCode::Success, "FOUND", (3, 0, 3)),
        (0, 3, ResponseCode::PullNotFound, "OFFSET_OVERFLOW_ONE", (3, 0, 3)),
        (0, 4, ResponseCode::PullOffsetMoved, "OFFSET_OVERFLOW_BADLY", (3, 0, 3)),
        (0, -1, ResponseCode::PullOffsetMoved, "OFFSET_TOO_SMALL", (0, 0, 3)),
    ];
    for (queue_id, offset, expected, status, expected_bounds) in cases {
        let answer = bench.pull(Header { queue_id, ..from("T", offset) }).await;
        assert_eq!(code(&answer), expected, "offset {offset}");
        assert_eq!(answer.remark(), Some(status));
        assert_eq!(bounds(&answer), expected_bounds, "offset {offset}");
        assert_eq!(answer.field("suggestWhichBrokerId"), Some("0"));
    }
    for (offset, expected) in [(0, ResponseCode::PullNotFound), (5, ResponseCode::PullOffsetMoved)]
    {
        let answer = bench.pull(Header { queue_id: 1, ..from("T", offset) }).await;
        assert_eq!(code(&answer), expected);
        assert_eq!(bounds(&answer), (0, 0, 0));
    }
    let one = bench.pull(Header { max_msg_nums: 0, ..from("T", 0) }).await;
    assert_eq!(bodies(&one), ["0"]);
    bench.stop().await;
}

#[tokio::test]
async fn tags_are_filtered_and_progress_is_told() {
    let root = tempfile::tempdir().unwrap();
    let bench = Bench::start(root.path()).await;
    for (tag, body) in [("a", b"1"), ("b", b"2"), ("c", b"3"), ("a", b"4")] {
        bench.put("T", 0, &properties(&[("TAGS", tag)]), body).await;
    }
    bench.put("T", 0, "", b"5").await;
    let tagged = |expression| Header { subscription: Some(expression), ..from("T", 0) };
    let answer = bench.pull(tagged("a || c")).await;
    assert_eq!(bodies(&answer), ["1", "3", "4"]);
    assert_eq!(pulled(&answer).next_begin_offset, 5);
    let answer = bench.pull(tagged("nobody")).await;
    assert_eq!(code(&answer), ResponseCode::PullRetryImmediately);
    assert_eq!(answer.remark(), Some("NO_MATCHED_MESSAGE"));
    assert_eq!(pulled(&answer).next_begin_offset, 5);
    let answer = bench.pull(tagged("||")).await;
    assert_eq!(code(&answer), ResponseCode::SubscriptionParseFailed);
    let sql = Header { expression_type: Some("SQL92"), ..tagged("a = 1") };
    assert_eq!(code(&bench.pull(sql).await), ResponseCode::SystemError);
    let unknown = Header { expression_type: Some("else"), ..tagged("a") };
    assert_eq!(code(&bench.pull(unknown).await), ResponseCode::SystemError);
    bench.stop().await;
}

#[tokio::test]
async fn refusals_have_javas_codes() {
    let root = tempfile::tempdir().unwrap();
    let bench = Bench::start(root.path()).await;
    bench.put("T", 0, "", b"x").await;
    let cases = [
        (Header { queue_id: 4, ..from("T", 0) }, ResponseCode::InvalidParameter),
        (Header { queue_id: -1, ..from("T", 0) }, ResponseCode::InvalidParameter),
        (from("unknown", 0), ResponseCode::TopicNotExist),
        (from("rmq_sys_SYNC_BROKER_MEMBER_b", 0), ResponseCode::NoPermission),
        (
            Header { consumer_group: "no group", ..from("T", 0) },
            ResponseCode::SubscriptionGroupNotExist,
        ),
        (Header { sys_flag: 0, ..from("T", 0) }, ResponseCode::SubscriptionNotExist),
    ];
    for (header, expected) in cases {
        let answer = bench.pull(header).await;
        assert_eq!(code(&answer), expected);
        assert!(answer.body().is_empty() && answer.remark().is_some());
        let forbidden = answer.field("forbiddenType");
        assert_eq!(forbidden.is_some(), expected == ResponseCode::NoPermission);
    }
    bench.stop().await;

    let bench = Bench::with(root.path(), "brokerPermission=2\nlitePullMessageEnable=false").await;
    let answer = bench.pull(from("T", 0)).await;
    assert_eq!(
        (code(&answer), answer.field("forbiddenType")),
        (ResponseCode::NoPermission, Some("1"))
    );
    let answer = bench.call(RequestCode::LitePullMessage, &from("T", 0), &[]).await;
    assert_eq!(code(&answer), ResponseCode::NoPermission);
    bench.stop().await;
}

#[tokio::test]
async fn a_lite_pull_is_a_pull() {
    let root = tempfile::tempdir().unwrap();
    let bench = Bench::start(root.path()).await;
    bench.put("T", 0, "", b"x").await;
    let header = Header { sys_flag: 4 + 16, ..from("T", 0) };
    let answer = bench.call(RequestCode::LitePullMessage, &header, &[]).await;
    assert_eq!(bodies(&answer), ["x"]);
    bench.stop().await;
}

#[tokio::test]
async fn a_held_pull_gets_the_message_that_arrives() {
    let root = tempfile::tempdir().unwrap();
    let bench = Bench::start(root.path()).await;
    bench.put("T", 1, "", b"creates the topic").await;
    let begun = Instant::now();
    let (answer, _) = tokio::join!(bench.pull(held("T", 0, 9_000)), async {
        bench.put("T", 2, "", b"other queue").await;
        bench.put("T", 0, "", b"it").await
    });
    assert_eq!(bodies(&answer), ["it"]);
    assert!(begun.elapsed() < Duration::from_secs(5));
    bench.stop().await;
}

#[tokio::test]
async fn a_held_pull_ignores_what_it_does_not_want() {
    let root = tempfile::tempdir().unwrap();
    let bench = Bench::start(root.path()).await;
    bench.put("T", 1, "", b"creates the topic").await;
    let wanted = Header { subscription: Some("b"), ..held("T", 0, 9_000) };
    let (answer, _) = tokio::join!(bench.pull(wanted), async {
        bench.put("T", 0, &properties(&[("TAGS", "a")]), b"1").await;
        bench.put("T", 0, &properties(&[("TAGS", "b")]), b"2").await
    });
    assert_eq!(bodies(&answer), ["2"]);
    assert_eq!(pulled(&answer).next_begin_offset, 2);
    bench.stop().await;
}

#[tokio::test]
async fn a_held_pull_ends_at_its_deadline() {
    let root = tempfile::tempdir().unwrap();
    let bench = Bench::start(root.path()).await;
    bench.put("T", 0, "", b"x").await;
    let begun = Instant::now();
    let answer = bench.pull(held("T", 1, 60)).await;
    assert_eq!(code(&answer), ResponseCode::PullNotFound);
    assert_eq!(pulled(&answer).next_begin_offset, 1);
    assert!(begun.elapsed() >= Duration::from_millis(60));
    // At the deadline it tells what went by, so that it is not looked at again.
    let wanted = Header { subscription: Some("b"), ..held("T", 1, 300) };
    let (answer, _) = tokio::join!(bench.pull(wanted), bench.put("T", 0, "", b"y"));
    assert_eq!(code(&answer), ResponseCode::PullRetryImmediately);
    assert_eq!(pulled(&answer).next_begin_offset, 2);
    bench.stop().await;
}

#[tokio::test]
async fn a_stop_answers_held_pulls_at_once() {
    let root = tempfile::tempdir().unwrap();
    let Bench { running, client, .. } = Bench::start(root.path()).await;
    let address = running.listens_on().to_string();
    let send = remoting::protocol::header::Short(to("T"));
    let sent =
        client.call(&address, RequestCode::SendMessageV2, &send, &[], b"x", common::PATIENCE);
    assert_eq!(code(&sent.await.unwrap()), ResponseCode::Success);
    let header = held("T", 1, 60_000);
    let pull = client.call(&address, RequestCode::PullMessage, &header, &[], &[], common::PATIENCE);
    let begun = Instant::now();
    let (answer, ()) = tokio::join!(pull, async {
        // A second request of the connection is answered after the first one is held.
        let again =
            client.call(&address, RequestCode::SendMessageV2, &send, &[], b"", common::PATIENCE);
        again.await.unwrap();
        running.stop().await.unwrap();
    });
    assert_eq!(code(&answer.unwrap()), ResponseCode::PullNotFound);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn offsets_are_committed_along() {
    let root = tempfile::tempdir().unwrap();
    let bench = Bench::start(root.path()).await;
    bench.put("T", 0, "", b"x").await;
    let header = Header { sys_flag: 5, commit_offset: 1, ..from("T", 0) };
    assert_eq!(code(&bench.pull(header).await), ResponseCode::Success);
    let query = QueryConsumerOffsetRequestHeader {
        consumer_group: "cg",
        topic: "T",
        queue_id: 0,
        ..Default::default()
    };
    let answer = bench.call(RequestCode::QueryConsumerOffset, &query, &[]).await;
    assert_eq!(answer.field("offset"), Some("1"));
    bench.stop().await;
}

#[tokio::test]
async fn an_unknown_request_is_not_supported() {
    let root = tempfile::tempdir().unwrap();
    let bench = Bench::start(root.path()).await;
    let header = remoting::protocol::header::NoHeader;
    for number in
        [RequestCode::UpdateAndCreateStaticTopic as i32, RequestCode::RegisterBroker as i32, 31_999]
    {
        let address = bench.address();
        let answer = bench.client.call(address, number, &header, &[], &[], common::PATIENCE).await;
        let answer = answer.unwrap();
        assert_eq!(code(&answer), ResponseCode::RequestCodeNotSupported);
        let remark = format!(" request type {number} not supported");
        assert_eq!(answer.remark(), Some(remark.as_str()));
    }
    bench.stop().await;
}
