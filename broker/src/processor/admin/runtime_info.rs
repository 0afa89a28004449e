//! What the broker says about itself: request 28.
//!
//! All values are texts, under Java's keys. Thread pools do not exist here: their queues are empty
//! and have the capacity Java's have by default.

use std::collections::BTreeMap;
use std::sync::Arc;

use remoting::net::Outcome;
use remoting::protocol::body::{Body, KVTable};
use remoting::protocol::code::VERSION;
use remoting::protocol::command::Responder;
use runtime::clock::now_ms;

use crate::broker::Broker;
use crate::call::Call;
use crate::reject::Reject;
use crate::stats::{Rate, java_double};

/// Queues of Java's thread pools and their default capacities.
const POOLS: [(&str, &str); 5] = [
    ("send", "10000"),
    ("pull", "100000"),
    ("litePull", "100000"),
    ("query", "20000"),
    ("ack", "100000"),
];

/// Values of features that are off.
const CONSTANTS: [(&str, &str); 5] = [
    ("brokerVersionDesc", "V5_3_3"),
    ("EndTransactionQueueSize", "0"),
    ("EndTransactionThreadPoolQueueCapacity", "100000"),
    ("remainTransientStoreBufferNumbs", "2147483647"),
    ("pageCacheLockTimeMills", "0"),
];

/// Answers every key at once.
pub(crate) fn runtime_info(
    broker: &Arc<Broker>,
    _call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    out.ok_body(&KVTable { table: table(broker) }.encode());
    Ok(Outcome::Done)
}

/// Every key with its text.
pub(crate) fn table(broker: &Broker) -> BTreeMap<String, String> {
    let mut table = BTreeMap::new();
    let mut set = |key: &str, value: String| {
        table.insert(key.to_owned(), value);
    };
    for (key, value) in CONSTANTS {
        set(key, value.to_owned());
    }
    for (pool, capacity) in POOLS {
        set(&format!("{pool}ThreadPoolQueueSize"), "0".to_owned());
        set(&format!("{pool}ThreadPoolQueueCapacity"), capacity.to_owned());
        set(&format!("{pool}ThreadPoolQueueHeadWaitTimeMills"), "0".to_owned());
    }
    set("brokerVersion", VERSION.to_string());
    // The schedule service runs as long as the broker does.
    set("brokerActive", "true".to_owned());
    let from = broker.live().start_accept_send_request_time_stamp;
    set("startAcceptSendRequestTimeStamp", from.to_string());
    for (level, offset, max_offset) in broker.schedule.positions(&broker.store) {
        set(&format!("scheduleMessageOffset_{level}"), format!("{offset},{max_offset}"));
    }
    counted(broker, &mut set);
    own(broker, &mut set);
    for (key, value) in broker.store.runtime() {
        match (key.as_str(), value.parse()) {
            ("remainHowManyDataToFlush", Ok(bytes)) => set(&key, human(bytes)),
            _ => set(&key, value),
        }
    }
    table
}

/// What is counted since the start, and its rates.
fn counted(broker: &Broker, set: &mut impl FnMut(&str, String)) {
    let stats = &broker.stats;
    set("bootTimestamp", stats.boot_ms().to_string());
    set("runtime", since(now_ms() - stats.boot_ms()));
    // Java quirk: no put at all is reported as one, so that nobody divides by nothing.
    let puts = stats.put_total().max(1);
    set("putMessageTimesTotal", puts.to_string());
    set("putMessageFailedTimes", stats.put_failed().to_string());
    set("putMessageSizeTotal", stats.put_bytes().to_string());
    set("putMessageAverageSize", java_double(stats.put_bytes() as f64 / puts as f64));
    set("putMessageEntireTimeMax", stats.put_millis_max().to_string());
    let histogram = stats.put_time_histogram();
    set("putMessageDistributeTime", histogram.unwrap_or_else(|| "null".to_owned()));
    set("putLatency99", format!("{:.2}", stats.put_millis_within(0.99)));
    set("putLatency999", format!("{:.2}", stats.put_millis_within(0.999)));
    set("getMessageEntireTimeMax", stats.get_millis_max().to_string());
    set("putTps", stats.rates(Rate::Put));
    set("getFoundTps", stats.rates(Rate::Found));
    set("getMissTps", stats.rates(Rate::Miss));
    set("getTotalTps", stats.get_total_rates());
    let transferred = stats.rates(Rate::Transferred);
    // The old spelling, which older tools read.
    set("getTransferedTps", transferred.clone());
    set("getTransferredTps", transferred);
    let (yesterday, today) = stats.mornings();
    set("msgPutTotalYesterdayMorning", yesterday.put.to_string());
    set("msgPutTotalTodayMorning", today.put.to_string());
    let now = broker.traffic.by_users();
    set("msgPutTotalTodayNow", now.put.to_string());
    set("msgGetTotalYesterdayMorning", yesterday.got.to_string());
    set("msgGetTotalTodayMorning", today.got.to_string());
    set("msgGetTotalTodayNow", now.got.to_string());
}

/// Keys that Java does not have, there only once a quota was reached or a group's members did not
/// want the same.
fn own(broker: &Broker, set: &mut impl FnMut(&str, String)) {
    if broker.quotas.refused() > 0 {
        set("quotaRefusedTotal", broker.quotas.refused().to_string());
    }
    let conflicts = &broker.consumers.conflicts;
    if conflicts.total() == 0 {
        return;
    }
    set("subscriptionConflictsTotal", conflicts.total().to_string());
    for (group, said) in conflicts.present() {
        set(&format!("subscriptionConflict_{group}"), said);
    }
}

/// A size for people: whole bytes below 1024, else one decimal.
fn human(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let power = (bytes.ilog2() / 10) as usize;
    let size = bytes as f64 / 1024_f64.powi(power as i32);
    format!("{size:.1} {}", UNITS[power - 1])
}

fn since(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let (seconds, minutes, hours) = (seconds % 60, minutes % 60, hours % 24);
    format!("[ {days} days, {hours} hours, {minutes} minutes, {seconds} seconds ]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_its_unit() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1229, "1.2 KiB"),
            (5 << 20, "5.0 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(human(bytes), text);
        }
    }

    #[test]
    fn a_time_span_is_written_out() {
        assert_eq!(since(0), "[ 0 days, 0 hours, 0 minutes, 0 seconds ]");
        let span = ((2 * 24 + 3) * 60 + 4) * 60 + 5;
        assert_eq!(since(span * 1000), "[ 2 days, 3 hours, 4 minutes, 5 seconds ]");
    }
}
