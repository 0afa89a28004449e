//! How steadily a processor works: of others on the host of a virtual machine the load average
//! shows nothing.

use std::fmt;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Steps of one loop: 10 to 20 ms.
const STEPS: u64 = 4_000_000;
/// Loops for each time that is taken.
const LOOPS: usize = 50;

/// How long the same loop of arithmetic, which needs no memory, took each time.
#[derive(Default)]
pub struct Pace {
    sorted: Vec<Duration>,
}

impl Pace {
    /// Runs the loop for a second or less.
    pub fn take(&mut self) {
        self.sorted.extend((0..LOOPS).map(|_| loop_once()));
        self.sorted.sort_unstable();
    }

    /// How many times as long the slow loops take as the fast ones.
    pub fn spread(&self) -> f64 {
        self.slow().as_secs_f64() / self.fast().as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// A tenth of the loops took less.
    fn fast(&self) -> Duration {
        self.sorted.get(self.sorted.len() / 10).copied().unwrap_or_default()
    }

    /// A tenth of the loops took more.
    fn slow(&self) -> Duration {
        self.sorted.iter().rev().nth(self.sorted.len() / 10).copied().unwrap_or_default()
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        write!(f, "{:.1} to {:.1} ms", ms(self.fast()), ms(self.slow()))
    }
}

/// Four sums that do not wait for each other: as much as the processor does at once, so that one
/// whose other half works for somebody else takes longer.
fn loop_once() -> Duration {
    let begun = Instant::now();
    let mut sums = black_box([1_u64, 2, 3, 4]);
    for _ in 0..STEPS {
        for sum in &mut sums {
            *sum ^= *sum << 13;
            *sum ^= *sum >> 7;
            *sum = sum.rotate_left(17).wrapping_mul(5);
        }
    }
    black_box(sums);
    begun.elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_and_the_fastest_tenth_do_not_count() {
        let mut sorted: Vec<Duration> = (10..30).map(Duration::from_millis).collect();
        sorted[0] = Duration::ZERO;
        sorted[19] = Duration::from_secs(1);
        let pace = Pace { sorted };
        assert_eq!(pace.to_string(), "12.0 to 27.0 ms");
        assert!((pace.spread() - 2.25).abs() < 1e-9);
        assert_eq!(Pace::default().spread(), 0.0);
        assert!(loop_once() > Duration::from_micros(100));
    }
}
