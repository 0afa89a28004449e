//! What a measurement came to, as a table for people and as JSON.

use anyhow::Result;
use comfy_table::{Table, presets};
use serde::Serialize;

use super::args::Common;
use super::driver::Sample;
use super::tally::{CodeCount, Tally};

/// The result of one measurement.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Measured time.
    pub seconds: f64,
    /// Messages sent or received.
    pub messages: u64,
    /// Messages per second.
    pub per_second: f64,
    /// Bodies per second, or records for pulls.
    pub mib_per_second: f64,
    /// From the send, or the moment it was due, to the answer or the arrival.
    pub latency_us: Latency,
    /// What the server used, if its process is known.
    pub server: Option<Server>,
    /// CPU time of the generator per message.
    pub generator_cpu_us: f64,
    /// Share of one core the generator was busy; near 1 it may be what limits.
    pub generator_busy: f64,
    /// Answers that were no success, also during the warm-up.
    pub errors: Vec<CodeCount>,
}

/// Percentiles in microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Latency {
    /// Median.
    pub p50: f64,
    /// 90 %.
    pub p90: f64,
    /// 99 %.
    pub p99: f64,
    /// 99.9 %.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

/// What the server used.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Server {
    /// CPU time per message.
    pub cpu_us: f64,
    /// Busy cores.
    pub cores: f64,
    /// Context switches per message.
    pub switches: f64,
    /// Most anonymous memory, the warm-up included.
    pub anonymous_mib: f64,
    /// Mapped files in memory at the end.
    pub file_mib: f64,
}

impl Outcome {
    /// Computes it from the counts between two samples.
    pub fn new(tally: &Tally, began: &Sample, ended: &Sample, anonymous_kib: u64) -> Self {
        let seconds = (ended.at - began.at).as_secs_f64();
        let messages = tally.messages.max(1) as f64;
        let at = |quantile| tally.latency.value_at_quantile(quantile) as f64 / 1e3;
        let spun_ns = (ended.spun - began.spun).as_nanos() as u64;
        let own_ns = (ended.own_cpu_ns - began.own_cpu_ns).saturating_sub(spun_ns) as f64;
        let server = began.server.zip(ended.server).map(|(before, after)| {
            let cpu_ns = after.cpu_ns.saturating_sub(before.cpu_ns) as f64;
            Server {
                cpu_us: cpu_ns / 1e3 / messages,
                cores: cpu_ns / 1e9 / seconds,
                switches: after.switches.saturating_sub(before.switches) as f64 / messages,
                anonymous_mib: anonymous_kib as f64 / 1024.0,
                file_mib: after.file_kib as f64 / 1024.0,
            }
        });
        Self {
            seconds,
            messages: tally.messages,
            per_second: tally.messages as f64 / seconds,
            mib_per_second: tally.bytes as f64 / seconds / f64::from(1 << 20),
            latency_us: Latency {
                p50: at(0.5),
                p90: at(0.9),
                p99: at(0.99),
                p999: at(0.999),
                max: tally.latency.max() as f64 / 1e3,
            },
            server,
            generator_cpu_us: own_ns / 1e3 / messages,
            generator_busy: own_ns / 1e9 / seconds,
            errors: tally.errors.clone(),
        }
    }
}

/// Prints one outcome in the form asked for.
pub fn print(common: &Common, outcome: &Outcome) -> Result<()> {
    if common.json {
        println!("{}", serde_json::to_string(outcome)?);
        return Ok(());
    }
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY);
    table.set_header(["measured", "value"]);
    let mut row = |name: &str, value: String| {
        table.add_row([name.to_owned(), value]);
    };
    row("messages", format!("{} in {:.1} s", outcome.messages, outcome.seconds));
    row("messages per second", rate(outcome.per_second));
    row("MiB per second", format!("{:.1}", outcome.mib_per_second));
    let Latency { p50, p90, p99, p999, max } = outcome.latency_us;
    row(
        "latency p50 / p90 / p99 / p99.9 / max",
        [p50, p90, p99, p999, max].map(duration).join(" / "),
    );
    if let Some(server) = &outcome.server {
        row("server CPU per message", format!("{:.2} µs", server.cpu_us));
        row("server busy cores", format!("{:.2}", server.cores));
        row("server switches per message", format!("{:.2}", server.switches));
        row("server anonymous memory, at most", format!("{:.1} MiB", server.anonymous_mib));
        row("server mapped files", format!("{:.1} MiB", server.file_mib));
    }
    row("generator CPU per message", format!("{:.2} µs", outcome.generator_cpu_us));
    row("generator busy", format!("{:.0} %", outcome.generator_busy * 100.0));
    for error in &outcome.errors {
        row(&format!("answers with code {}", error.code), error_text(error));
    }
    println!("{table}");
    Ok(())
}

fn error_text(error: &CodeCount) -> String {
    format!("{} ({})", error.count, error.remark)
}

/// A rate with the unit that fits.
pub fn rate(per_second: f64) -> String {
    match per_second {
        rate if rate >= 1e6 => format!("{:.2} M/s", rate / 1e6),
        rate if rate >= 1e4 => format!("{:.1} k/s", rate / 1e3),
        rate => format!("{rate:.0} /s"),
    }
}

/// Microseconds with the unit that fits.
pub fn duration(us: f64) -> String {
    match us {
        us if us >= 1e6 => format!("{:.2} s", us / 1e6),
        us if us >= 1e3 => format!("{:.2} ms", us / 1e3),
        us => format!("{us:.0} µs"),
    }
}
