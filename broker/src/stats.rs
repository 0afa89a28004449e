//! What the broker did, counted, and how fast, from samples taken every second.
//!
//! A counter is spread over several cache lines; each thread adds to its own and a reader sums
//! them up. Nothing is keyed by text.

use std::array;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use runtime::clock;

/// Lines a counter is spread over.
const STRIPES: usize = 16;
/// Samples kept: ten minutes and the one before.
const SAMPLES_MAX: usize = 601;
/// Seconds between two looks at put times.
const MINUTE: u64 = 60;

/// Upper bounds of the put times, in ms, and their names in Java's histogram.
const PUT_TIMES: [(u64, &str); 12] = [
    (0, "[<=0ms]"),
    (10, "[0~10ms]"),
    (50, "[10~50ms]"),
    (100, "[50~100ms]"),
    (200, "[100~200ms]"),
    (500, "[200~500ms]"),
    (1000, "[500ms~1s]"),
    (2000, "[1~2s]"),
    (3000, "[2~3s]"),
    (4000, "[3~4s]"),
    (5000, "[4~5s]"),
    (10_000, "[5~10s]"),
];
const SLOWEST: &str = "[10s~]";

/// What is counted.
#[derive(Clone, Copy)]
enum Count {
    Put,
    PutFailed,
    PutBytes,
    GetFound,
    GetMiss,
    Transferred,
}

const COUNTS: usize = 6;
const BUCKETS: usize = PUT_TIMES.len() + 1;

#[repr(align(128))]
struct Stripe {
    counts: [AtomicU64; COUNTS],
    put_times: [AtomicU64; BUCKETS],
}

/// Counters and samples of a broker.
pub(crate) struct Stats {
    stripes: [Stripe; STRIPES],
    put_micros_max: AtomicU64,
    get_micros_max: AtomicU64,
    boot_ms: i64,
    history: Mutex<History>,
}

#[derive(Default)]
struct History {
    samples: VecDeque<Sample>,
    /// Put times since the start, as of the last full minute and the one before.
    minutes: Option<([u64; BUCKETS], [u64; BUCKETS])>,
    ticks: u64,
    day: i64,
    yesterday: Totals,
    today: Totals,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Sample {
    at_ms: i64,
    put: u64,
    found: u64,
    miss: u64,
    transferred: u64,
}

/// Messages in and out of topics that are not the system's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Stored.
    pub put: u64,
    /// Delivered.
    pub got: u64,
}

/// Which rate is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rate {
    /// Messages stored.
    Put,
    /// Gets that found something.
    Found,
    /// Gets that found nothing.
    Miss,
    /// Messages delivered.
    Transferred,
}

thread_local! {
    static STRIPE: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES
    };
}

impl Stats {
    /// Starts counting.
    pub(crate) fn new(now_ms: i64) -> Self {
        let history = History { day: day_of(now_ms), ..History::default() };
        Stats {
            stripes: array::from_fn(|_| Stripe {
                counts: array::from_fn(|_| AtomicU64::new(0)),
                put_times: array::from_fn(|_| AtomicU64::new(0)),
            }),
            put_micros_max: AtomicU64::new(0),
            get_micros_max: AtomicU64::new(0),
            boot_ms: now_ms,
            history: Mutex::new(history),
        }
    }

    /// Counts one put of `messages` messages.
    pub(crate) fn put(&self, stored: bool, messages: usize, bytes: u64, took: Duration) {
        let stripe = self.stripe();
        if !stored {
            stripe.add(Count::PutFailed, 1);
            return;
        }
        stripe.add(Count::Put, messages as u64);
        stripe.add(Count::PutBytes, bytes);
        let micros = took.as_micros() as u64;
        let millis = micros / 1000;
        let bucket = PUT_TIMES.iter().position(|(bound, _)| millis <= *bound);
        stripe.put_times[bucket.unwrap_or(BUCKETS - 1)].fetch_add(1, Ordering::Relaxed);
        raise(&self.put_micros_max, micros);
    }

    /// Counts one get that delivered `messages` messages.
    pub(crate) fn got(&self, messages: u64, took: Duration) {
        raise(&self.get_micros_max, took.as_micros() as u64);
        let stripe = self.stripe();
        if messages == 0 {
            stripe.add(Count::GetMiss, 1);
        } else {
            stripe.add(Count::GetFound, 1);
            stripe.add(Count::Transferred, messages);
        }
    }

    fn stripe(&self) -> &Stripe {
        &self.stripes[STRIPE.with(|stripe| *stripe)]
    }

    fn sum(&self, count: Count) -> u64 {
        let read = |stripe: &Stripe| stripe.counts[count as usize].load(Ordering::Relaxed);
        self.stripes.iter().map(read).sum()
    }

