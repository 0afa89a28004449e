//! The log and the disk.

use runtime::clock::now_ms;
use store::disk::DiskSpace;

use super::family::{Families, Labels, label};
use crate::broker::Broker;

/// Labels of everything that is stored.
pub(super) fn labels() -> Labels {
    vec![label("storage_type", "local"), label("storage_medium", "disk")]
}

/// Collects how the store is.
pub(super) fn collect(broker: &Broker, families: &mut Families) {
    let store = &broker.store;
    let one = |value: f64| [(labels(), value)];
    if let Ok(space) = DiskSpace::of(store.config().root()) {
        let help = "Used bytes of the file system of storePathRootDir";
        families.gauge(("rocketmq_storage_size", "bytes"), help, one(space.used as f64));
    }
    let behind = (store.max_physical_offset() - store.flushed_offset()) as f64;
    families.gauge(("rocketmq_storage_flush_behind", "bytes"), "Bytes not synced", one(behind));
    let behind = store.dispatch_behind_bytes() as f64;
    let help = "Bytes not indexed";
    families.gauge(("rocketmq_storage_dispatch_behind", "bytes"), help, one(behind));
    let earliest = store.earliest_log_time();
    let age = (earliest > 0).then(|| (labels(), (now_ms() - earliest) as f64));
    let name = ("rocketmq_storage_message_reserve_time", "milliseconds");
    families.gauge(name, "Age of the oldest message", age);
}
