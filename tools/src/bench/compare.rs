//! Rows × targets × rounds: every target runs every row once per round, in changing order.
//!
//! What is published is the ratio to the first target of the same round, because the machine
//! drifts from one round to the next.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use comfy_table::{Table, presets};
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;

use super::args::{
    Codec, ColdArgs, Common, CompareArgs, CreateArgs, CrowdArgs, E2eArgs, PullArgs, RoutesArgs,
    SendArgs, TransactionArgs,
};
use super::report::{self, Outcome};
use super::rows::{Filter, Kind, ROWS, Row};
use super::{ballast, cold, create, crowd, e2e, pull, routes, send, transaction};

/// Messages put into the topic before a pull row.
const PULL_FILL: u64 = 200_000;
/// The target that only takes sends.
const FLOOR: &str = "floor";
/// Kinds of the messages that filters look at.
const KINDS: usize = 10;
/// The longest that gigabytes may take in and out.
const FILL_SECONDS: f64 = 600.0;
/// A process that goes on after a stop has connections to answer and clocks to look at.
const THAW: Duration = Duration::from_millis(300);

/// A running server.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    name: String,
    address: String,
    pid: Option<u32>,
    /// The folder it keeps its files in.
    store: Option<PathBuf>,
}

/// One measurement of a comparison.
#[derive(Serialize)]
struct Run {
    row: &'static str,
    target: String,
    round: usize,
    /// Nothing when the target does not serve this row.
    outcome: Option<Outcome>,
    /// Why not.
    failure: Option<String>,
}

/// Runs a comparison and prints it.
pub fn run(args: &CompareArgs) -> Result<()> {
    let targets = args.targets.iter().map(|text| parse(text)).collect::<Result<Vec<_>>>()?;
    let frozen = Frozen { targets: &targets, on: args.freeze };
    let mut runs: Vec<Run> = Vec::new();
    let rows = || ROWS.iter().filter(|row| row.set == args.set && row.name.contains(&args.rows));
    for round in 0..args.rounds {
        for row in rows() {
            for turn in 0..targets.len() {
                // The first target leads each row: others may depend on what it did.
                let target = match turn {
                    0 => &targets[0],
                    _ => &targets[1 + (turn + round) % (targets.len() - 1)],
                };
                eprintln!("round {} of {}: {}: {}", round + 1, args.rounds, row.name, target.name);
                frozen.all_but(target)?;
                args.ballast.as_deref().map_or(Ok(()), ballast::fill)?;
                let done = measure(row, target, args, (round, &runs));
                let (outcome, failure) = match done {
                    Ok(outcome) => (Some(outcome), None),
                    Err(error) => (None, Some(format!("{error:#}"))),
                };
                let target = target.name.clone();
                runs.push(Run { row: row.name, target, round, outcome, failure });
            }
        }
    }
    drop(frozen);
    if args.json {
        println!("{}", serde_json::to_string(&runs)?);
    } else {
        print(&runs, &targets);
    }
    Ok(())
}

/// The processes of targets that are not measured now; they go on in the end.
struct Frozen<'a> {
    targets: &'a [Target],
    on: bool,
}

impl Frozen<'_> {
    fn all_but(&self, target: &Target) -> Result<()> {
        if !self.on {
            return Ok(());
        }
        for other in self.targets {
            other.signal(if other == target { Signal::CONT } else { Signal::STOP })?;
        }
        std::thread::sleep(THAW);
        Ok(())
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        if self.on {
            for target in self.targets {
                // It may have ended.
                let _ = target.signal(Signal::CONT);
            }
        }
    }
}

impl Target {
    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.pid.context("a target that is frozen needs its PID")?;
        let pid = Pid::from_raw(i32::try_from(pid)?).context("PID 0")?;
        kill_process(pid, signal).with_context(|| format!("{}: {signal:?}", self.name))
    }
}

