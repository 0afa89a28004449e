//! Held pops: who is called, who is too much, who has waited long enough.

use std::time::{SystemTime, UNIX_EPOCH};

use remoting::protocol::code::{RequestCode, ResponseCode};
use remoting::protocol::header::{
    NotificationRequestHeader, PollingInfoRequestHeader, PopMessageRequestHeader,
};

use super::{any, bodies, messages, pop};
use crate::kit::{Kit, PATIENCE, TestClient};

/// A pop that waits as long as a test can.
fn patient(topic: &str) -> PopMessageRequestHeader<'_> {
    PopMessageRequestHeader { poll_time: PATIENCE.as_millis() as i64, ..any(topic) }
}

/// Waits until so many pops of group `g` are held.
async fn until_held(client: &TestClient, queue_id: i32, count: &str) {
    let asked = PollingInfoRequestHeader {
        consumer_group: "g".to_owned(),
        topic: "T".to_owned(),
        queue_id,
    };
    let counted = async {
        loop {
            let answer = client.ok(RequestCode::PollingInfo, &asked, &[]).await;
            if answer.field("pollingNum") == Some(count) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, counted).await.unwrap();
}

/// A broker whose topic `T` is there and empty for group `g`.
async fn start(dir: &std::path::Path, settings: impl FnOnce(&mut broker::Settings)) -> Kit {
    let kit = Kit::start_with(dir, settings).await;
    let client = kit.client();
    client.send("T", 0, "first", "").await;
    assert_eq!(pop(&client, &any("T")).await.len(), 1);
    kit
}

#[tokio::test]
async fn a_message_calls_one_of_those_who_wait() {
    let dir = tempfile::tempdir().unwrap();
    let kit = start(dir.path(), |_| {}).await;
    let (one, two, sender) = (kit.client(), kit.client(), kit.client());
    let header = PopMessageRequestHeader { max_msg_nums: 1, ..patient("T") };
    let (first, second, ()) = tokio::join!(pop(&one, &header), pop(&two, &header), async {
        until_held(&sender, -1, "2").await;
        sender.send("T", 2, "a", "").await;
        until_held(&sender, -1, "1").await;
        sender.send("T", 3, "b", "").await;
    });
    let mut both = [bodies(&first), bodies(&second)].concat();
    both.sort_unstable();
    assert_eq!(both, ["a", "b"]);
    kit.stop().await;
}

#[tokio::test]
async fn only_wanted_messages_call() {
    let dir = tempfile::tempdir().unwrap();
    let kit = start(dir.path(), |settings| {
        settings.broker.pop_long_polling_force_notify_interval = 0;
    })
    .await;
    let (one, two, sender) = (kit.client(), kit.client(), kit.client());
    // A message that nobody wants leaves everyone in line.
    let tagged = PopMessageRequestHeader { exp: Some("x"), max_msg_nums: 1, ..patient("T") };
    let (first, second, ()) = tokio::join!(pop(&one, &tagged), pop(&two, &tagged), async {
        until_held(&sender, -1, "2").await;
        sender.send("T", 0, "no", "TAGS\u{1}y\u{2}").await;
        until_held(&sender, -1, "2").await;
        sender.send("T", 0, "a", "TAGS\u{1}x\u{2}").await;
        sender.send("T", 0, "b", "TAGS\u{1}x\u{2}").await;
    });
    let mut both = [bodies(&first), bodies(&second)].concat();
    both.sort_unstable();
    assert_eq!(both, ["a", "b"]);
    kit.stop().await;
}

#[tokio::test]
async fn a_queue_calls_those_who_wait_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let kit = start(dir.path(), |_| {}).await;
    let (waiting, sender) = (kit.client(), kit.client());
    let of_queue = PopMessageRequestHeader { queue_id: 1, ..patient("T") };
    let (popped, ()) = tokio::join!(pop(&waiting, &of_queue), async {
        until_held(&sender, 1, "1").await;
        sender.send("T", 0, "a", "").await;
        until_held(&sender, 1, "1").await;
        sender.send("T", 1, "b", "").await;
    });
    assert_eq!(bodies(&popped), ["b"]);
    kit.stop().await;
}

