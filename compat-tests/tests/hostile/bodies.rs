//! Bodies that cannot be read: JSON of any depth, batches, bombs in compressed registrations.

use remoting::protocol::body::RegisterBrokerBody;
use remoting::protocol::code::RequestCode as Code;
use remoting::protocol::message::compression::Compression;
use remoting::protocol::message::record::body_crc;

use crate::kit::{Noise, Raw, Servers, TOPIC, pull_fields, send_fields, with};

fn unreadable() -> Vec<Vec<u8>> {
    let mut bodies: Vec<Vec<u8>> = vec![
        b"{".to_vec(),
        b"[]".to_vec(),
        b"7".to_vec(),
        b"\"text\"".to_vec(),
        b"{\"a\":\"\xff\xfe\"}".to_vec(),
        b"{'a':".to_vec(),
        "[".repeat(100_000).into_bytes(),
        "{\"a\":".repeat(100_000).into_bytes(),
        "{{".repeat(100_000).into_bytes(),
        format!("{{\"clientID\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000)).into_bytes(),
    ];
    bodies.extend((1..20).map(|seed| Noise::of(seed).bytes(seed as usize * 40)));
    bodies
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unreadable_json_is_answered_with_an_error() {
    let servers = Servers::start().await;
    let mut raw = Raw::connect(&servers.broker).await;
    let mistyped = b"{\"consumerDataSet\":7,\"subscriptionData\":7,\"mqSet\":7,\
        \"groupConfigList\":7,\"topicConfigList\":7}";
    for body in unreadable().into_iter().chain([mistyped.to_vec()]) {
        for code in [
            Code::HeartBeat,
            Code::CheckClientConfig,
            Code::LockBatchMq,
            Code::UnlockBatchMq,
            Code::UpdateAndCreateTopicList,
            Code::UpdateAndCreateSubscriptiongroupList,
        ] {
            let answer = raw.call(code.into(), &[], &body).await;
            let shown = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
            let remark = answer.remark().unwrap_or_default().to_owned();
            assert!(answer.code() == 1 && !remark.is_empty(), "{code:?} {shown}: {remark}");
            assert!(remark.len() < 1_000, "{code:?} {shown}: {} bytes", remark.len());
        }
    }
    raw.lives().await;
    servers.stop().await;
}

/// One message of a batch, with any lengths.
fn part(size: i32, body_len: i32, body: &[u8], properties_len: i16, properties: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in [size, 0, 0, 0, body_len] {
        bytes.extend(number.to_be_bytes());
    }
    bytes.extend(body);
    bytes.extend(properties_len.to_be_bytes());
    bytes.extend(properties);
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_are_stored_whole_or_not_at_all() {
    let servers = Servers::start().await;
    servers.fill(1).await;
    let mut raw = Raw::connect(&servers.broker).await;
    let good = part(24, 2, b"ab", 0, b"");
    let mut bodies = vec![vec![0; 3], vec![0; 20], vec![0xff; 64], good[..23].to_vec()];
    // The size of a part is nothing anybody reads, as in Java; the lengths in it are.
    for len in [-1, 1, 3, i32::MAX, i32::MIN] {
        bodies.push(part(24, len, b"ab", 0, b""));
    }
    for len in [-1, 1, i16::MAX, i16::MIN] {
        bodies.push(part(24, 2, b"ab", len, b""));
    }
    bodies.push(part(26, 2, b"ab", 2, b"\xff\xfe"));
    bodies.extend((1..20).map(|seed| Noise::of(seed).bytes(seed as usize * 30)));
    for body in bodies {
        // Sound messages before the damage must not be stored either.
        for body in [[&good, &good, &body[..]].concat(), body] {
            for code in [Code::SendMessage, Code::SendBatchMessage] {
                let mut fields = with(&send_fields(TOPIC, "0"), "batch", "true");
                if code == Code::SendBatchMessage {
                    for (field, short) in fields.iter_mut().zip("abcdefghijkm".split("").skip(1)) {
                        field.0 = short;
                    }
                }
                let answer = raw.call(code.into(), &fields, &body).await;
                assert!([1, 13].contains(&answer.code()), "{body:?}: {:?}", answer.remark());
            }
        }
    }
    let queue = [("topic", TOPIC), ("queueId", "0")];
    let end = servers.ask(Code::GetMaxOffset, &queue, b"").await;
    assert_eq!(end.field("offset"), Some("1"));
    raw.lives().await;
    servers.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compressed_bodies_are_stored_as_they_are() {
    let servers = Servers::start().await;
    let bomb = Compression::Zlib.deflate(&vec![0; 8 << 20], 9).unwrap();
    for (n, sys_flag) in ["1", "257", "513", "769", "1793", "-1"].into_iter().enumerate() {
        let fields = with(&send_fields(TOPIC, "0"), "sysFlag", sys_flag);
        let answer = servers.ask(Code::SendMessage, &fields, &bomb).await;
        // Whoever asks for the body unpacks it; the broker never does. A flag with all bits is
        // one of a transaction, an inner batch and other things that are refused.
        let stored = answer.code() == 0;
        assert!(stored || sys_flag == "-1", "{n} {sys_flag}: {:?}", answer.remark());
    }
    let pulled = servers.ask(Code::PullMessage, &pull_fields("g", TOPIC), b"").await;
    assert!(pulled.code() == 0 && pulled.body().len() > bomb.len());
    servers.stop().await;
}

/// Registers a broker of a name with a body.
async fn register(raw: &mut Raw, name: &str, compressed: &str, body: &[u8]) -> (i32, String) {
    let crc = body_crc(body).to_string();
    let fields = [
        ("brokerName", name),
        ("brokerAddr", "127.0.0.1:1"),
        ("clusterName", "c"),
        ("haServerAddr", "127.0.0.1:2"),
        ("brokerId", "0"),
        ("compressed", compressed),
        ("bodyCrc32", &crc),
    ];
    let answer = raw.call(Code::RegisterBroker.into(), &fields, body).await;
    (answer.code(), answer.remark().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registrations_that_cannot_be_read_change_nothing() {
    let servers = Servers::start().await;
    let mut raw = Raw::connect(&servers.namesrv).await;
    let deflate = |bytes: &[u8]| Compression::Zlib.deflate(bytes, 9).unwrap();
    let counted = |count: u32| [&2_u32.to_be_bytes()[..], b"{}", &count.to_be_bytes()].concat();
    let mut bodies = unreadable();
    bodies.extend([
        // 200 MB of nothing in 200 KB.
        deflate(&vec![0; 200 << 20]),
        // A bomb in a bomb.
        deflate(&deflate(&vec![0; 200 << 20])),
        deflate(&counted(u32::MAX)),
        deflate(&counted(i32::MAX as u32)),
        deflate(&[0x7f; 64]),
        deflate(b""),
        deflate(&"[".repeat(100_000).into_bytes()),
        deflate(b"{}")[..5].to_vec(),
    ]);
    let sound = RegisterBrokerBody::default().encode_compressed().unwrap();
    bodies.extend((0..sound.len()).step_by(5).map(|cut| sound[..cut].to_vec()));
    for body in bodies.iter().filter(|body| !body.is_empty()) {
        for compressed in ["true", "false"] {
            let (code, remark) = register(&mut raw, "bad", compressed, body).await;
            assert_eq!(code, 1, "{:?}: {remark}", &body[..body.len().min(40)]);
            assert!(!remark.is_empty() && remark.len() < 1_000, "{} bytes", remark.len());
        }
    }
    let clusters = raw.call(Code::GetBrokerClusterInfo.into(), &[], b"").await;
    let text = String::from_utf8(clusters.body().to_vec()).unwrap();
    assert!(!text.contains("bad"), "{text}");
    raw.lives().await;
    servers.stop().await;
}
