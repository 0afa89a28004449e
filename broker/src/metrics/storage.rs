//! The log, the disk, the timer, half messages and pops.

use std::fmt;

use runtime::clock::now_ms;
use store::disk::DiskSpace;

use super::{Labels, Page, label};
use crate::broker::Broker;

/// Writes how the store is.
pub(super) fn write(broker: &Broker, page: &mut Page<'_, '_>) -> fmt::Result {
    let store = &broker.store;
    let kind = || vec![label("storage_type", "local"), label("storage_medium", "disk")];
    let one = |value: f64| [(kind(), value)];
    if let Ok(space) = DiskSpace::of(store.config().root()) {
        let help = "Used bytes of the file system of storePathRootDir";
        page.gauge("rocketmq_storage_size_bytes", help, one(space.used as f64))?;
    }
    let behind = (store.max_physical_offset() - store.flushed_offset()) as f64;
    page.gauge("rocketmq_storage_flush_behind_bytes", "Bytes not synced", one(behind))?;
    let behind = store.dispatch_behind_bytes() as f64;
    let help = "Bytes not in the queues";
    page.gauge("rocketmq_storage_dispatch_behind_bytes", help, one(behind))?;
    let earliest = store.earliest_log_time();
    let age = (earliest > 0).then(|| (kind(), (now_ms() - earliest) as f64));
    let help = "Age of the oldest message";
    page.gauge("rocketmq_storage_message_reserve_time_milliseconds", help, age)?;
    timer(broker, page, kind)?;

    let half = broker.transactions.open_by_topic().into_iter();
    let half = half.map(|(topic, count)| (vec![label("topic", topic)], count as f64));
    page.gauge("rocketmq_half_messages", "Messages that wait for their transaction", half)?;
    let held = [(Labels::new(), broker.pop_buffer.len() as f64)];
    page.gauge("rocketmq_pop_checkpoint_buffer_size", "Check points in memory", held)
}

fn timer(broker: &Broker, page: &mut Page<'_, '_>, kind: impl Fn() -> Labels) -> fmt::Result {
    let Some(timer) = broker.store.timer() else { return Ok(()) };
    let figures = timer.figures(&broker.store);
    let one = |value: i64| [(kind(), value as f64)];
    let help = "Timer messages stored and not in the wheel";
    page.gauge("rocketmq_timer_enqueue_lag", help, one(figures.behind))?;
    let help = "By how much delivery is late";
    page.gauge("rocketmq_timer_dequeue_latency_milliseconds", help, one(figures.late_ms))?;
    let waiting = timer.metrics().timing_count.into_iter().map(|(topic, waiting)| {
        let mut labels = kind();
        labels.push(label("topic", topic));
        (labels, waiting.count as f64)
    });
    page.gauge("rocketmq_timing_messages", "Waiting timer messages", waiting)
}
