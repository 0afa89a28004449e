//! Pops in order: a queue is held until its messages are acknowledged.

use std::time::UNIX_EPOCH;

use remoting::protocol::code::{RequestCode, ResponseCode};
use remoting::protocol::header::{NotificationRequestHeader, PopMessageRequestHeader};

use super::{Popped, ack, any, bodies, change, messages, pop, start};
use crate::kit::PATIENCE;

/// A pop in order.
fn in_order<'a>(attempt_id: Option<&'a str>) -> PopMessageRequestHeader<'a> {
    PopMessageRequestHeader { queue_id: 0, order: true, attempt_id, ..any("T") }
}

#[tokio::test]
async fn a_queue_waits_for_its_acks() {
    let dir = tempfile::tempdir().unwrap();
    let (kit, client) = start(dir.path(), &["a", "-", "b", "-", "c"]).await;
    let two = PopMessageRequestHeader { max_msg_nums: 2, ..in_order(Some("try-1")) };
    let answer = client.ok(RequestCode::PopMessage, &two, &[]).await;
    assert_eq!(answer.field("reviveQid"), Some("999"));
    assert_eq!(answer.field("orderCountInfo"), Some("0 0 0"));
    let popped = messages(&answer);
    assert_eq!(bodies(&popped), ["a", "b"]);
    assert!(pop(&client, &in_order(None)).await.is_empty());
    assert!(pop(&client, &in_order(Some("try-2"))).await.is_empty());
    // The same try again gets the same messages, at another time: pops are known by theirs.
    let first: u128 = answer.field("popTime").unwrap().parse().unwrap();
    while UNIX_EPOCH.elapsed().unwrap().as_millis() <= first {
        tokio::task::yield_now().await;
    }
    let again = pop(&client, &two).await;
    assert_eq!(bodies(&again), ["a", "b"]);

    // Of the earlier pop: no effect. Not popped: refused.
    assert_eq!(ack(&client, &popped[0]).await.code(), 0);
    let unknown = ack(&client, &Popped { offset: 2, ..again[0].clone() }).await;
    assert_eq!(unknown.code(), i32::from(ResponseCode::MessageIllegal));
    assert_eq!(ack(&client, &again[1]).await.code(), 0);
    assert!(pop(&client, &in_order(None)).await.is_empty(), "the first is open");
    assert_eq!(ack(&client, &again[0]).await.code(), 0);
    assert_eq!(bodies(&pop(&client, &in_order(None)).await), ["c"]);
    kit.stop().await;
}

#[tokio::test]
async fn what_nobody_acknowledges_is_popped_again_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let (kit, client) = start(dir.path(), &["a", "-", "b"]).await;
    let soon = PopMessageRequestHeader { invisible_time: 300, ..in_order(None) };
    let first = pop(&client, &soon).await;
    assert_eq!(bodies(&first), ["a", "b"]);
    assert_eq!(ack(&client, &first[0]).await.code(), 0);
    // Held until the queue is free.
    let patient =
        PopMessageRequestHeader { poll_time: PATIENCE.as_millis() as i64, ..soon.clone() };
    let answer = client.ok(RequestCode::PopMessage, &patient, &[]).await;
    assert_eq!(bodies(&messages(&answer)), ["b"]);
    assert_eq!(answer.field("orderCountInfo"), Some("0 qo0%1 1;0 0 1"));
    kit.stop().await;
}

#[tokio::test]
async fn an_ack_calls_those_who_wait_for_the_queue() {
    let dir = tempfile::tempdir().unwrap();
    let (kit, client) = start(dir.path(), &["a", "-", "b"]).await;
    let one = PopMessageRequestHeader { max_msg_nums: 1, ..in_order(None) };
    let first = pop(&client, &one).await.remove(0);
    let waiting = kit.client();
    let patient = PopMessageRequestHeader { poll_time: PATIENCE.as_millis() as i64, ..one };
    let (second, acked) =
        tokio::join!(pop(&waiting, &patient), async { ack(&client, &first).await.code() });
    assert_eq!((bodies(&second), acked), (vec!["b"], 0));
    kit.stop().await;
}

#[tokio::test]
async fn a_change_in_order_moves_one_message() {
    let dir = tempfile::tempdir().unwrap();
    let (kit, client) = start(dir.path(), &["a", "-", "b"]).await;
    let popped = pop(&client, &in_order(None)).await;
    let changed = change(&client, &popped[0], 100).await;
    assert_eq!((changed.code(), changed.field("reviveQid")), (0, Some("999")));
    let pop_time = popped[0].receipt.split(' ').nth(1);
    assert_eq!(changed.field("popTime"), pop_time);
    assert_eq!(ack(&client, &popped[1]).await.code(), 0);
    let patient =
        PopMessageRequestHeader { poll_time: PATIENCE.as_millis() as i64, ..in_order(None) };
    let again = pop(&client, &patient).await;
    assert_eq!(bodies(&again), ["a", "b"], "the second is behind the first");
    for message in &again {
        assert_eq!(ack(&client, message).await.code(), 0);
    }
    // Consumed: success with nothing in it.
    let late = change(&client, &popped[0], 100).await;
    assert_eq!((late.code(), late.field("popTime")), (0, Some("0")));
    kit.stop().await;
}

#[tokio::test]
async fn a_notification_waits_for_the_order() {
    let dir = tempfile::tempdir().unwrap();
    let (kit, client) = start(dir.path(), &["a", "-", "b"]).await;
    let one = PopMessageRequestHeader { max_msg_nums: 1, ..in_order(None) };
    let first = pop(&client, &one).await.remove(0);
    let asked = |poll_time| NotificationRequestHeader {
        consumer_group: "g",
        topic: "T",
        queue_id: 0,
        order: true,
        poll_time,
        ..NotificationRequestHeader::default()
    };
    let answer = client.ok(RequestCode::Notification, &asked(0), &[]).await;
    assert_eq!(answer.field("hasMsg"), Some("false"));
    let (waiting, patient) = (kit.client(), asked(PATIENCE.as_millis() as i64));
    let (answer, _) =
        tokio::join!(waiting.ok(RequestCode::Notification, &patient, &[]), ack(&client, &first));
    assert_eq!(answer.field("hasMsg"), Some("true"));
    kit.stop().await;
}
