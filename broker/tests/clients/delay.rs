//! Delay levels: order, time, restart.

use crate::kit::{Kit, Message};

fn levels(text: &str) -> impl FnOnce(&mut broker::Settings) {
    let text = text.to_owned();
    move |settings| settings.store.message_delay_level = text
}

fn level(number: i32) -> String {
    format!("DELAY\u{1}{number}\u{2}TAGS\u{1}a\u{2}")
}

fn bodies(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(|message| message.body.as_str()).collect()
}

#[tokio::test]
async fn delayed_messages_come_in_time_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start_with(dir.path(), levels("1s 2s")).await;
    let a = kit.client();
    a.send("T", 1, "two seconds", &level(2)).await;
    for number in 0..40 {
        a.send("T", 1, &format!("one second {number}"), &level(1)).await;
    }
    a.send("T", 1, "over the last level", &level(9)).await;
    a.send("T", 1, "now", "").await;
    let messages = a.pull_all("T", 1, 43).await;
    let mut expected = vec!["now".to_owned()];
    expected.extend((0..40).map(|number| format!("one second {number}")));
    expected.extend(["two seconds".to_owned(), "over the last level".to_owned()]);
    assert_eq!(bodies(&messages), expected);

    let parked = a.pull_all("SCHEDULE_TOPIC_XXXX", 0, 40).await;
    for (parked, delivered) in parked.iter().zip(&messages[1..41]) {
        let waited = delivered.store_timestamp - parked.store_timestamp;
        assert!((1_000..3_000).contains(&waited), "{waited} ms");
        assert_eq!(delivered.flag, 7);
        // As Java leaves them.
        assert_eq!(delivered.get("DELAY"), Some("1"));
        assert_eq!(delivered.get("REAL_TOPIC"), Some("T"));
        assert_eq!(delivered.get("REAL_QID"), Some("1"));
        assert_eq!(delivered.get("UNIQ_KEY"), parked.get("UNIQ_KEY"));
    }
    assert_eq!(messages[42].get("DELAY"), Some("2"));
    kit.stop().await;
}

#[tokio::test]
async fn a_restart_neither_loses_nor_repeats() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start_with(dir.path(), levels("1s 3s")).await;
    let a = kit.client();
    a.send("T", 0, "early", &level(1)).await;
    a.send("T", 0, "late", &level(2)).await;
    assert_eq!(bodies(&a.pull_all("T", 0, 1).await), ["early"]);
    kit.stop().await;
    let text = std::fs::read_to_string(dir.path().join("config/delayOffset.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["offsetTable"], serde_json::json!({"1": 1, "2": 0}));

    let kit = Kit::start_with(dir.path(), levels("1s 3s")).await;
    let a = kit.client();
    a.send("T", 0, "next", &level(1)).await;
    let messages = a.pull_all("T", 0, 3).await;
    assert_eq!(messages.iter().filter(|message| message.body == "early").count(), 1);
    assert!(bodies(&messages).contains(&"late") && bodies(&messages).contains(&"next"));
    kit.stop().await;
}