    fn put_times(&self) -> [u64; BUCKETS] {
        array::from_fn(|at| {
            self.stripes.iter().map(|stripe| stripe.put_times[at].load(Ordering::Relaxed)).sum()
        })
    }

    /// Takes a sample, with what users stored and got so far; called every second.
    pub(crate) fn sample(&self, now_ms: i64, by_users: Totals) {
        let sample = Sample {
            at_ms: now_ms,
            put: self.sum(Count::Put),
            found: self.sum(Count::GetFound),
            miss: self.sum(Count::GetMiss),
            transferred: self.sum(Count::Transferred),
        };
        let times = self.put_times();
        let mut history = self.history();
        if history.samples.len() == SAMPLES_MAX {
            history.samples.pop_front();
        }
        history.samples.push_back(sample);
        history.ticks += 1;
        if history.ticks.is_multiple_of(MINUTE) {
            let before = history.minutes.map_or([0; BUCKETS], |(_, last)| last);
            history.minutes = Some((before, times));
        }
        if day_of(now_ms) != history.day {
            history.day = day_of(now_ms);
            history.yesterday = history.today;
            history.today = by_users;
        }
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Rates over 10, 60 and 600 seconds; a part is empty until that much time has been sampled.
    pub(crate) fn rates(&self, rate: Rate) -> String {
        let history = self.history();
        let part = |seconds| history.rate(seconds, |sample| sample.count(rate));
        let text = |value: Option<f64>| value.map(java_double).unwrap_or_default();
        format!("{} {} {}", text(part(10)), text(part(60)), text(part(600)))
    }

    /// Rates of all gets; always numbers.
    pub(crate) fn get_total_rates(&self) -> String {
        let history = self.history();
        let both = |sample: &Sample| sample.found + sample.miss;
        let text = |seconds| java_double(history.rate(seconds, both).unwrap_or(0.0));
        format!("{} {} {}", text(10), text(60), text(600))
    }

    /// How many puts of the last full minute took how long, or nothing in the first one.
    pub(crate) fn put_time_histogram(&self) -> Option<String> {
        let (before, after) = self.history().minutes?;
        let names = PUT_TIMES.iter().map(|(_, name)| *name).chain([SLOWEST]);
        let mut text = String::new();
        for ((name, before), after) in names.zip(before).zip(after) {
            // Writing to a string cannot fail.
            let _ = write!(text, "{name}:{} ", after - before);
        }
        Some(text)
    }

    /// Messages stored since the start.
    pub(crate) fn put_total(&self) -> u64 {
        self.sum(Count::Put)
    }

    /// Bytes of records stored since the start.
    pub(crate) fn put_bytes(&self) -> u64 {
        self.sum(Count::PutBytes)
    }

    /// Puts refused by the store since the start.
    pub(crate) fn put_failed(&self) -> u64 {
        self.sum(Count::PutFailed)
    }

    /// Longest put, in ms.
    pub(crate) fn put_millis_max(&self) -> u64 {
        self.put_micros_max.load(Ordering::Relaxed) / 1000
    }

    /// Longest get, in ms.
    pub(crate) fn get_millis_max(&self) -> u64 {
        self.get_micros_max.load(Ordering::Relaxed) / 1000
    }

    /// The time, in ms, that this part of the last full minute's puts took at most.
    pub(crate) fn put_millis_within(&self, part: f64) -> f64 {
        let Some((before, after)) = self.history().minutes else { return 0.0 };
        let counts: [u64; BUCKETS] = array::from_fn(|at| after[at] - before[at]);
        let wanted = counts.iter().sum::<u64>() as f64 * part;
        let mut seen = 0;
        for (count, (bound, _)) in counts.iter().zip(PUT_TIMES) {
            seen += count;
            if seen as f64 >= wanted {
                return bound as f64;
            }
        }
        self.put_millis_max() as f64
    }

    /// When the broker started, in ms.
    pub(crate) fn boot_ms(&self) -> i64 {
        self.boot_ms
    }

    /// Totals at the last midnight but one and at the last one.
    pub(crate) fn mornings(&self) -> (Totals, Totals) {
        let history = self.history();
        (history.yesterday, history.today)
    }
}

impl Stripe {
    fn add(&self, count: Count, by: u64) {
        self.counts[count as usize].fetch_add(by, Ordering::Relaxed);
    }
}

impl History {
    /// Rate per second over the last `seconds` samples.
    fn rate(&self, seconds: usize, count: impl Fn(&Sample) -> u64) -> Option<f64> {
        let last = self.samples.back()?;
        let first = self.samples.get(self.samples.len().checked_sub(seconds + 1)?)?;
        let elapsed = (last.at_ms - first.at_ms) as f64 / 1000.0;
        if elapsed <= 0.0 {
            return Some(0.0);
        }
        Some((count(last) - count(first)) as f64 / elapsed)
    }
}

impl Sample {
    fn count(&self, rate: Rate) -> u64 {
        match rate {
            Rate::Put => self.put,
            Rate::Found => self.found,
            Rate::Miss => self.miss,
            Rate::Transferred => self.transferred,
        }
    }
}

/// Raises a maximum; it rarely changes, so that mostly it is only read.
fn raise(max: &AtomicU64, value: u64) {
    if value > max.load(Ordering::Relaxed) {
        max.fetch_max(value, Ordering::Relaxed);
    }
}

/// The day of local time.
fn day_of(now_ms: i64) -> i64 {
    (now_ms + i64::from(clock::zone().whole_seconds()) * 1000).div_euclid(86_400_000)
}

/// A double as Java prints it, for the range of rates and sizes.
pub(crate) fn java_double(value: f64) -> String {
    if value != 0.0 && !(1e-3..1e7).contains(&value.abs()) {
        let text = format!("{value:E}");
        let (digits, exponent) = text.split_once('E').unwrap_or((&text, "0"));
        let point = if digits.contains('.') { "" } else { ".0" };
        return format!("{digits}{point}E{exponent}");
    }
    format!("{value:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_700_000_000_000;

    #[test]
    fn a_fresh_broker_has_no_rates() {
        let stats = Stats::new(START);
        assert_eq!(stats.rates(Rate::Put), "  ");
        assert_eq!(stats.get_total_rates(), "0.0 0.0 0.0");
        assert_eq!(stats.put_time_histogram(), None);
    }

    #[test]
    fn rates_come_from_the_samples_of_their_window() {
        let stats = Stats::new(START);
        for second in 0..=10 {
            stats.sample(START + second * 1000, Totals::default());
            stats.put(true, 3, 10, Duration::ZERO);
            stats.got(2, Duration::from_millis(7));
            stats.got(0, Duration::ZERO);
        }
        assert_eq!(stats.rates(Rate::Put), "3.0  ");
        assert_eq!(stats.rates(Rate::Transferred), "2.0  ");
        assert_eq!(stats.rates(Rate::Miss), "1.0  ");
        assert_eq!(stats.get_total_rates(), "2.0 0.0 0.0");
        assert_eq!((stats.put_total(), stats.put_bytes()), (33, 110));
        assert_eq!(stats.get_millis_max(), 7);
    }

    #[test]
    fn put_times_are_those_of_the_last_minute() {
        let stats = Stats::new(START);
        stats.put(true, 1, 1, Duration::from_micros(900));
        stats.put(true, 1, 1, Duration::from_millis(30));
        stats.put(false, 1, 1, Duration::from_secs(99));
        stats.put(true, 1, 1, Duration::from_secs(11));
        for second in 1..=60 {
            stats.sample(START + second * 1000, Totals::default());
        }
        let text = stats.put_time_histogram().unwrap();
        assert!(text.starts_with("[<=0ms]:1 [0~10ms]:0 [10~50ms]:1 "), "{text}");
        assert!(text.ends_with("[10s~]:1 "), "{text}");
        assert_eq!(stats.put_millis_max(), 11_000);
        assert_eq!(stats.put_failed(), 1);
        assert_eq!(stats.put_millis_within(0.3), 0.0);
        assert_eq!(stats.put_millis_within(0.5), 50.0);
        assert_eq!(stats.put_millis_within(0.99), 11_000.0);
        for second in 61..=120 {
            stats.sample(START + second * 1000, Totals::default());
        }
        assert!(stats.put_time_histogram().unwrap().ends_with("[10s~]:0 "));
    }

    #[test]
    fn mornings_move_at_midnight() {
        let stats = Stats::new(START);
        let users = |put| Totals { put, got: 1 };
        stats.sample(START, users(3));
        assert_eq!(stats.mornings(), (Totals::default(), Totals::default()));
        stats.sample(START + 86_400_000, users(5));
        assert_eq!(stats.mornings(), (Totals::default(), users(5)));
        stats.sample(START + 2 * 86_400_000, users(8));
        assert_eq!(stats.mornings(), (users(5), users(8)));
    }

    #[test]
    fn doubles_are_printed_as_java_prints_them() {
        for (value, text) in [
            (0.0, "0.0"),
            (12.5, "12.5"),
            (1e7, "1.0E7"),
            (12_345_678.5, "1.23456785E7"),
            (0.0001, "1.0E-4"),
            (9_999_999.0, "9999999.0"),
        ] {
            assert_eq!(java_double(value), text);
        }
    }
}
