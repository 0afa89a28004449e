//! Which pops are held, how long, and when there are too many.
//!
//! The client says when it began to wait and for how long; the answer leaves a little before it
//! would give up. Waiting itself is what `arrivals.rs` does for pulls too.

use std::sync::Arc;
use std::time::Duration;

use remoting::protocol::code::ResponseCode;
use runtime::clock::now_ms;

use crate::arrivals::{Line, NotHeld, Waiter};
use crate::broker::Broker;
use crate::filter::Filter;
use crate::topics::{PopRetry, pop_retry_topic};

/// How long before the client gives up it is answered, in ms.
const EARLY_MS: i64 = 50;
/// How much later than that a request may arrive to be looked at, in ms.
const LATE_MS: i64 = 500;

/// How long a client waits for an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// When it began, by its clock.
    pub born_time: i64,
    /// For how long, in ms.
    pub poll_time: i64,
}

/// A request that is held.
pub(crate) struct Held {
    waiter: Waiter,
    deadline_ms: i64,
}

impl Patience {
    /// The client's own words; who does not say when begins now.
    pub(crate) fn new(born_time: i64, poll_time: i64, now_ms: i64) -> Patience {
        Patience { born_time: if born_time == 0 { now_ms } else { born_time }, poll_time }
    }

    /// Whether the client has given up long ago.
    pub(crate) fn is_long_over(&self, now_ms: i64) -> bool {
        now_ms.saturating_sub(self.born_time).saturating_sub(self.poll_time) > LATE_MS
    }

    /// When to answer at the latest.
    fn deadline_ms(&self) -> i64 {
        self.born_time.saturating_add(self.poll_time).saturating_sub(EARLY_MS)
    }
}

impl Held {
    /// Puts a request into its line; or says with which code it has to be answered at once.
    pub(crate) fn new(
        broker: &Broker,
        line: &Line<'_>,
        filter: Filter,
        patience: Patience,
    ) -> Result<Held, ResponseCode> {
        if patience.poll_time <= 0 {
            return Err(ResponseCode::PollingTimeout);
        }
        let total = i64::try_from(broker.arrivals.in_line(line.purpose)).unwrap_or(i64::MAX);
        if total >= broker.live().max_pop_polling_size {
            return Err(ResponseCode::PollingFull);
        }
        let deadline_ms = patience.deadline_ms();
        if now_ms() > deadline_ms {
            return Err(ResponseCode::PollingTimeout);
        }
        let limit = usize::try_from(broker.live().pop_polling_size).unwrap_or(0);
        let retries = retry_topics(broker, line.group, line.topic);
        let waiter = broker.arrivals.line_up(line, &retries, filter, limit);
        match waiter {
            Ok(waiter) => Ok(Held { waiter, deadline_ms }),
            Err(NotHeld::Full) => Err(ResponseCode::PollingFull),
            Err(NotHeld::Closed) => Err(ResponseCode::PollingTimeout),
        }
    }

    /// Waits until it is worth looking again: for a call, until `until_ms`, or to the end. Then
    /// the request is in its line again.
    pub(crate) async fn wait(&self, until_ms: i64) {
        let millis = self.deadline_ms.min(until_ms).saturating_sub(now_ms());
        let pause = Duration::from_millis(u64::try_from(millis).unwrap_or(0));
        // Called or out of time: both mean another look.
        let _ = tokio::time::timeout(pause, self.waiter.woken()).await;
        self.waiter.looks_again();
    }

    /// Whether this look is the last.
    pub(crate) fn is_over(&self, broker: &Arc<Broker>) -> bool {
        now_ms() >= self.deadline_ms || broker.arrivals.is_closed()
    }
}

/// The retry topics a pop looks into.
pub(crate) fn retry_topics(broker: &Broker, group: &str, topic: &str) -> Vec<String> {
    let config = &broker.config;
    let name = |version| pop_retry_topic(group, topic, version);
    match config.enable_retry_topic_v2 {
        false => vec![name(PopRetry::V1)],
        true if config.retrieve_message_from_pop_retry_topic_v1 => {
            vec![name(PopRetry::V2), name(PopRetry::V1)]
        }
        true => vec![name(PopRetry::V2)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_gave_up_half_a_second_ago_is_too_late() {
        let patience = Patience::new(1_000, 200, 5_000);
        assert!(!patience.is_long_over(1_700));
        assert!(patience.is_long_over(1_701));
        assert_eq!(patience.deadline_ms(), 1_150);
        assert_eq!(Patience::new(0, 200, 5_000).born_time, 5_000);
    }

    #[test]
    fn no_time_overflows() {
        for (born_time, poll_time) in
            [(i64::MIN, i64::MIN), (i64::MAX, i64::MAX), (i64::MIN, 1), (1, i64::MIN)]
        {
            let patience = Patience { born_time, poll_time };
            let _ = (patience.is_long_over(1), patience.is_long_over(-1), patience.deadline_ms());
        }
    }
}
