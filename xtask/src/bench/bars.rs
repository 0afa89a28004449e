//! What our servers must reach, row by row.

use super::page::{duration, rate};
use super::results::{Figure, Results, median};
use super::start;

/// A figure of a row that must be on the right side of a limit.
pub struct Bar {
    /// The row.
    pub row: &'static str,
    figure: Figure,
    limit: Limit,
    of: Of,
}

#[derive(Clone, Copy)]
enum Limit {
    Least(f64),
    Most(f64),
}

/// What the limit counts: units of the figure, or times another figure of the same round.
#[derive(Clone, Copy)]
enum Of {
    Units,
    Floor,
    Java,
    /// Times the figure of another row of ours.
    Row(&'static str),
    /// Units above another row of ours, at most in any round: memory that was given back is no
    /// gain.
    Above(&'static str),
}

const fn least(row: &'static str, figure: Figure, limit: f64, of: Of) -> Bar {
    Bar { row, figure, limit: Limit::Least(limit), of }
}

const fn most(row: &'static str, figure: Figure, limit: f64, of: Of) -> Bar {
    Bar { row, figure, limit: Limit::Most(limit), of }
}

const ONE: &str = "send 128 B, 1 × 1";
const THIRD: &str = "send 1 KiB at a third of the floor";
const BATCH: &str = "send 128 B, 16 × 1, batch 32";
const ARRIVAL: &str = "end to end 128 B at 500/s";
const ONE_GROUP: &str = "end to end 128 B at 2,000/s, 1 group";
const GROUPS: &str = "end to end 128 B at 2,000/s, 16 groups";
const PULL: &str = "pull 32 × 128 B, 4 × 1";
const SYNC: [&str; 3] =
    ["sync flush 1 KiB, 1 × 1", "sync flush 1 KiB, 64 × 1", "sync flush 1 KiB, 256 × 1"];
const CREATE: &str = "create topics beside 5,000 sends/s, 16 × 1";
const ALONE: &str = "one producer alone, 128 B, 1 × 1";
const CROWD: &str = "the same among 5,000 producers and 5,000 waiting consumers";
const READ: &str = "sequential read of the log";
const TAIL: &str = "send 1 KiB at 2,000/s, alone";
const COLD: &str = "cold catch-up 32 × 1 KiB, 4 × 1, beside 2,000 sends/s";
const FREE: &str = "both cores free, 128 B, 256 × 1";
const ROUTES: &str = "routes of 1,000 topics, 64 × 1";
const NARROW: &str = "10 queues, 128 B, 64 × 1";

/// The bars; rows without one are shown all the same.
pub const BARS: &[Bar] = &[
    most(start::FIRST, Figure::P50, 100_000.0, Of::Units),
    most(start::FIRST, Figure::P50, 0.1, Of::Java),
    most(start::IDLE, Figure::Memory, 15.0, Of::Units),
    most(start::IDLE, Figure::Memory, 0.1, Of::Java),
    least("send 128 B, 64 × 1", Figure::Rate, 0.65, Of::Floor),
    most("send 128 B, 64 × 1", Figure::Cpu, 1.0 / 3.0, Of::Java),
    least("send 1 KiB, 64 × 1", Figure::Rate, 0.60, Of::Floor),
    most("send 1 KiB, 64 × 1", Figure::Cpu, 1.0 / 3.0, Of::Java),
    least("send 4 KiB, 64 × 1", Figure::Rate, 0.59, Of::Floor),
    most("send 4 KiB, 64 × 1", Figure::Cpu, 1.0 / 3.0, Of::Java),
    least("send 128 B, 16 × 16", Figure::Rate, 0.35, Of::Floor),
    most("send 128 B, 16 × 16", Figure::Cpu, 1.0 / 8.0, Of::Java),
    least("send 1 KiB, 16 × 16", Figure::Rate, 0.35, Of::Floor),
    most("send 1 KiB, 16 × 16", Figure::Cpu, 1.0 / 8.0, Of::Java),
    most(BATCH, Figure::Cpu, 1.0 / 8.0, Of::Java),
    least(BATCH, Figure::Rate, 1e6, Of::Units),
    most(ONE, Figure::P50, 1.2, Of::Floor),
    most(ONE, Figure::P50, 0.8, Of::Java),
    most(THIRD, Figure::P99, 1.3, Of::Floor),
    most(THIRD, Figure::P999, 1.3, Of::Floor),
    most(THIRD, Figure::P99, 0.1, Of::Java),
    most(THIRD, Figure::P999, 0.1, Of::Java),
    most(ARRIVAL, Figure::P50, 1.0 / 3.0, Of::Java),
    most(ARRIVAL, Figure::P99, 1.0 / 3.0, Of::Java),
    most(GROUPS, Figure::Cpu, 1.5, Of::Row(ONE_GROUP)),
    most(GROUPS, Figure::Cpu, 0.25, Of::Java),
    most(PULL, Figure::Cpu, 0.25, Of::Java),
    least(PULL, Figure::Rate, 8e5, Of::Units),
    most("pull one tag of ten, 4 × 1", Figure::Cpu, 0.25, Of::Java),
    most("pull one of ten by SQL92, 4 × 1", Figure::Cpu, 0.25, Of::Java),
    most(start::FULL, Figure::Memory, 60.0, Of::Units),
    most(start::FULL, Figure::Memory, 0.1, Of::Java),
    least(SYNC[0], Figure::Rate, 0.7, Of::Floor),
    least(SYNC[0], Figure::Rate, 2.5, Of::Java),
    least(SYNC[1], Figure::Rate, 0.6, Of::Floor),
    least(SYNC[1], Figure::Rate, 2.5, Of::Java),
    least(SYNC[2], Figure::Rate, 0.7, Of::Floor),
    least(SYNC[2], Figure::Rate, 2.5, Of::Java),
    least("10,000 queues, 128 B, 64 × 1", Figure::Rate, 0.9, Of::Row(NARROW)),
    least("100,000 queues, 128 B, 64 × 1", Figure::Rate, 0.85, Of::Row(NARROW)),
    least(CREATE, Figure::Rate, 5_000.0, Of::Units),
    most(CROWD, Figure::P99, 2.0, Of::Row(ALONE)),
    most(CROWD, Figure::Memory, 40.0, Of::Above(ALONE)),
    least(COLD, Figure::Bytes, 0.7, Of::Row(READ)),
    least(COLD, Figure::Bytes, 1.5, Of::Java),
    most(COLD, Figure::P99, 2.0, Of::Row(TAIL)),
    least(FREE, Figure::Rate, 1.0, Of::Row("send 128 B, 256 × 1")),
    least(FREE, Figure::Rate, 2.5, Of::Java),
    most(ROUTES, Figure::Cpu, 0.25, Of::Java),
    most(ROUTES, Figure::Memory, 10.0, Of::Units),
];

impl Bar {
    /// What our server came to, in what the limit counts; `None` without what it compares.
    pub fn value(&self, results: &Results) -> Option<f64> {
        let pairs = |other| results.pairs((self.row, "ours"), other, self.figure).into_iter();
        let ratio = |other| median(pairs(other).map(|(own, other)| own / other).collect());
        match self.of {
            Of::Units => results.median(self.row, "ours", self.figure),
            Of::Floor => ratio((self.row, "floor")),
            Of::Java => ratio((self.row, "java")),
            Of::Row(row) => ratio((row, "ours")),
            Of::Above(row) => {
                pairs((row, "ours")).map(|(own, other)| own - other).max_by(f64::total_cmp)
            }
        }
    }

    /// Whether a value is on the right side.
    pub fn holds(&self, value: f64) -> bool {
        match self.limit {
            Limit::Least(limit) => value >= limit,
            Limit::Most(limit) => value <= limit,
        }
    }

    /// The bar in words.
    pub fn words(&self) -> String {
        let what = match self.figure {
            Figure::Rate => "rate",
            Figure::Bytes => "MB/s",
            Figure::P50 => "p50",
            Figure::P99 => "p99",
            Figure::P999 => "p99.9",
            Figure::Cpu => "CPU/msg",
            Figure::Switches => "switches/msg",
            Figure::Memory => "memory",
            Figure::Load => "load",
        };
        let (sign, limit) = match self.limit {
            Limit::Least(limit) => ("≥", limit),
            Limit::Most(limit) => ("≤", limit),
        };
        let of = match self.of {
            Of::Units => String::new(),
            Of::Floor => " × the floor's".to_owned(),
            Of::Java => " × Java's".to_owned(),
            Of::Row(row) => format!(" × that of {row}"),
            Of::Above(row) => format!(" above {row}"),
        };
        format!("{what} {sign} {}{of}", self.show(limit))
    }

    /// A value in the form that fits what the limit counts.
    pub fn show(&self, value: f64) -> String {
        match (self.of, self.figure) {
            (Of::Units, Figure::Rate) => rate(value),
            (Of::Units, Figure::P50 | Figure::P99 | Figure::P999 | Figure::Cpu) => duration(value),
            (Of::Units | Of::Above(_), Figure::Memory) => format!("{value:.1} MB"),
            _ => format!("{value:.2}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::results::{Latency, Outcome, Run};
    use super::*;

    fn run(row: &str, target: &str, round: usize, per_second: f64, p50: f64) -> Run {
        let latency_us = Latency { p50, ..Latency::default() };
        Run::new(row, target, round, Outcome { per_second, latency_us, ..Outcome::default() })
    }

    #[test]
    fn ratios_are_of_the_same_round() {
        let runs = vec![
            run("a", "floor", 0, 100.0, 0.0),
            run("a", "floor", 1, 300.0, 0.0),
            run("a", "ours", 0, 50.0, 0.0),
            run("a", "ours", 1, 180.0, 0.0),
            run("b", "ours", 1, 90.0, 20.0),
        ];
        let results = Results { runs, ..Results::default() };
        let share = least("a", Figure::Rate, 0.56, Of::Floor);
        let value = share.value(&results).expect("both measured");
        assert!((value - 0.55).abs() < 1e-9 && !share.holds(value), "{value}");
        assert_eq!(share.words(), "rate ≥ 0.56 × the floor's");
        let loss = least("b", Figure::Rate, 0.5, Of::Row("a"));
        assert_eq!(loss.value(&results).map(|value| loss.holds(value)), Some(true));
        assert_eq!(least("b", Figure::Rate, 0.5, Of::Java).value(&results), None);
        let absolute = most("b", Figure::P50, 19.0, Of::Units);
        assert_eq!(absolute.value(&results).map(|value| absolute.holds(value)), Some(false));
        assert_eq!(absolute.words(), "p50 ≤ 19 µs");
        // What was not measured is no 0.
        assert_eq!(most("a", Figure::P50, 19.0, Of::Units).value(&results), None);
    }

    #[test]
    fn no_two_bars_say_the_same() {
        let mut words: Vec<_> = BARS.iter().map(|bar| (bar.row, bar.words())).collect();
        words.sort();
        let count = words.len();
        words.dedup();
        assert_eq!(words.len(), count);
    }
}
