//! Messages the timer takes in and delivers in a second.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Counters and the rates of the last period.
#[derive(Debug)]
pub struct Rates {
    enqueued: AtomicU64,
    delivered: AtomicU64,
    sampled: Mutex<Sampled>,
}

#[derive(Debug, Default)]
struct Sampled {
    at_ms: i64,
    counts: (u64, u64),
    per_second: (f32, f32),
}

impl Rates {
    /// Starts counting.
    pub fn new(now_ms: i64) -> Rates {
        let sampled = Mutex::new(Sampled { at_ms: now_ms, ..Sampled::default() });
        Rates { enqueued: AtomicU64::new(0), delivered: AtomicU64::new(0), sampled }
    }

    /// Counts a message taken in.
    pub fn enqueued(&self) {
        self.enqueued.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a message delivered.
    pub fn delivered(&self) {
        self.delivered.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends a period.
    pub fn sample(&self, now_ms: i64) {
        let counts =
            (self.enqueued.load(Ordering::Relaxed), self.delivered.load(Ordering::Relaxed));
        let mut sampled = self.sampled.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = (now_ms - sampled.at_ms).max(1) as f32 / 1000.0;
        let rate = |count: u64, before: u64| count.saturating_sub(before) as f32 / seconds;
        sampled.per_second = (rate(counts.0, sampled.counts.0), rate(counts.1, sampled.counts.1));
        sampled.counts = counts;
        sampled.at_ms = now_ms;
    }

    /// Rates of the last period: taken in, delivered.
    pub fn per_second(&self) -> (f32, f32) {
        self.sampled.lock().unwrap_or_else(PoisonError::into_inner).per_second
    }
}
