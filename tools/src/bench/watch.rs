//! Looks at a measurement that runs: the server's memory, what a person at a terminal sees, and
//! the figures of a soak.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};

use super::args::Common;
use super::process;
use super::report::{duration, rate};
use super::soak::Soak;
use super::tally::Tally;

/// Between two looks. One takes some 20 µs of the generator's time.
const EVERY: Duration = Duration::from_millis(100);
/// Between two figures for a person.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// What was seen so far.
pub struct Watch {
    pid: Option<u32>,
    next: Duration,
    /// The most anonymous memory of the server; 0 if its process is not known.
    pub anonymous_kib: u64,
    line: Option<(ProgressBar, Interval)>,
    soak: Option<(Soak, Interval)>,
}

/// What was counted before an interval, and how long it is.
struct Interval {
    length: Duration,
    began: Duration,
    messages: u64,
    latency: Histogram<u64>,
}

/// What came in an interval.
pub struct Figures {
    /// Since the start.
    pub at: Duration,
    /// Messages.
    pub per_second: f64,
    /// 99 % took at most that long.
    pub p99_us: f64,
    /// The server's anonymous memory at its end; 0 if its process is not known.
    pub anonymous_kib: u64,
}

impl Watch {
    /// Nothing seen yet.
    pub fn new(common: &Common) -> Result<Self> {
        let interval = |length| {
            let latency = Tally::new()?.latency;
            anyhow::Ok(Interval { length, began: Duration::ZERO, messages: 0, latency })
        };
        let seen = std::io::stderr().is_terminal();
        let line = seen.then(|| anyhow::Ok((bar(common), interval(LINE_EVERY)?))).transpose()?;
        let every = Duration::from_secs_f64(common.soak);
        let soaks = !every.is_zero();
        let soak = soaks.then(|| anyhow::Ok((Soak::default(), interval(every)?))).transpose()?;
        Ok(Self { pid: common.pid, next: Duration::ZERO, anonymous_kib: 0, line, soak })
    }

    /// Looks if it is time to; `now` counts from the start.
    pub fn turn(&mut self, now: Duration, tally: &Tally) -> Result<()> {
        if now < self.next {
            return Ok(());
        }
        self.next = now + EVERY;
        let anonymous_kib = self.pid.map_or(Ok(0), process::anonymous_kib)?;
        self.anonymous_kib = self.anonymous_kib.max(anonymous_kib);
        if let Some((bar, interval)) = &mut self.line
            && let Some(figures) = interval.over(now, tally, anonymous_kib)?
        {
            bar.set_position(now.as_secs());
            bar.set_message(figures.words());
        }
        if let Some((soak, interval)) = &mut self.soak
            && let Some(figures) = interval.over(now, tally, anonymous_kib)?
        {
            soak.add(figures);
        }
        Ok(())
    }

    /// Begins to count anew, as the tally does.
    pub fn reset(&mut self, now: Duration) {
        let line = self.line.as_mut().map(|(_, interval)| interval);
        let soak = self.soak.as_mut().map(|(_, interval)| interval);
        for interval in line.into_iter().chain(soak) {
            interval.began = now;
            interval.messages = 0;
            interval.latency.reset();
        }
    }

    /// Takes the line away; an error if the soak has found that memory grows without end.
    pub fn finish(self) -> Result<()> {
        if let Some((bar, _)) = self.line {
            bar.finish_and_clear();
        }
        self.soak.map_or(Ok(()), |(soak, _)| soak.verdict())
    }
}

impl Interval {
    /// The figures of the interval if it is over; the next begins then.
    fn over(
        &mut self,
        now: Duration,
        tally: &Tally,
        anonymous_kib: u64,
    ) -> Result<Option<Figures>> {
        let seconds = now.saturating_sub(self.began).as_secs_f64();
        if seconds < self.length.as_secs_f64() {
            return Ok(None);
        }
        let mut latency = tally.latency.clone();
        latency.subtract(&self.latency)?;
        let figures = Figures {
            at: now,
            per_second: (tally.messages - self.messages) as f64 / seconds,
            p99_us: latency.value_at_quantile(0.99) as f64 / 1e3,
            anonymous_kib,
        };
        self.began = now;
        self.messages = tally.messages;
        self.latency = tally.latency.clone();
        Ok(Some(figures))
    }
}

impl Figures {
    /// As a line.
    pub fn words(&self) -> String {
        let (rate, p99) = (rate(self.per_second), duration(self.p99_us));
        format!("{rate}, p99 {p99}, {:.1} MiB", self.anonymous_kib as f64 / 1024.0)
    }
}

fn bar(common: &Common) -> ProgressBar {
    let seconds = (common.warmup + common.duration) as u64;
    let style = ProgressStyle::with_template("{bar:20} {pos}/{len} s  {msg}");
    ProgressBar::new(seconds).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
