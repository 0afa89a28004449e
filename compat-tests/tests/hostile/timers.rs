//! Times that are none, or lie beyond every bound, and handles somebody made up.

use remoting::protocol::code::{RequestCode as Code, ResponseCode};
use remoting::protocol::message::recall::RecallHandle;
use runtime::clock::now_ms;

use crate::kit::{Raw, Servers, TOPIC, send_fields, with};

const DAY_MS: i64 = 86_400_000;

fn property(name: &str, value: &str) -> String {
    format!("{name}\u{1}{value}\u{2}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn times_beyond_every_bound() {
    let servers = Servers::start().await;
    servers.fill(1).await;
    let mut raw = Raw::connect(&servers.broker).await;
    let before = servers.state().await;
    let long = "9".repeat(20_000);
    // The year 300,000,000, which is beyond 64 bits, and one within.
    let year = "9467085600000000000";
    let numbers = ["x", "1.5", " 1", "0x10", "9223372036854775808", "9223372036854775807"];
    for name in ["TIMER_DELIVER_MS", "TIMER_DELAY_MS", "TIMER_DELAY_SEC"] {
        for value in numbers.into_iter().chain([year, "9000000000000000000", long.as_str()]) {
            let properties = property(name, value);
            let fields = with(&send_fields(TOPIC, "0"), "properties", &properties);
            raw.refused(ResponseCode::MessageIllegal, Code::SendMessage, &fields, b"x").await;
        }
    }
    // No room for what delivery adds: refused now, not lost when it is due.
    let full = property("p", &"x".repeat(32_500))
        + &property("TIMER_DELIVER_MS", &(now_ms() + DAY_MS).to_string());
    let fields = with(&send_fields(TOPIC, "0"), "properties", &full);
    raw.refused(ResponseCode::MessageIllegal, Code::SendMessage, &fields, b"x").await;
    let fields = send_fields("rmq_sys_wheel_timer", "0");
    raw.refused(ResponseCode::NoPermission, Code::SendMessage, &fields, b"x").await;
    assert_eq!(servers.state().await, before);

    // Whatever the past may be called: delivered at once, nothing is stopped.
    for (name, value) in [
        ("TIMER_DELIVER_MS", "-9223372036854775808"),
        ("TIMER_DELAY_MS", "-1"),
        ("TIMER_DELAY_SEC", "0"),
        ("TIMER_OUT_MS", "x"),
    ] {
        let properties = property(name, value);
        let fields = with(&send_fields(TOPIC, "0"), "properties", &properties);
        let answer = raw.call(Code::SendMessage.into(), &fields, b"x").await;
        assert_eq!(answer.code(), 0, "{name} {value}: {:?}", answer.remark());
    }
    servers.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handles_that_were_made_up() {
    let servers = Servers::start_with(|settings| settings.live.recall_message_enable = true).await;
    servers.fill(1).await;
    let mut raw = Raw::connect(&servers.broker).await;
    let before = servers.state().await;
    let made = |topic: &str, timestamp: i64, key: &str| {
        let mut text = String::new();
        RecallHandle::append(topic, "DefaultBroker", timestamp, key, &mut text);
        text
    };
    let soon = now_ms() + 60_000;
    let handles = [
        String::new(),
        "=".repeat(1000),
        "A".repeat(1 << 20),
        "\u{0}\u{1}\u{2}".to_owned(),
        made(TOPIC, i64::MIN, "k"),
        made(TOPIC, i64::MAX, "k"),
        made(TOPIC, soon, "k\u{2}DELAY\u{1}1"),
        made("Other", soon, "k"),
    ];
    for handle in &handles {
        let fields = [("producerGroup", "p"), ("topic", TOPIC), ("recallHandle", handle.as_str())];
        let answer = raw.call(Code::RecallMessage.into(), &fields, b"").await;
        assert_ne!(answer.code(), 0, "{:?}", handle.get(..40));
    }
    assert_eq!(servers.state().await, before);
    servers.stop().await;
}
