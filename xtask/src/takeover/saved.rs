//! Waits for the periodic saves of a broker that is about to be killed: what they miss is done
//! again by the next broker.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use remoting::protocol::body::{Body, ConsumerOffsetSerializeWrapper};

use super::consumers;
use super::content::{self, PATIENCE};

const PAUSE: Duration = Duration::from_millis(20);

/// Waits until every offset is in the file: those of commit `step`, and `more` by topic, group
/// and queue.
pub fn await_offsets(store: &Path, step: i64, more: &[(&str, &str, i32, i64)]) -> Result<()> {
    let file = store.join("config/consumerOffset.json");
    await_file(&file, "every committed offset", |bytes| {
        let Ok(saved) = ConsumerOffsetSerializeWrapper::decode(bytes) else { return false };
        let is_saved = |topic: &str, group: &str, queue_id: i32, offset: i64| {
            let of_group = saved.offset_table.get(&format!("{topic}@{group}"));
            of_group.and_then(|of_group| of_group.get(&queue_id)) == Some(&offset)
        };
        content::committed(step)
            .all(|(group, topic, queue, offset)| is_saved(topic, group, queue, offset))
            && more
                .iter()
                .all(|(topic, group, queue, offset)| is_saved(topic, group, *queue, *offset))
    })
}

/// Waits until the subscription with an expression is in the file.
pub fn await_subscription(store: &Path) -> Result<()> {
    let file = store.join("config/consumerFilter.json");
    await_file(&file, "the subscription", consumers::is_kept)
}

/// Waits until the timer says that it has read its topic up to `queue_offset` and delivered what
/// was due before `due_ms`.
///
/// ```text
/// config/timercheck: i64 delivered until, ms @0 | i64 timer log flushed to @8
///     i64 next offset of the timer topic @16 | i64 the same of the master @24
/// ```
pub fn await_timer(store: &Path, queue_offset: i64, due_ms: i64) -> Result<()> {
    let what = format!("timers before {due_ms} delivered and {queue_offset} timers read");
    await_file(&store.join("config/timercheck"), &what, |bytes| {
        let (fields, _) = bytes.as_chunks::<8>();
        let Some([read_ms, _, next, next_of_master]) = fields.first_chunk::<4>() else {
            return false;
        };
        let next = i64::from_be_bytes(*next).min(i64::from_be_bytes(*next_of_master));
        i64::from_be_bytes(*read_ms) > due_ms && next >= queue_offset
    })
}

fn await_file(file: &Path, what: &str, says: impl Fn(&[u8]) -> bool) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !says(&fs::read(file).unwrap_or_default()) {
        ensure!(Instant::now() < deadline, "{}: not saved: {what}", file.display());
        thread::sleep(PAUSE);
    }
    Ok(())
}
