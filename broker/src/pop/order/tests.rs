//! Ordered pops: what blocks, what moves the offset, what is kept.

use super::*;

const HOUR: i64 = 3_600_000;

fn orders(dir: &tempfile::TempDir) -> Orders {
    Orders::load(dir.path()).unwrap()
}

fn pop<'a>(attempt_id: Option<&'a str>, pop_time: i64, offsets: &'a [i64]) -> OrderedPop<'a> {
    OrderedPop { attempt_id, pop_time, invisible_time: 100, offsets }
}

#[test]
fn a_queue_is_blocked_until_all_is_acknowledged_or_visible() {
    let dir = tempfile::tempdir().unwrap();
    let orders = orders(&dir);
    let blocked = |now| orders.blocked(None, "T", "G", 0, 100, now);
    assert!(!blocked(0));
    let consumed = orders.record("T", "G", 0, &pop(None, 1000, &[7, 8, 10]), 1000);
    assert_eq!(consumed, Consumed { times: BTreeMap::new(), least: 0 });
    assert!(blocked(1099) && !blocked(1100) && !orders.blocked(None, "T", "G", 1, 100, 1000));
    assert_eq!(orders.ack("T", "G", 0, 8, 1000), OrderedAck::Commit(7));
    assert_eq!(orders.ack("T", "G", 0, 7, 1000), OrderedAck::Commit(10));
    assert_eq!(orders.ack("T", "G", 0, 9, 1000), OrderedAck::Unknown);
    assert_eq!(orders.ack("T", "G", 0, 10, 999), OrderedAck::Stale);
    assert!(orders.change("T", "G", 0, 10, 1000, 5000) && !orders.change("T", "G", 0, 10, 1, 9));
    assert!(blocked(4999) && !blocked(5000));
    assert_eq!(orders.free_at("T", "G", 0, 1000), Some(5000));
    assert_eq!(orders.ack("T", "G", 0, 10, 1000), OrderedAck::Commit(11));
    assert!(!blocked(1000));
    assert_eq!(orders.free_at("T", "G", 0, 1000), Some(1000));
    assert_eq!(orders.ack("T", "other", 0, 5, 1), OrderedAck::Commit(6));
}

#[test]
fn the_same_attempt_is_not_blocked_by_itself_and_counts_once() {
    let dir = tempfile::tempdir().unwrap();
    let orders = orders(&dir);
    orders.record("T", "G", 0, &pop(Some("a"), 1000, &[1, 2]), 1000);
    assert!(!orders.blocked(Some("a"), "T", "G", 0, 100, 1001));
    assert!(orders.blocked(Some("b"), "T", "G", 0, 100, 1001));
    let same = orders.record("T", "G", 0, &pop(Some("a"), 1001, &[1, 2]), 1001);
    assert_eq!((same.times.len(), same.least), (0, 0));
    let again = orders.record("T", "G", 0, &pop(Some("b"), 2000, &[1, 2, 3]), 2000);
    assert_eq!(again.times, BTreeMap::from([(1, 1), (2, 1)]));
    assert_eq!(again.least, 0, "3 is new");
    let third = orders.record("T", "G", 0, &pop(None, 3000, &[1, 2]), 3000);
    assert_eq!((third.times[&1], third.least), (2, 2));
}

#[test]
fn an_invisible_time_that_is_not_known_is_that_of_the_next_pop() {
    let mut info: OrderInfo = serde_json::from_str(r#"{"o":[5],"popTime":1000}"#).unwrap();
    assert_eq!(info.free_at(1000), None);
    assert!(info.blocks(None, 50, 1049) && !info.blocks(None, 7, 1050));
}

#[test]
fn the_file_is_javas_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config").join(FILE_NAME);
    std::fs::create_dir(dir.path().join("config")).unwrap();
    let java = "{\n\t\"table\":{\"T@G\":{0:{\"a\":\"attempt-1\",\
        \"cm\":1,\"i\":60000,\"l\":1700000000000,\"o\":[100,1,2],\
        \"oc\":{101:1},\"ot\":{101:1700000060000},\"popTime\":1700000000000}}}}";
    std::fs::write(&path, java).unwrap();
    let orders = orders(&dir);
    assert_eq!(orders.ack("T", "G", 0, 102, 1_700_000_000_000), OrderedAck::Commit(101));
    orders.persist().unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let info = &json["table"]["T@G"]["0"];
    assert_eq!(info["cm"], 5);
    let names: Vec<&str> =
        ["\"a\"", "\"cm\"", "\"i\"", "\"l\"", "\"o\"", "\"oc\"", "\"ot\"", "\"popTime\""].into();
    let places: Vec<_> = names.iter().map(|name| text.find(*name).unwrap()).collect();
    assert!(places.is_sorted(), "{text}");
    let again = Orders::load(dir.path()).unwrap();
    assert_eq!(again.ack("T", "G", 0, 101, 1_700_000_000_000), OrderedAck::Commit(103));
}

