//! A long run: a line of figures every so often, and whether the server's memory has an end.

use anyhow::{Result, ensure};

use super::watch::Figures;

/// With fewer figures nothing is said about growth.
const FIGURES_MIN: usize = 8;
/// Growth from one quarter of the run to the next that is no noise.
const GROWTH: f64 = 1.03;

/// The figures so far.
#[derive(Default)]
pub struct Soak {
    anonymous_kib: Vec<u64>,
}

impl Soak {
    /// Prints the figures of an interval and keeps what counts in the end.
    pub fn add(&mut self, figures: Figures) {
        eprintln!("{:>8.0} s  {}", figures.at.as_secs_f64(), figures.words());
        self.anonymous_kib.push(figures.anonymous_kib);
    }

    /// An error if each quarter of the run had more memory than the one before.
    pub fn verdict(&self) -> Result<()> {
        if self.anonymous_kib.len() < FIGURES_MIN {
            return Ok(());
        }
        let quarter = self.anonymous_kib.len() / 4;
        // What is left over belongs to the beginning, when memory may grow.
        let late = &self.anonymous_kib[self.anonymous_kib.len() % 4..];
        let quarters: Vec<u64> = late.chunks(quarter).map(median).collect();
        let grows = quarters.windows(2).all(|two| two[1] as f64 > two[0] as f64 * GROWTH);
        ensure!(!grows, "memory grows without end: {quarters:?} KiB in the quarters of the run");
        Ok(())
    }
}

fn median(values: &[u64]) -> u64 {
    let mut values = values.to_vec();
    values.sort_unstable();
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::Soak;

    #[test]
    fn only_memory_that_grows_to_the_end_fails() {
        let of = |anonymous_kib: &[u64]| Soak { anonymous_kib: anonymous_kib.to_vec() }.verdict();
        let grows = of(&[9, 10, 10, 20, 20, 30, 30, 40, 40]);
        let error = grows.expect_err("grows").to_string();
        assert!(error.contains("[10, 20, 30, 40] KiB"), "{error}");
        assert!(of(&[10, 10, 20, 20, 30, 30, 30, 30]).is_ok(), "it ended");
        assert!(of(&[100, 101, 102, 103, 104, 105, 106, 107]).is_ok(), "noise");
        assert!(of(&[1, 2, 3, 4, 5, 6, 7]).is_ok(), "too few to tell");
    }
}
