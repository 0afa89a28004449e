//! A counter of values and calls with the sums and rates of its last minute, hour and day.
//!
//! Samples are kept as Java's `StatsItem` keeps them: every 10 s for a minute, every 10 min for an
//! hour, every hour for a day.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use remoting::protocol::body::{BrokerStatsData, BrokerStatsItem};

/// Seconds between the samples of a minute, an hour and a day, and how many are kept.
pub(crate) const WINDOWS: [(u64, usize); 3] = [(10, 7), (600, 7), (3600, 25)];

/// Counts values and calls.
#[derive(Default)]
pub(crate) struct Meter {
    value: AtomicU64,
    times: AtomicU64,
    windows: Mutex<[VecDeque<Sample>; WINDOWS.len()]>,
}

#[derive(Clone, Copy)]
struct Sample {
    at_ms: i64,
    times: u64,
    value: u64,
}

impl Meter {
    /// Counts a call with a value.
    pub(crate) fn add(&self, value: u64) {
        self.add_value(value);
        self.times.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a value alone, as Java does for the broker: its mean stays zero.
    pub(crate) fn add_value(&self, value: u64) {
        self.value.fetch_add(value, Ordering::Relaxed);
    }

    /// The sum of all values.
    pub(crate) fn value(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }

    fn counted(&self) -> bool {
        self.value.load(Ordering::Relaxed) > 0 || self.times.load(Ordering::Relaxed) > 0
    }

    /// Takes the sample of a window.
    pub(crate) fn sample(&self, window: usize, now_ms: i64) {
        if !self.counted() {
            return;
        }
        let (period, kept) = WINDOWS[window];
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let samples = &mut windows[window];
        if samples.is_empty() {
            let at_ms = now_ms - period as i64 * 1000;
            samples.push_back(Sample { at_ms, times: 0, value: 0 });
        }
        if samples.len() == kept {
            samples.pop_front();
        }
        samples.push_back(Sample {
            at_ms: now_ms,
            times: self.times.load(Ordering::Relaxed),
            value: self.value.load(Ordering::Relaxed),
        });
    }

    /// What was counted in the last minute, hour and day.
    pub(crate) fn windows(&self) -> [BrokerStatsItem; WINDOWS.len()] {
        let windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        [0, 1, 2].map(|at| difference(&windows[at]))
    }

    /// The same, unless nothing was ever counted.
    pub(crate) fn stats(&self) -> Option<BrokerStatsData> {
        let [minute, hour, day] = self.counted().then(|| self.windows())?;
        let data = BrokerStatsData {
            stats_minute: Some(minute),
            stats_hour: Some(hour),
            stats_day: Some(day),
        };
        Some(data)
    }
}

/// What was counted from the first sample to the last.
fn difference(samples: &VecDeque<Sample>) -> BrokerStatsItem {
    let (Some(first), Some(last)) = (samples.front(), samples.back()) else {
        return BrokerStatsItem::default();
    };
    let (sum, times) = (last.value - first.value, last.times - first.times);
    let elapsed_ms = (last.at_ms - first.at_ms).max(1);
    BrokerStatsItem {
        sum: sum.cast_signed(),
        tps: sum as f64 * 1000.0 / elapsed_ms as f64,
        avgpt: if times > 0 { sum as f64 / times as f64 } else { 0.0 },
    }
}
