//! Delivery against a real store.

use std::time::Duration;

use std::net::SocketAddr;

use store::{QueueKind, StoreConfig};
use tokio::sync::mpsc;

use super::*;

const LONG: Duration = Duration::from_secs(20);

struct Bench {
    store: Arc<MessageStore>,
    schedule: Arc<Schedule>,
    arrivals: mpsc::UnboundedReceiver<(String, i64)>,
}

fn open(root: &Path, levels: &str) -> Bench {
    let levels = parse_levels(levels).unwrap();
    let schedule = Arc::new(Schedule::load(root, levels, 200).unwrap());
    let (arrived, arrivals) = mpsc::unbounded_channel();
    let parked = Arc::clone(&schedule);
    let config = StoreConfig {
        store_path_root_dir: root.to_str().unwrap().to_owned(),
        mapped_file_size_commit_log: 1 << 20,
        message_delay_level: "1s 1h".to_owned(),
        ..StoreConfig::default()
    };
    let store = MessageStore::open(
        config,
        Box::new(|_| QueueKind::Simple),
        Box::new(move |arrival| {
            if arrival.topic == SCHEDULE_TOPIC {
                parked.arrived(arrival);
            } else {
                // The test may have ended.
                let _ = arrived.send((arrival.topic.to_owned(), arrival.store_timestamp));
            }
        }),
    );
    Bench { store: Arc::new(store.unwrap()), schedule, arrivals }
}

impl Bench {
    fn park(&self, level: i32, properties: &str) {
        let here = SocketAddr::from(([127, 0, 0, 1], 10911));
        let properties = format!("DELAY\u{1}{level}\u{2}{properties}");
        let message = NewMessage {
            topic: SCHEDULE_TOPIC,
            queue_id: level - 1,
            flag: 0,
            sys_flag: 0,
            born_timestamp: 0,
            born_host: here,
            store_host: here,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: b"x",
            properties: &properties,
        };
        self.store.put(&message).unwrap();
    }

    /// Runs the delivery until a message arrived in a topic.
    async fn run_until_arrival(&mut self) -> (String, i64) {
        let stop = Stop::new();
        let run =
            Arc::clone(&self.schedule).run(Arc::clone(&self.store), |_, _, _| (), stop.clone());
        tokio::select! {
            () = run => panic!("it ended by itself"),
            arrival = tokio::time::timeout(LONG, self.arrivals.recv()) => arrival.unwrap().unwrap(),
        }
    }
}

fn to(topic: &str) -> String {
    format!("REAL_TOPIC\u{1}{topic}\u{2}REAL_QID\u{1}0\u{2}")
}

#[tokio::test]
async fn what_has_no_destination_holds_nothing_up() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = open(dir.path(), "1s 1h");
    bench.park(1, "");
    bench.park(1, &to(HALF_TOPIC));
    bench.park(1, "REAL_TOPIC\u{1}T\u{2}REAL_QID\u{1}none\u{2}");
    bench.park(1, &to("T"));
    let begun = now_ms();
    let (topic, stored) = bench.run_until_arrival().await;
    assert_eq!(topic, "T");
    assert!(stored >= begun + 900, "not early");
    assert_eq!(bench.store.max_offset(HALF_TOPIC, 0), 0);
    assert_eq!(bench.store.max_offset("T", 0), 1);
}

#[tokio::test]
async fn the_clock_may_be_set_back() {
    let dir = tempfile::tempdir().unwrap();
    // For the store the second level is an hour; the schedule takes it for a second, so that
    // the message seems due later than its level allows.
    let mut bench = open(dir.path(), "1s 1s");
    bench.park(2, &to("T"));
    assert_eq!(bench.run_until_arrival().await.0, "T");
    // Also when the level had been looked at before.
    bench.park(2, &to("U"));
    assert_eq!(bench.run_until_arrival().await.0, "U");
}

#[tokio::test]
async fn progress_of_another_store_is_moved_into_the_queue() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("config")).unwrap();
    let path = dir.path().join("config/delayOffset.json");
    std::fs::write(&path, "{\"offsetTable\":{1:77}}").unwrap();
    let mut bench = open(dir.path(), "1s 1h");
    bench.schedule.clamp(&bench.store);
    bench.park(1, &to("T"));
    assert_eq!(bench.run_until_arrival().await.0, "T");
}

#[test]
fn levels_that_are_no_delays_are_named() {
    for (text, part) in [("1s 5x", "5x"), ("s", "s"), ("", "")] {
        let error = parse_levels(text).unwrap_err();
        assert!(error.to_string().contains(&format!("`{part}`")), "{error}");
    }
    assert_eq!(parse_levels("1s 2h").unwrap().max(), 2);
}

#[tokio::test]
async fn nothing_is_lost_without_a_clean_stop() {
    let dir = tempfile::tempdir().unwrap();
    {
        let mut bench = open(dir.path(), "1s 1h");
        bench.park(1, &to("T"));
        assert_eq!(bench.run_until_arrival().await.0, "T");
        bench.schedule.persist_when_durable(0, &bench.store).unwrap();
        bench.park(1, &to("U"));
        bench.park(2, &to("V"));
    }
    let mut bench = open(dir.path(), "1s 1h");
    let mut came = Vec::new();
    while came.last().is_none_or(|topic| topic != "U") {
        came.push(bench.run_until_arrival().await.0);
    }
    // The flush had not come as far as the first copy: it may be made again, once.
    assert!(came == ["U"] || came == ["T", "U"], "{came:?}");
    assert_eq!(bench.store.max_offset("V", 0), 0, "not early");
}