fn measure(
    row: &Row,
    target: &Target,
    args: &CompareArgs,
    (round, before): (usize, &[Run]),
) -> Result<Outcome> {
    let common = Common {
        broker: Some(target.address.clone()),
        namesrv: String::new(),
        topic: "mqbench".to_owned(),
        queues: 16,
        encoding: Codec::Json,
        warmup: args.warmup,
        duration: args.duration,
        pid: target.pid,
        soak: 0.0,
        json: args.json,
    };
    let closed = SendArgs { size: 128, ..SendArgs::closed(common.clone(), 64) };
    match row.kind {
        Kind::Closed { size, connections, window } => {
            send::measure(&SendArgs { connections, window, size, ..closed })
        }
        Kind::Batch { size, connections, count } => {
            send::measure(&SendArgs { connections, size, batch: count, ..closed })
        }
        Kind::Third { size, of } => {
            let first = before.iter().find(|run| run.row == of && run.round == round);
            let capacity = first.and_then(|run| run.outcome.as_ref()).context("needs its row")?;
            let rate = capacity.per_second / 3.0;
            send::measure(&SendArgs { connections: 16, window: 256, size, rate, ..closed })
        }
        Kind::Spread { topics, queues, zipf } => send::measure(&SendArgs {
            common: Common { topic: format!("mqbench-{topics}x{queues}-"), queues, ..common },
            topics,
            zipf,
            ..closed
        }),
        Kind::Delay { level } => send::measure(&SendArgs { delay_level: level, ..closed }),
        Kind::Transaction { size } => {
            ensure!(target.name != FLOOR, "the floor commits nothing");
            transaction::measure(&TransactionArgs { common, connections: 64, size })
        }
        Kind::Pull { size, filter } => pull::measure(&PullArgs {
            fill: if round == 0 && filter == Filter::All { PULL_FILL } else { 0 },
            size,
            kinds: KINDS,
            subscription: match filter {
                Filter::All => "*",
                Filter::Tag => "t3",
                Filter::Sql => "kind = '3'",
            }
            .to_owned(),
            sql: filter == Filter::Sql,
            ..PullArgs::all(Common { topic: format!("mqbench-pull-{size}"), ..common }, 4)
        }),
        Kind::E2e { rate, groups } => {
            let common = Common { topic: "mqbench-e2e".to_owned(), queues: 4, ..common };
            e2e::measure(&E2eArgs { common, rate, size: 128, groups })
        }
        Kind::Create { connections, beside } => {
            let common = Common { topic: "mqbench-create".to_owned(), queues: 8, ..common };
            create::measure(&CreateArgs { common, connections, beside })
        }
        Kind::Crowd { producers, consumers } => {
            let common = Common { topic: "mqbench-crowd".to_owned(), ..common };
            crowd::measure(&CrowdArgs { common, producers, consumers })
        }
        Kind::Fill { messages } => {
            let common = Common { warmup: 0.0, duration: FILL_SECONDS, ..cold_topic(common) };
            let closed = SendArgs::closed(common, 16);
            send::measure(&SendArgs { window: 16, messages, ..closed })
        }
        Kind::Read => {
            let store = target.store.as_deref().context("needs its store")?;
            cold::read(store, args.ballast.as_deref())
        }
        Kind::Tail { rate } => {
            let closed = SendArgs::closed(cold_topic(common), 1);
            let common = Common { topic: "mqbench-tail".to_owned(), ..closed.common };
            send::measure(&SendArgs { common, window: 256, rate, ..closed })
        }
        Kind::CatchUp { beside } => {
            let common = Common { warmup: 0.0, duration: FILL_SECONDS, ..cold_topic(common) };
            let pull = PullArgs { once: true, ..PullArgs::all(common, 4) };
            let store = target.store.clone().context("needs its store")?;
            cold::measure(&ColdArgs { pull, store, beside, ballast: args.ballast.clone() })
        }
        Kind::Routes { topics } => {
            let namesrv = target.address.clone();
            let topic = "mqbench-route".to_owned();
            let common = Common { namesrv, topic, queues: 8, ..common };
            routes::measure(&RoutesArgs { common, connections: 64, window: 1, topics })
        }
    }
}

/// What is read cold: few queues, so that the log is read in about its own order.
fn cold_topic(common: Common) -> Common {
    Common { topic: "mqbench-cold".to_owned(), queues: 4, ..common }
}

