//! Replies to nobody, and batches that say of themselves what is not so.

use remoting::protocol::body::{Body, HeartbeatData, ProducerData};
use remoting::protocol::code::RequestCode as Code;

use crate::kit::{BOUND, Noise, Raw, Servers, TOPIC, send_fields, with};

const REPLIES: &str = "DefaultCluster_REPLY_TOPIC";

fn reply_to(client_id: &str, more: &str) -> String {
    format!("CORRELATION_ID\u{1}c\u{2}REPLY_TO_CLIENT\u{1}{client_id}\u{2}{more}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_to_clients_that_are_gone_or_were_never_there() {
    let servers = Servers::start().await;
    let hello = HeartbeatData {
        client_id: "gone".to_owned(),
        producer_data_set: vec![ProducerData { group_name: "p".to_owned() }],
        ..HeartbeatData::default()
    };
    let mut requester = Raw::connect(&servers.broker).await;
    let answer = requester.call(Code::HeartBeat.into(), &[], &hello.encode()).await;
    assert_eq!(answer.code(), 0);
    drop(requester);
    let mut raw = Raw::connect(&servers.broker).await;
    let long = "x".repeat(30_000);
    let wide = format!("wide\u{1}{}\u{2}", "v".repeat(200_000));
    let pairs = "a\u{1}b\u{2}".repeat(20_000);
    for (to, more) in [
        ("gone", ""),
        ("nobody", ""),
        ("", ""),
        ("../../etc", ""),
        ("a\0b", ""),
        (&long, ""),
        ("gone", &wide),
        ("gone", &pairs),
        ("gone", "DELAY\u{1}x\u{2}"),
        ("gone", "TIMER_DELIVER_MS\u{1}9223372036854775807\u{2}"),
        ("gone", "INNER_NUM\u{1}32767\u{2}"),
        ("gone", "TRAN_MSG\u{1}true\u{2}"),
    ] {
        let properties = reply_to(to, more);
        let fields = with(&send_fields(REPLIES, "0"), "properties", &properties);
        let begun = std::time::Instant::now();
        let answer = raw.call(Code::SendReplyMessage.into(), &fields, b"reply").await;
        // The connection may close under the question, which nobody answers then.
        assert!(begun.elapsed() < BOUND, "{to:.20} {more:.20}");
        assert_eq!(answer.code(), 1, "{to:.20} {more:.20}");
        let remark = answer.remark().unwrap_or_default();
        assert!(remark.contains("reply message"), "{to:.20} {more:.20}: {remark:.80}");
    }
    for seed in 1..20 {
        let noise = String::from_utf8_lossy(&Noise::of(seed).bytes(300)).into_owned();
        let fields = with(&send_fields(REPLIES, "0"), "properties", &noise);
        assert_eq!(raw.call(Code::SendReplyMessage.into(), &fields, b"x").await.code(), 1);
    }
    raw.lives().await;
    servers.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_that_are_not_what_they_say() {
    let servers = Servers::start().await;
    servers.fill(1).await;
    let topic = [
        ("topic", "Batches"),
        ("defaultTopic", "TBW102"),
        ("readQueueNums", "1"),
        ("writeQueueNums", "1"),
        ("perm", "6"),
        ("topicFilterType", "SINGLE_TAG"),
        ("topicSysFlag", "0"),
        ("order", "false"),
        ("attributes", "+queue.type=BatchCQ"),
    ];
    assert_eq!(servers.ask(Code::UpdateAndCreateTopic, &topic, b"").await.code(), 0);
    let mut raw = Raw::connect(&servers.broker).await;
    for number in ["0", "-1", "2", "32767", "32768", "99999999999999999999", "x", "1e3"] {
        for (name, flag, batch) in [
            ("Batches", "192", "false"),
            ("Batches", "128", "false"),
            ("Batches", "192", "true"),
            ("Batches", "0", "false"),
            (TOPIC, "192", "false"),
            (TOPIC, "192", "true"),
        ] {
            let properties = format!("INNER_NUM\u{1}{number}\u{2}INNER_BASE\u{1}{number}\u{2}");
            let fields = with(&send_fields(name, "0"), "properties", &properties);
            let fields = with(&with(&fields, "sysFlag", flag), "batch", batch);
            let answer = raw.call(Code::SendMessage.into(), &fields, b"no batch at all").await;
            assert!([1, 13].contains(&answer.code()), "{number} {name} {flag} {batch}");
        }
    }
    for (topic, end) in [("Batches", "0"), (TOPIC, "1")] {
        let queue = [("topic", topic), ("queueId", "0")];
        let answer = servers.ask(Code::GetMaxOffset, &queue, b"").await;
        assert_eq!(answer.field("offset"), Some(end), "{topic}");
    }
    raw.lives().await;
    servers.stop().await;
}
