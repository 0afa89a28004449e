//! Check points and acknowledgements as Java 5.3.3 wrote them, and what nobody wrote.

use super::*;
use crate::pop::pending::{Entry, Pending};

const POINT: &str = concat!(
    r#"{"bm":0,"bn":"kit-a","c":"GKSy56mk_pop","d":[0,1,2,3,4,5],"it":50000,"n":6,"#,
    r#""pt":1795533703807,"q":0,"reviveTime":1795533753807,"ro":0,"so":0,"t":"KSy56mk_pop"}"#
);
const ACK: &str = concat!(
    r#"{"ao":2,"bn":"kit-a","c":"GKSy56mk_pop","pt":1795533703807,"q":0,"so":0,"#,
    r#""t":"KSy56mk_pop"}"#
);

fn point(json: &str) -> CheckPoint<'_> {
    CheckPoint::decode(json.as_bytes()).unwrap()
}

fn encoded(point: &CheckPoint<'_>) -> String {
    let mut out = Vec::new();
    point.encode(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn what_java_wrote_is_written_again() {
    let decoded = point(POINT);
    assert_eq!(decoded.revive_time(), 1_795_533_753_807);
    assert_eq!(decoded.open().collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
    assert_eq!(encoded(&decoded), POINT);
    let mut key = String::new();
    decoded.write_unique_key(&mut key);
    assert_eq!(key, "KSy56mk_pop@0@0@GKSy56mk_pop@1795533703807@kit-a@ck");

    let ack = Ack::decode(ACK.as_bytes()).unwrap();
    let mut out = Vec::new();
    ack.encode(&mut out);
    assert_eq!(std::str::from_utf8(&out), Ok(ACK));
    ack.write_unique_key(&mut key);
    assert_eq!(key, "KSy56mk_pop@0@2@GKSy56mk_pop@1795533703807@kit-a@ack");
}

#[test]
fn a_batch_has_the_key_of_a_single_ack() {
    let json = r#"{"ao":-1,"aol":[5,6],"bn":"b","c":"G","pt":3,"q":1,"so":5,"t":"T"}"#;
    let batch = BatchAck::decode(json.as_bytes()).unwrap();
    assert_eq!(batch.offsets, [5, 6]);
    let (mut out, mut key) = (Vec::new(), String::new());
    batch.encode(&mut out);
    assert_eq!(std::str::from_utf8(&out), Ok(json));
    batch.ack.write_unique_key(&mut key);
    assert_eq!(key, "T@1@-1@G@3@b@ack");
}

#[test]
fn long_names_of_older_brokers_are_read() {
    let json = r#"{"ackOffset":6,"ackOffsetList":[6],"brokerName":"b","consumerGroup":"G",
        "popTime":3,"queueId":1,"startOffset":5,"topic":"T","later":{"x":[1]}}"#;
    let batch = BatchAck::decode(json.as_bytes()).unwrap();
    assert_eq!((batch.ack.offset, batch.ack.start_offset, batch.ack.queue_id), (6, 5, 1));
    assert_eq!((batch.ack.pop_time, batch.ack.topic.as_ref()), (3, "T"));
    assert_eq!(batch.offsets, [6]);
    // Before 5.1 a check point said nothing of distances, broker and tries.
    let old = point(r#"{"bm":2,"c":"G","it":9,"n":3,"pt":1,"q":1,"ro":7,"so":5,"t":"T"}"#);
    assert_eq!(old.open().collect::<Vec<_>>(), [5, 7]);
    let (mut of_point, mut of_ack) = (String::new(), String::new());
    old.write_merge_key("own", &mut of_point);
    let json = r#"{"ao":6,"bn":" ","c":"G","pt":1,"q":1,"so":5,"t":"T"}"#;
    Ack::decode(json.as_bytes()).unwrap().write_merge_key("own", &mut of_ack);
    assert_eq!(of_point, of_ack);
}

#[test]
fn marks_are_bits_of_an_int() {
    let mut full = CheckPoint { count: 32, differences: Differences::new(), ..point(POINT) };
    for offset in 0..32 {
        assert!(full.ack(offset), "{offset}");
    }
    assert!(full.done() && !full.ack(32) && !full.ack(-1));
    assert!(encoded(&full).starts_with(r#"{"bm":-1,"#));
    full.acked = 1 << 31;
    let json = encoded(&full);
    assert!(json.starts_with(r#"{"bm":-2147483648,"#), "{json}");
    assert_eq!(point(&json), full);
}

#[test]
fn another_try_is_for_one_message_and_later_each_time() {
    let mut tried = CheckPoint { broker_name: None, ..point(POINT) };
    tried.topic = Cow::Borrowed("a\"b\\");
    let now = tried.revive_time();
    let mut pauses = Vec::new();
    for _ in 0..19 {
        let again = tried.for_another_try(3, now.max(tried.revive_time()));
        pauses.push((again.invisible_time - tried.invisible_time) / 1000);
        assert_eq!(again.open().collect::<Vec<_>>(), [3]);
        assert_eq!(point(&encoded(&again)), again);
        tried = again;
    }
    assert_eq!(pauses[..3], [10, 20, 30]);
    assert_eq!(pauses[16..], [7200, 7200, 7200]);
    assert!(encoded(&tried).contains(r#""rp":"19""#));
    assert!(tried.tried_enough());
    let early = point(POINT).for_another_try(3, now - 1);
    assert_eq!(early.invisible_time, 50_000);
}

#[test]
fn what_nobody_wrote_is_refused() {
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let long = format!(r#"{{"t":"{}","c":"G"}}"#, "x".repeat(BODY_LEN_MAX));
    let many = format!(r#"{{"t":"T","c":"G","n":40,"d":[{}0]}}"#, "0,".repeat(39));
    for json in [
        "",
        "null",
        "[]",
        "{",
        "\u{0}",
        r#"{"t":"T"}"#,
        r#"{"c":"G","t":null}"#,
        r#"{"t":"T","c":"G","n":33}"#,
        r#"{"t":"T","c":"G","n":-1}"#,
        r#"{"t":"T","c":"G","n":3,"d":[0,1]}"#,
        r#"{"t":"T","c":"G","n":1e9}"#,
        r#"{"t":"T","c":"G","bm":4294967296}"#,
        r#"{"t":"T","c":"G","d":[null]}"#,
        r#"{"t":"T","c":"G","pt":9223372036854775807,"it":1}"#,
        &deep,
        &long,
        &many,
    ] {
        assert!(CheckPoint::decode(json.as_bytes()).is_err(), "{}", &json[..json.len().min(60)]);
    }
    assert!(CheckPoint::decode(&[0xff, 0xfe, b'{']).is_err());
    assert!(Ack::decode(b"{\"t\":\"T\"}").is_err());
    assert!(BatchAck::decode(b"{\"t\":\"T\",\"c\":\"G\",\"aol\":[\"x\"]}").is_err());
}

#[test]
fn offsets_out_of_range_are_nobodys() {
    let mut wild = point(r#"{"t":"T","c":"G","n":2,"d":[-9,1],"so":3}"#);
    assert_eq!(wild.open().collect::<Vec<_>>(), [4]);
    wild.start_offset = i64::MAX;
    wild.differences = Differences::from_slice(&[i32::MAX, 0]);
    assert_eq!(wild.open().collect::<Vec<_>>(), [i64::MAX]);
    assert!(wild.ack(i64::MAX) && wild.done());
}

/// Bodies with some bytes changed, doubled or cut: whatever decodes can be worked with.
#[test]
fn mangled_bodies_do_no_harm() {
    let mut seed = 7_u64;
    let mut random = |end: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % end
    };
    let mut pending = Pending::new(0, "own");
    let mut decoded = 0;
    for _ in 0..60_000 {
        let mut body = [POINT, ACK][random(2)].as_bytes().to_vec();
        for _ in 0..=random(4) {
            let at = random(body.len());
            match random(4) {
                0 => body[at] = b"-0987654321"[random(11)],
                1 => body[at] = random(256) as u8,
                2 => body.insert(at, body[at]),
                _ => body.truncate(at.max(1)),
            }
        }
        let entry = match CheckPoint::decode(&body) {
            Ok(point) => {
                let mut again = Vec::new();
                point.encode(&mut again);
                assert_eq!(CheckPoint::decode(&again).unwrap(), point);
                Entry::CheckPoint(point)
            }
            Err(_) => BatchAck::decode(&body).map_or(Entry::Foreign, Entry::BatchAck),
        };
        decoded += i32::from(!matches!(entry, Entry::Foreign));
        pending.see(entry, Some(random(1 << 40) as i64));
        pending.mark(i64::MAX, pending.next());
        while let Some((_, point)) = pending.take_due() {
            let _ = point.for_another_try(point.start_offset, 0).open().count();
        }
        assert_eq!(pending.done_until(), pending.next() - 1, "never stuck");
    }
    assert!(decoded > 1000, "{decoded}");
}
