//! Names of light queues that lead out of the store, or are none.

use remoting::protocol::code::RequestCode as Code;

use crate::kit::{Raw, Servers, TOPIC, send_fields, with};

/// Part of every name here that may become no file.
const MARK: &str = "evil";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_of_light_queues_with_separators() {
    let servers = Servers::start_with(|settings| {
        settings.store.enable_lmq = true;
        settings.store.enable_multi_dispatch = true;
    })
    .await;
    servers.fill(1).await;
    let outside = std::fs::read_dir(servers.outer()).unwrap().count();
    let mut raw = Raw::connect(&servers.broker).await;
    let long = format!("%LMQ%evil{}", "x".repeat(300));
    let many = "%LMQ%evil/x,".repeat(2_000);
    for names in [
        "../evil",
        "/tmp/evil",
        "evil",
        "%LMQ%/evil",
        "%LMQ%../evil",
        "%LMQ%../../evil",
        "%LMQ%/../../../evil",
        "%LMQ%evil/../../evil",
        "%LMQ%evil\0",
        ",",
        ",,,,%LMQ%/evil,,",
        "%LMQ%/evil,../evil,evil",
        &long,
        &many,
    ] {
        let properties = format!("INNER_MULTI_DISPATCH\u{1}{names}\u{2}");
        let fields = with(&send_fields(TOPIC, "0"), "properties", &properties);
        let answer = raw.call(Code::SendMessage.into(), &fields, b"x").await;
        assert!([0, 13].contains(&answer.code()), "{names:?}: {:?}", answer.remark());
        servers.answer_others().await;
    }
    for topic in ["%LMQ%/evil", "%LMQ%../evil", "%LMQ%evil/../../evil", "%LMQ%evil\0", &long] {
        let answer = raw.call(Code::SendMessage.into(), &send_fields(topic, "0"), b"x").await;
        assert_ne!(answer.code(), 0, "{topic:?}");
        let answer = raw.call(Code::PullMessage.into(), &pull(topic), b"").await;
        assert_ne!(answer.code(), 0, "{topic:?}: there is nothing to pull");
    }
    // A good name still has its queue.
    let properties = "INNER_MULTI_DISPATCH\u{1}%LMQ%good\u{2}";
    let fields = with(&send_fields(TOPIC, "0"), "properties", properties);
    assert_eq!(raw.call(Code::SendMessage.into(), &fields, b"light").await.code(), 0);
    let answer = raw.call(Code::PullMessage.into(), &pull("%LMQ%good"), b"").await;
    assert_eq!((answer.code(), answer.field("maxOffset")), (0, Some("1")));
    assert_eq!(std::fs::read_dir(servers.outer()).unwrap().count(), outside);
    let outer = servers.stop().await;
    no_file_is_called(outer.path(), MARK);
}

fn pull(topic: &str) -> Vec<(&str, &str)> {
    crate::kit::pull_fields("g", topic)
}

fn no_file_is_called(directory: &std::path::Path, mark: &str) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        assert!(!path.file_name().unwrap().to_string_lossy().contains(mark), "{path:?}");
        if path.is_dir() {
            no_file_is_called(&path, mark);
        }
    }
}
