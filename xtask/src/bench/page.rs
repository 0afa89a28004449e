//! `docs/benchmarks.md`: the table, with the conditions it was measured under.

use std::fmt::Write;
use std::fs;

use super::Args;
use super::bars::BARS;
use super::results::{Figure, Results, median};

/// A floor that varies by more makes a row void.
const SPREAD_MAX: f64 = 0.1;
/// With a busier generator the load is what limits.
const LOAD_MAX: f64 = 0.8;

/// In this order.
const SERVERS: [&str; 3] = ["floor", "ours", "java"];

/// The page.
pub fn write(results: &Results, args: &Args) -> String {
    format!(
        "# Benchmarks\n\n\
         `cargo xtask bench --record` starts three servers and measures them in turns in one run: \
         the floor (a stub that\nspeaks the protocol, scans the header, checksums the body, copies \
         it into a file and answers), RaptorMQ and Java 5.3.3,\nboth with their defaults but for \
         what a row says and waiting times of 10 s. Those that are not measured are stopped\n\
         meanwhile. Figures are medians of {} rounds; shares are of the floor of the same round. \
         CPU is that of the server\nprocess, per message; latencies run from the send, or from the \
         moment it was due; pulls count the messages that were\nlooked at. Memory is the most \
         anonymous memory of the server during a row; load is how busy the load generator's\ncore \
         was. Ratios to other rows and to Java in the second table are of the same round, too.\n\n\
         Conditions: {}, {} cores, load {:.2} before; a loop of arithmetic, \
         before and between the sets of\nrows, took {} without the fastest and the slowest \
         tenth; the servers pinned to core 0 (the floor and ours when\nthey start, Java when it \
         has), the load to core 1, but where both cores are free; {} s of warm-up and {} s of \
         measurement a row;\n\
         JSON headers; Java with 2 GiB of heap, G1, its logs on, room for {} mapped files \
         (vm.max_map_count; one a queue), and 10 s of\nsends before the \
         first row. The cold log has files of 64 MiB, and the servers are started anew before it \
         is read,\nand before each round of the rows of very many queues. Before each row the \
         free memory is filled with page cache (of holes\nof a sparse file), as it is on a machine \
         that has served for a while; what the log leaves when it is taken out of\nmemory, too.\n\n\
         A row whose floor varied by more than a tenth is marked with a question mark, and one in \
         which the load generator\nwas busy for more than 80 % with an exclamation mark: there the \
         load is the limit. Where the time of a message goes, and what is known of bars that are \
         missed: [costs.md](costs.md).\n\n![shares of the floor](benchmarks.svg)\n\n{}",
        results.rounds,
        processor(),
        std::thread::available_parallelism().map_or(0, usize::from),
        results.load,
        results.pace,
        args.warmup,
        args.duration,
        maps_max(),
        table(results)
    )
}

/// The tables of rows and bars.
pub fn table(results: &Results) -> String {
    let mut out = String::from(
        "| row | server | rate | min – max | MB/s | of floor | p50 | p99 | p99.9 | CPU/msg | of Java's | \
         switches/msg | memory | load |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for row in results.rows() {
        for server in SERVERS {
            line(&mut out, results, row, server);
        }
    }
    bars(&mut out, results);
    out
}

fn line(out: &mut String, results: &Results, row: &str, server: &str) {
    let mut runs = results.of(row, server).peekable();
    if runs.peek().is_none() {
        return;
    }
    if results.of(row, server).all(|run| run.outcome.is_none()) {
        // The floor takes nothing but sends.
        let failure = runs.find_map(|run| run.failure.as_deref()).filter(|_| server != "floor");
        if let Some(failure) = failure {
            let _ = writeln!(out, "| {row} | {server} | {failure} |{}", " |".repeat(11));
        }
        return;
    }
    let outcomes = runs.filter_map(|run| run.outcome.as_ref());
    let errors: u64 = outcomes.flat_map(|outcome| &outcome.errors).map(|error| error.count).sum();
    let median = |figure| results.median(row, server, figure);
    let mut rate = cell(median(Figure::Rate), self::rate);
    if errors > 0 {
        let _ = write!(rate, " ({errors} errors)");
    }
    let of_java = results.ratio(row, server, "java", Figure::Cpu).filter(|_| server == "ours");
    let cells = [
        format!("{row}{}", marks(results, row, server)),
        server.to_owned(),
        rate,
        spread(&results.all(row, server, Figure::Rate)),
        cell(median(Figure::Bytes), |mb| format!("{mb:.1}")),
        cell(results.ratio(row, server, "floor", Figure::Rate), ratio),
        cell(median(Figure::P50), duration),
        cell(median(Figure::P99), duration),
        cell(median(Figure::P999), duration),
        cell(median(Figure::Cpu), |us| format!("{us:.2} µs")),
        cell(of_java, ratio),
        cell(median(Figure::Switches), ratio),
        cell(median(Figure::Memory), |mb| format!("{mb:.1} MB")),
        cell(median(Figure::Load), |busy| format!("{:.0} %", busy * 100.0)),
    ];
    let _ = writeln!(out, "| {} |", cells.join(" | "));
}

fn cell(figure: Option<f64>, show: fn(f64) -> String) -> String {
    figure.map_or_else(|| "–".to_owned(), show)
}

fn ratio(ratio: f64) -> String {
    format!("{ratio:.2}")
}

fn spread(rates: &[f64]) -> String {
    if rates.is_empty() {
        return "–".to_owned();
    }
    let (min, max) = range(rates);
    format!("{} – {}", rate(min), rate(max))
}

fn range(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::INFINITY, 0.0), |(min, max), &value| (value.min(min), value.max(max)))
}

fn marks(results: &Results, row: &str, server: &str) -> String {
    let floor = results.all(row, "floor", Figure::Rate);
    let (min, max) = range(&floor);
    let varied = median(floor).is_some_and(|middle| (max - min) / middle > SPREAD_MAX);
    let load = results.median(row, server, Figure::Load);
    let limited = load.is_some_and(|busy| busy > LOAD_MAX);
    format!("{}{}", if varied { " ?" } else { "" }, if limited { " !" } else { "" })
}

fn bars(out: &mut String, results: &Results) {
    out.push_str("\n| row | bar | ours | |\n| --- | --- | --- | --- |\n");
    let rows = results.rows();
    for bar in BARS.iter().filter(|bar| rows.contains(&bar.row)) {
        let value = bar.value(results);
        let word = match value.map(|value| bar.holds(value)) {
            Some(true) => "held",
            Some(false) => "**missed**",
            None => "not measured",
        };
        let value = value.map_or_else(|| "–".to_owned(), |value| bar.show(value));
        let _ = writeln!(out, "| {} | {} | {value} | {word} |", bar.row, bar.words());
    }
}

fn maps_max() -> String {
    let max = fs::read_to_string("/proc/sys/vm/max_map_count").unwrap_or_default();
    max.trim().to_owned()
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

/// Microseconds with the unit that fits.
pub fn duration(us: f64) -> String {
    match us {
        us if us >= 1e6 => format!("{:.2} s", us / 1e6),
        us if us >= 1e3 => format!("{:.2} ms", us / 1e3),
        us => format!("{us:.0} µs"),
    }
}