fn parse(text: &str) -> Result<Target> {
    let (name, place) = text.split_once('=').context("a target is NAME=HOST:PORT[,PID[,STORE]]")?;
    let mut parts = place.splitn(3, ',');
    let address = parts.next().unwrap_or_default().to_owned();
    let pid = parts.next().map(|pid| pid.parse().context("PID of a target")).transpose()?;
    Ok(Target { name: name.to_owned(), address, pid, store: parts.next().map(PathBuf::from) })
}

fn print(runs: &[Run], targets: &[Target]) {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED);
    table.set_header([
        "row",
        "target",
        "rate",
        "min – max",
        "ratio",
        "p50",
        "p99",
        "p99.9",
        "CPU/msg",
        "anon",
    ]);
    for row in &ROWS {
        for target in targets {
            let outcomes: BTreeMap<usize, &Outcome> = of(runs, row.name, &target.name);
            if outcomes.is_empty() {
                let failure = runs
                    .iter()
                    .find(|run| run.row == row.name && run.target == target.name)
                    .and_then(|run| run.failure.clone());
                if let Some(failure) = failure {
                    table.add_row([row.name.to_owned(), target.name.clone(), failure]);
                }
                continue;
            }
            let first = of(runs, row.name, &targets[0].name);
            let ratios = outcomes.iter().filter_map(|(round, outcome)| {
                Some(outcome.per_second / first.get(round)?.per_second)
            });
            table.add_row(line(row.name, &target.name, &outcomes, median(ratios)));
        }
    }
    println!("{table}");
}

fn line(
    row: &str,
    target: &str,
    outcomes: &BTreeMap<usize, &Outcome>,
    ratio: Option<f64>,
) -> Vec<String> {
    let all = |what: fn(&Outcome) -> f64| outcomes.values().map(move |outcome| what(outcome));
    let middle = |what: fn(&Outcome) -> f64| median(all(what)).unwrap_or_default();
    let rates = all(|outcome| outcome.per_second);
    let low = rates.clone().fold(f64::INFINITY, f64::min);
    let high = rates.fold(0.0, f64::max);
    let cpu = outcomes.values().filter_map(|outcome| Some(outcome.server?.cpu_us));
    let memory = outcomes.values().filter_map(|outcome| Some(outcome.server?.anonymous_mib));
    let failed: u64 = outcomes.values().flat_map(|o| &o.errors).map(|error| error.count).sum();
    let mut rate = report::rate(middle(|outcome| outcome.per_second));
    if failed > 0 {
        rate = format!("{rate} ({failed} errors)");
    }
    let dash = || "–".to_owned();
    vec![
        row.to_owned(),
        target.to_owned(),
        rate,
        format!("{} – {}", report::rate(low), report::rate(high)),
        ratio.map_or_else(dash, |ratio| format!("{ratio:.2}")),
        report::duration(middle(|outcome| outcome.latency_us.p50)),
        report::duration(middle(|outcome| outcome.latency_us.p99)),
        report::duration(middle(|outcome| outcome.latency_us.p999)),
        median(cpu).map_or_else(dash, |us| format!("{us:.2} µs")),
        median(memory).map_or_else(dash, |mib| format!("{mib:.1} MiB")),
    ]
}

fn of<'a>(runs: &'a [Run], row: &str, target: &str) -> BTreeMap<usize, &'a Outcome> {
    let wanted = runs.iter().filter(|run| run.row == row && run.target == target);
    wanted.filter_map(|run| Some((run.round, run.outcome.as_ref()?))).collect()
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => None,
        count if count % 2 == 1 => Some(values[count / 2]),
        count => Some((values[count / 2 - 1] + values[count / 2]) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::{Target, median, parse};

    #[test]
    fn targets_have_a_name_an_address_and_maybe_a_process() {
        let floor = parse("floor=127.0.0.1:1,77").expect("target");
        let expected = Target {
            name: "floor".into(),
            address: "127.0.0.1:1".into(),
            pid: Some(77),
            store: None,
        };
        assert_eq!(floor, expected);
        assert_eq!(parse("a=b:1").expect("target").pid, None);
        assert_eq!(parse("a=b:1,7,/x,y").expect("target").store, Some("/x,y".into()));
        assert!(parse("127.0.0.1:1").is_err());
        assert!(parse("a=b:1,x").is_err());
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([].into_iter()), None);
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0].into_iter()), Some(2.5));
    }
}
