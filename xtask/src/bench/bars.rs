//! What our broker must reach, row by row.

use super::results::Line;

/// A bar: every figure that is given must hold.
#[derive(Clone, Copy, Default)]
pub struct Bar {
    /// The row.
    pub row: &'static str,
    /// Least share of the floor's rate.
    pub share: Option<f64>,
    /// Most of Java's CPU per message.
    pub cpu: Option<f64>,
    /// Least rate, messages per second.
    pub rate: Option<f64>,
    /// Least of Java's rate.
    pub rate_to_java: Option<f64>,
    /// Most of Java's median and 99th percentile.
    pub latency_to_java: Option<f64>,
    /// Most of the floor's median.
    pub p50_to_floor: Option<f64>,
    /// Most of the floor's 99th percentile.
    pub p99_to_floor: Option<f64>,
}

const NONE: Bar = Bar {
    row: "",
    share: None,
    cpu: None,
    rate: None,
    rate_to_java: None,
    latency_to_java: None,
    p50_to_floor: None,
    p99_to_floor: None,
};

const fn send(row: &'static str, share: f64, cpu: f64) -> Bar {
    Bar { row, share: Some(share), cpu: Some(cpu), ..NONE }
}

const fn sync(row: &'static str, share: f64) -> Bar {
    Bar { row, share: Some(share), rate_to_java: Some(2.5), ..NONE }
}

/// The bars; rows without one are shown all the same.
pub const BARS: [Bar; 15] = [
    send("send 128 B, 64 × 1", 0.65, 1.0 / 3.0),
    send("send 1 KiB, 64 × 1", 0.60, 1.0 / 3.0),
    send("send 4 KiB, 64 × 1", 0.59, 1.0 / 3.0),
    send("send 128 B, 16 × 16", 0.35, 1.0 / 8.0),
    send("send 1 KiB, 16 × 16", 0.35, 1.0 / 8.0),
    Bar { row: "send 128 B, 16 × 1, batch 32", cpu: Some(1.0 / 8.0), rate: Some(1e6), ..NONE },
    Bar { row: "send 128 B, 1 × 1", p50_to_floor: Some(1.2), latency_to_java: Some(0.8), ..NONE },
    Bar {
        row: "send 1 KiB at a third of the floor",
        p99_to_floor: Some(1.3),
        latency_to_java: Some(0.1),
        ..NONE
    },
    Bar { row: "end to end 128 B at 500/s", latency_to_java: Some(1.0 / 3.0), ..NONE },
    Bar { row: "pull 32 × 128 B, 4 × 1", cpu: Some(0.25), rate: Some(8e5), ..NONE },
    Bar { row: "pull one tag of ten, 4 × 1", cpu: Some(0.25), ..NONE },
    Bar { row: "pull one of ten by SQL92, 4 × 1", cpu: Some(0.25), ..NONE },
    sync("sync flush 1 KiB, 1 × 1", 0.7),
    sync("sync flush 1 KiB, 64 × 1", 0.6),
    sync("sync flush 1 KiB, 256 × 1", 0.7),
];

impl Bar {
    /// Whether a line is above it; `None` where a line that it compares with is missing.
    pub fn holds(&self, ours: &Line, java: Option<&Line>) -> Option<bool> {
        let least = |got: f64, bar: Option<f64>| bar.is_none_or(|bar| got >= bar);
        let most = |got: f64, bar: Option<f64>| bar.is_none_or(|bar| got <= bar);
        let compares_java = self.cpu.or(self.rate_to_java).or(self.latency_to_java).is_some();
        let java = match java {
            Some(java) => java.clone(),
            None if compares_java => return None,
            None => Line::default(),
        };
        let p50 = ours.p50 / java.p50;
        let p99 = ours.p99 / java.p99;
        Some(
            least(ours.share.unwrap_or(0.0), self.share)
                && most(ours.cpu_us / java.cpu_us, self.cpu)
                && least(ours.rate, self.rate)
                && least(ours.rate / java.rate, self.rate_to_java)
                && most(p50.max(p99), self.latency_to_java)
                && most(ours.p50_to_floor.unwrap_or(f64::INFINITY), self.p50_to_floor)
                && most(ours.p99_to_floor.unwrap_or(f64::INFINITY), self.p99_to_floor),
        )
    }

    /// The bar in words.
    pub fn words(&self) -> String {
        let mut words = Vec::new();
        let mut word = |what: &str, bar: Option<f64>, suffix: &str| {
            if let Some(bar) = bar {
                words.push(format!("{what} {}{suffix}", short(bar)));
            }
        };
        word("≥", self.share, " of the floor");
        word("≥", self.rate, " a second");
        word("≥", self.rate_to_java, " × Java's rate");
        word("CPU ≤", self.cpu, " × Java's");
        word("p50 ≤", self.p50_to_floor, " × the floor's");
        word("p99 ≤", self.p99_to_floor, " × the floor's");
        word("p50, p99 ≤", self.latency_to_java, " × Java's");
        words.join(", ")
    }
}

fn short(number: f64) -> String {
    match number {
        number if number >= 1e6 => format!("{} M", number / 1e6),
        number if number >= 1e3 => format!("{} k", number / 1e3),
        number => format!("{number:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_of_a_bar_counts() {
        let bar = send("row", 0.5, 0.25);
        let java = Line { cpu_us: 40.0, ..Line::default() };
        let ours = Line { share: Some(0.5), cpu_us: 10.0, ..Line::default() };
        assert_eq!(bar.holds(&ours, Some(&java)), Some(true));
        assert_eq!(bar.holds(&ours, None), None);
        let slow = Line { share: Some(0.49), ..ours.clone() };
        assert_eq!(bar.holds(&slow, Some(&java)), Some(false));
        let costly = Line { cpu_us: 10.1, ..ours };
        assert_eq!(bar.holds(&costly, Some(&java)), Some(false));
        assert_eq!(bar.words(), "≥ 0.50 of the floor, CPU ≤ 0.25 × Java's");
    }
}