#[tokio::test]
async fn what_comes_back_calls_those_who_wait() {
    let dir = tempfile::tempdir().unwrap();
    let kit = start(dir.path(), |_| {}).await;
    let (waiting, sender) = (kit.client(), kit.client());
    let header = patient("T");
    let (popped, ()) = tokio::join!(pop(&waiting, &header), async {
        until_held(&sender, -1, "1").await;
        sender.send("%RETRY%g_T", 0, "again", "").await;
    });
    assert_eq!(bodies(&popped), ["again"]);
    kit.stop().await;
}

#[tokio::test]
async fn who_waited_long_enough_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let kit = start(dir.path(), |_| {}).await;
    let client = kit.client();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    for (born_time, poll_time) in [(0, 0), (0, -1), (0, 200), (now, 200), (now - 400, 200)] {
        let header = PopMessageRequestHeader { born_time, poll_time, ..any("T") };
        let code = ResponseCode::PollingTimeout;
        let answer = client.refused(code, RequestCode::PopMessage, &header, &[]).await;
        assert_eq!(answer.remark(), Some("NO_MESSAGE_IN_QUEUE"));
        assert_eq!(answer.field("restNum"), Some("0"));
        assert_eq!(answer.field("startOffsetInfo"), Some(""));
        assert_ne!(answer.field("popTime"), Some("0"));
    }
    kit.stop().await;
}

#[tokio::test]
async fn too_many_are_not_held() {
    let dir = tempfile::tempdir().unwrap();
    let kit = start(dir.path(), |settings| {
        settings.live.pop_polling_size = 0;
        settings.live.max_pop_polling_size = 2;
    })
    .await;
    let (one, two, client) = (kit.client(), kit.client(), kit.client());
    let (header, of_queue) =
        (patient("T"), PopMessageRequestHeader { queue_id: 3, ..patient("T") });
    let (first, second, ()) = tokio::join!(pop(&one, &header), pop(&two, &of_queue), async {
        until_held(&client, -1, "1").await;
        until_held(&client, 3, "1").await;
        let full = ResponseCode::PollingFull;
        // The line is full, then all lines together are.
        for refused in [&header, &PopMessageRequestHeader { queue_id: 2, ..patient("T") }] {
            let answer = client.refused(full, RequestCode::PopMessage, refused, &[]).await;
            assert_eq!(answer.field("restNum"), Some("0"));
        }
        client.send("T", 0, "a", "").await;
        client.send("T", 3, "b", "").await;
    });
    assert_eq!((bodies(&first), bodies(&second)), (vec!["a"], vec!["b"]));
    kit.stop().await;
}

#[tokio::test]
async fn a_stopping_broker_answers_everyone() {
    let dir = tempfile::tempdir().unwrap();
    let kit = start(dir.path(), |_| {}).await;
    let (waiting, client) = (kit.client(), kit.client());
    let header = patient("T");
    let (popped, ()) = tokio::join!(pop(&waiting, &header), async {
        until_held(&client, -1, "1").await;
        kit.stop().await;
    });
    assert!(popped.is_empty());
}

#[tokio::test]
async fn a_notification_waits_for_messages() {
    let dir = tempfile::tempdir().unwrap();
    let kit = start(dir.path(), |_| {}).await;
    let (waiting, client) = (kit.client(), kit.client());
    let asked = |poll_time| NotificationRequestHeader {
        consumer_group: "g",
        topic: "T",
        queue_id: -1,
        poll_time,
        ..NotificationRequestHeader::default()
    };
    for short in [0, 100] {
        let answer = client.ok(RequestCode::Notification, &asked(short), &[]).await;
        assert_eq!(answer.field("hasMsg"), Some("false"));
    }
    let patient = asked(PATIENCE.as_millis() as i64);
    let (answer, ()) = tokio::join!(waiting.ok(RequestCode::Notification, &patient, &[]), async {
        client.send("T", 0, "a", "").await;
    });
    assert_eq!(answer.field("hasMsg"), Some("true"));
    let popped = client.ok(RequestCode::PopMessage, &any("T"), &[]).await;
    assert_eq!(bodies(&messages(&popped)), ["a"]);
    kit.stop().await;
}