#[test]
fn a_damaged_file_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("config")).unwrap();
    let path = dir.path().join("config").join(FILE_NAME);
    for text in ["{\"table\":{\"T@G\":{0:", "[]", "{\"offsetTable\":{}}"] {
        std::fs::write(&path, text).unwrap();
        assert!(Orders::load(dir.path()).is_err(), "{text}");
    }
}

#[test]
fn what_nobody_needs_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let orders = orders(&dir);
    for (topic, queue_id) in [("T", 0), ("T", 3), ("gone", 0)] {
        orders.record(topic, "G", queue_id, &pop(None, 1000, &[1]), 1000);
    }
    orders.record("T", "new", 0, &pop(None, 1000, &[1]), 30 * HOUR);
    let queues = |topic: &str, _: &str| (topic == "T").then_some(2);
    orders.tidy(1000 + 24 * HOUR, queues);
    assert!(orders.free_at("T", "G", 0, 0).is_some());
    assert!(
        orders.free_at("T", "G", 3, 0).is_none() && orders.free_at("gone", "G", 0, 0).is_none()
    );
    orders.tidy(1001 + 24 * HOUR, queues);
    assert!(orders.free_at("T", "G", 0, 0).is_none() && orders.free_at("T", "new", 0, 0).is_some());
    orders.clear("T", "new", 0);
    assert!(!orders.blocked(None, "T", "new", 0, 100, 1000));
}

/// A deterministic random walk: a consumer in order sees every message, in order, each at least
/// once, and nothing while the one before it is open.
#[test]
fn order_survives_random_consumers() {
    let mut seed = 1_u64;
    let mut random = |end: i64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((seed >> 33) as i64) % end
    };
    let dir = tempfile::tempdir().unwrap();
    let mut orders = orders(&dir);
    let (mut now, mut committed, mut acked_until) = (1000, 0, 0);
    let mut held: Vec<(i64, i64)> = Vec::new();
    for _ in 0..20_000 {
        now += 1 + random(30);
        match random(10) {
            0..3 if !orders.blocked(None, "T", "G", 0, 100, now) => {
                assert!(committed == acked_until, "goes on at the first open message");
                let offsets: Vec<i64> = (committed..committed + 1 + random(4)).collect();
                orders.record("T", "G", 0, &pop(None, now, &offsets), now);
                held = offsets.iter().map(|offset| (*offset, now)).collect();
            }
            3..8 if !held.is_empty() => {
                let (offset, pop_time) = held.remove(random(held.len() as i64) as usize);
                match orders.ack("T", "G", 0, offset, pop_time) {
                    OrderedAck::Commit(next) => {
                        assert!(next >= committed, "never back");
                        let open = held.iter().map(|(offset, _)| *offset).min();
                        assert_eq!(next, open.unwrap_or(next), "the first that is open");
                        (committed, acked_until) = (next, next);
                    }
                    other => assert_eq!(other, OrderedAck::Stale),
                }
            }
            8 if !held.is_empty() => {
                let (offset, pop_time) = held[0];
                orders.change("T", "G", 0, offset, pop_time, now + 200);
                assert!(orders.blocked(None, "T", "G", 0, 100, now + 199));
            }
            9 if random(20) == 0 => {
                orders.persist().unwrap();
                orders = Orders::load(dir.path()).unwrap();
            }
            _ => {}
        }
    }
    assert!(committed > 1000, "{committed}");
}
