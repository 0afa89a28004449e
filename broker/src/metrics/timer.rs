//! Messages that wait for a time.

use std::time::Duration;

use runtime::clock::now_ms;
use store::timer::{DELAY_BOUNDS, TIMER_TOPIC};

use super::family::{Families, Histogram, Labels, label};
use super::storage;
use crate::broker::Broker;

/// Ends of the spans in which waiting messages are counted, in seconds.
const SPANS: [i64; 8] = [5, 60, 300, 900, 3600, 14_400, 28_800, 86_400];

/// How long it is waited for what was parked to be taken in.
const TAKE_IN: Duration = Duration::from_millis(20);

/// Collects how the timer is; nothing without one.
pub(super) fn collect(broker: &Broker, families: &mut Families) {
    let Some(timer) = broker.store.timer() else { return };
    timer.take_in(&broker.store, TAKE_IN);
    let figures = timer.figures(&broker.store);
    let one = |value: i64| [(storage::labels(), value as f64)];
    let help = "Timer messages stored and not in the wheel";
    families.gauge(("rocketmq_timer_enqueue_lag", ""), help, one(figures.behind));
    let name = ("rocketmq_timer_enqueue_latency", "milliseconds");
    let next = broker.store.max_offset(TIMER_TOPIC, 0) - figures.behind;
    let since = broker.store.store_time(TIMER_TOPIC, 0, next);
    let late = if figures.behind > 0 && since > 0 { (now_ms() - since).max(0) } else { 0 };
    families.gauge(name, "Age of the first that is not in the wheel", one(late));
    let help = "Messages in the wheel";
    families.gauge(("rocketmq_timer_dequeue_lag", ""), help, one(figures.waiting));
    // Java quirk: seconds in spite of the unit.
    let name = ("rocketmq_timer_dequeue_latency", "milliseconds");
    families.gauge(name, "By how many seconds delivery is late", one(figures.late_ms / 1000));

    let of = |topic: String| -> Labels {
        storage::labels().into_iter().chain([label("topic", topic)]).collect()
    };
    let waiting = timer.metrics().timing_count.into_iter();
    let waiting = waiting.map(|(topic, waiting)| (of(topic), waiting.count as f64));
    families.gauge(("rocketmq_timing_messages", ""), "Waiting timer messages", waiting);
    let flow = timer.flow();
    let counted = |count: fn(&store::timer::TopicFlow) -> u64| {
        let counted = flow.iter().filter(move |(_, flow)| count(flow) > 0);
        counted.map(move |(topic, flow)| (of(topic.clone()), count(flow)))
    };
    let help = "Timer messages taken in";
    families.counter("rocketmq_timer_enqueue_total", help, counted(|flow| flow.enqueued));
    let help = "Timer messages delivered, or stored anew for the rest of their time";
    families.counter("rocketmq_timer_dequeue_total", help, counted(|flow| flow.dequeued));
    let delays = flow.iter().filter(|(_, flow)| flow.enqueued > 0).map(|(topic, flow)| {
        let counts = flow.delays.to_vec();
        (of(topic.clone()), Histogram { bounds: &DELAY_BOUNDS, counts, sum: flow.delays_sum })
    });
    let name = ("rocketmq_delay_message_latency", "seconds");
    families.histogram(name, "Delays that timer messages asked for", delays);

    let due = timer.due_within(now_ms(), &SPANS).unwrap_or_default();
    let due = SPANS.iter().zip(due).map(|(span, count)| {
        let span = label("timer_bound_s", span.to_string());
        (storage::labels().into_iter().chain([span]).collect(), count as f64)
    });
    let help = "Messages that are due within a span that ends there";
    families.gauge(("rocketmq_timer_message_snapshot", ""), help, due);
}
