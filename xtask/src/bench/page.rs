//! `docs/benchmarks.md`: the table, with the conditions it was measured under.

use std::fmt::Write;
use std::fs;

use super::Args;
use super::bars::{BARS, Bar};
use super::results::{Line, Results};

/// A floor that varies by more makes a row void.
const SPREAD_MAX: f64 = 0.1;
/// With a busier generator the load is what limits.
const GENERATOR_MAX: f64 = 0.8;

/// The page.
pub fn write(results: &Results, args: &Args) -> String {
    let pinned = match args.free {
        true => "nobody pinned",
        false => "the servers pinned to core 0, the load to core 1",
    };
    format!(
        "# Benchmarks\n\n\
         `cargo xtask bench --record` starts three servers and measures them in turns in one run: \
         the floor (a stub that\nspeaks the protocol, scans the header, checksums the body, copies \
         it into a file and answers), RaptorMQ and Java 5.3.3,\nboth with their defaults but for \
         what a row says and waiting times of 10 s. Those that are not measured are stopped\n\
         meanwhile. Figures are medians of {} rounds; shares are of the floor of the same round. \
         CPU is that of the server\nprocess, per message; latencies run from the send, or from the \
         moment it was due; pulls count the messages that were\nlooked at.\n\n\
         Conditions: {}, {} cores, load {:.2} before, {pinned}; {} s of warm-up and {} s of \
         measurement a row; JSON\nheaders; Java with 2 GiB of heap, G1, its logs on, and 10 s of \
         sends before the first row.\n\n\
         A row whose floor varied by more than a tenth is marked with a question mark, and one in \
         which the load generator\nwas busy for more than 80 % with an exclamation mark: there the \
         load is the limit.\n\n![shares of the floor](benchmarks.svg)\n\n{}",
        results.rounds,
        processor(),
        std::thread::available_parallelism().map_or(0, usize::from),
        results.load,
        args.warmup,
        args.duration,
        table(results)
    )
}

/// The tables of rows, bars and starts.
pub fn table(results: &Results) -> String {
    let mut out = String::from(
        "| row | server | rate | min – max | of floor | p50 | p99 | p99.9 | CPU/msg | of Java's | \
         switches/msg | anonymous |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for row in results.rows() {
        for server in results.servers() {
            match results.line(row, server) {
                Some(line) => line_of(&mut out, results, (row, server), &line),
                None => failed(&mut out, results, row, server),
            }
        }
    }
    bars(&mut out, results);
    out.push_str(
        "\n| start | until it accepts | anonymous memory 2 s later |\n| --- | --- | --- |\n",
    );
    for start in &results.starts {
        let (name, mib) = (&start.name, start.anonymous_mib);
        let _ = writeln!(out, "| {name} | {} | {mib:.1} MiB |", duration(start.seconds * 1e6));
    }
    out
}

fn line_of(out: &mut String, results: &Results, (row, server): (&str, &str), line: &Line) {
    let java = results.line(row, "java").filter(|_| server == "ours");
    let dash = || "–".to_owned();
    let ratio = java.map_or_else(dash, |java| format!("{:.2}", line.cpu_us / java.cpu_us));
    let share = line.share.map_or_else(dash, |share| format!("{share:.2}"));
    let mut rate = rate(line.rate);
    if line.errors > 0 {
        let _ = write!(rate, " ({} errors)", line.errors);
    }
    let _ = writeln!(
        out,
        "| {row}{} | {server} | {rate} | {} – {} | {share} | {} | {} | {} | {:.2} µs | {ratio} | \
         {:.2} | {:.1} MiB |",
        marks(results, row, line),
        self::rate(line.rate_min),
        self::rate(line.rate_max),
        duration(line.p50),
        duration(line.p99),
        duration(line.p999),
        line.cpu_us,
        line.switches,
        line.anonymous_mib,
    );
}

fn marks(results: &Results, row: &str, line: &Line) -> String {
    let floor = results.line(row, "floor");
    let varied = floor.is_some_and(|f| (f.rate_max - f.rate_min) / f.rate > SPREAD_MAX);
    let limited = line.generator > GENERATOR_MAX;
    format!("{}{}", if varied { " ?" } else { "" }, if limited { " !" } else { "" })
}

fn failed(out: &mut String, results: &Results, row: &str, server: &str) {
    // The floor takes nothing but sends.
    let of_row = |run: &&super::Run| run.row == row && run.target == server;
    let failure = results.runs.iter().filter(of_row).find_map(|run| run.failure.as_deref());
    if let Some(failure) = failure.filter(|_| server != "floor") {
        let _ = writeln!(out, "| {row} | {server} | {failure} |{}", " |".repeat(9));
    }
}

fn bars(out: &mut String, results: &Results) {
    out.push_str("\n| row | bar | |\n| --- | --- | --- |\n");
    let measured = |bar: &&Bar| results.line(bar.row, "ours").is_some();
    for bar in BARS.iter().filter(measured) {
        let word = match results.holds(bar) {
            Some(true) => "held",
            Some(false) => "**missed**",
            None => "not measured",
        };
        let _ = writeln!(out, "| {} | {} | {word} |", bar.row, bar.words());
    }
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name"));
    model
        .map_or("an unknown processor", |line| line.trim_start_matches([' ', '\t', ':']))
        .to_owned()
}

/// A rate with the unit that fits.
pub fn rate(per_second: f64) -> String {
    match per_second {
        rate if rate >= 1e6 => format!("{:.2} M/s", rate / 1e6),
        rate if rate >= 1e4 => format!("{:.1} k/s", rate / 1e3),
        rate => format!("{rate:.0} /s"),
    }
}

fn duration(us: f64) -> String {
    match us {
        us if us >= 1e6 => format!("{:.2} s", us / 1e6),
        us if us >= 1e3 => format!("{:.2} ms", us / 1e3),
        us => format!("{us:.0} µs"),
    }
}
