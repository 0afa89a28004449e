//! Who is called by what, and who is not.

use std::time::Duration;

use remoting::protocol::message::hash::java_string_hash;

use super::*;
use crate::filter::TagFilter;

fn arrival<'a>(topic: &'a str, queue_id: i32, tag: &str) -> Arrival<'a> {
    let tags_code = i64::from(java_string_hash(tag));
    Arrival { topic, queue_id, queue_offset: 0, tags_code, store_timestamp: 0, properties: b"" }
}

async fn woken(waiter: &Waiter) -> bool {
    tokio::time::timeout(Duration::ZERO, waiter.woken()).await.is_ok()
}

#[tokio::test]
async fn wakes_only_the_queue_and_the_tag() {
    let arrivals = Arc::new(Arrivals::default());
    let tagged = Filter::Tags(TagFilter::parse(Some("a")).unwrap());
    let a = arrivals.subscribe("T", 1, tagged).unwrap();
    let all = arrivals.subscribe("T", 1, Filter::ALL).unwrap();
    let other_queue = arrivals.subscribe("T", 2, Filter::ALL).unwrap();
    let other_topic = arrivals.subscribe("U", 1, Filter::ALL).unwrap();

    arrivals.arrived(&arrival("T", 1, "b"));
    assert!(!woken(&a).await);
    assert!(woken(&all).await);
    arrivals.arrived(&arrival("T", 1, "a"));
    assert!(woken(&a).await);
    assert!(!woken(&other_queue).await);
    assert!(!woken(&other_topic).await);
}

#[tokio::test]
async fn an_expression_is_woken_by_what_satisfies_it() {
    let arrivals = Arc::new(Arrivals::default());
    let filter = Filter::parse(Some("SQL92"), Some("a > 1")).unwrap();
    let waiter = arrivals.subscribe("T", 0, filter).unwrap();
    for (properties, expected) in [("a\u{1}1\u{2}", false), ("", false), ("a\u{1}2\u{2}", true)] {
        let bytes = properties.as_bytes();
        arrivals.arrived(&Arrival { properties: bytes, ..arrival("T", 0, "") });
        assert_eq!(woken(&waiter).await, expected, "{properties:?}");
    }
}

#[tokio::test]
async fn an_arrival_before_the_wait_is_not_lost() {
    let arrivals = Arc::new(Arrivals::default());
    let waiter = arrivals.subscribe("T", 0, Filter::ALL).unwrap();
    arrivals.arrived(&arrival("T", 0, ""));
    assert!(woken(&waiter).await);
    assert!(!woken(&waiter).await);
}

#[tokio::test]
async fn a_dropped_waiter_leaves_its_list() {
    let arrivals = Arc::new(Arrivals::default());
    let waiter = arrivals.subscribe("T", 0, Filter::ALL).unwrap();
    assert_eq!(arrivals.waiting(), 1);
    drop(waiter);
    assert_eq!(arrivals.waiting(), 0);
    assert!(arrivals.topics.get("T").unwrap().lock().is_empty());
    arrivals.tidy();
    assert!(arrivals.topics.is_empty());
}

#[tokio::test]
async fn close_wakes_everyone_and_refuses_the_next() {
    let arrivals = Arc::new(Arrivals::default());
    let waiter = arrivals.subscribe("T", 0, Filter::ALL).unwrap();
    arrivals.close();
    assert!(woken(&waiter).await);
    assert!(arrivals.subscribe("T", 0, Filter::ALL).is_none());
    drop(waiter);
    assert_eq!(arrivals.waiting(), 0);
}

fn line<'a>(topic: &'a str, group: &'a str, queue_id: i32) -> Line<'a> {
    Line { purpose: Purpose::Pop, group, topic, queue_id }
}

fn stand(arrivals: &Arc<Arrivals>, line: Line<'_>) -> Waiter {
    arrivals.line_up(&line, &["%RETRY%g_T".to_owned()], Filter::ALL, 9).unwrap()
}

#[tokio::test]
async fn those_in_a_line_take_turns() {
    let arrivals = Arc::new(Arrivals::default());
    let (first, second) =
        (stand(&arrivals, line("T", "g", ANY_QUEUE)), stand(&arrivals, line("T", "g", ANY_QUEUE)));
    let of_queue = stand(&arrivals, line("T", "g", 3));
    let of_other_group = stand(&arrivals, line("T", "h", ANY_QUEUE));
    let notice = Line { purpose: Purpose::Notice, ..line("T", "g", ANY_QUEUE) };
    let noticed = stand(&arrivals, notice);
    let pull = arrivals.subscribe("T", 3, Filter::ALL).unwrap();

    arrivals.arrived(&arrival("T", 3, ""));
    assert!(woken(&first).await && !woken(&second).await);
    for other in [&of_queue, &of_other_group, &noticed, &pull] {
        assert!(woken(other).await);
    }
    // The first has not looked yet, so it is the turn of the second.
    arrivals.arrived(&arrival("T", 0, ""));
    assert!(!woken(&first).await && woken(&second).await && !woken(&of_queue).await);
    first.looks_again();
    arrivals.arrived(&arrival("%RETRY%g_T", 0, ""));
    assert!(woken(&first).await && !woken(&second).await);
    assert_eq!(arrivals.line_len(&line("T", "g", ANY_QUEUE)), 2);
    assert_eq!(arrivals.line_len(&notice), 1);
    assert_eq!((arrivals.in_line(Purpose::Pop), arrivals.in_line(Purpose::Notice)), (4, 1));
}

#[tokio::test]
async fn who_leaves_passes_the_call_on() {
    let arrivals = Arc::new(Arrivals::default());
    let line = line("T", "g", ANY_QUEUE);
    let (first, second, third) =
        (stand(&arrivals, line), stand(&arrivals, line), stand(&arrivals, line));
    drop(second);
    arrivals.arrived(&arrival("T", 0, ""));
    assert!(!woken(&third).await);
    drop(first);
    assert!(woken(&third).await);
    third.looks_again();
    assert!(!woken(&third).await);
    arrivals.call_next(&line);
    assert!(woken(&third).await);
    drop(third);
    assert_eq!((arrivals.waiting(), arrivals.in_line(Purpose::Pop)), (0, 0));
    arrivals.tidy();
    assert!(arrivals.topics.is_empty());
}

#[tokio::test]
async fn a_filter_is_overruled_now_and_then() {
    let arrivals = Arc::new(Arrivals::new(10));
    let line = line("T", "g", ANY_QUEUE);
    let tagged = Filter::Tags(TagFilter::parse(Some("a")).unwrap());
    let waiter = arrivals.line_up(&line, &[], tagged, 9).unwrap();
    arrivals.arrived(&Arrival { queue_offset: 9, ..arrival("T", 0, "b") });
    assert!(!woken(&waiter).await);
    arrivals.arrived(&Arrival { queue_offset: 20, ..arrival("T", 0, "b") });
    assert!(woken(&waiter).await);
}

#[tokio::test]
async fn a_line_has_an_end_and_a_stopping_broker_none() {
    let arrivals = Arc::new(Arrivals::default());
    let line = line("T", "g", ANY_QUEUE);
    let refused = |limit| arrivals.line_up(&line, &[], Filter::ALL, limit).err();
    let first = stand(&arrivals, line);
    assert_eq!(refused(1), None);
    assert_eq!(refused(0), Some(NotHeld::Full));
    assert_eq!(arrivals.line_len(&line), 1);
    arrivals.close();
    assert!(woken(&first).await);
    assert_eq!(refused(9), Some(NotHeld::Closed));
}
