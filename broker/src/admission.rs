//! What is refused because the broker has too much to do: code 2, which clients take as a reason
//! to try another broker or again.
//!
//! Three things are too much, and nothing else is: the append lock held for longer than
//! `osPageCacheBusyTimeOutMills`, so the disk does not take what is there; more than
//! `sendThreadPoolQueueCapacity` sends that have not been answered, which wait for the disk; and
//! a group that reads more old data than its share (`cold_reads.rs`). A connection that does not
//! read its answers is not read from, and needs no code.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use remoting::protocol::code::ResponseCode;

use crate::broker::Broker;
use crate::reject::Reject;

/// Sends handled at the same time, on as many threads, are fewer than this: below it they are
/// counted, too, above it only those that wait for the disk.
const HANDLED_AT_ONCE_MAX: usize = 1024;

/// The sends that have not been answered.
#[derive(Debug)]
pub(crate) struct Admission {
    capacity: usize,
    unanswered: AtomicUsize,
}

/// A send among the unanswered, until it is dropped.
pub(crate) struct Unanswered {
    broker: Arc<Broker>,
}

impl Admission {
    /// Admits so many sends at a time.
    pub(crate) fn new(capacity: i32) -> Admission {
        let capacity = usize::try_from(capacity).unwrap_or(0).max(1);
        Admission { capacity, unanswered: AtomicUsize::new(0) }
    }

    /// Whether the capacity is so small that sends are counted while they are handled, too.
    pub(crate) fn is_tiny(&self) -> bool {
        self.capacity < HANDLED_AT_ONCE_MAX
    }

    /// Sends that wait for the disk.
    pub(crate) fn waiting(&self) -> usize {
        self.unanswered.load(Ordering::Relaxed)
    }
}

impl Broker {
    /// Admits a send, or refuses it. Costs no shared write unless the capacity is tiny.
    pub(crate) fn admit(self: &Arc<Self>) -> Result<Option<Unanswered>, Reject> {
        if self.store.is_busy() {
            return Err(busy("[REJECTREQUEST]system busy, start flow control for a while"));
        }
        let Admission { capacity, unanswered } = &self.admission;
        let counted = self.admission.is_tiny().then(|| self.unanswered());
        let others = unanswered.load(Ordering::Relaxed) - usize::from(counted.is_some());
        if others >= *capacity {
            return Err(busy("[OVERLOAD]system busy, start flow control for a while"));
        }
        Ok(counted)
    }

    /// Counts a send that waits.
    pub(crate) fn unanswered(self: &Arc<Self>) -> Unanswered {
        self.admission.unanswered.fetch_add(1, Ordering::Relaxed);
        Unanswered { broker: Arc::clone(self) }
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        self.broker.admission.unanswered.fetch_sub(1, Ordering::Relaxed);
    }
}

fn busy(remark: &'static str) -> Reject {
    Reject::new(ResponseCode::SystemBusy, remark)
}
