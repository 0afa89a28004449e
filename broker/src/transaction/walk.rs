//! Reading the half and the op topic from an offset on.

use std::ops::ControlFlow;

use remoting::protocol::message::record::{Record, records};
use store::{GetRequest, GetStatus, MessageStore};

/// Messages and bytes asked for at once; the store may give less.
const COUNT_MAX: i32 = 32;
const BYTES_MAX: i32 = 256 * 1024;

/// What one look into a queue came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    /// Where to go on.
    pub next: i64,
    /// Whether there may be more.
    pub more: bool,
}

/// Shows the next few records of queue 0 of a topic, until `see` has seen enough.
pub(super) fn look(
    store: &MessageStore,
    topic: &str,
    from: i64,
    see: &mut dyn FnMut(&Record<'_>) -> ControlFlow<()>,
) -> Look {
    let request = GetRequest {
        topic,
        queue_id: 0,
        queue_offset: from,
        count_max: COUNT_MAX,
        bytes_max: BYTES_MAX,
    };
    let got = store.get(&request, &|_| true);
    let mut next = from;
    for record in got.slices.iter().flat_map(|slice| records(slice.as_ref())) {
        let Ok(record) = record else {
            tracing::error!(topic, offset = next, "a record is damaged, passed over");
            return Look { next: next + 1, more: true };
        };
        if see(&record).is_break() {
            return Look { next: record.queue_offset, more: false };
        }
        next = record.queue_offset + 1;
    }
    match got.status {
        GetStatus::NoMessageInQueue
        | GetStatus::NoMatchedLogicQueue
        | GetStatus::OffsetOverflowOne
        | GetStatus::OffsetOverflowBadly => Look { next, more: false },
        // Found, or passing over what is gone.
        _ => Look { next: got.next_offset.max(next), more: got.next_offset > from },
    }
}

/// Shows all records from an offset on; returns where the queue ends.
pub(super) fn walk(
    store: &MessageStore,
    topic: &str,
    from: i64,
    see: &mut dyn FnMut(&Record<'_>),
) -> i64 {
    let mut next = from;
    loop {
        let looked = look(store, topic, next, &mut |record| {
            see(record);
            ControlFlow::Continue(())
        });
        next = looked.next;
        if !looked.more {
            return next;
        }
    }
}
